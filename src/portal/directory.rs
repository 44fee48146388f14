//! Signing in by LDAP bind (RFC 4511, RFC 4513 5.1.3): look the person up, then bind as the entry
//! with what was typed.
//!
//! An empty password never leaves this server: as a bind it would succeed for anybody (RFC 4513
//! 5.1.2). Referrals are not followed: a password goes to the configured directory alone. Somebody
//! who is not there costs a bind as well, so that neither answers nor effort tell who is.

use crate::config::{Config, Ldap as Settings};
use crate::net::Authorities;
use ldap3::{DerefAliases, Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry};
use ldap3::{SearchOptions, ldap_escape};
use rustls::ClientConfig;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// RFC 4511 4.1.9: invalidCredentials.
const INVALID: u32 = 49;
/// RFC 4511 4.1.9: sizeLimitExceeded, more than one entry.
const SIZE_LIMIT: u32 = 4;
/// Longest name and longest password.
const LONGEST: usize = 256;

/// Why nobody was signed in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoBind {
    #[error("not in the directory")]
    Unknown,
    #[error("several entries have that name")]
    Ambiguous,
    #[error("wrong directory password")]
    Password,
    #[error("empty or oversized name or password")]
    Form,
    #[error("the directory refused: {0}")]
    Refused(String),
    #[error("the directory is not available: {0}")]
    Unavailable(String),
}

/// A person found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Values of the attribute with the account's address.
    pub(super) addresses: Vec<String>,
}

/// The directory. Opens nothing before it is asked.
pub(super) struct Directory {
    settings: Settings,
    tls: Arc<ClientConfig>,
    password: String,
    free: Semaphore,
}

/// A connection with which one person is looked up and proved.
pub(super) struct Session<'d> {
    directory: &'d Directory,
    ldap: Ldap,
    _place: SemaphorePermit<'d>,
}

impl Directory {
    /// With the trusted certificates and the password read.
    ///
    /// # Errors
    /// A file can't be read, or holds nothing of use.
    pub(super) fn of(settings: &Settings, config: &Config) -> Result<Self, String> {
        let password = match &settings.password_file {
            None => String::new(),
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|e| format!("[portal] ldap_password_file {}: {e}", file.display()))?;
                text.lines().next().unwrap_or_default().to_owned()
            }
        };
        if settings.bind_dn.is_some() && password.is_empty() {
            return Err("[portal] ldap_password_file: the first line is empty".into());
        }
        Ok(Self {
            tls: client(settings, config)?,
            password,
            free: Semaphore::new(settings.connections.max(1)),
            settings: settings.clone(),
        })
    }

    /// Connects and says who looks.
    pub(super) async fn open(&self) -> Result<Session<'_>, NoBind> {
        let within = self.settings.timeout;
        let busy = || NoBind::Unavailable("all connections are busy".into());
        let place = timeout(within, self.free.acquire()).await;
        let place = place.map_err(|_| busy())?.map_err(|_| busy())?;
        let settings = LdapConnSettings::new()
            .set_conn_timeout(within)
            .set_config(Arc::clone(&self.tls))
            .set_starttls(!self.settings.plain && !self.settings.url.starts_with("ldaps:"));
        let opened = LdapConnAsync::with_settings(settings, &self.settings.url);
        // The library's own limit covers the connect alone, not StartTLS and the handshake.
        let late = |_| NoBind::Unavailable("no answer in time".into());
        let (connection, ldap) = timeout(within, opened)
            .await
            .map_err(late)?
            .map_err(trouble)?;
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "LDAP connection");
            }
        });
        let mut session = Session {
            directory: self,
            ldap,
            _place: place,
        };
        if let Some(name) = &self.settings.bind_dn {
            match session.bind(name, &self.password).await {
                Ok(()) => {}
                Err(NoBind::Unavailable(why)) => return Err(NoBind::Unavailable(why)),
                Err(other) => {
                    return Err(NoBind::Unavailable(format!(
                        "[portal] ldap_bind_dn: {other}"
                    )));
                }
            }
        }
        Ok(session)
    }
}

impl Session<'_> {
    /// The entry of that name.
    pub(super) async fn find(&mut self, login: &str) -> Result<Entry, NoBind> {
        let settings = &self.directory.settings;
        let (filter, login) = (filter(settings, login)?, login.trim());
        let limits = SearchOptions::new()
            .deref(DerefAliases::Never)
            .timelimit(i32::try_from(settings.timeout.as_secs().max(1)).unwrap_or(i32::MAX))
            .sizelimit(2);
        let within = settings.timeout;
        let search = self
            .ldap
            .with_search_options(limits)
            .with_timeout(within)
            .search(
                &settings.base,
                Scope::Subtree,
                &filter,
                vec![settings.address.as_str()],
            );
        let found = search.await.map_err(trouble)?;
        let (rows, ended) = (found.0, found.1);
        if ended.rc == SIZE_LIMIT {
            return Err(NoBind::Ambiguous);
        }
        if ended.rc != 0 {
            let why = format!(
                "the search for {login:?} ended with {}",
                said(&ended.text, ended.rc)
            );
            return Err(NoBind::Unavailable(why));
        }
        // References to other directories are among the rows, too.
        let entries = rows
            .into_iter()
            .filter(|row| !row.is_ref() && !row.is_intermediate());
        let mut entries = entries.map(SearchEntry::construct);
        match (entries.next(), entries.next()) {
            (None, _) => Err(NoBind::Unknown),
            (Some(_), Some(_)) => Err(NoBind::Ambiguous),
            (Some(entry), None) => Ok(Entry {
                addresses: values(entry.attrs, &settings.address),
                name: entry.dn,
            }),
        }
    }

    /// Whether that is the password of that entry.
    pub(super) async fn bind(&mut self, name: &str, password: &str) -> Result<(), NoBind> {
        if name.is_empty() || password.is_empty() || password.len() > LONGEST {
            return Err(NoBind::Form);
        }
        let within = self.directory.settings.timeout;
        let bound = self.ldap.with_timeout(within).simple_bind(name, password);
        let bound = bound.await.map_err(trouble)?;
        match bound.rc {
            0 => Ok(()),
            INVALID => Err(NoBind::Password),
            // 10 is a referral: somebody else's answer is not asked for.
            rc => Err(NoBind::Refused(said(&bound.text, rc))),
        }
    }

    /// What a bind costs, for somebody who is not there.
    pub(super) async fn bind_nobody(&mut self, password: &str) {
        let nobody = format!("cn=tristack-nobody,{}", self.directory.settings.base);
        let _ = self.bind(&nobody, password).await;
    }

    /// Says good-bye.
    pub(super) async fn close(mut self) {
        let _ = timeout(self.directory.settings.timeout, self.ldap.unbind()).await;
    }
}

fn filter(settings: &Settings, login: &str) -> Result<String, NoBind> {
    let login = login.trim();
    let strange = login.is_empty() || login.len() > LONGEST || login.chars().any(char::is_control);
    if strange {
        return Err(NoBind::Form);
    }
    let escaped = ldap_escape(login);
    Ok(format!(
        "(&{}({}={escaped}))",
        settings.filter, settings.login
    ))
}

/// The values of an attribute, whatever case the directory writes it in.
fn values(attributes: std::collections::HashMap<String, Vec<String>>, wanted: &str) -> Vec<String> {
    let mut found = attributes
        .into_iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.next().map(|(_, values)| values).unwrap_or_default()
}

fn said(text: &str, rc: u32) -> String {
    let text: String = text.chars().take(200).collect();
    format!("{text} (result {rc})")
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn trouble(error: LdapError) -> NoBind {
    let text: String = error.to_string().chars().take(300).collect();
    NoBind::Unavailable(text)
}

/// TLS towards the directory: always verified.
fn client(settings: &Settings, config: &Config) -> Result<Arc<ClientConfig>, String> {
    let trusted = match &settings.ca {
        Some(file) => Authorities::load(std::slice::from_ref(file))
            .map_err(|error| format!("[portal] ldap_ca: {error}"))?,
        None => Authorities::of(config).map_err(|error| error.to_string())?,
    };
    if trusted.is_empty() && !settings.plain {
        return Err("[portal] ldap_ca: the system trusts no authorities; name a file".into());
    }
    trusted.client().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::time::Duration;

    fn settings() -> Settings {
        Settings {
            url: "ldap://127.0.0.1:1".into(),
            plain: true,
            ca: None,
            bind_dn: None,
            password_file: None,
            base: "dc=example".into(),
            filter: "(objectClass=person)".into(),
            login: "uid".into(),
            address: "mail".into(),
            timeout: Duration::from_secs(5),
            connections: 1,
        }
    }

    #[test]
    fn names_are_text_never_filters() {
        let written = |login: &str| filter(&settings(), login);
        assert_eq!(
            written(" alice ").as_deref(),
            Ok("(&(objectClass=person)(uid=alice))")
        );
        let evil = written("*)(uid=*").expect("a filter");
        assert_eq!(evil, "(&(objectClass=person)(uid=\\2a\\29\\28uid=\\2a))");
        for strange in ["", "  ", "a\0b", "a\nb", &"x".repeat(257)] {
            assert_eq!(written(strange), Err(NoBind::Form), "{strange:?}");
        }
    }

    #[test]
    fn attributes_have_no_case() {
        let found = HashMap::from([("Mail".to_owned(), vec!["a@b".to_owned()])]);
        assert_eq!(values(found, "mail"), ["a@b"]);
        assert!(values(HashMap::new(), "mail").is_empty());
    }

    fn directory(settings: &Settings) -> Result<Directory, String> {
        let config = Config::from_text("", None, std::collections::BTreeMap::new());
        Directory::of(settings, &config.expect("sound"))
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_said_to_be_so() {
        let directory = directory(&settings()).expect("nothing to read");
        let opened = directory.open().await;
        assert!(matches!(opened.err(), Some(NoBind::Unavailable(_))));
    }

    #[test]
    fn files_are_checked_at_the_start() {
        let nowhere = std::path::PathBuf::from("/nowhere/at/all");
        let mut wanted = settings();
        wanted.bind_dn = Some("cn=x".into());
        wanted.password_file = Some(nowhere.clone());
        let refused = directory(&wanted).err().expect("no such file");
        assert!(refused.contains("ldap_password_file"), "{refused}");
        let mut wanted = settings();
        wanted.ca = Some(nowhere);
        let refused = directory(&wanted).err().expect("no such file");
        assert!(refused.contains("ldap_ca"), "{refused}");
    }
}
