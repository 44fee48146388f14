//! Methods and headers of RVP, and checked access to a request's header list.

use crate::error::ParseError;
use std::fmt;

/// The methods that RVP nodes serve.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// Sign in, watch, renew.
    Subscribe,
    /// End a subscription.
    Unsubscribe,
    /// List subscriptions.
    Subscriptions,
    /// Read properties.
    Propfind,
    /// Write properties.
    Proppatch,
    /// Send.
    Notify,
    /// Read or write the access list.
    Acl,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Subscriptions,
        Self::Propfind,
        Self::Proppatch,
        Self::Notify,
        Self::Acl,
    ];

    /// The token on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Subscriptions => "SUBSCRIPTIONS",
            Self::Propfind => "PROPFIND",
            Self::Proppatch => "PROPPATCH",
            Self::Notify => "NOTIFY",
            Self::Acl => "ACL",
        }
    }

    /// The method of that token; methods are case-sensitive (RFC 9110 9.1).
    ///
    /// # Errors
    /// 405 for COPY and MOVE, 501 for all others (`RVP 3`).
    pub fn parse(token: &str) -> Result<Self, ParseError> {
        match Self::ALL
            .into_iter()
            .find(|method| method.as_str() == token)
        {
            Some(method) => Ok(method),
            None if matches!(token, "COPY" | "MOVE") => Err(ParseError::MethodNotAllowed),
            None => Err(ParseError::NotImplemented),
        }
    }
}

/// The headers this crate reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Header {
    /// `Host`.
    Host,
    /// `User-Agent`.
    UserAgent,
    /// `Depth`.
    Depth,
    /// `Call-Back`.
    CallBack,
    /// `Notification-Type`.
    NotificationType,
    /// `Subscription-Id`.
    SubscriptionId,
    /// `Subscription-Lifetime`.
    SubscriptionLifetime,
    /// `RVP-Notifications-Version`.
    NotificationsVersion,
    /// `RVP-From-Principal`.
    FromPrincipal,
    /// `RVP-Ack-Type`.
    AckType,
    /// `RVP-Hop-Count`.
    HopCount,
}

impl Header {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Host,
        Self::UserAgent,
        Self::Depth,
        Self::CallBack,
        Self::NotificationType,
        Self::SubscriptionId,
        Self::SubscriptionLifetime,
        Self::NotificationsVersion,
        Self::FromPrincipal,
        Self::AckType,
        Self::HopCount,
    ];

    /// The name, as written by us.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "Host",
            Self::UserAgent => "User-Agent",
            Self::Depth => "Depth",
            Self::CallBack => "Call-Back",
            Self::NotificationType => "Notification-Type",
            Self::SubscriptionId => "Subscription-Id",
            Self::SubscriptionLifetime => "Subscription-Lifetime",
            Self::NotificationsVersion => "RVP-Notifications-Version",
            Self::FromPrincipal => "RVP-From-Principal",
            Self::AckType => "RVP-Ack-Type",
            Self::HopCount => "RVP-Hop-Count",
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A header list as HTTP parsing left it: names in any case, raw values.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(&'a [(&'a [u8], &'a [u8])]);

impl<'a> Headers<'a> {
    /// At most this many headers (`decisions.md` 27).
    pub const MAX: usize = 64;
    /// Longest value of a header that this crate reads, bytes.
    pub const MAX_VALUE: usize = 4096;

    /// Wraps a list.
    ///
    /// # Errors
    /// Too many headers.
    pub fn new(list: &'a [(&'a [u8], &'a [u8])]) -> Result<Self, ParseError> {
        if list.len() > Self::MAX {
            Err(ParseError::TooManyHeaders)
        } else {
            Ok(Self(list))
        }
    }

    /// The value of a header that may stand once, without white space around it.
    ///
    /// # Errors
    /// Repeated (even with the same value), too long, or not visible UTF-8.
    pub fn one(&self, header: Header) -> Result<Option<&'a str>, ParseError> {
        let name = header.name().as_bytes();
        let mut found = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let Some((_, value)) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(ParseError::Repeated(header));
        }
        if value.len() > Self::MAX_VALUE {
            return Err(ParseError::TooLong(header));
        }
        let text = std::str::from_utf8(value).map_err(|_| ParseError::Header(header))?;
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(ParseError::Header(header));
        }
        Ok(Some(text.trim_matches([' ', '\t'])))
    }

    /// As [`Headers::one`], but a value without content is an error of its own.
    ///
    /// # Errors
    /// Those of [`Headers::one`], and empty.
    pub fn filled(&self, header: Header) -> Result<Option<&'a str>, ParseError> {
        match self.one(header)? {
            Some("") => Err(ParseError::Empty(header)),
            value => Ok(value),
        }
    }

    /// As [`Headers::filled`], and it must be there.
    ///
    /// # Errors
    /// Those of [`Headers::filled`], and missing.
    pub fn required(&self, header: Header) -> Result<&'a str, ParseError> {
        self.filled(header)?.ok_or(ParseError::Missing(header))
    }
}
