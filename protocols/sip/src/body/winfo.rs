//! Watcher information (RFC 3858): who watches a resource.

use super::BodyError;
use xml::{Element, Limits, Prefixes};

/// `application/watcherinfo+xml`
pub const CONTENT_TYPE: &str = "application/watcherinfo+xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:watcherinfo";
const PREFIXES: Prefixes<'static> = Prefixes::new(&[("", NAMESPACE)]);
/// Watchers of one document; more than any server lets watch.
const MOST: usize = 10_000;

/// The document about one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherInfo {
    /// Rises by one with each document of a subscription.
    pub version: u32,
    /// All watchers, not only those that changed.
    pub full: bool,
    /// The URI watched.
    pub resource: String,
    /// The package watched, as `presence`.
    pub package: String,
    /// The watchers.
    pub watchers: Vec<Watcher>,
}

/// One watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// The same for the life of the watch.
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// What happened last.
    pub event: Event,
    /// The watcher's URI.
    pub uri: String,
    /// A name to show.
    pub display_name: Option<String>,
    /// Seconds since it began.
    pub subscribed: Option<u64>,
    /// Seconds until it ends.
    pub expiration: Option<u64>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$each])* $variant),+ }

        impl $name {
            /// Its word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value of a word.
            #[must_use]
            pub fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// Where a watch stands (RFC 3858 4.2).
    Status {
        /// Decided about by nobody yet.
        Pending = "pending",
        /// Served.
        Active = "active",
        /// Ended undecided.
        Waiting = "waiting",
        /// Over.
        Terminated = "terminated",
    }
}

words! {
    /// What happened to a watch last (RFC 3858 4.2).
    Event {
        /// It began.
        Subscribe = "subscribe",
        /// It was allowed.
        Approved = "approved",
        /// It is to be made anew.
        Deactivated = "deactivated",
        /// It is to be made anew later.
        Probation = "probation",
        /// It was forbidden.
        Rejected = "rejected",
        /// It was not refreshed.
        Timeout = "timeout",
        /// Nobody decided.
        GiveUp = "giveup",
        /// The resource is gone.
        NoResource = "noresource",
    }
}

impl WatcherInfo {
    /// Reads a document with one list, as every server sends them.
    ///
    /// # Errors
    /// XML that is refused, another document, or a value the format does not allow.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let limits = Limits {
            elements: 2 * MOST,
            ..Limits::with_bytes(body.len().max(1))
        };
        let root = xml::parse(body, &limits)?;
        if !root.is(NAMESPACE, "watcherinfo") {
            return Err(BodyError::Document);
        }
        let list = root
            .child(NAMESPACE, "watcher-list")
            .ok_or(BodyError::Value)?;
        let need = |element: &Element, name| {
            let value = element.attribute(name).map(str::to_owned);
            value.ok_or(BodyError::Value)
        };
        let watchers = list.children_named(NAMESPACE, "watcher").take(MOST);
        Ok(Self {
            version: need(&root, "version")?
                .parse()
                .map_err(|_| BodyError::Value)?,
            full: match need(&root, "state")?.as_str() {
                "full" => true,
                "partial" => false,
                _ => return Err(BodyError::Value),
            },
            resource: need(list, "resource")?,
            package: need(list, "package")?,
            watchers: watchers.map(watcher).collect::<Result<_, _>>()?,
        })
    }

    /// Writes the document.
    #[must_use]
    pub fn write(&self) -> String {
        let state = if self.full { "full" } else { "partial" };
        let list = Element::new(NAMESPACE, "watcher-list")
            .with_attribute("resource", &*self.resource)
            .with_attribute("package", &*self.package)
            .with_all(self.watchers.iter().map(Watcher::element));
        let root = Element::new(NAMESPACE, "watcherinfo")
            .with_attribute("version", self.version.to_string())
            .with_attribute("state", state)
            .with(list);
        xml::write_document(&root, &PREFIXES)
    }
}

fn watcher(element: &Element) -> Result<Watcher, BodyError> {
    let need = |name| element.attribute(name).ok_or(BodyError::Value);
    let number = |name| element.attribute(name).and_then(|text| text.parse().ok());
    Ok(Watcher {
        id: need("id")?.to_owned(),
        status: Status::of(need("status")?).ok_or(BodyError::Value)?,
        event: Event::of(need("event")?).ok_or(BodyError::Value)?,
        uri: element.trimmed().into_owned(),
        display_name: element.attribute("display-name").map(str::to_owned),
        subscribed: number("duration-subscribed"),
        expiration: number("expiration"),
    })
}

impl Watcher {
    fn element(&self) -> Element {
        let mut element = Element::new(NAMESPACE, "watcher")
            .with_attribute("id", &*self.id)
            .with_attribute("status", self.status.word())
            .with_attribute("event", self.event.word());
        if let Some(name) = &self.display_name {
            element = element.with_attribute("display-name", &**name);
        }
        if let Some(seconds) = self.subscribed {
            element = element.with_attribute("duration-subscribed", seconds.to_string());
        }
        if let Some(seconds) = self.expiration {
            element = element.with_attribute("expiration", seconds.to_string());
        }
        element.with_text(&*self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> WatcherInfo {
        WatcherInfo {
            version: 3,
            full: false,
            resource: "sip:alice@example.com".to_owned(),
            package: "presence".to_owned(),
            watchers: vec![
                Watcher {
                    id: "w1".to_owned(),
                    status: Status::Pending,
                    event: Event::Subscribe,
                    uri: format!("sip:{name}@example.com"),
                    display_name: Some(name.to_owned()),
                    subscribed: Some(9),
                    expiration: Some(3_600),
                },
                Watcher {
                    id: "w2".to_owned(),
                    status: Status::Terminated,
                    event: Event::GiveUp,
                    uri: "sip:c@example.com".to_owned(),
                    display_name: None,
                    subscribed: None,
                    expiration: None,
                },
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for name in ["bob", "\"<&'>]]>", "a\tb\nc"] {
            let info = sample(name);
            let text = info.write();
            assert_eq!(WatcherInfo::parse(text.as_bytes()), Ok(info), "{text}");
        }
        let hostile = sample("\u{0}\u{ffff}").write();
        assert!(WatcherInfo::parse(hostile.as_bytes()).is_ok(), "{hostile}");
    }

    #[test]
    fn what_the_format_does_not_allow_is_refused() {
        let good = sample("bob").write();
        for (from, to) in [
            (NAMESPACE, "urn:x"),
            ("watcherinfo ", "info "),
            ("version=\"3\"", "version=\"-1\""),
            ("version=\"3\"", ""),
            ("state=\"partial\"", "state=\"some\""),
            ("status=\"pending\"", "status=\"asleep\""),
            ("event=\"giveup\"", "event=\"tired\""),
            (" id=\"w1\"", ""),
            (" package=\"presence\"", ""),
        ] {
            assert!(good.contains(from), "{from}");
            let bad = good.replace(from, to);
            assert!(WatcherInfo::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
