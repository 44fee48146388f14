//! Contact (RFC 3261 20.10, RFC 5626).

use super::{FaultKind, NameAddr, Params, Uri};
use crate::raw::parse::number;
use std::borrow::Cow;

/// All Contact values of a message.
#[derive(Clone, Debug)]
pub enum Contacts<'a> {
    /// `*`: every binding (with Expires 0 only).
    Star,
    /// A list, maybe empty.
    List(Vec<Contact<'a>>),
}

/// One Contact.
#[derive(Clone, Copy, Debug)]
pub struct Contact<'a> {
    /// The address.
    pub address: NameAddr<'a>,
    /// The value as written.
    pub text: &'a [u8],
}

/// RFC 3261 20.10: a malformed `expires` counts as one hour.
const MALFORMED_EXPIRES: u32 = 3600;

impl<'a> Contact<'a> {
    /// Reads one value (not `*`, not a list).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &'a [u8]) -> Result<Self, FaultKind> {
        Ok(Self {
            address: NameAddr::parse(value)?,
            text: value,
        })
    }

    /// The URI.
    #[must_use]
    pub fn uri(&self) -> Uri<'a> {
        self.address.uri
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        self.address.params
    }

    /// Seconds asked for this binding. A malformed value is one hour; one over 2^32-1 is 2^32-1.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        let text = self.params().value("expires")?;
        Some(
            number(text.as_bytes()).map_or(MALFORMED_EXPIRES, |seconds| {
                u32::try_from(seconds).unwrap_or(u32::MAX)
            }),
        )
    }

    /// Preference in thousandths, 1000 when absent or malformed.
    #[must_use]
    pub fn q(&self) -> u16 {
        self.params().value("q").and_then(qvalue).unwrap_or(1000)
    }

    /// `+sip.instance` without quotes, angle brackets kept (RFC 5626 4.1).
    #[must_use]
    pub fn instance(&self) -> Option<Cow<'a, str>> {
        self.params()
            .get("+sip.instance")
            .and_then(|param| param.unquoted())
    }

    /// `reg-id` (RFC 5626 4.2).
    #[must_use]
    pub fn reg_id(&self) -> Option<u32> {
        self.params()
            .value("reg-id")
            .and_then(|text| text.parse().ok())
    }
}

/// `0`, `0.333`, `1`, `1.000` in thousandths.
pub(crate) fn qvalue(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let thousandths = fraction
        .bytes()
        .chain([b'0'; 3])
        .take(3)
        .fold(0, |sum, octet| sum * 10 + u16::from(octet - b'0'));
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}
