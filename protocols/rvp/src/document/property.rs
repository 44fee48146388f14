//! Properties of a node, presence among them.

use super::common::{any, dav, is_ours, rvp, seconds};
use crate::error::ParseError;
use crate::namespace::{DAV, RVP};
use std::fmt;
use xml::{Element, Name, Node};

/// The name of a property.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PropertyName {
    /// `r:state`.
    State,
    /// `d:displayname`.
    DisplayName,
    /// `r:email`.
    Email,
    /// `r:mobile-state`.
    MobileState,
    /// `r:mobile-description`.
    MobileDescription,
    /// Any other.
    Other(Name),
}

/// A property with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Property {
    /// `r:state`.
    State(StateValue),
    /// `d:displayname`.
    DisplayName(String),
    /// `r:email`.
    Email(String),
    /// `r:mobile-state`.
    MobileState(String),
    /// `r:mobile-description`.
    MobileDescription(String),
    /// Any other, kept as it is.
    Opaque(Element),
    /// Only the name: in `propname` answers and in propstats that are no success.
    Name(PropertyName),
}

/// Known properties other than the state: name, namespace, local name, how the text is kept.
type Text = (
    PropertyName,
    &'static str,
    &'static str,
    fn(String) -> Property,
);
const TEXTS: [Text; 4] = [
    (
        PropertyName::DisplayName,
        DAV,
        "displayname",
        Property::DisplayName,
    ),
    (PropertyName::Email, RVP, "email", Property::Email),
    (
        PropertyName::MobileState,
        RVP,
        "mobile-state",
        Property::MobileState,
    ),
    (
        PropertyName::MobileDescription,
        RVP,
        "mobile-description",
        Property::MobileDescription,
    ),
];

impl PropertyName {
    /// The property of that element name. `displayname` and the like count in either namespace.
    pub fn of(name: &Name) -> Self {
        let ours = matches!(name.namespace().as_str(), DAV | RVP);
        if ours && name.local() == "state" {
            return Self::State;
        }
        let mut texts = TEXTS.into_iter();
        let known = texts.find(|(_, _, local, _)| ours && name.local() == *local);
        known.map_or_else(|| Self::Other(name.clone()), |(known, ..)| known)
    }

    fn element(&self) -> Element {
        match self {
            Self::State => rvp("state"),
            Self::DisplayName => dav("displayname"),
            Self::Email => rvp("email"),
            Self::MobileState => rvp("mobile-state"),
            Self::MobileDescription => rvp("mobile-description"),
            Self::Other(name) => Element::named(name.clone()),
        }
    }
}

impl Property {
    /// Reads a property element.
    pub(crate) fn read(element: &Element) -> Result<Self, ParseError> {
        let name = PropertyName::of(&element.name);
        match name {
            PropertyName::State => StateValue::read(element).map(Self::State),
            PropertyName::Other(_) => {
                let mut opaque = element.clone();
                clear_spans(&mut opaque);
                Ok(Self::Opaque(opaque))
            }
            _ => {
                let mut texts = TEXTS.into_iter();
                let known = texts.find(|(known, ..)| *known == name);
                let text = element.trimmed().into_owned();
                Ok(known.map_or(Self::Name(name), |(.., make)| make(text)))
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> PropertyName {
        match self {
            Self::State(_) => PropertyName::State,
            Self::DisplayName(_) => PropertyName::DisplayName,
            Self::Email(_) => PropertyName::Email,
            Self::MobileState(_) => PropertyName::MobileState,
            Self::MobileDescription(_) => PropertyName::MobileDescription,
            Self::Opaque(element) => PropertyName::Other(element.name.clone()),
            Self::Name(name) => name.clone(),
        }
    }

    pub(crate) fn element(&self) -> Element {
        match self {
            Self::State(value) => value.element(),
            Self::DisplayName(text)
            | Self::Email(text)
            | Self::MobileState(text)
            | Self::MobileDescription(text) => with_text(self.name().element(), text),
            Self::Opaque(element) => element.clone(),
            Self::Name(name) => name.element(),
        }
    }

    /// An opaque property as a self-contained document, to be stored.
    pub fn to_stored(element: &Element) -> String {
        xml::write(element, &xml::Prefixes::NONE)
    }

    /// Reads what [`Property::to_stored`] wrote.
    ///
    /// # Errors
    /// What is stored is no document.
    pub fn from_stored(stored: &str) -> Result<Self, ParseError> {
        let mut element = xml::parse(stored.as_bytes(), &xml::Limits::with_bytes(usize::MAX))?;
        clear_spans(&mut element);
        Ok(Self::Opaque(element))
    }
}

/// Text is trimmed on reading, so it is written trimmed; an empty value is an empty element.
pub(crate) fn with_text(element: Element, text: &str) -> Element {
    let text = text.trim_matches(['\t', '\n', '\r', ' ']);
    if text.is_empty() {
        element
    } else {
        element.with_text(text)
    }
}

/// Spans point into a request that is gone when the property is read again.
fn clear_spans(element: &mut Element) {
    element.span = 0..0;
    for node in &mut element.children {
        if let Node::Element(child) = node {
            clear_spans(child);
        }
    }
}

/// A state token.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// `online`
    Online,
    /// `offline`
    Offline,
    /// `away`
    Away,
    /// `busy`
    Busy,
    /// `back-soon`
    BackSoon,
    /// `on-phone`
    OnPhone,
    /// `at-lunch`
    AtLunch,
    /// `idle` (wild)
    Idle,
    /// `invisible` (wild)
    Invisible,
    /// Another element name, kept for echo.
    Other(StateToken),
}

/// The name of a state element that the table does not know.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StateToken(Name);

const STATES: [(State, &str); 9] = [
    (State::Online, "online"),
    (State::Offline, "offline"),
    (State::Away, "away"),
    (State::Busy, "busy"),
    (State::BackSoon, "back-soon"),
    (State::OnPhone, "on-phone"),
    (State::AtLunch, "at-lunch"),
    (State::Idle, "idle"),
    (State::Invisible, "invisible"),
];

impl State {
    /// The state of that token; `None` if it can be no element name, or is over 64 bytes.
    pub fn parse(token: &str) -> Option<Self> {
        // Case: COMPAT(clients) element names are lower-case everywhere, so case is significant.
        if let Some((state, _)) = STATES.into_iter().find(|(_, known)| *known == token) {
            return Some(state);
        }
        if token.len() > 64 {
            return None;
        }
        Name::parse(RVP, token).map(|name| Self::Other(StateToken(name)))
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::BackSoon => "back-soon",
            Self::OnPhone => "on-phone",
            Self::AtLunch => "at-lunch",
            Self::Idle => "idle",
            Self::Invisible => "invisible",
            Self::Other(StateToken(name)) => name.local(),
        }
    }

    fn element(&self) -> Element {
        match self {
            Self::Online => rvp("online"),
            Self::Offline => rvp("offline"),
            Self::Away => rvp("away"),
            Self::Busy => rvp("busy"),
            Self::BackSoon => rvp("back-soon"),
            Self::OnPhone => rvp("on-phone"),
            Self::AtLunch => rvp("at-lunch"),
            Self::Idle => rvp("idle"),
            Self::Invisible => rvp("invisible"),
            Self::Other(StateToken(name)) => Element::named(name.clone()),
        }
    }

    /// The one state element inside `parent`, `r:view-id` left aside.
    fn inside(parent: &Element, what: &'static str) -> Result<Self, ParseError> {
        let mut states = parent.elements().filter(|child| !is_ours(child, "view-id"));
        let (Some(state), None) = (states.next(), states.next()) else {
            return Err(ParseError::Element(what));
        };
        Self::parse(state.name.local()).ok_or(ParseError::Value("state"))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The value of `r:state`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateValue {
    /// The state itself.
    pub state: State,
    /// In PROPPATCH and its answer; elsewhere the state stands bare.
    pub lease: Option<Lease>,
    /// The view that it belongs to (in PROPPATCH and its answer).
    pub view: Option<String>,
}

/// How long a state holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// What it falls back to.
    pub default: State,
    /// Seconds wanted or granted; absent: whatever the server grants.
    pub seconds: Option<u32>,
}

impl StateValue {
    /// A bare state, as watchers get it.
    pub fn bare(state: State) -> Self {
        Self {
            state,
            lease: None,
            view: None,
        }
    }

    fn read(element: &Element) -> Result<Self, ParseError> {
        let view = any(element, "view-id").map(|view| view.trimmed().into_owned());
        if view
            .as_ref()
            .is_some_and(|view| view.len() > 64 || view.chars().any(char::is_whitespace))
        {
            return Err(ParseError::Value("view-id"));
        }
        let view = view.filter(|view| !view.is_empty());
        let mut leases = element
            .elements()
            .filter(|child| is_ours(child, "leased-value"));
        let (state, lease) = match (leases.next(), leases.next()) {
            (None, _) => (State::inside(element, "state")?, None),
            (Some(leased), None) => Self::leased(element, leased)?,
            (Some(_), Some(_)) => return Err(ParseError::Element("leased-value")),
        };
        Ok(Self { state, lease, view })
    }

    fn leased(state: &Element, leased: &Element) -> Result<(State, Option<Lease>), ParseError> {
        let others = state
            .elements()
            .filter(|child| !is_ours(child, "view-id"))
            .count();
        if others != 1 {
            return Err(ParseError::Element("state"));
        }
        let value = any(leased, "value").ok_or(ParseError::Element("value"))?;
        let default = match any(leased, "default-value") {
            Some(default) => State::inside(default, "default-value")?,
            None => State::Offline,
        };
        // `RVP 8.10`: `d:timeout` and `r:timeout` are both seen.
        let seconds = any(leased, "timeout").map(seconds).transpose()?;
        Ok((
            State::inside(value, "value")?,
            Some(Lease { default, seconds }),
        ))
    }

    fn element(&self) -> Element {
        let Some(lease) = &self.lease else {
            // `RVP 8.7`: exactly one child and no attributes, so no view here.
            return rvp("state").with(self.state.element());
        };
        let mut leased = rvp("leased-value")
            .with(rvp("value").with(self.state.element()))
            .with(rvp("default-value").with(lease.default.element()));
        if let Some(seconds) = lease.seconds {
            leased = leased.with(dav("timeout").with_text(seconds.to_string()));
        }
        let state = rvp("state").with(leased);
        match &self.view {
            Some(view) => state.with(with_text(rvp("view-id"), view)),
            None => state,
        }
    }
}
