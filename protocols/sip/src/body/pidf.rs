//! PIDF (RFC 3863) with RPID (RFC 4480) and the data model (RFC 4479).

use super::BodyError;
use xml::{Element, Limits, Prefixes};

/// `application/pidf+xml`
pub const CONTENT_TYPE: &str = "application/pidf+xml";

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";

/// COMPAT(baresip): it compares text, so PIDF is the default namespace and RPID's prefix is `rpid`.
const PREFIXES: Prefixes<'static> = Prefixes::new(&[("", PIDF), ("dm", MODEL), ("rpid", RPID)]);

/// What a presence document says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Presence {
    /// Open if any tuple is.
    pub basic: Basic,
    /// All activities in document order, without repetition.
    pub activities: Vec<Activity>,
    /// RPID user-input.
    pub user_input: Option<UserInput>,
    /// The first note that is not empty.
    pub note: Option<String>,
    /// Legacy activity, `tuple/status/activities/activity`; written only, read into `activities`.
    pub legacy: Option<&'static str>,
}

/// PIDF basic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Basic {
    /// Reachable.
    Open,
    /// Not reachable.
    #[default]
    Closed,
}

/// An activity. The order is precedence, highest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Activity {
    /// `on-the-phone`
    OnThePhone,
    /// `busy`
    Busy,
    /// `meal`
    Meal,
    /// No RPID word; `be-right-back` and its like in the wild.
    BackSoon,
    /// `away`
    Away,
    /// Any other token.
    Other(String),
}

/// RPID user-input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserInput {
    /// Typing or moving.
    Active,
    /// Away from the device.
    Idle,
}

impl Activity {
    /// The activity a token names.
    #[must_use]
    pub fn of(token: &str) -> Self {
        match token.to_ascii_lowercase().as_str() {
            "on-the-phone" | "on-phone" | "phone" => Self::OnThePhone,
            "busy" | "do-not-disturb" | "dnd" => Self::Busy,
            "meal" | "out-to-lunch" | "at-lunch" | "lunch" => Self::Meal,
            "be-right-back" | "back-soon" | "brb" => Self::BackSoon,
            "away" => Self::Away,
            _ => Self::Other(token.to_owned()),
        }
    }

    /// The RPID element; `None` for what RPID has no word for.
    fn element(&self) -> Option<Element> {
        let name = match self {
            Self::OnThePhone => "on-the-phone",
            Self::Busy => "busy",
            Self::Meal => "meal",
            Self::Away | Self::BackSoon => "away",
            Self::Other(token) => {
                return xml::Name::parse(RPID.to_owned(), token).map(Element::named);
            }
        };
        Some(Element::new(RPID, name))
    }
}

impl Presence {
    /// Reads a document.
    ///
    /// # Errors
    /// XML that is refused, or another root than `presence`.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let root = xml::parse(body, &Limits::default())?;
        // COMPAT(old clients): the namespace of the root is not looked at; some forget it.
        if root.name.local() != "presence" {
            return Err(BodyError::Document);
        }
        let mut out = Self::default();
        for part in root.elements() {
            match part.name.local() {
                "tuple" | "person" | "device" => out.part(part),
                "note" => out.note(part),
                _ => {}
            }
        }
        Ok(out)
    }

    /// The activity that counts: on-phone > busy > at-lunch > back-soon > away (decisions 10).
    #[must_use]
    pub fn activity(&self) -> Option<&Activity> {
        self.activities.iter().min()
    }

    /// Writes the document about `entity` (a URI). The ids need only be unique in it.
    #[must_use]
    pub fn write(&self, entity: &str, tuple_id: &str, contact: Option<&str>) -> String {
        let basic = match self.basic {
            Basic::Open => "open",
            Basic::Closed => "closed",
        };
        let mut status =
            Element::new(PIDF, "status").with(Element::new(PIDF, "basic").with_text(basic));
        if let Some(legacy) = self.legacy {
            // COMPAT(pidgin-sipe): the only richer token it reads from PIDF.
            let activity = Element::new(PIDF, "activity").with_text(legacy);
            status = status.with(Element::new(PIDF, "activities").with(activity));
        }
        let mut tuple = Element::new(PIDF, "tuple")
            .with_attribute("id", tuple_id)
            .with(status);
        if let Some(contact) = contact {
            tuple = tuple.with(Element::new(PIDF, "contact").with_text(contact));
        }
        if let Some(note) = &self.note {
            tuple = tuple.with(Element::new(PIDF, "note").with_text(note.clone()));
        }
        let mut root = Element::new(PIDF, "presence")
            .with_attribute("entity", entity)
            .with(tuple);
        let activities: Vec<Element> = self
            .activities
            .iter()
            .filter_map(Activity::element)
            .collect();
        if !activities.is_empty() || self.user_input.is_some() {
            let mut person =
                Element::new(MODEL, "person").with_attribute("id", format!("p-{tuple_id}"));
            if !activities.is_empty() {
                person = person.with(Element::new(RPID, "activities").with_all(activities));
            }
            if let Some(input) = self.user_input {
                let text = if input == UserInput::Idle {
                    "idle"
                } else {
                    "active"
                };
                person = person.with(Element::new(RPID, "user-input").with_text(text));
            }
            root = root.with(person);
        }
        xml::write_document(&root, &PREFIXES)
    }

    /// A tuple, a person or a device; RPID may stand in each, legacy also in a tuple's status.
    fn part(&mut self, part: &Element) {
        for item in part.elements() {
            match item.name.local() {
                "status" => self.part(item),
                "basic" if item.trimmed().eq_ignore_ascii_case("open") => self.basic = Basic::Open,
                "activities" => self.activities(item),
                "user-input" => self.user_input = self.user_input.or(user_input(&item.trimmed())),
                "note" => self.note(item),
                _ => {}
            }
        }
    }

    fn activities(&mut self, list: &Element) {
        for item in list.elements() {
            let activity = match item.name.local() {
                "note" => {
                    self.note(item);
                    continue;
                }
                "activity" | "other" if !item.trimmed().is_empty() => Activity::of(&item.trimmed()),
                "unknown" | "activity" | "other" => continue,
                token => Activity::of(token),
            };
            if self.activities.len() < MOST_ACTIVITIES && !self.activities.contains(&activity) {
                self.activities.push(activity);
            }
        }
    }

    fn note(&mut self, note: &Element) {
        let text = note.trimmed();
        if self.note.is_none() && !text.is_empty() {
            self.note = Some(text.into_owned());
        }
    }
}

/// More than anybody does at once; bounds the search for repetitions.
const MOST_ACTIVITIES: usize = 16;

fn user_input(text: &str) -> Option<UserInput> {
    match text {
        "idle" => Some(UserInput::Idle),
        "active" => Some(UserInput::Active),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_textual_readers_look_for() {
        let presence = Presence {
            basic: Basic::Open,
            activities: vec![Activity::Busy],
            user_input: Some(UserInput::Idle),
            note: Some("a < b".to_owned()),
            legacy: Some("busy"),
        };
        let text = presence.write("sip:a@example.com", "t1", Some("sip:a@h"));
        for part in [
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"",
            "<basic>open</basic>",
            "<rpid:busy/>",
            "<rpid:user-input>idle</rpid:user-input>",
            "<dm:person id=\"p-t1\">",
            "<activity>busy</activity>",
            "<note>a &lt; b</note>",
            "entity=\"sip:a@example.com\"",
            "<tuple id=\"t1\"><status>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(
            Presence::parse(text.as_bytes()).unwrap(),
            Presence {
                legacy: None,
                ..presence
            }
        );
        let phone = Presence {
            activities: vec![Activity::OnThePhone, Activity::Away],
            ..Presence::default()
        };
        let text = phone.write("sip:a@b", "t", None);
        assert!(
            text.contains("<rpid:on-the-phone/>")
                && text.contains("<rpid:away/>")
                && text.contains("<basic>closed</basic>")
        );
    }

    #[test]
    fn reads_many_shapes() {
        let read = |inner: &str| {
            let text = format!(
                "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' entity='x'>{inner}</presence>"
            );
            Presence::parse(text.as_bytes()).unwrap()
        };
        let any = read(
            "<tuple id='1'><status><basic>closed</basic></status></tuple><tuple id='2'><status><basic> open </basic></status></tuple>",
        );
        assert_eq!((any.basic, any.activity()), (Basic::Open, None));
        let many = read(
            "<d:person id='p'><r:activities><r:away/><r:meal/><r:on-the-phone/><r:steering/></r:activities><d:note>out</d:note></d:person>",
        );
        assert_eq!(
            (many.activity(), many.activities.len(), many.note.as_deref()),
            (Some(&Activity::OnThePhone), 4, Some("out"))
        );
        let order = [
            Activity::OnThePhone,
            Activity::Busy,
            Activity::Meal,
            Activity::BackSoon,
            Activity::Away,
        ];
        assert!(order.is_sorted());
        let legacy = read(
            "<tuple id='1'><status><basic>open</basic><activities><activity>busy</activity></activities></status><note/><note>hej</note></tuple>",
        );
        assert_eq!(
            (legacy.activity(), legacy.note.as_deref()),
            (Some(&Activity::Busy), Some("hej"))
        );
        let device =
            read("<d:device id='d'><r:user-input last-input='x'>idle</r:user-input></d:device>");
        assert_eq!(
            (device.user_input, device.basic),
            (Some(UserInput::Idle), Basic::Closed)
        );
        assert_eq!(Presence::parse(b"<other/>"), Err(BodyError::Document));
        assert!(matches!(
            Presence::parse(b"<!DOCTYPE x><presence/>"),
            Err(BodyError::Xml(_))
        ));
    }
}
