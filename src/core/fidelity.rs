//! The fidelity table: how well each stack shows each kind of content that entered by another
//! stack (`design.md` 7). Fronts bring their columns; the core only reads them.

use crate::core::id::Stack;
use crate::core::message::{Fidelity, Kind};
use std::time::Duration;

/// One stack's column: what becomes of a kind that entered by *another* stack. What entered by the
/// same stack is always [`Fidelity::Exact`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FidelityColumn {
    /// Text to read.
    pub text: Fidelity,
    /// Typing notices.
    pub typing: Fidelity,
    /// How often clients of this stack want a typing notice repeated while it lasts; `None` where
    /// each says how long to believe it.
    pub typing_beat: Option<Duration>,
    /// Joins.
    pub join: Fidelity,
    /// Leaves.
    pub leave: Fidelity,
    /// Application invitations.
    pub invitation: Fidelity,
    /// Receipts.
    pub receipt: Fidelity,
    /// Applications' own notifications.
    pub opaque: Fidelity,
    /// What its person wrote on another device: whether clients can show it.
    pub own_texts: Fidelity,
    /// The state that its person has set on another device.
    pub own_state: Fidelity,
    /// Whether its clients can ask who waits for consent; people with others are told by a text.
    pub shows_waiting: bool,
}

impl FidelityColumn {
    /// What becomes of that kind.
    pub fn of(&self, kind: Kind) -> Fidelity {
        match kind {
            Kind::Text => self.text,
            Kind::Typing => self.typing,
            Kind::Join => self.join,
            Kind::Leave => self.leave,
            Kind::Invitation => self.invitation,
            Kind::Receipt => self.receipt,
            Kind::Opaque => self.opaque,
        }
    }
}

/// All columns, one per attached stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FidelityTable {
    columns: Vec<(Stack, FidelityColumn)>,
}

impl FidelityTable {
    /// A table without columns: each stack takes only its own content.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a stack's column.
    pub fn put(&mut self, stack: Stack, column: FidelityColumn) {
        match self.columns.iter_mut().find(|(name, _)| *name == stack) {
            Some((_, old)) => *old = column,
            None => self.columns.push((stack, column)),
        }
    }

    /// How `to` shows that kind when it entered by `from`. A stack without a column refuses what
    /// is not its own.
    pub fn between(&self, from: Stack, to: Stack, kind: Kind) -> Fidelity {
        if from == to {
            return Fidelity::Exact;
        }
        self.columns
            .iter()
            .find(|(name, _)| *name == to)
            .map_or(Fidelity::Refused, |(_, column)| column.of(kind))
    }

    /// See [`FidelityColumn::shows_waiting`]; no column, no clients that could be told.
    pub fn shows_waiting(&self, stack: Stack) -> bool {
        let column = self.columns.iter().find(|(name, _)| *name == stack);
        column.is_none_or(|(_, column)| column.shows_waiting)
    }

    /// See [`FidelityColumn::typing_beat`].
    pub fn typing_beat(&self, stack: Stack) -> Option<Duration> {
        let column = self.columns.iter().find(|(name, _)| *name == stack);
        column.and_then(|(_, column)| column.typing_beat)
    }

    /// All columns, in the order they were attached.
    pub fn columns(&self) -> &[(Stack, FidelityColumn)] {
        &self.columns
    }
}
