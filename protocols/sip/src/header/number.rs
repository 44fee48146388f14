//! CSeq and the plain numbers.

use super::FaultKind;
use super::scan::Scan;
use crate::raw::Method;
use crate::raw::parse::{is_space, number};

/// CSeq (RFC 3261 20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31 (RFC 3261 8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads a value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &[u8]) -> Result<Self, FaultKind> {
        let mut scan = Scan::new(value);
        let number = scan.number()?;
        if number > i32::MAX.unsigned_abs() {
            return Err(FaultKind::Range);
        }
        if !scan.space() {
            return Err(FaultKind::Syntax);
        }
        let method = scan.take_while(|octet| !is_space(octet));
        scan.end()?;
        Ok(Self {
            number,
            method: Method::parse(method).ok_or(FaultKind::Syntax)?,
        })
    }
}

/// A number of seconds; over 2^32-1 counts as 2^32-1 (RFC 3261 20.19 and 25.1 delta-seconds).
pub(crate) fn seconds(value: &[u8]) -> Result<u32, FaultKind> {
    number(value)
        .map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
        .ok_or(FaultKind::Syntax)
}

/// Max-Forwards: 0 to 255 (RFC 3261 20.22).
pub(crate) fn hops(value: &[u8]) -> Result<u8, FaultKind> {
    u8::try_from(number(value).ok_or(FaultKind::Syntax)?).map_err(|_| FaultKind::Range)
}
