//! `[sip]`

use super::reader::Reader;
use super::value::Octets;
use std::net::SocketAddr;

/// `[sip]`
#[derive(Clone, Debug)]
pub struct Sip {
    /// UDP addresses to listen on; none = no SIP over UDP.
    pub udp: Vec<SocketAddr>,
    /// TCP addresses to listen on; none = no SIP over TCP.
    pub tcp: Vec<SocketAddr>,
    /// Largest message ever sent over UDP (`decisions.md` 24).
    pub udp_max: usize,
}

impl Sip {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        let default = SocketAddr::from(([127, 0, 0, 1], 5060));
        let sip = Self {
            udp: r.get("udp", vec![default]),
            tcp: r.get("tcp", vec![default]),
            udp_max: r.get("udp_max", Octets(16 * 1024)).0,
        };
        if !(1300..=65_000).contains(&sip.udp_max) {
            r.refuse("udp_max", "must be between 1300 and 65000 octets");
        }
        sip
    }
}
