//! Presence values: the neutral states and how views fold into one.
//!
//! The table that maps them to each protocol is `presence-mapping.toml`; this module only knows
//! how they rank against each other (`decisions.md` 10).

use crate::core::access::{Detail, Part};
use crate::core::id::{PublicationId, Stack};
use crate::core::time::Time;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// A neutral presence state. `Registered` and `Online` are what a client says by itself, so is
/// `Idle`; all others are a person's choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Signed in on a stack where sign-in alone means presence; nothing published yet.
    Registered,
    /// At the machine.
    Online,
    /// Machine unattended, as measured by the client.
    Idle,
    /// Chosen: busy.
    Busy,
    /// Chosen: do not disturb.
    DoNotDisturb,
    /// On the phone.
    OnPhone,
    /// Out to lunch.
    AtLunch,
    /// Away.
    Away,
    /// Be right back.
    BackSoon,
    /// Signed in, wants to look offline.
    Invisible,
    /// Not there.
    Offline,
}

/// Who said so: the machine or the person. Manual beats automatic, newest manual wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Origin {
    /// The client by itself (online, idle, registered, away that came with an idle mark).
    Automatic,
    /// The person chose it.
    Manual,
}

/// One published value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Presence {
    /// The neutral state.
    pub state: State,
    /// By machine or by hand.
    pub origin: Origin,
    /// The stack's own token when it is not one of the table's (an unknown RVP state element),
    /// kept for echo on the same stack; other stacks see it as the note.
    pub token: Option<Arc<str>>,
    /// Free text.
    pub note: Option<Arc<str>>,
    /// The whole document, for watchers on the same stack.
    pub document: Option<Arc<Document>>,
}

/// What was published, as its stack wrote it: opaque to the core, which keeps it whole so that
/// what only this stack has words for is not lost between two of its clients.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Document {
    /// Whose language it is in.
    pub stack: Stack,
    /// Its media type.
    pub media: Arc<str>,
    /// Its octets.
    pub bytes: Bytes,
}

/// A document that a watcher on its stack may be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The publication.
    pub id: PublicationId,
    /// Whether its value is the one that won.
    pub leads: bool,
    /// When it was set.
    pub set: Time,
    /// It.
    pub document: Arc<Document>,
}

impl Presence {
    /// Whether the value is the same, however its stack wrote it.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.state == other.state
            && self.origin == other.origin
            && self.token == other.token
            && self.note == other.note
    }

    /// A plain value of that state, with the origin that the state implies.
    pub fn of(state: State) -> Self {
        Self {
            state,
            origin: state.natural_origin(),
            token: None,
            note: None,
            document: None,
        }
    }
}

impl State {
    /// Whether the state by itself is a person's choice (`decisions.md` 10).
    pub fn natural_origin(self) -> Origin {
        match self {
            Self::Registered | Self::Online | Self::Idle | Self::Offline => Origin::Automatic,
            Self::Busy
            | Self::DoNotDisturb
            | Self::OnPhone
            | Self::AtLunch
            | Self::Away
            | Self::BackSoon
            | Self::Invisible => Origin::Manual,
        }
    }
}

/// What one watcher is shown: the fold of all points, after access and invisibility.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Never [`State::Invisible`] or [`State::Registered`]: those are shown as offline and online.
    pub state: State,
    /// The publishing stack's own token, see [`Presence::token`].
    pub token: Option<Arc<str>>,
    /// Free text.
    pub note: Option<Arc<str>>,
    /// When the fold last changed.
    pub since: Time,
    /// The documents behind it, oldest publication first; `None` = none.
    pub documents: Option<Arc<[Shown]>>,
}

impl View {
    /// The view of somebody who is not there (or pretends so to this watcher).
    pub fn offline(since: Time) -> Self {
        Self {
            state: State::Offline,
            token: None,
            note: None,
            since,
            documents: None,
        }
    }

    /// What of it somebody sees who may see only that much.
    pub(super) fn cut(&self, detail: Detail) -> Cow<'_, Self> {
        if detail == Detail::ALL {
            return Cow::Borrowed(self);
        }
        let part = match self.state {
            State::Offline | State::Online => None,
            State::Idle => Some(Part::Idle),
            _ => Some(Part::Activities),
        };
        let tells = part.is_none_or(|part| detail.has(part));
        Cow::Owned(Self {
            state: if tells { self.state } else { State::Online },
            // A state that no table has; it may say anything.
            token: self
                .token
                .clone()
                .filter(|_| tells && detail.has(Part::Activities)),
            note: self.note.clone().filter(|_| detail.has(Part::Note)),
            since: self.since,
            documents: self
                .documents
                .clone()
                .filter(|_| detail.has(Part::Document)),
        })
    }
}
