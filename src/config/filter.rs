//! `[[filter]]`: what is done to messages before they are delivered, in the order of the file.

use super::reader::Reader;
use super::value::{Octets, Value, quoted, words};
use crate::core::address::{Address, normal_domain};
use crate::core::message::Kind;
use crate::core::pattern::Pattern;
use regex::{Regex, RegexBuilder};
use std::net::{IpAddr, SocketAddr};
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
        /// What a service of the operator's says.
        Http = "http",
        /// Everything in its scope.
        Rule = "rule",
    }
}

words! {
    /// What a filter does to what it finds.
    FilterAction {
        /// The sender is told why.
        Refuse = "refuse",
        /// What was found is replaced.
        Modify = "modify",
        /// The message is kept until an operator decides.
        Hold = "hold",
        /// It goes to somebody else.
        Route = "route",
        /// Its sender is answered in its recipient's name.
        Reply = "reply",
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
    /// `route`: to whom.
    pub route: Option<Address>,
    /// `reply`: what is answered.
    pub reply: String,
    /// Times of the day (UTC), as 18:00-08:00; empty = all day.
    pub hours: String,
    /// Days of the week; none = all.
    pub days: Vec<String>,
    /// `http`: where the service is.
    pub url: String,
    /// `http`: how long an answer may take.
    pub timeout: Duration,
    /// `http`: messages pass when there is no answer.
    pub fail_open: bool,
    /// `http`: questions at a time.
    pub at_once: usize,
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
            route: route(r),
            reply: r.get("reply", String::new()),
            hours: r.get("hours", String::new()),
            days: r.get("days", Vec::new()),
            url: r.get("url", String::new()),
            timeout: r.get("timeout", Duration::from_secs(2)),
            fail_open: r.get("fail_open", false),
            at_once: r.get("at_once", 16),
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
        if self.action == FilterAction::Hold && self.kind == FilterKind::Rate {
            r.refuse(
                "action",
                "too many messages would be too many to hold: refuse",
            );
        }
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
        if self.action == FilterAction::Route && self.route.is_none() {
            r.refuse("route", "to whom? route = \"bob@example.com\"");
        }
        if self.action == FilterAction::Reply && self.reply.is_empty() {
            r.refuse("reply", "what is to be answered?");
        }
        if self.kind == FilterKind::Rule && modifies {
            r.refuse("action", "a rule finds nothing to replace");
        }
        if self.kind == FilterKind::Http && self.service().is_none() {
            r.refuse(
                "url",
                "must be like http://127.0.0.1:9000/judge, by address",
            );
        }
        if self.kind == FilterKind::Http && (self.timeout.is_zero() || self.at_once == 0) {
            r.refuse("timeout", "it and at_once must be more than 0");
        }
        for domain in &self.domains {
            if normal_domain(domain).as_ref() != Ok(domain) {
                r.refuse("domains", format!("{domain:?} is no domain in lower case"));
            }
        }
    }
    /// `http`: where to connect, and the path asked for.
    pub fn service(&self) -> Option<(SocketAddr, String)> {
        let rest = self.url.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = |c: char| c.is_ascii_graphic() && c != '#';
        let address = authority.parse::<SocketAddr>();
        let address = address.or_else(|_| {
            let host = authority.trim_start_matches('[').trim_end_matches(']');
            host.parse().map(|host: IpAddr| SocketAddr::new(host, 80))
        });
        let path = if path.is_empty() { "/" } else { path };
        path.chars()
            .all(plain)
            .then(|| Some((address.ok()?, path.to_owned())))?
    }
}

fn route(r: &mut Reader<'_, '_>) -> Option<Address> {
    let text: String = r.option("route")?;
    match Address::parse(&text) {
        Ok(address) => Some(address),
        Err(error) => {
            r.refuse("route", format!("{text:?}: {error}"));
            None
        }
    }
}
