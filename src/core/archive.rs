//! The archive's vocabulary: what is kept, whose word decides, and the port that storage implements.
//!
//! The archive is append-only: rows are numbered from 1, each is chained to the one before it
//! (`crate::archive::chain`). Only a row's body can go, by retention or law; the row stays.

use crate::core::port::StoreError;
use crate::core::time::Time;
use bytes::Bytes;
use std::future::Future;

/// Whether messages are archived. The strictest word of all that apply wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Policy {
    /// No.
    #[default]
    Off,
    /// Yes; a failing archive does not stop delivery.
    On,
    /// Yes; what is not stored is not delivered.
    Required,
}

/// A link of the chain: the digest of a row and of everything before it.
pub type Link = [u8; 32];

/// What stands before the first row.
pub const START: Link = [0; 32];

/// A row to be appended; its number and link are given when it is committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// What is chained: a JSON document, the digest of the body in it.
    pub head: String,
    /// What stands beside it and may be erased one day.
    pub body: Bytes,
}

/// A row as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// What is chained.
    pub head: String,
    /// The body; empty if it was erased.
    pub body: Bytes,
    /// The digest of this row and of all before it.
    pub link: Link,
}

/// The words by which a row is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Indexed {
    /// Which row.
    pub seq: u64,
    /// Its words in order, those of fields behind those of the text.
    pub words: Vec<String>,
}

/// What is looked for. All phrases must occur, each with its words side by side.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Find {
    /// The phrases; none = every row.
    pub phrases: Vec<Vec<String>>,
    /// At least one of these words must occur; none = does not matter.
    pub any: Vec<String>,
    /// Rows with a greater number only.
    pub above: u64,
    /// Rows with a smaller number only.
    pub below: Option<u64>,
    /// From this time on.
    pub since: Option<Time>,
    /// Before this time.
    pub until: Option<Time>,
    /// Newest first, else oldest first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: usize,
}

/// What a legal hold keeps from being erased.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Held {
    /// All that somebody sent or got.
    Person(String),
    /// All of a conversation.
    Conversation(String),
}

/// A legal hold: it beats retention. Several make a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// The case.
    pub case: String,
    /// What it keeps.
    pub held: Held,
    /// Since when.
    pub since: Time,
    /// Who ordered it.
    pub who: String,
    /// Why.
    pub why: String,
}

/// The reading side of the archive. Rows are appended and bodies erased by
/// [`crate::core::port::Store::commit`] alone.
pub trait Archive: Send + Sync + 'static {
    /// Number and link of the last row; 0 and [`START`] if there is none.
    fn archive_head(&self) -> impl Future<Output = Result<(u64, Link), StoreError>> + Send;
    /// Rows behind `above`, in order, at most `limit`.
    fn archive_rows(
        &self,
        above: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;
    /// Rows that are indexed and fit.
    fn archive_find(&self, find: Find)
    -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;
    /// The last row that is indexed.
    fn archive_indexed(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;
    /// Indexes these rows; everything up to `upto` is indexed then.
    fn archive_index(
        &self,
        rows: Vec<Indexed>,
        upto: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// All legal holds, by case.
    fn archive_holds(&self) -> impl Future<Output = Result<Vec<Hold>, StoreError>> + Send;
}

impl Policy {
    /// The word as it stands in a configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Required => "required",
        }
    }
}

impl Held {
    /// The kind's word and the value.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Person(address) => ("person", address),
            Self::Conversation(id) => ("conversation", id),
        }
    }

    /// From a kind's word and a value.
    pub fn from_parts(kind: &str, value: &str) -> Option<Self> {
        match kind {
            "person" => Some(Self::Person(value.to_owned())),
            "conversation" => Some(Self::Conversation(value.to_owned())),
            _ => None,
        }
    }
}
