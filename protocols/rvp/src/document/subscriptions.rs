//! `r:subscriptions`: the answer to SUBSCRIPTIONS.

use super::common::{With, acl, any, dav, expect_root, href, is_ours, read, rvp, seconds, write};
use crate::error::ParseError;
use crate::request::SubscriptionId;
use xml::Element;

/// A list of subscriptions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subscriptions {
    /// Each one.
    pub list: Vec<Subscription>,
}

/// One subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The callback or the subscriber's URL; what to show whom is the caller's policy.
    pub href: String,
    /// The subscriber's URL.
    pub principal: String,
    /// Seconds left.
    pub seconds: Option<u32>,
}

impl Subscriptions {
    /// Reads one of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(body: &[u8], limit: usize) -> Result<Self, ParseError> {
        let root = read(body, limit)?;
        expect_root(&root, &["subscriptions"])?;
        let list = root
            .elements()
            .filter(|child| is_ours(child, "subscription"));
        Ok(Self {
            list: list.map(Subscription::read).collect::<Result<_, _>>()?,
        })
    }

    /// Writes it.
    pub fn to_xml(&self) -> String {
        let list = self.list.iter().map(Subscription::element);
        write(&rvp("subscriptions").with_all(list), With::Acl)
    }
}

impl Subscription {
    fn read(element: &Element) -> Result<Self, ParseError> {
        let id = any(element, "subscription-id").ok_or(ParseError::Element("subscription-id"))?;
        let principal = any(element, "principal");
        let principal = principal.and_then(|principal| any(principal, "rvp-principal"));
        Ok(Self {
            id: SubscriptionId::parse(&id.trimmed()).ok_or(ParseError::Value("subscription-id"))?,
            href: any(element, "href").map(href).unwrap_or_default(),
            principal: principal.map(href).unwrap_or_default(),
            seconds: any(element, "timeout").map(seconds).transpose()?,
        })
    }

    fn element(&self) -> Element {
        let principal = acl("rvp-principal").with_text(self.principal.as_str());
        let element = rvp("subscription")
            .with(rvp("subscription-id").with_text(self.id.as_str()))
            .with(dav("href").with_text(self.href.as_str()))
            .with(acl("principal").with(principal));
        match self.seconds {
            Some(seconds) => element.with(dav("timeout").with_text(seconds.to_string())),
            None => element,
        }
    }
}
