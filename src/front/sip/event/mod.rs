//! Event packages (RFC 6665): one table, one file per package, one way to serve them all.
//!
//! A subscription is a watch of the core, whatever it is about: the core keeps its lease and its
//! authorisation and says what is so ([`Topic`]); `serve` keeps the dialog, `subscribe` and
//! `notify` are its two halves; the package's file writes the body. A new package is a topic of the core, a file here and a line in [`PACKAGES`].

pub(super) mod dialog;
mod diff;
pub(super) mod lines;
pub(super) mod list;
mod members;
mod notify;
mod own;
mod presence;
pub(super) mod serve;
pub(super) mod subscribe;
mod winfo;

use crate::core::address::Address;
use crate::core::command::{Change, Topic};
use crate::core::presence::View;
use sip::RawMessage;
use sip::build::escape_user;
use sip::subscription::Content;
use std::sync::{Arc, LazyLock};

/// One event package that is served.
#[derive(Debug)]
pub(super) struct Package {
    /// Its name with templates, as in Event.
    pub(super) name: &'static str,
    /// What of a person it is about.
    pub(super) topic: Topic,
    /// Media types it can be written in; the first is that of requests without Accept.
    pub(super) types: &'static [&'static str],
    /// What PUBLISH takes; `None` = nothing is published.
    pub(super) published: Option<&'static str>,
}

/// Every package.
const PACKAGES: [&Package; 4] = [
    &presence::PACKAGE,
    &winfo::PACKAGE,
    &dialog::PACKAGE,
    &diff::PACKAGE,
];

/// The package of that name.
pub(super) fn package(name: &str) -> Option<&'static Package> {
    PACKAGES.into_iter().find(|package| package.name == name)
}

/// For Allow-Events.
pub(super) fn allowed() -> &'static str {
    static NAMES: LazyLock<String> = LazyLock::new(|| PACKAGES.map(|p| p.name).join(", "));
    &NAMES
}

impl Package {
    /// The type for a subscriber that accepts what it says: the first of ours that it does not
    /// exclude. `None` = 406.
    fn choose(&self, request: &RawMessage) -> Option<&'static str> {
        let ranges: Vec<_> = request.accept().flatten().collect();
        let covered = |kind: &str| {
            let mut fit = ranges.iter().filter(|range| range.covers(kind));
            fit.any(|range| range.q() > 0)
        };
        let mut types = self.types.iter().copied();
        if ranges.is_empty() {
            return types.next();
        }
        types.find(|kind| covered(kind))
    }

    /// Our name of a type, as it was chosen once.
    fn kind(&self, name: &str) -> Option<&'static str> {
        self.types.iter().copied().find(|kind| *kind == name)
    }
}

/// What a body is about.
#[derive(Clone, Copy, Debug)]
struct Subject<'a> {
    /// The address watched.
    of: &'a Address,
    /// For packages whose documents are numbered.
    version: u32,
    /// Octets that the way to the subscriber carries.
    limit: usize,
    /// A name to show.
    name: &'a str,
}

impl Subject<'_> {
    fn uri(&self) -> String {
        uri(self.of)
    }
}

/// The URI of an address.
fn uri(address: &Address) -> String {
    format!("sip:{}@{}", escape_user(address.local()), address.domain())
}

/// Writes the bodies of one subscription.
#[derive(Debug)]
struct Writer {
    package: &'static Package,
    /// The media type chosen from its Accept.
    kind: &'static str,
    /// What a subscriber to partial state knows.
    told: winfo::Told,
    documents: diff::Told,
    /// Set where a list is subscribed to.
    list: Option<Box<list::Listed>>,
}

impl Writer {
    fn new(package: &'static Package, kind: &'static str) -> Self {
        Self {
            package,
            kind,
            told: winfo::Told::default(),
            documents: diff::Told::default(),
            list: None,
        }
    }

    /// The next document is complete, as after every SUBSCRIBE.
    fn anew(&mut self) {
        self.told = winfo::Told::default();
        self.documents.anew();
        if let Some(list) = &mut self.list {
            list.renew();
        }
    }

    /// What of a person the core watches for it.
    fn topic(&self) -> Topic {
        match self.list {
            Some(_) => Topic::Documents,
            None => self.package.topic,
        }
    }

    /// How the type of its bodies is saved.
    fn saved_kind(&self) -> String {
        match &self.list {
            Some(list) => list.kind(self.kind),
            None => self.kind.to_owned(),
        }
    }

    /// The body that says so.
    fn write(&mut self, subject: Subject<'_>, change: &Change, cache: &mut Cache) -> Content {
        if let Some(list) = &mut self.list {
            return list.write(subject);
        }
        match change {
            Change::Presence(view) | Change::Ended(_, view) => {
                // Of other packages the core ends a watch with nothing but the fact.
                if self.package.topic == Topic::Presence {
                    cache.presence(subject, view, self.kind)
                } else {
                    Content::default()
                }
            }
            Change::Watchers(report) => winfo::write(subject, report, &mut self.told),
            Change::Calls(calls) => dialog::write(subject, calls),
            Change::Documents(all) => {
                let user = subject.uri();
                diff::write(&user, &cache.root, all, &mut self.documents)
            }
            Change::Last(_, change) => self.write(subject, change, cache),
            // RFC 3856 6.6: nothing that would tell whether anybody is there.
            Change::Pending(_) | Change::Properties(_) => Content::default(),
        }
    }
}

/// The presence document written last: one change goes to many watchers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// The XCAP root as clients reach it.
    pub(super) root: String,
    last: Option<(Address, View, &'static str, usize, Content)>,
}

impl Cache {
    fn presence(&mut self, subject: Subject<'_>, view: &View, kind: &'static str) -> Content {
        if let Some((of, known, of_kind, limit, content)) = &self.last
            && of == subject.of
            && known == view
            && *of_kind == kind
            && *limit == subject.limit
        {
            return content.clone();
        }
        let body = presence::write(subject, view, kind);
        let content = Content::new(Arc::<str>::from(kind), body);
        self.last = Some((
            subject.of.clone(),
            view.clone(),
            kind,
            subject.limit,
            content.clone(),
        ));
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::raw::{Datagram, Limits, frame_datagram};

    fn request(headers: &str) -> RawMessage {
        let text = format!("SUBSCRIBE sip:a@b SIP/2.0\r\n{headers}Content-Length: 0\r\n\r\n");
        match frame_datagram(text.into(), &Limits::default()) {
            Ok(Datagram::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_body_is_chosen_by_accept() {
        let choose = |headers: &str| presence::PACKAGE.choose(&request(headers));
        let (pidf, xpidf) = ("application/pidf+xml", "application/xpidf+xml");
        assert_eq!(choose(""), Some(pidf));
        assert_eq!(choose("Accept: application/xpidf+xml\r\n"), Some(xpidf));
        let old = "Accept: text/xml+msrtc.pidf, application/xpidf+xml, application/pidf+xml\r\n";
        assert_eq!(choose(old), Some(pidf));
        assert_eq!(choose("Accept: */*\r\n"), Some(pidf));
        let no_pidf = "Accept: application/pidf+xml;q=0, application/xpidf+xml\r\n";
        assert_eq!(choose(no_pidf), Some(xpidf));
        assert_eq!(choose("Accept: application/cpim-pidf+xml\r\n"), None);
    }

    #[test]
    fn every_package_is_found_by_its_name() {
        assert_eq!(allowed(), "presence, presence.winfo, dialog, xcap-diff");
        for package in PACKAGES {
            assert!(super::package(package.name).is_some_and(|p| p.topic == package.topic));
            assert!(
                package
                    .types
                    .iter()
                    .all(|kind| package.kind(kind).is_some())
            );
        }
        assert!(package("Presence").is_none(), "RFC 6665 8.2.1: with case");
    }
}
