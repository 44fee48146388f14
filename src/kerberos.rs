//! Kerberos tickets checked by the system's library (feature `gssapi`): keytab, decryption, clock
//! and replay cache are its own.
//!
//! The library blocks (it reads the keytab and locks and syncs the replay cache), so it runs on
//! threads for blocking work, so many at a time; whoever waits longer is told that it is not
//! available. A call that hangs keeps its place: the bound holds whatever the library does.

use crate::gate::{Acceptance, Accepted, Codes, NoTicket, Tickets};
use libgssapi::context::{CtxFlags, SecurityContext as _, ServerCtx};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::{Error, MajorFlags};
use libgssapi::oid::{GSS_MECH_KRB5, OidSet};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Where the library looks for the keytab: the one way it can be told without unsafe code.
const KEYTAB: &str = "KRB5_KTNAME";
/// The library's numbers are this and those of RFC 4120 7.5.9.
const BASE: i32 = -1_765_328_384;
/// Where a status has the error.
const ROUTINE: u32 = 0xff << 16;

/// The library with the keytab of this process.
#[derive(Debug)]
pub struct Library {
    keys: Cred,
    free: Arc<Semaphore>,
    within: Duration,
}

/// Makes the library use that keytab. It reads its environment, which a running process can't
/// change safely: unless it is as it must be, the process starts its program anew (same id, same
/// arguments), before it has opened anything.
///
/// # Errors
/// The program can't be started anew.
pub fn use_keytab(keytab: &Path) -> io::Result<()> {
    let mut wanted = OsString::from("FILE:");
    wanted.push(std::path::absolute(keytab)?);
    if std::env::var_os(KEYTAB).is_some_and(|now| now == wanted) {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut anew = std::process::Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        std::os::unix::process::CommandExt::arg0(&mut anew, name);
    }
    anew.args(arguments).env(KEYTAB, wanted);
    Err(std::os::unix::process::CommandExt::exec(&mut anew))
}

impl Library {
    /// Opens the keytab; `workers` calls at a time, `within` for the wait and for the answer.
    ///
    /// # Errors
    /// What the library says: no keytab, an empty one.
    pub fn open(workers: usize, within: Duration) -> Result<Self, String> {
        let keys = OidSet::singleton(GSS_MECH_KRB5)
            .and_then(|only| Cred::acquire(None, None, CredUsage::Accept, Some(&only)))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            keys,
            free: Arc::new(Semaphore::new(workers.max(1))),
            within,
        })
    }

    async fn ask(&self, token: Vec<u8>, binding: Option<Vec<u8>>) -> Result<Accepted, NoTicket> {
        let unavailable = |why: &str| {
            tracing::warn!(why, "Kerberos not available");
            NoTicket::Unavailable(why.to_owned())
        };
        let place = timeout(self.within, Arc::clone(&self.free).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(unavailable("all workers are busy"));
        };
        let keys = self.keys.clone();
        let work = tokio::task::spawn_blocking(move || {
            let accepted = accept(keys, &token, binding.as_deref());
            drop(place);
            accepted
        });
        match timeout(self.within, work).await {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(_)) => Err(unavailable("the worker ended")),
            Err(_) => Err(unavailable("the library does not answer")),
        }
    }
}

impl Tickets for Library {
    fn accept(&self, token: Vec<u8>, binding: Option<Vec<u8>>) -> Acceptance<'_> {
        Box::pin(self.ask(token, binding))
    }
}

fn accept(keys: Cred, token: &[u8], binding: Option<&[u8]>) -> Result<Accepted, NoTicket> {
    let mut context = ServerCtx::new(Some(keys));
    let answer = context.step(token, binding).map_err(fault)?;
    let odd = |what: &str| NoTicket::Refused(what.to_owned());
    if !context.is_complete() {
        return Err(odd("the token is not the whole of it"));
    }
    let info = context.info().map_err(fault)?;
    if info.mechanism != GSS_MECH_KRB5 || info.flags.contains(CtxFlags::GSS_C_ANON_FLAG) {
        return Err(odd("not a person's Kerberos ticket"));
    }
    let text = |name: &libgssapi::name::Name| {
        let octets = name.display_name().map_err(fault)?;
        String::from_utf8(octets.to_vec()).map_err(|_| odd("a name that is no text"))
    };
    Ok(Accepted {
        client: text(&info.source_name)?,
        service: text(&info.target_name)?,
        answer: answer.map(|token| token.to_vec()),
        lifetime: info.lifetime,
        codes: Box::new(Session(context)),
    })
}

#[derive(Debug)]
struct Session(ServerCtx);

impl Codes for Session {
    fn sign(&mut self, octets: &[u8]) -> Option<Vec<u8>> {
        self.0.get_mic(octets).ok().map(|code| code.to_vec())
    }

    fn verify(&mut self, octets: &[u8], code: &[u8]) -> bool {
        self.0.verify_mic(octets, code).is_ok()
    }
}

/// What the library's error means. Its text is kept per thread: read it here.
fn fault(error: Error) -> NoTicket {
    // One number, whatever the type says, and bits that supplement it (RFC 2744 3.9.1).
    if error.major.bits() & ROUTINE == MajorFlags::GSS_S_BAD_BINDINGS.bits() {
        return NoTicket::Binding;
    }
    if error.major.contains(MajorFlags::GSS_S_DUPLICATE_TOKEN) {
        return NoTicket::Replayed;
    }
    let number = i32::from_ne_bytes(error.minor.to_ne_bytes()).wrapping_sub(BASE);
    NoTicket::named(number, &error.to_string())
}
