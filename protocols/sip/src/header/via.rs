//! Via (RFC 3261 20.42, RFC 3581).

use super::host::{HostPort, Space, address};
use super::scan::Scan;
use super::{FaultKind, Params};
use std::net::IpAddr;

/// One Via value.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// Protocol version, `2.0` in all we speak.
    pub version: &'a str,
    /// Transport as written; unknown ones are legal below the top (RFC 4475 3.1.1.10).
    pub transport: &'a str,
    /// Where the sender wants responses.
    pub sent_by: HostPort<'a>,
    /// All parameters.
    pub params: Params<'a>,
}

/// RFC 3261 8.1.1.7: a branch that starts so, and goes on, is unique to its transaction.
const MAGIC_COOKIE: &str = "z9hG4bK";

impl<'a> Via<'a> {
    /// Reads one value (not a list).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &'a [u8]) -> Result<Self, FaultKind> {
        let mut scan = Scan::new(value);
        scan.space();
        scan.token()?;
        let version = scan
            .separator(b'/')
            .then(|| scan.token())
            .ok_or(FaultKind::Syntax)??;
        let transport = scan
            .separator(b'/')
            .then(|| scan.token())
            .ok_or(FaultKind::Syntax)??;
        if !scan.space() {
            return Err(FaultKind::Syntax);
        }
        let sent_by = HostPort::read(&mut scan, Space::Allowed)?;
        Ok(Self {
            version,
            transport,
            sent_by,
            params: Params::read(scan)?,
        })
    }

    /// The branch parameter.
    #[must_use]
    pub fn branch(&self) -> Option<&'a str> {
        self.params.value("branch")
    }

    /// The branch when it identifies a transaction; `None` for an RFC 2543 peer and for the bare
    /// cookie (RFC 4475 3.3.8), which must be matched by the rules of RFC 2543.
    #[must_use]
    pub fn transaction_branch(&self) -> Option<&'a str> {
        let branch = self.branch()?;
        let cookie = branch.get(..MAGIC_COOKIE.len())?;
        (cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && branch.len() > MAGIC_COOKIE.len())
            .then_some(branch)
    }

    /// The received parameter.
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        self.params.value("received").and_then(address)
    }

    /// Whether the sender asked for RFC 3581 (the parameter is there), and the port in it.
    #[must_use]
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params
            .get("rport")
            .map(|param| param.value.and_then(|port| port.parse().ok()))
    }

    /// The maddr parameter.
    #[must_use]
    pub fn maddr(&self) -> Option<&'a str> {
        self.params.value("maddr")
    }
}
