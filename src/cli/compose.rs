//! From the configuration to the settings of each part.

use super::{Exit, Failure};
use crate::config::{self, Config, Limits};
use crate::control::Seal;
use crate::core::devices::{Policy, Spread};
use crate::core::effect::Rules;
use crate::credentials::{Credentials, Keep};
use crate::front::{RVP, SIP};
use crate::gate::{self, GateSettings, Judge};
use crate::hub;
#[cfg(feature = "gssapi")]
use crate::kerberos;
use crate::net::{Caps, Certificates, Layers, Listener};
use crate::portal::Portal;
use crate::winbind::Winbind;
use auth::digest::NonceSettings;
use std::sync::Arc;

pub(super) fn credentials(config: &Config) -> Result<Arc<Credentials>, Failure> {
    let keep = match config.auth.keep {
        config::Keep::Sealed => Keep::Sealed,
        config::Keep::Verifiers => Keep::Verifiers,
    };
    Credentials::open(
        &config.server.data_dir,
        config.auth.key_file.as_deref(),
        keep,
    )
    .map(Arc::new)
    .map_err(|error| Failure::new(Exit::Unavailable, error))
}

/// Seals passwords under all realms and names of an account's domain.
pub(super) fn seal(config: &Config, credentials: &Arc<Credentials>) -> Seal {
    let (config, credentials) = (config.clone(), Arc::clone(credentials));
    Arc::new(move |account, password| {
        let domain = account.address.domain();
        let netbios: Vec<&str> = config
            .rvp
            .netbios
            .iter()
            .filter(|(_, stands_for)| *stands_for == domain)
            .map(|(name, _)| name.as_str())
            .collect();
        credentials
            .seal(
                account.person,
                &account.address,
                &[config.realm(domain)],
                &netbios,
                password,
            )
            .map_err(|error| error.to_string())
    })
}

pub(super) fn gate(config: &Config) -> GateSettings {
    let realms = config
        .server
        .domains
        .iter()
        .map(|domain| (domain.clone(), config.realm(domain).to_owned()));
    let netbios = config.rvp.netbios.iter();
    GateSettings {
        realms: realms.collect(),
        netbios: netbios
            .map(|(name, domain)| (name.clone(), domain.clone()))
            .collect(),
        strict_digest: config.auth.strict_digest,
        nonces: NonceSettings {
            lifetime: u64::try_from(config.limits.nonce.as_millis()).unwrap_or(u64::MAX),
            ..NonceSettings::default()
        },
        host: config.rvp.hosts.first().cloned().unwrap_or_default(),
        weak_ntlm: config.rvp.ntlm_v1_networks.clone(),
    }
}

/// Who checks NTLM proofs.
pub(super) fn judge(config: &Config) -> Judge {
    let auth = &config.auth;
    match auth.ntlm {
        config::Ntlm::Local => Judge::Local,
        config::Ntlm::Winbind => Judge::Directory(Arc::new(Winbind::new(
            auth.winbind_helper.clone(),
            auth.winbind_helpers,
            auth.winbind_timeout,
        ))),
    }
}

/// Who checks Kerberos tickets.
#[cfg(feature = "gssapi")]
pub(super) fn kerberos(config: &Config) -> Result<Option<gate::Kerberos>, Failure> {
    let Some(wanted) = &config.auth.kerberos else {
        return Ok(None);
    };
    let library = kerberos::Library::open(wanted.workers, wanted.timeout).map_err(|why| {
        let keytab = wanted.keytab.display();
        Failure::new(
            Exit::Unavailable,
            format!("[auth] kerberos_keytab {keytab}: {why}"),
        )
    })?;
    Ok(Some(gate::Kerberos {
        tickets: Arc::new(library),
        services: wanted.services.clone(),
        realms: wanted.realms.clone(),
    }))
}

/// Nobody: this binary was built without; the configuration does not ask for it.
#[cfg(not(feature = "gssapi"))]
#[allow(clippy::unnecessary_wraps, reason = "as with the feature")]
pub(super) fn kerberos(_: &Config) -> Result<Option<gate::Kerberos>, Failure> {
    Ok(None)
}

/// What must be so before anything is opened.
#[cfg(feature = "gssapi")]
pub(super) fn environment(config: &Config) -> Result<(), Failure> {
    let Some(wanted) = &config.auth.kerberos else {
        return Ok(());
    };
    kerberos::use_keytab(&wanted.keytab).map_err(|e| Failure::new(Exit::Unavailable, e))
}

/// What must be so before anything is opened.
#[cfg(not(feature = "gssapi"))]
#[allow(clippy::unnecessary_wraps, reason = "as with the feature")]
pub(super) fn environment(_: &Config) -> Result<(), Failure> {
    Ok(())
}

pub(super) fn hub(config: &Config) -> hub::Settings {
    let welcome = config.domains.iter().flat_map(|(ours, domain)| {
        let theirs = domain.foreign.iter();
        theirs.map(move |theirs| (ours.clone(), theirs.clone()))
    });
    let those = |fits: &dyn Fn(&config::Domain) -> bool| {
        let all = config.domains.iter().filter(|(_, domain)| fits(domain));
        all.map(|(name, _)| name.clone()).collect()
    };
    let rules = Rules {
        welcome: welcome.collect(),
        confirm: those(&|domain| domain.consent == Some(config::Consent::Confirm)),
        mutual: those(&|domain| domain.consent_mutual == Some(true)),
        visible_block: those(&|domain| domain.visible_block == Some(true)),
        away: config
            .server
            .domains
            .iter()
            .filter(|domain| keeps(config, domain))
            .cloned()
            .collect(),
        away_for: config.messages.keep_for,
        spread: spread(config, None),
        spreads: config
            .domains
            .iter()
            .map(|(name, domain)| (name.clone(), spread(config, Some(domain))))
            .collect(),
        pair_within: config.delivery.pair_within,
        idle_after: config.delivery.idle_after,
        ..rules(&config.limits)
    };
    hub::Settings {
        rules,
        mailbox: config.limits.shard_queue,
        trace_messages: config.limits.trace_messages,
        archive: super::archivist::rules(config),
        ..hub::Settings::default()
    }
}

/// Whether texts to people of that domain are kept while they are away.
fn keeps(config: &Config, domain: &str) -> bool {
    let own = config.domains.get(domain).and_then(|own| own.offline);
    own.unwrap_or(config.messages.offline) == config::Offline::Keep
}

/// How texts are spread over devices, everywhere or in one domain.
fn spread(config: &Config, domain: Option<&config::Domain>) -> Spread {
    let policy = domain.and_then(|domain| domain.delivery);
    let prefer = domain.and_then(|domain| domain.prefer);
    Spread {
        policy: match policy.unwrap_or(config.delivery.policy) {
            config::Policy::All => Policy::All,
            config::Policy::MostActive => Policy::MostActive,
            config::Policy::Preferred => Policy::Preferred,
        },
        preferred: prefer.or(config.delivery.prefer).map(|stack| match stack {
            config::Preferred::Rvp => RVP,
            config::Preferred::Sip => SIP,
        }),
    }
}

fn rules(limits: &Limits) -> Rules {
    Rules {
        points: limits.points,
        publications: limits.publications,
        watches: limits.watches,
        waiting: limits.waiting_watchers,
        waiting_for: limits.waiting,
        access_entries: limits.access_entries,
        documents: limits.documents,
        document_octets: limits.document_octets,
        properties: limits.properties,
        property_octets: limits.property_octets,
        pending: limits.pending,
        merge: limits.coalesce,
        grace: limits.grace,
        suspension: limits.suspended,
        answer: limits.answer,
        keep: limits.keep,
        away_texts: limits.away_texts,
        away_sender: limits.away_per_sender,
        away_octets: limits.away_octets,
        conversation: limits.conversation_idle,
        chat_members: limits.conversation_members,
        chats_per_person: limits.conversations_per_person,
        chats: limits.conversations,
        chat_idle: limits.conversation_kept,
        ..Rules::default()
    }
}

pub(super) fn caps(config: &Config) -> Caps {
    Caps::new(
        config.limits.connections_per_address,
        config.limits.connections,
        config.limits.loopback,
    )
    .vanished_after(config.limits.vanished)
}

/// The portal's listeners; with TLS they present the certificate of `[tls]`.
pub(super) fn portals(config: &Config, caps: &Caps) -> Result<Vec<Listener>, Failure> {
    let unavailable = |error: &dyn std::fmt::Display| Failure::new(Exit::Unavailable, error);
    let mut layers = Layers::default();
    if config.portal.tls && !config.portal.listen.is_empty() {
        let certificates = Certificates::of(config).map_err(|e| unavailable(&e))?;
        tokio::spawn(certificates.clone().follow());
        layers = Layers::within(config.limits.head_timeout).tls(certificates);
    }
    let listen = config.portal.listen.iter();
    listen
        .map(|at| {
            let bound = Listener::bind("[portal] listen", *at, caps.clone());
            Ok(bound.map_err(|e| unavailable(&e))?.with(layers.clone()))
        })
        .collect()
}

/// The portal, if it listens.
pub(super) fn portal(
    config: &Config,
    hub: &hub::Hub,
    credentials: &Arc<Credentials>,
) -> Result<Option<Arc<Portal>>, Failure> {
    if config.portal.listen.is_empty() {
        return Ok(None);
    }
    Portal::open(config, hub.clone(), seal(config, credentials))
        .map(|portal| Some(Arc::new(portal)))
        .map_err(|error| Failure::new(Exit::Unavailable, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_a_domain_says_beats_what_the_server_says() {
        let text = "[server]\ndomains = [\"a.example\", \"b.example\"]\n\
                    [messages]\noffline = \"keep\"\n[delivery]\nprefer = \"rvp\"\n\
                    [domain.\"b.example\"]\noffline = \"refuse\"\ndelivery = \"most_active\"";
        let config = Config::from_text(text, None, BTreeMap::new()).expect("sound");
        let rules = hub(&config).rules;
        assert!(rules.keeps_texts("a.example") && !rules.keeps_texts("b.example"));
        assert!(!rules.keeps_texts("elsewhere.example"));
        let spread = |policy| Spread {
            policy,
            preferred: Some(RVP),
        };
        assert_eq!(rules.spread_in("a.example"), spread(Policy::All));
        assert_eq!(rules.spread_in("b.example"), spread(Policy::MostActive));
    }
}
