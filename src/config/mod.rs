//! The configuration: one file per section with its type, defaults and checks.
//!
//! A value comes from the environment (`TRISTACK_SECTION_KEY`), else the file, else the default,
//! and remembers which ([`Config::settings`]). All faults are reported at once, with places.

mod admin;
mod archive;
mod auth;
mod delivery;
mod domain;
mod limits;
mod log;
mod messages;
mod neighbours;
mod peers;
mod portal;
mod reader;
mod rvp;
mod server;
mod sip;
mod storage;
#[cfg(test)]
mod tests;
mod tls;
mod value;

pub use admin::Admin;
pub use archive::{Archive, ArchivePolicy};
pub use auth::{Auth, Keep, Kerberos, Ntlm};
pub use delivery::{Delivery, Policy, Preferred};
pub use domain::{Consent, Domain};
pub use limits::Limits;
pub use log::{Format, Log};
pub use messages::{Messages, Offline};
pub use neighbours::{Neighbour, Neighbours, Trust};
pub use peers::{Homed, Peer, Peers, Role};
pub use portal::{Ldap, Portal};
pub use reader::{Fault, Origin, Setting};
pub use rvp::{Mismatch, Rvp, Scheme, TextEncoding};
pub use server::Server;
pub use sip::{Advertise, Algorithm, ClientCertificate, Place, Sip};
pub use storage::Storage;
pub use tls::Tls;
pub use value::{Names, Network, Octets, Value};

use crate::core::address::normal_domain;
use reader::{Reader, Source, nearest};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// File that is read when `--config` does not name one and it is there.
pub const DEFAULT_FILE: &str = "tristack.toml";
/// Prefix of all environment variables.
const PREFIX: &str = "TRISTACK";
/// Variables of the test suite, not settings.
const TEST_PREFIX: &str = "TRISTACK_TEST_";
const SECTIONS: [&str; 14] = [
    "server", "rvp", "sip", "tls", "admin", "portal", "storage", "auth", "delivery", "messages",
    "log", "limits", "archive", "domain",
];

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[rvp]`
    pub rvp: Rvp,
    /// `[sip]`
    pub sip: Sip,
    /// `[tls]`
    pub tls: Tls,
    /// `[admin]`
    pub admin: Admin,
    /// `[portal]`
    pub portal: Portal,
    /// `[storage]`
    pub storage: Storage,
    /// `[auth]`
    pub auth: Auth,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[messages]`
    pub messages: Messages,
    /// `[log]`
    pub log: Log,
    /// `[limits]`
    pub limits: Limits,
    /// `[archive]`
    pub archive: Archive,
    /// `[domain."..."]`, by normalised name: what differs there from the global settings.
    pub domains: BTreeMap<String, Domain>,
    /// Every effective setting with its origin, in order of sections.
    pub settings: Vec<Setting>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

/// The configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration {}: {cause}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Something in it is wrong; all of it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
}

impl Config {
    /// Reads `file`, or [`DEFAULT_FILE`] if it is there, or nothing; and the environment.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault and its place.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let environment = std::env::vars().collect();
        let chosen = match file {
            Some(file) => Some(file.to_owned()),
            None => Some(PathBuf::from(DEFAULT_FILE)).filter(|default| default.exists()),
        };
        let Some(file) = chosen else {
            return Self::from_text("", None, environment);
        };
        match std::fs::read_to_string(&file) {
            Ok(text) => Self::from_text(&text, Some(&file), environment),
            Err(cause) => Err(ConfigError::Unreadable { file, cause }),
        }
    }

    /// From the text of a file, its name (for places and relative paths) and the environment.
    ///
    /// # Errors
    /// [`ConfigError::Faults`].
    pub fn from_text(
        text: &str,
        file: Option<&Path>,
        environment: BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let name = file.map_or_else(|| DEFAULT_FILE.to_owned(), |f| f.display().to_string());
        let mut source = Source {
            file: &name,
            text,
            environment: ours(environment),
            base: file
                .and_then(Path::parent)
                .map(PathBuf::from)
                .unwrap_or_default(),
            settings: Vec::new(),
            faults: Vec::new(),
            asked: Vec::new(),
        };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let place = source.place(at);
            source.fault(place, error.message().to_owned());
        }
        if !source.faults.is_empty() {
            return Err(ConfigError::Faults(source.faults));
        }
        let mut config = read(&mut source, root.get_ref());
        config.file = file.map(PathBuf::from);
        unknown_sections(&mut source, root.get_ref());
        unknown_variables(&mut source);
        if source.faults.is_empty() {
            config.settings = source.settings;
            Ok(config)
        } else {
            Err(ConfigError::Faults(source.faults))
        }
    }

    /// The realm of a domain: the domain itself unless overridden (`decisions.md` 4).
    pub fn realm<'c>(&'c self, domain: &'c str) -> &'c str {
        let own = self.domains.get(domain).and_then(|d| d.realm.as_deref());
        own.unwrap_or(domain)
    }

    /// Whether a blocked sender of that domain's users is told so (`decisions.md` 16).
    pub fn visible_block(&self, domain: &str) -> bool {
        let own = self.domains.get(domain).and_then(|d| d.visible_block);
        own.unwrap_or(false)
    }

    /// What this server is to a domain on RVP.
    pub fn role(&self, domain: &str) -> Role {
        let own = self.domains.get(domain).and_then(|d| d.role);
        own.unwrap_or(self.rvp.peers.role)
    }

    /// Where a running server listens for the CLI (`decisions.md` 9).
    pub fn control_socket(&self) -> PathBuf {
        self.server.data_dir.join("control.sock")
    }

    /// The file that tells up from down.
    pub fn lock_file(&self) -> PathBuf {
        self.server.data_dir.join("tristack.lock")
    }

    /// The key that signs the archive's seals and exports.
    pub fn archive_key(&self) -> PathBuf {
        self.server.data_dir.join("archive.key")
    }

    /// The key that seals credentials.
    pub fn key_file(&self) -> PathBuf {
        match &self.auth.key_file {
            Some(file) => file.clone(),
            None => self.server.data_dir.join("secret.key"),
        }
    }
}

fn read<'a>(source: &mut Source<'a>, root: &DeTable<'a>) -> Config {
    let server = section(source, root, "server", Server::read);
    let first = server.domains.first().cloned().unwrap_or_default();
    let domains = read_domains(source, root, &server);
    let mut rvp = section(source, root, "rvp", |r| {
        Rvp::read(r, &first, &server.domains)
    });
    rvp.peers.known = read_peers(source, root, "rvp", Peer::read);
    let mut sip = section(source, root, "sip", Sip::read);
    sip.peers.known = read_peers(source, root, "sip", Neighbour::read);
    one_way_each(source, &rvp.peers, &sip.peers, &server.domains);
    Config {
        rvp,
        sip,
        tls: section(source, root, "tls", Tls::read),
        admin: section(source, root, "admin", Admin::read),
        portal: section(source, root, "portal", Portal::read),
        storage: section(source, root, "storage", |r| {
            Storage::read(r, &server.data_dir)
        }),
        auth: section(source, root, "auth", |r| Auth::read(r, &server.domains)),
        delivery: section(source, root, "delivery", Delivery::read),
        messages: section(source, root, "messages", Messages::read),
        log: section(source, root, "log", Log::read),
        limits: section(source, root, "limits", Limits::read),
        archive: section(source, root, "archive", |r| Archive::read(r, &first)),
        server,
        domains,
        settings: Vec::new(),
        file: None,
    }
}

fn section<'a, T>(
    source: &mut Source<'a>,
    root: &DeTable<'a>,
    name: &'static str,
    read: impl FnOnce(&mut Reader<'_, '_>) -> T,
) -> T {
    let found = root.get(name);
    let table = found.and_then(|value| value.get_ref().as_table());
    if let (Some(value), None) = (found, table) {
        let place = source.place(value.span().start);
        let what = format!("`{name}` is a section: write [{name}] on a line of its own");
        source.fault(place, what);
    }
    let prefix = format!("{PREFIX}_{}", name.to_ascii_uppercase());
    with_reader(source, name.to_owned(), prefix, table, read)
}

fn with_reader<'a, T>(
    source: &mut Source<'a>,
    section: String,
    prefix: String,
    table: Option<&DeTable<'a>>,
    read: impl FnOnce(&mut Reader<'_, '_>) -> T,
) -> T {
    let mut reader = Reader::new(source, section, prefix, table);
    let value = read(&mut reader);
    reader.end();
    value
}

fn read_domains<'a>(
    source: &mut Source<'a>,
    root: &DeTable<'a>,
    server: &Server,
) -> BTreeMap<String, Domain> {
    let tables = root.get("domain").and_then(|v| v.get_ref().as_table());
    let mut found = BTreeMap::new();
    for (key, value) in tables.into_iter().flatten() {
        let place = source.place(key.span().start);
        let name: &str = key.get_ref();
        let served = normal_domain(name)
            .ok()
            .filter(|normal| server.domains.contains(normal));
        let (Some(normal), DeValue::Table(table)) = (served, value.get_ref()) else {
            let what = format!(
                "[domain.{}] must be a section for one of [server] domains",
                value::quoted(name)
            );
            source.fault(place, what);
            continue;
        };
        let domain = read_domain(source, &normal, Some(table));
        found.insert(normal, domain);
    }
    for name in &server.domains {
        if !found.contains_key(name) {
            found.insert(name.clone(), read_domain(source, name, None));
        }
    }
    found
}

/// `[rvp.peers."NAME"]`, `[sip.peers."NAME"]`.
fn read_peers<'a, T>(
    source: &mut Source<'a>,
    root: &DeTable<'a>,
    stack: &str,
    read: impl Fn(&mut Reader<'_, '_>, &str) -> T,
) -> Vec<T> {
    let tables = root.get(stack).and_then(|v| v.get_ref().as_table());
    let tables = tables.and_then(|table| table.get("peers"));
    let tables = tables.and_then(|v| v.get_ref().as_table());
    let mut found = Vec::new();
    for (key, value) in tables.into_iter().flatten() {
        let name: &str = key.get_ref();
        let section = format!("{stack}.peers.{}", value::quoted(name));
        let DeValue::Table(table) = value.get_ref() else {
            let place = source.place(key.span().start);
            source.fault(place, format!("[{section}] must be a section"));
            continue;
        };
        let prefix = named_prefix(&format!("{}_PEERS", stack.to_ascii_uppercase()), name);
        let read = |r: &mut Reader<'_, '_>| read(r, name);
        found.push(with_reader(source, section, prefix, Some(table), read));
    }
    found
}

/// One way leads to a foreign domain, and a neighbour does not speak for ours.
fn one_way_each(source: &mut Source<'_>, rvp: &Peers, sip: &Neighbours, ours: &[String]) {
    for peer in &sip.known {
        for domain in &peer.domains {
            let place = || format!("[sip.peers.{}] domains", value::quoted(&peer.name));
            if ours.contains(domain) {
                let what = format!("{domain} is ours: a neighbour speaks for its own people");
                source.fault(place(), what);
            }
            let count = |peer: &&Neighbour| peer.domains.contains(domain);
            if sip.known.iter().filter(count).count() > 1 {
                source.fault(place(), format!("{domain} is a domain of two [sip.peers]"));
            }
            if rvp.known.iter().any(|other| other.domains.contains(domain)) {
                let what = format!("{domain} is reached by [rvp.peers]: one way must be chosen");
                source.fault(place(), what);
            }
        }
    }
}

fn read_domain<'a>(source: &mut Source<'a>, name: &str, table: Option<&DeTable<'a>>) -> Domain {
    let section = format!("domain.{}", value::quoted(name));
    with_reader(source, section, domain_prefix(name), table, Domain::read)
}

/// `TRISTACK_DOMAIN_EXAMPLE_COM`.
fn domain_prefix(domain: &str) -> String {
    named_prefix("DOMAIN", domain)
}

fn named_prefix(section: &str, name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    format!("{PREFIX}_{section}_{name}")
}

fn ours(environment: BTreeMap<String, String>) -> BTreeMap<String, String> {
    environment
        .into_iter()
        .filter(|(name, _)| {
            name.starts_with(&format!("{PREFIX}_")) && !name.starts_with(TEST_PREFIX)
        })
        .collect()
}

fn unknown_sections<'a>(source: &mut Source<'a>, root: &DeTable<'a>) {
    for (key, _) in root {
        let name: &str = key.get_ref();
        if SECTIONS.contains(&name) {
            continue;
        }
        let hint = nearest(name, SECTIONS)
            .map_or_else(String::new, |near| format!("; did you mean [{near}]?"));
        let place = source.place(key.span().start);
        source.fault(place, format!("unknown section or key `{name}`{hint}"));
    }
}

fn unknown_variables(source: &mut Source<'_>) {
    let unknown: Vec<_> = source
        .environment
        .keys()
        .filter(|name| !source.asked.contains(name))
        .cloned()
        .collect();
    for name in unknown {
        let hint = nearest(&name, source.asked.iter().map(String::as_str))
            .map_or_else(String::new, |near| format!("; did you mean {near}?"));
        source.fault(
            name,
            format!("this environment variable names no setting{hint}"),
        );
    }
}
