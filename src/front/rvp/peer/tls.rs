//! TLS with other servers: who vouches for which of them.

use crate::config::Config;
use crate::net::{Authorities, AuthoritiesError, Certificates, OpenError, Verifier};
use std::collections::HashMap;

/// The authorities for everybody, and those that peers have for themselves.
pub(in super::super) fn authorities(config: &Config) -> Result<Authorities, AuthoritiesError> {
    let peers = config.rvp.peers.known.iter();
    let own = peers.map(|peer| (&*peer.name, &*peer.authorities));
    Authorities::of(config)?.with_own(own)
}

/// What checks the certificates of peers that we speak TLS to.
#[derive(Debug)]
pub(super) struct Verifiers {
    common: Verifier,
    /// By the number of the peer's section.
    own: HashMap<usize, Verifier>,
}

impl Verifiers {
    /// `None` where we speak TLS to nobody.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, OpenError> {
        let peers = &config.rvp.peers.known;
        if peers.iter().all(|peer| !peer.tls) {
            return Ok(None);
        }
        let own = Certificates::of(config)?;
        let authorities = authorities(config)?;
        let verifier = |peer: Option<&str>| Verifier::of(&authorities, peer, Some(own.clone()));
        let apart = peers.iter().enumerate().filter_map(|(at, peer)| {
            let name = peer.own_authorities()?;
            Some(verifier(Some(name)).map(|verifier| (at, verifier)))
        });
        Ok(Some(Self {
            own: apart.collect::<Result<_, _>>()?,
            common: verifier(None)?,
        }))
    }

    pub(super) fn of(&self, peer: Option<usize>) -> &Verifier {
        let own = peer.and_then(|at| self.own.get(&at));
        own.unwrap_or(&self.common)
    }
}
