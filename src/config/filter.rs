//! `[[filter]]`: what is done to messages before they are delivered, in the order of the file.

use super::reader::Reader;
use super::value::{Octets, Value, quoted, words};
use crate::core::address::normal_domain;
use crate::core::message::Kind;
use crate::core::pattern::Pattern;
use regex::{Regex, RegexBuilder};
use std::time::Duration;

/// Largest compiled pattern, in octets.
const PATTERN_SIZE: usize = 1 << 20;

words! {
    /// What a filter looks for.
    FilterKind {
        /// Large messages.
        Size = "size",
        /// Many messages of one sender.
        Rate = "rate",
        /// Texts that a pattern matches.
        Pattern = "pattern",
        /// Links to hosts.
        Urls = "urls",
    }
}

words! {
    /// What a filter does to what it finds.
    FilterAction {
        /// The sender is told why.
        Refuse = "refuse",
        /// What was found is replaced.
        Modify = "modify",
    }
}

words! {
    /// What a list of hosts means.
    HostList {
        /// Only these.
        Allow = "allow",
        /// All but these.
        Deny = "deny",
    }
}

words! {
    /// A stack.
    FilterStack {
        /// RVP.
        Rvp = "rvp",
        /// SIP.
        Sip = "sip",
    }
}

words! {
    /// What a message is.
    FilterContent {
        /// Something to read.
        Text = "text",
        /// An invitation to an application session.
        Invitation = "invitation",
        /// An application's own.
        Opaque = "opaque",
    }
}

impl FilterContent {
    /// The core's word.
    pub fn kind(self) -> Kind {
        match self {
            Self::Text => Kind::Text,
            Self::Invitation => Kind::Invitation,
            Self::Opaque => Kind::Opaque,
        }
    }
}

impl Value for Pattern {
    fn expected() -> String {
        "an address with * for anything, like \"*@example.com\"".into()
    }
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| format!("{text:?}: {error}"))
    }
    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A pattern over texts. Matching takes time linear in the text, whatever it is.
impl Value for Regex {
    fn expected() -> String {
        "a regular expression".into()
    }
    fn from_text(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(PATTERN_SIZE).build();
        built.map_err(|error| error.to_string())
    }
    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

/// `[[filter]]`
#[derive(Clone, Debug)]
pub struct Filter {
    /// Its name, in traces, logs and reports.
    pub name: String,
    /// What it looks for.
    pub kind: FilterKind,
    /// Senders; none = all.
    pub from: Vec<Pattern>,
    /// Recipients; none = all.
    pub to: Vec<Pattern>,
    /// Domains of either side; none = all.
    pub domains: Vec<String>,
    /// Stacks by which messages come; none = all.
    pub stacks: Vec<FilterStack>,
    /// What messages are.
    pub kinds: Vec<FilterContent>,
    /// What is done to what is found.
    pub action: FilterAction,
    /// What stands in its place.
    pub replace: String,
    /// What the sender is told; empty = what was found.
    pub reason: String,
    /// Only log and count.
    pub test: bool,
    /// `size`: so many octets pass.
    pub most: Octets,
    /// `rate`: so many messages.
    pub messages: u32,
    /// `rate`: in such a span.
    pub per: Duration,
    /// `pattern`: what is looked for.
    pub patterns: Vec<Regex>,
    /// `urls`: which hosts.
    pub hosts: Vec<String>,
    /// `urls`: what the list means.
    pub list: HostList,
}

impl Filter {
    pub(super) fn read(r: &mut Reader<'_, '_>, name: &str) -> Self {
        let filter = Self {
            name: r.get("name", name.to_owned()),
            kind: r.get("kind", FilterKind::Pattern),
            from: r.get("from", Vec::new()),
            to: r.get("to", Vec::new()),
            domains: r.get("domains", Vec::new()),
            stacks: r.get("stacks", Vec::new()),
            kinds: r.get("kinds", vec![FilterContent::Text]),
            action: r.get("action", FilterAction::Refuse),
            replace: r.get("replace", String::new()),
            reason: r.get("reason", String::new()),
            test: r.get("test", false),
            most: r.get("most", Octets(8 << 10)),
            messages: u32::try_from(r.get("messages", 30usize)).unwrap_or(u32::MAX),
            per: r.get("per", Duration::from_secs(60)),
            patterns: r.get("patterns", Vec::new()),
            hosts: r.get("hosts", Vec::new()),
            list: r.get("list", HostList::Deny),
        };
        filter.check(r);
        filter
    }

    fn check(&self, r: &mut Reader<'_, '_>) {
        let modifies = self.action == FilterAction::Modify;
        let measures = matches!(self.kind, FilterKind::Size | FilterKind::Rate);
        if modifies && measures {
            r.refuse("action", "size and rate can't be modified away: refuse");
        }
        if modifies && self.kinds != [FilterContent::Text] {
            r.refuse("action", "only texts can be modified: kinds = [\"text\"]");
        }
        if self.kind == FilterKind::Pattern && self.patterns.is_empty() {
            r.refuse("patterns", "a filter of kind \"pattern\" needs some");
        }
        if self.kind == FilterKind::Urls && self.hosts.is_empty() && self.list == HostList::Deny {
            r.refuse("hosts", "an empty list denies nothing");
        }
        if self.kind == FilterKind::Rate && (self.messages == 0 || self.per.is_zero()) {
            r.refuse("messages", "must be more than 0, in more than no time");
        }
        for domain in &self.domains {
            if normal_domain(domain).as_ref() != Ok(domain) {
                r.refuse("domains", format!("{domain:?} is no domain in lower case"));
            }
        }
    }
}
