//! `[domain."example.com"]`: what differs there from the global settings (`decisions.md` 3).

use super::archive::ArchivePolicy;
use super::delivery::{Policy, Preferred};
use super::messages::Offline;
use super::peers::Role;
use super::reader::Reader;
use super::value::words;
use crate::core::address::normal_domain;

words! {
    /// Whether people are asked before somebody may watch them.
    Consent {
        /// No: whoever may by the defaults does.
        Allow = "allow",
        /// Yes, once per watcher; until then he waits.
        Confirm = "confirm",
    }
}

/// `[domain."..."]`; `None` = the global setting or default.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    /// Which devices get a message.
    pub delivery: Option<Policy>,
    /// Which stack of a device.
    pub prefer: Option<Preferred>,
    /// Texts to somebody who is not signed in.
    pub offline: Option<Offline>,
    /// Archive of conversations.
    pub archive: Option<ArchivePolicy>,
    /// Bodies of the archive are erased after so many days; 0 = never.
    pub retention_days: Option<u32>,
    /// Consent before watching.
    pub consent: Option<Consent>,
    /// With `consent = "confirm"`: watching somebody is consent to being watched by him.
    pub consent_mutual: Option<bool>,
    /// Digest realm instead of the domain name.
    pub realm: Option<String>,
    /// Tell a blocked sender that it is blocked.
    pub visible_block: Option<bool>,
    /// Foreign domains whose people may see presence and send, unless an access list says
    /// otherwise (`decisions.md` 15); `*` = all.
    pub foreign: Vec<String>,
    /// What this server is to the domain on RVP.
    pub role: Option<Role>,
}

impl Domain {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        let realm = r.option::<String>("realm");
        if let Some(text) = &realm
            && (text.is_empty()
                || text
                    .chars()
                    .any(|c| c.is_control() || c == '"' || c == '\\'))
        {
            r.refuse(
                "realm",
                "must be a text without quotes, backslashes and control characters",
            );
        }
        Self {
            delivery: r.option("delivery"),
            prefer: r.option("prefer"),
            offline: r.option("offline"),
            archive: r.option("archive"),
            retention_days: super::archive::days(r),
            consent: r.option("consent"),
            consent_mutual: r.option("consent_mutual"),
            realm,
            visible_block: r.option("visible_block"),
            foreign: foreign(r),
            role: r.option("role"),
        }
    }
}

fn foreign(r: &mut Reader<'_, '_>) -> Vec<String> {
    let names: Vec<String> = r.option("foreign").unwrap_or_default();
    let mut domains = Vec::new();
    for name in names {
        match normal_domain(&name) {
            Ok(domain) => domains.push(domain),
            Err(_) if name == "*" => domains.push(name),
            Err(error) => r.refuse("foreign", format!("{name:?}: {error}")),
        }
    }
    domains
}
