//! Which messages a filter looks at.

use crate::core::id::Stack;
use crate::core::message::{Kind, Message};
use crate::core::pattern::Pattern;

/// Which messages a filter looks at. An empty list stands for all, but for kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Senders.
    pub from: Vec<Pattern>,
    /// Recipients.
    pub to: Vec<Pattern>,
    /// Domains of either side.
    pub domains: Vec<String>,
    /// Stacks by which it came.
    pub stacks: Vec<Stack>,
    /// What it is.
    pub kinds: Vec<Kind>,
}

impl Scope {
    /// Whether a message is in it.
    pub fn covers(&self, message: &Message) -> bool {
        let (from, to) = (&message.from, &message.to);
        let ours = |name: &String| name == from.domain() || name == to.domain();
        self.kinds.contains(&message.content.kind())
            && (self.stacks.is_empty() || self.stacks.contains(&message.original.stack))
            && (self.domains.is_empty() || self.domains.iter().any(ours))
            && (self.from.is_empty() || self.from.iter().any(|who| who.fits(from)))
            && (self.to.is_empty() || self.to.iter().any(|who| who.fits(to)))
    }
}
