//! TLS with neighbours: who vouches for which of them (RFC 5922).

use crate::config::{Config, Neighbour};
use crate::front::sip::listen::Sockets;
use crate::net::{Authorities, AuthoritiesError, Certificates, OpenError, Verifier};
use sip::header::Uri;
use sip::locate::{Place, Target};

/// The authorities for everybody, and those that neighbours have for themselves.
pub(in super::super) fn authorities(config: &Config) -> Result<Authorities, AuthoritiesError> {
    let peers = config.sip.peers.known.iter();
    let own = peers.map(|peer| (&*peer.name, &*peer.authorities));
    Authorities::of(config)?.with_own(own)
}

/// Tells the sockets whom to believe when they call: by the names of neighbours that have
/// authorities of their own, and everybody else.
pub(in super::super) fn believe(
    config: &Config,
    sockets: &Sockets,
    own: Option<&Certificates>,
) -> Result<(), OpenError> {
    let authorities = authorities(config)?;
    sockets.trust(None, Verifier::new(&authorities, own.cloned())?);
    for peer in &config.sip.peers.known {
        let Some(name) = peer.own_authorities() else {
            continue;
        };
        let verifier = Verifier::of(&authorities, Some(name), own.cloned())?;
        for name in names(peer) {
            sockets.trust(Some(&name), verifier.clone());
        }
    }
    Ok(())
}

/// What it may be called when we connect to it: its domains, what its certificate says, and hosts
/// of static routes.
fn names(peer: &Neighbour) -> impl Iterator<Item = String> {
    let hosts = peer.route.iter().filter_map(|uri| {
        let target = Target::of(&Uri::parse(uri).ok()?)?;
        match target.place {
            Place::Name(name) => Some(name.to_string()),
            Place::Ip(_) => None,
        }
    });
    let named = peer.domains.iter().chain(&peer.tls_names).cloned();
    named.chain(hosts)
}
