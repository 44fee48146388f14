//! `[archive]`: who is archived, for how long, where seals go.

use super::reader::Reader;
use super::value::{Names, Value, words};
use crate::core::address::Address;
use std::collections::BTreeMap;
use std::path::PathBuf;

words! {
    /// Whether messages are archived.
    ArchivePolicy {
        /// No.
        Off = "off",
        /// Yes; a failing archive does not stop delivery.
        On = "on",
        /// Yes; what is not stored is not delivered.
        Required = "required",
    }
}

/// Longest retention, in days: a century.
const DAYS: usize = 36_525;

/// `[archive]`
#[derive(Clone, Debug)]
pub struct Archive {
    /// For all domains that do not say otherwise.
    pub policy: ArchivePolicy,
    /// `[archive.people]`: what holds for one person, whatever else is said.
    pub people: BTreeMap<Address, ArchivePolicy>,
    /// `[archive.groups]`: what holds for the members of a node, more than for their domain.
    pub groups: BTreeMap<Address, ArchivePolicy>,
    /// Bodies are erased after so many days; 0 = never.
    pub retention_days: u32,
    /// Where daily seals go; none = no seals.
    pub seal_dir: Option<PathBuf>,
    /// Said to both sides at the start of a conversation that is archived; empty = nothing.
    pub disclaimer: String,
    /// The same to people on RVP, where it differs.
    pub disclaimer_rvp: Option<String>,
    /// The same to people on SIP, where it differs.
    pub disclaimer_sip: Option<String>,
}

impl Archive {
    pub(super) fn read(r: &mut Reader<'_, '_>, first: &str) -> Self {
        Self {
            policy: r.get("policy", ArchivePolicy::Off),
            people: policies(r, "people", |name| {
                Address::parse(name).map_err(|e| e.to_string())
            }),
            groups: policies(r, "groups", |name| node(name, first)),
            retention_days: days(r).unwrap_or(0),
            seal_dir: r.option_path("seal_dir"),
            disclaimer: r.get("disclaimer", String::new()),
            disclaimer_rvp: r.option("disclaimer_rvp"),
            disclaimer_sip: r.option("disclaimer_sip"),
        }
    }
}

/// `retention_days`, here or of a domain.
pub(super) fn days(r: &mut Reader<'_, '_>) -> Option<u32> {
    let days: usize = r.option("retention_days")?;
    if days > DAYS {
        r.refuse(
            "retention_days",
            format!("at most {DAYS}; 0 keeps everything for ever"),
        );
    }
    u32::try_from(days).ok()
}

fn policies(
    r: &mut Reader<'_, '_>,
    key: &'static str,
    address: impl Fn(&str) -> Result<Address, String>,
) -> BTreeMap<Address, ArchivePolicy> {
    let mut found = BTreeMap::new();
    for (name, word) in r.get(key, Names::default()).0 {
        match (address(&name), ArchivePolicy::from_text(&word)) {
            (Ok(address), Ok(policy)) => {
                found.insert(address, policy);
            }
            (Err(why), _) | (_, Err(why)) => r.refuse(key, format!("{name:?} = {word:?}: {why}")),
        }
    }
    found
}

/// `/path`, of the first domain, or `/path@domain`.
fn node(name: &str, first: &str) -> Result<Address, String> {
    let (path, domain) = name.rsplit_once('@').unwrap_or((name, first));
    if !path.starts_with('/') {
        return Err("a group is a node: write its path, like /groups/traders".to_owned());
    }
    Address::of_path(path, domain).map_err(|e| e.to_string())
}
