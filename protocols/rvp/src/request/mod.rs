//! Request heads: method, target and headers into one closed type (`RVP 2, 5`).

use crate::callback::CallBack;
use crate::error::ParseError;
use crate::header::{Header, Headers, Method};
use crate::url::{Authority, NodeUrl, Principal};
use crate::version::Version;
use std::fmt;

/// A request, head only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The node asked.
    pub node: NodeUrl,
    /// `Host` as sent.
    pub host: Authority,
    /// The version to echo.
    pub version: Version,
    /// Who the sender claims to be; absent means the authenticated user (`decisions.md` 8).
    pub from: Option<Principal>,
    /// `User-Agent`, if it is a usable one.
    pub user_agent: Option<String>,
    /// What is asked.
    pub action: Action,
}

/// What is asked of the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// A new subscription: sign-in, watching, sinks.
    Subscribe(Subscribe),
    /// Lease an existing subscription anew.
    Renew {
        /// Which.
        id: SubscriptionId,
        /// Seconds wanted; absent: whatever the server grants.
        lifetime: Option<u32>,
    },
    /// End a subscription.
    Unsubscribe(SubscriptionId),
    /// List the subscriptions of one type.
    Subscriptions(NotificationType),
    /// Read properties; the body says which.
    Propfind,
    /// Write properties; the body says which.
    Proppatch,
    /// Send; the body says what.
    Notify(Notify),
    /// Read the access list (empty body) or write it (document).
    Acl,
}

/// Headers of a new subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscribe {
    /// What to be told of.
    pub kind: NotificationType,
    /// Where to be told.
    pub call_back: CallBack,
    /// Seconds wanted.
    pub lifetime: u32,
}

/// Headers of a NOTIFY.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notify {
    /// When to answer; the default depends on the body ([`AckType::or_default_for_message`]).
    pub ack: Option<AckType>,
    /// Hops so far; absent counts as 1.
    pub hops: u32,
    /// On notifications to an inbox: the subscription that it is for.
    pub subscription: Option<SubscriptionId>,
}

impl Request {
    /// Reads a request head.
    ///
    /// # Errors
    /// [`ParseError`], with the status it earns and whether that is told before the challenge.
    pub fn parse(
        method: &str,
        target: &str,
        headers: &[(&[u8], &[u8])],
    ) -> Result<Self, ParseError> {
        let method = Method::parse(method)?;
        let headers = Headers::new(headers)?;
        let host = headers.required(Header::Host)?;
        let host = Authority::parse(host).map_err(|_| ParseError::Header(Header::Host))?;
        let node = NodeUrl::from_target(target, &host).map_err(ParseError::Target)?;
        let from = headers
            .filled(Header::FromPrincipal)?
            .map(Principal::parse)
            .transpose();
        Ok(Self {
            from: from.map_err(|_| ParseError::Header(Header::FromPrincipal))?,
            version: Version::from_header(headers.one(Header::NotificationsVersion)?),
            // Only a hint: an odd one is as good as none.
            user_agent: headers
                .one(Header::UserAgent)
                .ok()
                .flatten()
                .map(str::to_owned),
            // Last, so that 412 for Depth comes only when nothing earns 400.
            action: Action::parse(method, &headers)?,
            node,
            host,
        })
    }

    /// The method.
    pub fn method(&self) -> Method {
        match self.action {
            Action::Subscribe(_) | Action::Renew { .. } => Method::Subscribe,
            Action::Unsubscribe(_) => Method::Unsubscribe,
            Action::Subscriptions(_) => Method::Subscriptions,
            Action::Propfind => Method::Propfind,
            Action::Proppatch => Method::Proppatch,
            Action::Notify(_) => Method::Notify,
            Action::Acl => Method::Acl,
        }
    }
}

impl Action {
    fn parse(method: Method, headers: &Headers<'_>) -> Result<Self, ParseError> {
        let id = || SubscriptionId::from_headers(headers);
        match method {
            Method::Subscribe => Self::subscribe(headers),
            Method::Unsubscribe => id()?
                .map(Self::Unsubscribe)
                .ok_or(ParseError::Missing(Header::SubscriptionId)),
            Method::Subscriptions => {
                let kind = headers.filled(Header::NotificationType)?;
                Ok(Self::Subscriptions(kind.map_or(
                    Ok(NotificationType::PragmaNotify),
                    NotificationType::parse,
                )?))
            }
            Method::Propfind => match headers.one(Header::Depth)? {
                Some("0") => Ok(Self::Propfind),
                _ => Err(ParseError::Depth),
            },
            Method::Proppatch => Ok(Self::Proppatch),
            Method::Notify => Ok(Self::Notify(Notify {
                ack: headers
                    .filled(Header::AckType)?
                    .map(AckType::parse)
                    .transpose()?,
                hops: headers
                    .filled(Header::HopCount)?
                    .map_or(Ok(1), |v| number(v, Header::HopCount))?,
                subscription: id()?,
            })),
            Method::Acl => Ok(Self::Acl),
        }
    }

    fn subscribe(headers: &Headers<'_>) -> Result<Self, ParseError> {
        let lifetime = headers.filled(Header::SubscriptionLifetime)?;
        let lifetime = lifetime
            .map(|v| number(v, Header::SubscriptionLifetime))
            .transpose()?;
        // An id makes it a renewal, whatever else is there: nothing but the lease can be changed.
        if let Some(id) = SubscriptionId::from_headers(headers)? {
            return Ok(Self::Renew { id, lifetime });
        }
        let kind = NotificationType::parse(headers.required(Header::NotificationType)?)?;
        let call_back = CallBack::parse(headers.required(Header::CallBack)?)
            .map_err(|_| ParseError::Header(Header::CallBack))?;
        // `RVP 2`: permanent subscriptions are refused.
        let lifetime = lifetime.ok_or(ParseError::Missing(Header::SubscriptionLifetime))?;
        Ok(Self::Subscribe(Subscribe {
            kind,
            call_back,
            lifetime,
        }))
    }
}

/// What a subscription is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum NotificationType {
    /// `pragma/notify`: what is sent to the node.
    PragmaNotify,
    /// `update/propchange`: changes of its properties.
    PropChange,
    /// Another, as sent: the list is open.
    Other(Box<str>),
}

impl NotificationType {
    fn parse(value: &str) -> Result<Self, ParseError> {
        let visible = value.bytes().all(|b| b.is_ascii_graphic());
        match value.to_ascii_lowercase().as_str() {
            "pragma/notify" => Ok(Self::PragmaNotify),
            "update/propchange" => Ok(Self::PropChange),
            _ if visible && value.len() <= 64 => Ok(Self::Other(value.into())),
            _ => Err(ParseError::Header(Header::NotificationType)),
        }
    }

    /// The header value.
    pub fn as_str(&self) -> &str {
        match self {
            Self::PragmaNotify => "pragma/notify",
            Self::PropChange => "update/propchange",
            Self::Other(other) => other,
        }
    }
}

/// When a NOTIFY is answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AckType {
    /// When the first server has it.
    SingleHop,
    /// When at least one final inbox has it.
    DeepOr,
    /// When all final inboxes have it.
    DeepAnd,
}

impl AckType {
    fn parse(value: &str) -> Result<Self, ParseError> {
        let all = [Self::SingleHop, Self::DeepOr, Self::DeepAnd];
        let found = all
            .into_iter()
            .find(|ack| ack.as_str().eq_ignore_ascii_case(value));
        found.ok_or(ParseError::Header(Header::AckType))
    }

    /// The header value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SingleHop => "SingleHop",
            Self::DeepOr => "DeepOr",
            Self::DeepAnd => "DeepAnd",
        }
    }

    /// `RVP 2`: messages default to `DeepOr`.
    pub fn or_default_for_message(ack: Option<Self>) -> Self {
        ack.unwrap_or(Self::DeepOr)
    }
}

/// A subscription's id: we write decimal digits and accept any token.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SubscriptionId(Box<str>);

impl SubscriptionId {
    /// Parses a token of at most 128 visible characters; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        (!text.is_empty() && text.len() <= 128 && visible).then(|| Self(text.into()))
    }

    fn from_headers(headers: &Headers<'_>) -> Result<Option<Self>, ParseError> {
        let Some(text) = headers.filled(Header::SubscriptionId)? else {
            return Ok(None);
        };
        Self::parse(text)
            .map(Some)
            .ok_or(ParseError::Header(Header::SubscriptionId))
    }

    /// The number it is, if it is one of ours (`RVP 8.6`: decimal digits).
    pub fn number(&self) -> Option<u64> {
        let digits = self.0.bytes().all(|b| b.is_ascii_digit());
        self.0.parse().ok().filter(|_| digits)
    }

    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u64> for SubscriptionId {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Decimal digits only; what does not fit is the largest value: a wish for very long.
fn number(value: &str, header: Header) -> Result<u32, ParseError> {
    if value.len() > 20 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseError::Header(header));
    }
    Ok(value.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
