//! Telephone lines: whose they are, and who may say what they do (`[sip.lines]`).

use crate::config::{Network, Sip};
use crate::core::address::Address;
use std::collections::HashMap;
use std::net::IpAddr;

/// The lines of a telephone system.
#[derive(Clone, Debug, Default)]
pub(in crate::front::sip) struct Lines {
    owners: HashMap<String, Address>,
    networks: Vec<Network>,
    users: Vec<Address>,
}

impl Lines {
    pub(in crate::front::sip) fn new(config: &Sip) -> Self {
        Self {
            owners: config.lines.clone().into_iter().collect(),
            networks: config.line_networks.clone(),
            users: config.line_users.clone(),
        }
    }

    /// Whose line that is, by its name in the user part of a URI.
    pub(in crate::front::sip) fn owner(&self, line: &str) -> Option<&Address> {
        self.owners.get(line)
    }

    /// Whether requests from there are a telephone system's, without credentials.
    pub(in crate::front::sip) fn trusts(&self, peer: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(peer))
    }

    /// Whether this account is a telephone system's.
    pub(in crate::front::sip) fn is_system(&self, address: &Address) -> bool {
        self.users.contains(address)
    }
}
