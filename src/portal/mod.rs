//! `[portal]`: people of sites without local passwords get an app password for Digest and SIP.
//!
//! A one-time code (`tristack portal code ADDRESS`) or a sign-in with the directory's password
//! shows a fresh password once; it takes effect at once. Every refusal is one log line with its
//! cause; the page tells the same text for all, after the same time.

mod code;
mod directory;
mod page;
mod serve;
#[cfg(test)]
mod tests;
mod throttle;

pub use serve::serve;

use crate::config::Config;
use crate::core::address::Address;
use crate::core::port::{Account, Secret};
use crate::hub::{Hub, Resolution};
use code::Codes;
use directory::{Directory, NoBind};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use throttle::{Throttle, source};

/// Seals a password for an account.
pub type Seal = Arc<dyn Fn(&Account, &str) -> Result<Secret, String> + Send + Sync>;

/// Groups of five characters in a password: 4 x 25 bits.
const PASSWORD_GROUPS: usize = 4;
/// A sign-in by the directory that fails takes at least this long, whatever the cause: longer than
/// a directory needs for a person's password than for nobody's.
const FAILS_AFTER: Duration = Duration::from_millis(500);

/// Why the portal can't do something.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// The system gives no randomness.
    #[error("no randomness from the system")]
    Randomness,
    /// The list of codes can't be read or written.
    #[error("the list of one-time codes: {0}")]
    Codes(std::io::Error),
    /// Ten thousand are open.
    #[error("too many one-time codes are open")]
    TooManyCodes,
    /// No account has that address.
    #[error("no such user; `tristack user list` shows who there is")]
    UnknownUser,
    /// What the sign-in by directory needs can't be read.
    #[error("{0}")]
    Directory(String),
}

/// Why somebody got no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("too many failures of this source")]
    Source,
    #[error("too many failures for this address")]
    Address,
    #[error("not an address: {0}")]
    BadAddress(String),
    #[error("unknown user")]
    UnknownUser,
    #[error("wrong, used or expired code")]
    Code,
    #[error("suspended")]
    Suspended,
    #[error(transparent)]
    Directory(#[from] NoBind),
    #[error("directory entry {0}: none of its addresses is an account here")]
    NoAccount(String),
    #[error("signing in by directory is not configured ([portal] ldap_url)")]
    NoDirectory,
    #[error("server: {0}")]
    Server(String),
}

/// The portal's state, shared by its connections and the control socket.
pub struct Portal {
    hub: Hub,
    seal: Seal,
    places: page::Places,
    lifetime: Duration,
    tls: bool,
    /// Binds a form to the cookie it was shown with; made anew at each start.
    form_key: [u8; 32],
    codes: Mutex<Codes>,
    directory: Option<Directory>,
    throttle: Mutex<Throttle>,
}

impl std::fmt::Debug for Portal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Portal")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl Portal {
    /// With the codes kept in the data directory.
    ///
    /// # Errors
    /// The list of codes or a file of the directory can't be read, or there is no randomness.
    pub fn open(config: &Config, hub: Hub, seal: Seal) -> Result<Self, PortalError> {
        let file = config.server.data_dir.join("portal.codes");
        let mut form_key = [0; 32];
        getrandom::fill(&mut form_key).map_err(|_| PortalError::Randomness)?;
        let ldap = config.portal.ldap.as_ref();
        let directory = ldap.map(|ldap| Directory::of(ldap, config)).transpose();
        Ok(Self {
            directory: directory.map_err(PortalError::Directory)?,
            hub,
            seal,
            places: page::Places::of(config),
            lifetime: config.portal.code_lifetime,
            tls: config.portal.tls,
            form_key,
            codes: Mutex::new(Codes::open(&file).map_err(PortalError::Codes)?),
            throttle: Mutex::default(),
        })
    }

    /// A code for that person; it replaces an earlier one. With it, how long it is valid.
    ///
    /// # Errors
    /// No such person, or the code can't be kept.
    pub fn code(&self, address: &str) -> Result<(String, Duration), PortalError> {
        let account = Address::parse(address)
            .ok()
            .and_then(|address| self.account(&address))
            .ok_or(PortalError::UnknownUser)?;
        let name = account.address.to_string();
        let code = lock(&self.codes).make(&name, now(), self.lifetime.as_secs())?;
        tracing::info!(address = %name, "portal: one-time code made");
        Ok((code, self.lifetime))
    }

    fn account(&self, address: &Address) -> Option<Arc<Account>> {
        match self.hub.directory().resolve(address) {
            Resolution::Local(account) if account.node.is_none() => Some(account),
            _ => None,
        }
    }

    /// A new password for who shows that code: the address and the password.
    async fn password(
        &self,
        peer: IpAddr,
        address: &str,
        code: &str,
    ) -> Result<(String, String), Refused> {
        let now = now();
        let from = source(peer);
        if !lock(&self.throttle).may(&from, now) {
            return Err(Refused::Source);
        }
        let outcome = self.redeem(address, code, now);
        if let Err(Refused::BadAddress(_) | Refused::UnknownUser | Refused::Code) = &outcome {
            lock(&self.throttle).failed(&from, now);
        }
        let account = outcome?;
        self.renew(&account).await
    }

    /// A new password for who knows that one in the directory: the address and the password.
    async fn password_by_directory(
        &self,
        peer: IpAddr,
        login: &str,
        password: &str,
    ) -> Result<(String, String), Refused> {
        let started = tokio::time::Instant::now();
        let (now, from) = (now(), source(peer));
        let name = format!("login {}", login.trim().to_lowercase());
        for (key, refused) in [(&from, Refused::Source), (&name, Refused::Address)] {
            if !lock(&self.throttle).may(key, now) {
                return Err(refused);
            }
        }
        // Counted before the directory is asked, so that many at once do not get through.
        let count = |throttle: &mut Throttle| {
            throttle.failed(&from, now);
            throttle.failed(&name, now);
        };
        count(&mut lock(&self.throttle));
        let outcome = self.prove(login, password, now).await;
        if let Ok(_) | Err(Refused::Directory(NoBind::Unavailable(_)) | Refused::NoDirectory) =
            &outcome
        {
            let mut throttle = lock(&self.throttle);
            throttle.forgive(&from);
            throttle.forgive(&name);
        }
        if outcome.is_err() {
            tokio::time::sleep_until(started + FAILS_AFTER).await;
        }
        let account = outcome?;
        self.renew(&account).await
    }

    async fn prove(&self, login: &str, password: &str, now: u64) -> Result<Arc<Account>, Refused> {
        let directory = self.directory.as_ref().ok_or(Refused::NoDirectory)?;
        // Before anything is opened: an empty password is nobody's proof.
        if login.trim().is_empty() || password.is_empty() {
            return Err(NoBind::Form.into());
        }
        let mut session = directory.open().await?;
        let entry = match session.find(login).await {
            Ok(entry) => entry,
            Err(why) => {
                session.bind_nobody(password).await;
                session.close().await;
                return Err(why.into());
            }
        };
        // One entry may have several spellings of its name.
        let key = format!("entry {}", entry.name.to_lowercase());
        if !lock(&self.throttle).may(&key, now) {
            session.close().await;
            return Err(Refused::Address);
        }
        lock(&self.throttle).failed(&key, now);
        let bound = session.bind(&entry.name, password).await;
        session.close().await;
        bound?;
        lock(&self.throttle).forgive(&key);
        let account = entry
            .addresses
            .iter()
            .find_map(|text| self.account(&Address::parse(text).ok()?));
        match account {
            None => Err(Refused::NoAccount(entry.name)),
            Some(account) if account.suspended => Err(Refused::Suspended),
            Some(account) => Ok(account),
        }
    }

    /// Makes a password and keeps it.
    async fn renew(&self, account: &Account) -> Result<(String, String), Refused> {
        let server = |why: &dyn std::fmt::Display| Refused::Server(why.to_string());
        let password = code::readable(PASSWORD_GROUPS).map_err(|e| server(&e))?;
        let mut changed = account.clone();
        changed.secret = (self.seal)(account, &password).map_err(|e| server(&e))?;
        let kept = self.hub.put_account(changed).await;
        kept.map_err(|e| server(&e))?;
        Ok((account.address.to_string(), password))
    }

    fn redeem(&self, address: &str, code: &str, now: u64) -> Result<Arc<Account>, Refused> {
        let parsed = Address::parse(address).map_err(|e| Refused::BadAddress(e.to_string()))?;
        let Some(account) = self.account(&parsed) else {
            return Err(Refused::UnknownUser);
        };
        let name = account.address.to_string();
        if !lock(&self.throttle).may(&name, now) {
            return Err(Refused::Address);
        }
        if account.suspended {
            return Err(Refused::Suspended);
        }
        let right = lock(&self.codes).redeem(&name, code, now);
        match right {
            Ok(true) => Ok(account),
            Ok(false) => {
                lock(&self.throttle).failed(&name, now);
                Err(Refused::Code)
            }
            Err(error) => Err(Refused::Server(error.to_string())),
        }
    }
}
