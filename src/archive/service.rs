//! The archivist: indexes, searches, hands out, checks, seals, holds. Everything an operator does is
//! journalled in the chain itself, with who and why.

use super::query::{self, BadQuery};
use super::record::{self, Head, JournalHead, MessageHead, ResultHead};
use super::retention::Retention;
use super::seal::{Seal, Signer};
use super::verify::{Report, Verifier};
use super::words::{Field, of_field, of_row};
use crate::core::archive::{Archive, Find, Held, Indexed, Row};
use crate::core::port::{StoreError, Write};
use crate::core::time::Time;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Rows read at once.
const BATCH: usize = 500;
/// Most messages of one answer.
const PAGE: usize = 100;
/// Most results looked up for one page.
const RESULTS: usize = 8_192;
/// Rows stand in the order of their commits; a message is committed at most so long after it was
/// accepted.
const SLACK: Duration = Duration::from_mins(10);

/// Commits writes: through the hub, or straight to a storage that no server runs on.
pub type Commit = Arc<
    dyn Fn(Vec<Write>) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>
        + Send
        + Sync,
>;

/// What an operator has set.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whose archive it is, for seals.
    pub server: String,
    /// Where seals go.
    pub seal_dir: Option<PathBuf>,
    /// The key that signs.
    pub key_file: PathBuf,
    /// How long bodies are kept.
    pub retention: Retention,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The query can't be read.
    #[error("{0}")]
    Query(#[from] BadQuery),
    /// Storage.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Anything else, in words for the operator.
    #[error("{0}")]
    Other(String),
}

/// Who asks and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asker {
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

/// What is to be handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// What a query finds.
    Query(String),
    /// A conversation, by its id.
    Conversation(String),
    /// What the holds of a case keep.
    Case(String),
    /// One message, by its id.
    Message(String),
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(text) => f.write_str(text),
            Self::Conversation(id) => write!(f, "conversation:{id}"),
            Self::Case(case) => write!(f, "case {case}"),
            Self::Message(id) => write!(f, "message {id}"),
        }
    }
}

/// A message and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Its row.
    pub seq: u64,
    /// The row's link.
    pub link: String,
    /// What was kept of it.
    pub message: MessageHead,
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The ingress octets, in Base64; only in exports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    /// Whether the body is erased.
    pub erased: bool,
    /// What became of it, in order.
    pub results: Vec<ResultHead>,
}

/// Some messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// The messages.
    pub items: Vec<Item>,
    /// Where to go on: the last row looked at; `None` = there is no more.
    pub next: Option<u64>,
    /// The last row of the archive.
    pub last: u64,
}

/// See the module.
pub struct Archivist<A> {
    store: Arc<A>,
    commit: Commit,
    now: Arc<dyn Fn() -> Time + Send + Sync>,
    settings: Settings,
    /// One at a time: what is erased must not be indexed from an older reading.
    indexing: tokio::sync::Mutex<()>,
}

impl<A: Archive> Archivist<A> {
    /// Over that storage.
    pub fn new(
        store: Arc<A>,
        commit: Commit,
        now: Arc<dyn Fn() -> Time + Send + Sync>,
        settings: Settings,
    ) -> Self {
        Self {
            store,
            commit,
            now,
            settings,
            indexing: tokio::sync::Mutex::new(()),
        }
    }

    /// What is set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Rows that are not indexed.
    pub async fn behind(&self) -> Result<u64, Failed> {
        let (last, _) = self.store.archive_head().await?;
        Ok(last.saturating_sub(self.store.archive_indexed().await?))
    }

    /// Indexes the next rows; whether there are more.
    pub async fn index_some(&self) -> Result<bool, Failed> {
        let _one = self.indexing.lock().await;
        let from = self.store.archive_indexed().await?;
        let rows = self.store.archive_rows(from, BATCH).await?;
        let Some(upto) = rows.last().map(|row| row.seq) else {
            return Ok(false);
        };
        let words: Vec<Indexed> = rows.iter().filter_map(of_row).collect();
        self.store.archive_index(words, upto).await?;
        Ok(rows.len() == BATCH)
    }

    /// Indexes all that is there now.
    pub async fn index_all(&self) -> Result<(), Failed> {
        while self.index_some().await? {}
        Ok(())
    }

    /// The newest messages that a query finds, from row `below` backwards.
    pub async fn search(
        &self,
        asker: &Asker,
        text: &str,
        below: Option<u64>,
        limit: usize,
    ) -> Result<Found, Failed> {
        let query = query::parse(text)?;
        let what = match below {
            None => text.to_owned(),
            Some(below) => format!("{text} (before row {below})"),
        };
        // First: who looks is noted down even if nothing comes of it, and what was captured before
        // is committed when this is.
        self.journal(JournalHead::of("search", &asker.who, &asker.why, what))
            .await?;
        self.index_all().await?;
        let mut find = query.find();
        find.phrases.push(vec![of_field(Field::Any, "")]);
        find.phrases.dedup();
        find.newest_first = true;
        find.below = below;
        find.limit = limit.clamp(1, PAGE);
        self.narrow(&mut find).await?;
        let wanted = find.limit;
        let rows = self.store.archive_find(find).await?;
        let next = rows
            .last()
            .map(|row| row.seq)
            .filter(|_| rows.len() == wanted);
        self.items(rows, next, false).await
    }

    /// Messages of a selection in their order, behind row `above`.
    pub async fn page(
        &self,
        selection: &Selection,
        above: u64,
        originals: bool,
    ) -> Result<Found, Failed> {
        let finds = self.finds(selection).await?;
        let mut rows = BTreeMap::new();
        // Each gives its first ones: the first of all of them are among these.
        for mut find in finds {
            find.above = above;
            find.limit = PAGE;
            self.narrow(&mut find).await?;
            let found = self.store.archive_find(find).await?;
            rows.extend(found.into_iter().map(|row| (row.seq, row)));
        }
        let more = rows.len() >= PAGE;
        let rows: Vec<Row> = rows.into_values().take(PAGE).collect();
        let next = rows.last().map(|row| row.seq).filter(|_| more);
        self.items(rows, next, originals).await
    }

    /// Begins to show or export: notes down who does it and why.
    pub async fn begin(
        &self,
        act: &str,
        asker: &Asker,
        selection: &Selection,
    ) -> Result<(), Failed> {
        self.finds(selection).await?;
        let what = selection.to_string();
        self.journal(JournalHead::of(act, &asker.who, &asker.why, what))
            .await?;
        self.index_all().await
    }

    /// Checks the whole chain, against these seals.
    pub async fn verify(&self, asker: &Asker, seals: Vec<Seal>) -> Result<Report, Failed> {
        let mut verifier = Verifier::new(seals);
        let mut above = 0;
        loop {
            let rows = self.store.archive_rows(above, BATCH).await?;
            let Some(last) = rows.last().map(|row| row.seq) else {
                break;
            };
            for row in &rows {
                verifier.row(row);
            }
            above = last;
            tokio::task::yield_now().await;
        }
        let report = verifier.end();
        let mut done = JournalHead::of("verify", &asker.who, &asker.why, "");
        done.rows = Some(report.rows);
        if report.wrong > 0 {
            done.what = format!("{} faults", report.wrong);
        }
        self.journal(done).await?;
        Ok(report)
    }

    /// Seals the chain as it stands; the file, if there was anything to seal.
    pub async fn seal(&self, asker: &Asker) -> Result<Option<(PathBuf, Seal)>, Failed> {
        let Some(folder) = self.settings.seal_dir.clone() else {
            let what =
                "no folder for seals: set `[archive] seal_dir` to one that leaves this machine";
            return Err(Failed::Other(what.to_owned()));
        };
        let (seq, link) = self.store.archive_head().await?;
        if seq == 0 {
            return Ok(None);
        }
        let seal = Seal::of(seq, &link, (self.now)(), &self.settings.server);
        let (written, key) = (seal.clone(), self.settings.key_file.clone());
        let work = move || -> Result<PathBuf, String> {
            let signer = Signer::open(&key)?;
            written.write(&folder, &signer)
        };
        let path = tokio::task::spawn_blocking(work).await;
        let path = path.map_err(|error| Failed::Other(error.to_string()))?;
        let path = path.map_err(Failed::Other)?;
        let what = format!("row {seq}, {}", seal.file_name());
        self.journal(JournalHead::of("seal", &asker.who, &asker.why, what))
            .await?;
        Ok(Some((path, seal)))
    }

    /// Notes down that rows were lost while storage failed; that they were not is how one learns that
    /// it works again.
    pub async fn gap(&self, lost: u64) -> Result<(), Failed> {
        let why = match lost {
            0 => "storage failed; nothing was delivered that is not archived",
            _ => "storage failed; messages were delivered without being archived",
        };
        let mut done = JournalHead::of("gap", "server", why, "");
        done.rows = Some(lost);
        self.journal(done).await
    }

    /// Erases the bodies of those rows; what is left of their words finds them.
    pub(super) async fn erase(
        &self,
        rows: &[(u64, Indexed)],
        mut done: JournalHead,
    ) -> Result<(), Failed> {
        let _one = self.indexing.lock().await;
        for (seq, _) in rows {
            match done.erased.last_mut() {
                Some(range) if range.1 + 1 == *seq => range.1 = *seq,
                _ => done.erased.push((*seq, *seq)),
            }
        }
        done.rows = u64::try_from(rows.len()).ok();
        let words = rows.iter().map(|(_, words)| words.clone()).collect();
        let writes = vec![Write::EraseArchive(words), self.entry(done)];
        self.write(writes).await
    }

    pub(super) fn store(&self) -> &A {
        &self.store
    }

    pub(super) fn now(&self) -> Time {
        (self.now)()
    }

    pub(super) async fn write(&self, writes: Vec<Write>) -> Result<(), Failed> {
        Ok((self.commit)(writes).await?)
    }

    pub(super) fn entry(&self, journal: JournalHead) -> Write {
        Write::Archive(Box::new(record::journal((self.now)(), journal)))
    }

    async fn journal(&self, journal: JournalHead) -> Result<(), Failed> {
        self.write(vec![self.entry(journal)]).await
    }

    async fn finds(&self, selection: &Selection) -> Result<Vec<Find>, Failed> {
        let of = |field, value: &str| Find {
            phrases: vec![vec![of_field(field, value)], vec![of_field(Field::Any, "")]],
            ..Find::default()
        };
        Ok(match selection {
            Selection::Query(text) => {
                let mut find = query::parse(text)?.find();
                find.phrases.push(vec![of_field(Field::Any, "")]);
                vec![find]
            }
            Selection::Conversation(id) => vec![of(Field::Conversation, id)],
            Selection::Message(id) => vec![of(Field::Message, id)],
            Selection::Case(case) => {
                let holds = self.holds().await?;
                let mine = holds.iter().filter(|hold| hold.case == *case);
                let finds: Vec<Find> = mine
                    .map(|hold| match &hold.held {
                        Held::Person(address) => of(Field::With, address),
                        Held::Conversation(id) => of(Field::Conversation, id),
                    })
                    .collect();
                if finds.is_empty() {
                    let what = format!(
                        "there is no case {case:?}; `tristack archive hold list` shows all"
                    );
                    return Err(Failed::Other(what));
                }
                finds
            }
        })
    }

    /// Numbers of rows that times leave: rows stand nearly in the order of time.
    async fn narrow(&self, find: &mut Find) -> Result<(), Failed> {
        let slack = u64::try_from(SLACK.as_millis()).unwrap_or(0);
        if let Some(since) = find.since {
            let first = self.first_at(since.0.saturating_sub(slack)).await?;
            find.above = find.above.max(first.saturating_sub(1));
        }
        if let Some(until) = find.until {
            let end = self.first_at(until.0.saturating_add(slack)).await?;
            find.below = Some(find.below.map_or(end, |below| below.min(end)));
        }
        Ok(())
    }

    /// The first row from that time on, or the one behind the last.
    async fn first_at(&self, at: u64) -> Result<u64, Failed> {
        let (last, _) = self.store.archive_head().await?;
        let (mut low, mut high) = (1, last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = self.store.archive_rows(middle - 1, 1).await?.pop();
            match row {
                Some(row) if row.at.0 < at => low = row.seq.max(middle) + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    async fn items(
        &self,
        rows: Vec<Row>,
        next: Option<u64>,
        originals: bool,
    ) -> Result<Found, Failed> {
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            if let Ok(Head::Message(head)) = record::head(&row) {
                items.push(item(&row, *head, originals));
            }
        }
        let mut results = self.results(&items).await?;
        for item in &mut items {
            item.results = results.remove(&item.message.id).unwrap_or_default();
        }
        let (last, _) = self.store.archive_head().await?;
        Ok(Found { items, next, last })
    }

    async fn results(&self, items: &[Item]) -> Result<HashMap<String, Vec<ResultHead>>, Failed> {
        let mut found: HashMap<String, Vec<ResultHead>> = HashMap::new();
        let Some(first) = items.iter().map(|item| item.seq).min() else {
            return Ok(found);
        };
        let word = |item: &Item| of_field(Field::Message, &item.message.id);
        let find = Find {
            any: items.iter().map(word).collect(),
            above: first,
            limit: RESULTS,
            ..Find::default()
        };
        for row in self.store.archive_find(find).await? {
            if let Ok(Head::Result(head)) = record::head(&row) {
                found.entry(head.id.clone()).or_default().push(head);
            }
        }
        Ok(found)
    }
}

fn item(row: &Row, head: MessageHead, originals: bool) -> Item {
    let text = head.text_in(row).map(str::to_owned);
    let original = head.original_in(row).filter(|_| originals);
    Item {
        seq: row.seq,
        link: record::shown(&row.link),
        text,
        original: original.map(|octets| BASE64_STANDARD.encode(octets)),
        erased: head.is_erased(row),
        message: head,
        results: Vec::new(),
    }
}
