//! `[portal]`

use super::reader::Reader;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `[portal]`: the self-service page for app passwords.
#[derive(Clone, Debug)]
pub struct Portal {
    /// Addresses to listen on; none = no portal.
    pub listen: Vec<SocketAddr>,
    /// Speak TLS, with the certificate of `[tls]`.
    pub tls: bool,
    /// How long a one-time code is valid.
    pub code_lifetime: Duration,
    /// The directory whose passwords count; `None` = one-time codes alone.
    pub ldap: Option<Ldap>,
}

/// `[portal] ldap_...`
#[derive(Clone, Debug)]
pub struct Ldap {
    /// `ldaps://HOST[:PORT]`, or `ldap://HOST[:PORT]` with StartTLS.
    pub url: String,
    /// Speak LDAP without TLS.
    pub plain: bool,
    /// Authorities that vouch for the directory, PEM; `None` = those of `[tls] authorities`, else
    /// the system's.
    pub ca: Option<PathBuf>,
    /// Who looks people up; `None` = anonymous.
    pub bind_dn: Option<String>,
    /// File whose first line is the password of `bind_dn`.
    pub password_file: Option<PathBuf>,
    /// Below what people are.
    pub base: String,
    /// What else must be true of an entry.
    pub filter: String,
    /// The attribute people give as their name.
    pub login: String,
    /// The attribute that holds the address of the account.
    pub address: String,
    /// Longest wait for all of it.
    pub timeout: Duration,
    /// Sign-ins at a time.
    pub connections: usize,
}

impl Portal {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        let portal = Self {
            listen: r.get("listen", Vec::new()),
            tls: r.get("tls", false),
            code_lifetime: r.get("code_lifetime", Duration::from_secs(24 * 3600)),
            ldap: Ldap::read(r),
        };
        if !portal.tls && portal.listen.iter().any(|at| !at.ip().is_loopback()) {
            r.refuse(
                "listen",
                "needs `tls = true`: passwords are shown on this page; without TLS only a loopback address (behind a proxy) is allowed",
            );
        }
        portal
    }
}

impl Ldap {
    fn read(r: &mut Reader<'_, '_>) -> Option<Self> {
        let url = r.option::<String>("ldap_url");
        let base = r.option::<String>("ldap_base");
        let read = Self {
            url: url.clone().unwrap_or_default(),
            plain: r.get("ldap_plain", false),
            ca: r.option_path("ldap_ca"),
            bind_dn: r.option("ldap_bind_dn"),
            password_file: r.option_path("ldap_password_file"),
            base: base.clone().unwrap_or_default(),
            filter: r.get("ldap_filter", "(objectClass=person)".to_owned()),
            login: r.get("ldap_login", "mail".to_owned()),
            address: r.get("ldap_address", "mail".to_owned()),
            timeout: r.get("ldap_timeout", Duration::from_secs(5)),
            connections: r.get("ldap_connections", 4),
        };
        url.as_ref()?;
        read.check(r);
        Some(read)
    }

    fn check(&self, r: &mut Reader<'_, '_>) {
        match self.url.split_once("://") {
            Some(("ldaps" | "ldap", host)) if is_host(host) => {}
            _ => r.refuse(
                "ldap_url",
                "write ldaps://HOST[:PORT] or ldap://HOST[:PORT]",
            ),
        }
        if self.plain && self.url.starts_with("ldaps:") {
            r.refuse("ldap_plain", "contradicts an ldaps:// URL");
        }
        if self.base.is_empty() {
            r.refuse(
                "ldap_base",
                "needed with `ldap_url`: below what are people?",
            );
        }
        let balanced = self.filter.starts_with('(') && self.filter.ends_with(')');
        if !balanced {
            r.refuse("ldap_filter", "write a filter in parentheses");
        }
        for (key, name) in [("ldap_login", &self.login), ("ldap_address", &self.address)] {
            let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';');
            if name.is_empty() || !name.chars().all(letter) {
                r.refuse(key, format!("{name:?} is no name of an attribute"));
            }
        }
        match (&self.bind_dn, &self.password_file) {
            (Some(_), None) => r.refuse("ldap_bind_dn", "needs `ldap_password_file` as well"),
            (None, Some(_)) => r.refuse("ldap_password_file", "needs `ldap_bind_dn` as well"),
            _ => {}
        }
    }
}

/// HOST or HOST:PORT.
fn is_host(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '[' | ']');
    let text = text.strip_suffix('/').unwrap_or(text);
    !text.is_empty() && !text.starts_with(':') && text.chars().all(letter)
}
