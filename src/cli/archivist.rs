//! The archivist of a running server: puts it together and lets it work in the background.

use crate::admin::Health;
use crate::archive::{Archivist, Asker, Commit, Retention, Settings};
use crate::config::{ArchivePolicy, Config};
use crate::core::archive::Policy;
use crate::core::id::Stack;
use crate::hub::{ArchiveHealth, ArchiveRules, Disclaimer, Hub};
use crate::net::Tasks;
use crate::storage::Database;
use crate::telemetry::utc;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at what is to be done.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two attempts to store again after a failure.
const ATTEMPT: u32 = 5;
/// Rows that may wait to be indexed while messages come; then it is done all the same.
const BEHIND: u64 = 50_000;
/// Batches indexed at a time, before the writer gets its turn.
const TURN: usize = 20;

/// Who is archived.
pub(super) fn rules(config: &Config) -> ArchiveRules {
    let archive = &config.archive;
    let of_domain = |(name, domain): (&String, &crate::config::Domain)| {
        Some((name.clone(), policy(domain.archive?)))
    };
    let named = |all: &std::collections::BTreeMap<_, ArchivePolicy>| {
        let policies = all.iter();
        policies
            .map(|(who, word): (&crate::core::address::Address, _)| (who.clone(), policy(*word)))
            .collect()
    };
    ArchiveRules {
        policy: policy(archive.policy),
        domains: config.domains.iter().filter_map(of_domain).collect(),
        people: named(&archive.people),
        groups: named(&archive.groups),
        disclaimer: disclaimer(archive),
        system_local: crate::core::effect::Rules::default()
            .system_local
            .to_string(),
    }
}

/// What is said at the start of a conversation.
fn disclaimer(archive: &crate::config::Archive) -> Disclaimer {
    let own = [
        ("rvp", &archive.disclaimer_rvp),
        ("sip", &archive.disclaimer_sip),
    ];
    let own = own.into_iter();
    Disclaimer {
        text: archive.disclaimer.clone(),
        stacks: own
            .filter_map(|(name, text)| Some((Stack::named(name), text.clone()?)))
            .collect(),
    }
}

fn policy(word: ArchivePolicy) -> Policy {
    match word {
        ArchivePolicy::Off => Policy::Off,
        ArchivePolicy::On => Policy::On,
        ArchivePolicy::Required => Policy::Required,
    }
}

/// What the archivist is told.
pub(super) fn settings(config: &Config) -> Settings {
    let days = |(name, domain): (&String, &crate::config::Domain)| {
        Some((name.clone(), domain.retention_days?))
    };
    Settings {
        server: config.server.domains.first().cloned().unwrap_or_default(),
        seal_dir: config.archive.seal_dir.clone(),
        key_file: config.archive_key(),
        retention: Retention {
            days: config.archive.retention_days,
            domains: config.domains.iter().filter_map(days).collect(),
        },
    }
}

/// Over the storage, its writes through the hub's writer.
pub(super) fn of_hub(config: &Config, hub: &Hub, store: &Arc<Database>) -> Archivist<Database> {
    let writer = hub.clone();
    let commit: Commit = Arc::new(move |writes| {
        let hub = writer.clone();
        Box::pin(async move { hub.commit_archive(writes).await })
    });
    let clock = hub.clone();
    let now = Arc::new(move || clock.now());
    Archivist::new(Arc::clone(store), commit, now, settings(config))
}

/// What the health pages say.
pub(super) fn health(hub: &Hub) -> Health {
    match hub.archive_health() {
        ArchiveHealth::Good => Health::Green,
        ArchiveHealth::Failing => {
            Health::Yellow("archive: rows are not stored, messages are delivered without them")
        }
        ArchiveHealth::Refusing => {
            Health::Red("archive: required and not stored, messages are refused")
        }
    }
}

/// Indexes, seals once a day, erases what is over its time, tries again what failed; until the
/// process stops.
pub(super) async fn work(
    archivist: Arc<Archivist<Database>>,
    hub: Hub,
    archives: bool,
    tasks: Tasks,
) {
    let (mut day, mut stored, mut looks) = (0, 0, 0);
    loop {
        tokio::select! {
            () = tasks.stopped() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        looks += 1;
        if hub.archive_health() != ArchiveHealth::Good && looks % ATTEMPT == 0 {
            try_again(&archivist, &hub).await;
        }
        if archives {
            let now = hub.stats().archived.get();
            index(&archivist, now == stored).await;
            stored = now;
        }
        let today = hub.now().0 / 86_400_000;
        if today != day {
            day = today;
            daily(&archivist, &hub).await;
        }
    }
}

async fn try_again(archivist: &Archivist<Database>, hub: &Hub) {
    let lost = hub.take_archive_lost();
    if let Err(error) = archivist.gap(lost).await {
        hub.put_archive_lost(lost);
        tracing::warn!(%error, lost, "archive: still not stored");
    }
}

/// While nothing comes, or when too much waits: the index is not worth a message's time.
async fn index(archivist: &Archivist<Database>, quiet: bool) {
    let work = async {
        let behind = archivist.behind().await?;
        if behind == 0 || (!quiet && behind < BEHIND) {
            return Ok(());
        }
        for _ in 0..TURN {
            if !archivist.index_some().await? {
                break;
            }
        }
        Ok::<(), crate::archive::Failed>(())
    };
    if let Err(error) = work.await {
        tracing::warn!(%error, "archive: not indexed");
    }
}

async fn daily(archivist: &Archivist<Database>, hub: &Hub) {
    let asker = Asker {
        who: "server".to_owned(),
        why: "once a day".to_owned(),
    };
    if let Some(folder) = &archivist.settings().seal_dir
        && !is_sealed(folder, hub.now().0)
    {
        match archivist.seal(&asker).await {
            Ok(Some((path, seal))) => {
                tracing::info!(file = %path.display(), row = seal.seq, "archive: sealed");
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "archive: not sealed"),
        }
    }
    match archivist.retain().await {
        Ok(0) => {}
        Ok(bodies) => tracing::info!(bodies, "archive: retention time over, bodies erased"),
        Err(error) => tracing::error!(%error, "archive: nothing could be erased"),
    }
}

/// Whether today's seal is there.
fn is_sealed(folder: &Path, now: u64) -> bool {
    let today = utc(now);
    let start = format!("seal-{}-", today.get(..10).unwrap_or_default());
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().starts_with(&start))
}
