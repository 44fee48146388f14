//! `a:rvpacl`: access lists (`RVP 5 ACL`).

use super::common::{With, acl, any, expect_root, href, is_ours, need, read, write};
use crate::error::ParseError;
use xml::Element;

/// An access list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Acl {
    /// Entries in order.
    pub aces: Vec<Ace>,
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ace {
    /// Whom it is about.
    pub principal: AcePrincipal,
    /// By which authentication they must have come.
    pub credentials: Credentials,
    /// What is granted.
    pub grant: Rights,
    /// What is denied.
    pub deny: Rights,
}

/// Whom an entry is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AcePrincipal {
    /// Everybody.
    All,
    /// A URL or a server's host name, white space taken off; a server does not cover its users.
    One(String),
}

/// By which authentication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credentials {
    /// Any.
    Any,
    /// Only these; who came by another is treated as not listed.
    Only(Schemes),
}

/// A set of authentication schemes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Schemes {
    /// `a:ntlm`
    pub ntlm: bool,
    /// `a:digest`
    pub digest: bool,
    /// `a:assertion`: no credentials, only the claim.
    pub assertion: bool,
    /// `a:internal`
    pub internal: bool,
}

/// A right.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Right {
    /// `list`
    List,
    /// `read`
    Read,
    /// `write`
    Write,
    /// `readacl`
    ReadAcl,
    /// `writeacl`
    WriteAcl,
    /// `all`
    All,
    /// `send-to`
    SendTo,
    /// `presence`
    Presence,
    /// `receive-from`
    ReceiveFrom,
    /// `subscriptions`
    Subscriptions,
    /// `subscribe-others`
    SubscribeOthers,
}

impl Right {
    /// All of them.
    pub const EACH: [Self; 11] = [
        Self::List,
        Self::Read,
        Self::Write,
        Self::ReadAcl,
        Self::WriteAcl,
        Self::All,
        Self::SendTo,
        Self::Presence,
        Self::ReceiveFrom,
        Self::Subscriptions,
        Self::SubscribeOthers,
    ];

    /// The element's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadAcl => "readacl",
            Self::WriteAcl => "writeacl",
            Self::All => "all",
            Self::SendTo => "send-to",
            Self::Presence => "presence",
            Self::ReceiveFrom => "receive-from",
            Self::Subscriptions => "subscriptions",
            Self::SubscribeOthers => "subscribe-others",
        }
    }

    fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rights(u16);

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);

    /// Whether the right itself is in the set; `all` is a right of its own here.
    pub fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// With one more.
    #[must_use]
    pub fn with(self, right: Right) -> Self {
        Self(self.0 | right.bit())
    }

    /// Each right in the set.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::EACH
            .into_iter()
            .filter(move |right| self.has(*right))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn read(element: Option<&Element>) -> Self {
        let mut rights = Self::NONE;
        for child in element.iter().flat_map(|element| element.elements()) {
            let known = Right::EACH
                .into_iter()
                .find(|right| is_ours(child, right.as_str()));
            rights = known.map_or(rights, |right| rights.with(right));
        }
        rights
    }

    fn element(self, name: &'static str) -> Element {
        acl(name).with_all(self.iter().map(|right| acl(right.as_str())))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<T: IntoIterator<Item = Right>>(rights: T) -> Self {
        rights.into_iter().fold(Self::NONE, Self::with)
    }
}

/// More entries than this are refused.
const MAX_ACES: usize = 1_000;

impl Acl {
    /// Reads one of at most `limit` bytes. An empty body is no list but a question: see
    /// [`crate::request::Action::Acl`].
    ///
    /// # Errors
    /// [`ParseError`], [`ParseError::Credentials`] among them.
    pub fn parse(body: &[u8], limit: usize) -> Result<Self, ParseError> {
        let root = read(body, limit)?;
        expect_root(&root, &["rvpacl", "acl"])?;
        let list = if is_ours(&root, "acl") {
            &root
        } else {
            need(&root, "acl")?
        };
        let mut aces = Vec::new();
        for ace in list.elements().filter(|child| is_ours(child, "ace")) {
            if aces.len() >= MAX_ACES {
                return Err(ParseError::Element("ace"));
            }
            aces.push(Ace::read(ace)?);
        }
        Ok(Self { aces })
    }

    /// Writes it.
    pub fn to_xml(&self) -> String {
        let list = acl("acl")
            .with(acl("inheritance").with_text("none"))
            .with_all(self.aces.iter().map(Ace::element));
        write(&acl("rvpacl").with(list), With::Acl)
    }
}

impl Ace {
    fn read(element: &Element) -> Result<Self, ParseError> {
        let principal = need(element, "principal")?;
        // The spec puts credentials inside the principal; beside it is taken too.
        let credentials = any(principal, "credentials").or_else(|| any(element, "credentials"));
        let all = any(principal, "allprincipals").is_some();
        let one = any(principal, "rvp-principal").map(href);
        let who = match (all, one) {
            (true, None) => AcePrincipal::All,
            (false, Some(one)) if !one.is_empty() => AcePrincipal::One(one),
            _ => return Err(ParseError::Element("rvp-principal")),
        };
        Ok(Self {
            principal: who,
            credentials: Credentials::read(credentials)?,
            grant: Rights::read(any(element, "grant")),
            deny: Rights::read(any(element, "deny")),
        })
    }

    fn element(&self) -> Element {
        let who = match &self.principal {
            AcePrincipal::All => acl("allprincipals"),
            AcePrincipal::One(one) => acl("rvp-principal").with_text(one.as_str()),
        };
        acl("ace")
            .with(acl("principal").with(who).with(self.credentials.element()))
            .with(self.grant.element("grant"))
            .with(self.deny.element("deny"))
    }
}

impl Credentials {
    fn read(element: Option<&Element>) -> Result<Self, ParseError> {
        let element = element.ok_or(ParseError::Credentials)?;
        let has = |name| any(element, name).is_some();
        if has("any") {
            return Ok(Self::Any);
        }
        let schemes = Schemes {
            ntlm: has("ntlm"),
            digest: has("digest"),
            assertion: has("assertion"),
            internal: has("internal"),
        };
        if schemes == Schemes::default() {
            Err(ParseError::Credentials)
        } else {
            Ok(Self::Only(schemes))
        }
    }

    fn element(self) -> Element {
        let credentials = acl("credentials");
        let Self::Only(schemes) = self else {
            return credentials.with(acl("any"));
        };
        let Schemes {
            ntlm,
            digest,
            assertion,
            internal,
        } = schemes;
        let named = [
            (ntlm, "ntlm"),
            (digest, "digest"),
            (assertion, "assertion"),
            (internal, "internal"),
        ];
        credentials.with_all(
            named
                .into_iter()
                .filter(|(on, _)| *on)
                .map(|(_, name)| acl(name)),
        )
    }
}
