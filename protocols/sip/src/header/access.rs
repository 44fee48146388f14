//! The views by name, on the message.

use super::number::{hops, seconds};
use super::{
    CSeq, Contact, Contacts, Date, Event, FaultKind, HeaderFault, MediaType, NameAddr,
    SubscriptionState, Uri, Via,
};
use crate::raw::parse::{is_space, is_token};
use crate::raw::{HeaderId, RawMessage};

impl RawMessage {
    /// The Request-URI.
    ///
    /// # Errors
    /// `UriError` when it is malformed, or the message is a response.
    pub fn request_uri(&self) -> Result<Uri<'_>, super::UriError> {
        let text = self.uri().and_then(|text| std::str::from_utf8(text).ok());
        Uri::parse(text.ok_or(super::UriError)?)
    }

    /// The only field of that name.
    ///
    /// # Errors
    /// `Missing` or `Repeated`.
    pub fn single(&self, id: HeaderId) -> Result<&[u8], HeaderFault> {
        self.optional(id)?.ok_or(FaultKind::Missing.at(id))
    }

    /// The only field of that name, or none.
    ///
    /// # Errors
    /// `Repeated`.
    pub fn optional(&self, id: HeaderId) -> Result<Option<&[u8]>, HeaderFault> {
        let mut all = self.all(id);
        let first = all.next();
        if all.next().is_some() {
            Err(FaultKind::Repeated.at(id))
        } else {
            Ok(first)
        }
    }

    /// All Vias, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'_>, HeaderFault>> {
        self.values(HeaderId::Via)
            .map(|value| Via::parse(value).map_err(|kind| kind.at(HeaderId::Via)))
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// `Missing` or malformed.
    pub fn top_via(&self) -> Result<Via<'_>, HeaderFault> {
        self.vias()
            .next()
            .unwrap_or(Err(FaultKind::Missing.at(HeaderId::Via)))
    }

    /// From.
    ///
    /// # Errors
    /// Missing, repeated or malformed.
    pub fn from(&self) -> Result<NameAddr<'_>, HeaderFault> {
        self.parse_single(HeaderId::From, NameAddr::parse)
    }

    /// To.
    ///
    /// # Errors
    /// Missing, repeated or malformed.
    pub fn to(&self) -> Result<NameAddr<'_>, HeaderFault> {
        self.parse_single(HeaderId::To, NameAddr::parse)
    }

    /// Call-ID: opaque, compared octet by octet.
    ///
    /// # Errors
    /// Missing, repeated, empty or with white space in it.
    pub fn call_id(&self) -> Result<&str, HeaderFault> {
        self.parse_single(HeaderId::CallId, opaque)
    }

    /// CSeq.
    ///
    /// # Errors
    /// Missing, repeated or malformed.
    pub fn cseq(&self) -> Result<CSeq, HeaderFault> {
        self.parse_single(HeaderId::CSeq, CSeq::parse)
    }

    /// Max-Forwards, if there.
    ///
    /// # Errors
    /// Repeated or malformed.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderFault> {
        self.parse_optional(HeaderId::MaxForwards, hops)
    }

    /// Expires in seconds, if there.
    ///
    /// # Errors
    /// Repeated or malformed.
    pub fn expires(&self) -> Result<Option<u32>, HeaderFault> {
        self.parse_optional(HeaderId::Expires, seconds)
    }

    /// Min-Expires in seconds, if there.
    ///
    /// # Errors
    /// Repeated or malformed.
    pub fn min_expires(&self) -> Result<Option<u32>, HeaderFault> {
        self.parse_optional(HeaderId::MinExpires, seconds)
    }

    /// Retry-After in seconds, if there; comment and parameters are ignored.
    ///
    /// # Errors
    /// Repeated or malformed.
    pub fn retry_after(&self) -> Result<Option<u32>, HeaderFault> {
        self.parse_optional(HeaderId::RetryAfter, |value| {
            let end = value
                .iter()
                .position(|octet| !octet.is_ascii_digit())
                .unwrap_or(value.len());
            seconds(value.get(..end).unwrap_or_default())
        })
    }

    /// All Contacts.
    ///
    /// # Errors
    /// One is malformed, or `*` is not alone.
    pub fn contacts(&self) -> Result<Contacts<'_>, HeaderFault> {
        let mut values = self.values(HeaderId::Contact).peekable();
        if values.peek() == Some(&&b"*"[..]) {
            values.next();
            return match values.next() {
                None => Ok(Contacts::Star),
                Some(_) => Err(FaultKind::Syntax.at(HeaderId::Contact)),
            };
        }
        let list: Result<Vec<_>, _> = values.map(Contact::parse).collect();
        list.map(Contacts::List)
            .map_err(|kind| kind.at(HeaderId::Contact))
    }

    /// The first Contact, which is the remote target in a dialog.
    ///
    /// # Errors
    /// Malformed.
    pub fn contact(&self) -> Result<Option<Contact<'_>>, HeaderFault> {
        let first = self
            .values(HeaderId::Contact)
            .next()
            .map(Contact::parse)
            .transpose();
        first.map_err(|kind| kind.at(HeaderId::Contact))
    }

    /// Addresses of Route, Record-Route, Path, Service-Route or P-Asserted-Identity, in order.
    pub fn addresses(
        &self,
        id: HeaderId,
    ) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderFault>> {
        self.values(id)
            .map(move |value| NameAddr::parse(value).map_err(|kind| kind.at(id)))
    }

    /// The tokens of Allow, Allow-Events, Require, Supported, Proxy-Require, Unsupported. What is no
    /// token is left out.
    pub fn tokens(&self, id: HeaderId) -> impl Iterator<Item = &str> {
        self.values(id)
            .filter(|value| is_token(value))
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// Event, if there.
    ///
    /// # Errors
    /// Repeated or malformed.
    pub fn event(&self) -> Result<Option<Event<'_>>, HeaderFault> {
        self.parse_optional(HeaderId::Event, Event::parse)
    }

    /// Subscription-State, if there.
    ///
    /// # Errors
    /// Repeated or malformed.
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState<'_>>, HeaderFault> {
        self.parse_optional(HeaderId::SubscriptionState, SubscriptionState::parse)
    }

    /// Content-Type, if there.
    ///
    /// # Errors
    /// Repeated or malformed.
    pub fn content_type(&self) -> Result<Option<MediaType<'_>>, HeaderFault> {
        self.parse_optional(HeaderId::ContentType, MediaType::parse)
    }

    /// The ranges of Accept.
    pub fn accept(&self) -> impl Iterator<Item = Result<MediaType<'_>, HeaderFault>> {
        self.values(HeaderId::Accept)
            .map(|value| MediaType::parse(value).map_err(|kind| kind.at(HeaderId::Accept)))
    }

    /// SIP-ETag, if there (RFC 3903 11.3.1).
    ///
    /// # Errors
    /// Repeated or no token.
    pub fn etag(&self) -> Result<Option<&str>, HeaderFault> {
        self.parse_optional(HeaderId::SipEtag, opaque)
    }

    /// SIP-If-Match, if there (RFC 3903 11.3.2).
    ///
    /// # Errors
    /// Repeated or no token.
    pub fn if_match(&self) -> Result<Option<&str>, HeaderFault> {
        self.parse_optional(HeaderId::SipIfMatch, opaque)
    }

    /// Date, if there.
    ///
    /// # Errors
    /// Repeated or malformed.
    pub fn date(&self) -> Result<Option<Date>, HeaderFault> {
        self.parse_optional(HeaderId::Date, Date::parse)
    }

    fn parse_single<'a, T>(
        &'a self,
        id: HeaderId,
        parse: impl FnOnce(&'a [u8]) -> Result<T, FaultKind>,
    ) -> Result<T, HeaderFault> {
        parse(self.single(id)?).map_err(|kind| kind.at(id))
    }

    fn parse_optional<'a, T>(
        &'a self,
        id: HeaderId,
        parse: impl FnOnce(&'a [u8]) -> Result<T, FaultKind>,
    ) -> Result<Option<T>, HeaderFault> {
        self.optional(id)?
            .map(parse)
            .transpose()
            .map_err(|kind| kind.at(id))
    }
}

/// A word without white space or control octets.
fn opaque(value: &[u8]) -> Result<&str, FaultKind> {
    if value.is_empty()
        || value
            .iter()
            .any(|octet| is_space(*octet) || octet.is_ascii_control())
    {
        return Err(FaultKind::Syntax);
    }
    std::str::from_utf8(value).map_err(|_| FaultKind::Syntax)
}
