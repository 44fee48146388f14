//! The server's end of the control socket.

use super::accounts::Accounts;
use super::archive::{self, ArchiveRequest};
use super::filters;
use super::wire::{Answer, Done, NodeRequest, Request, TargetRequest};
use super::{conversations, report};
use crate::archive::Archivist;
use crate::filter::Filter;
use crate::gate::Gate;
use crate::hub::Hub;
use crate::net::Tasks;
use crate::portal::Portal;
use crate::storage::Database;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Longest request line.
const LINE_MAX: u64 = 4 << 20;

/// One listener that we were made to connect to.
#[derive(Clone, Debug)]
pub struct CallbackLine {
    /// Where.
    pub endpoint: std::net::SocketAddr,
    /// Whether it has ever answered.
    pub proven: bool,
    /// Failures in a row.
    pub failures: u32,
    /// What the last one was.
    pub last: Option<String>,
}

/// Says which listeners a person makes us connect to.
pub type Callbacks = Arc<dyn Fn(crate::core::id::PersonId) -> Vec<CallbackLine> + Send + Sync>;

/// Says how other domains' servers are doing.
pub type Peers = Arc<dyn Fn() -> Vec<super::wire::PeerRow> + Send + Sync>;

/// What became of the last notification of a watch.
pub type LastNotified = Arc<dyn Fn(crate::core::id::WatchId) -> Option<String> + Send + Sync>;

/// What the socket gives access to. Cloning shares.
#[derive(Clone)]
pub struct Services {
    /// The hub.
    pub hub: Hub,
    /// Accounts.
    pub accounts: Accounts,
    /// Refused sign-ins.
    pub gate: Arc<Gate>,
    /// Callbacks.
    pub callbacks: Callbacks,
    /// Other domains' servers.
    pub peers: Peers,
    /// Notifications.
    pub notified: LastNotified,
    /// Filters, in order.
    pub filters: Arc<[Arc<Filter>]>,
    /// The archive.
    pub archive: Arc<Archivist<Database>>,
    /// One-time codes, if `[portal] listen` is set.
    pub portal: Option<Arc<Portal>>,
}

/// Opens the socket (mode 0600) and serves it until the process stops. A socket left by a dead
/// server is replaced: whoever holds the lock owns the directory.
///
/// # Errors
/// What the system says.
pub fn serve(path: &Path, services: Services, tasks: &Tasks) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let inner = tasks.clone();
    let path = path.to_owned();
    tasks.spawn(async move {
        accept(listener, services, inner).await;
        let _ = std::fs::remove_file(path);
    });
    Ok(())
}

async fn accept(listener: UnixListener, services: Services, tasks: Tasks) {
    loop {
        let accepted = tokio::select! {
            () = tasks.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn_until_stop(connection(stream, services.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "control socket: accept failed");
                // Out of file handles: trying again at once would spin.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, services: Services) {
    let peer = stream.peer_cred().ok().map(|peer| peer.uid());
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let taken = (&mut read)
            .take(LINE_MAX)
            .read_until(b'\n', &mut line)
            .await;
        if !matches!(taken, Ok(1..)) || line.last() != Some(&b'\n') {
            return;
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(Request::Archive(request)) => of_archive(&services, request, peer).await,
            Ok(request) => answer(&services, request).await,
            Err(error) => Answer::Error(format!("not a request: {error}")),
        };
        let Ok(mut octets) = serde_json::to_vec(&answer) else {
            return;
        };
        octets.push(b'\n');
        if write.write_all(&octets).await.is_err() {
            return;
        }
    }
}

/// Who asks is said by the client; the system says as whom it runs.
async fn of_archive(services: &Services, mut request: ArchiveRequest, peer: Option<u32>) -> Answer {
    if let (Some(asker), Some(uid)) = (request.asker(), peer) {
        asker.who = format!("{} (uid {uid})", asker.who);
    }
    let done = archive::answer(&services.archive, request).await;
    done.map_or_else(Answer::Error, |done| {
        Answer::Ok(Done::Archive(Box::new(done)))
    })
}

async fn answer(services: &Services, request: Request) -> Answer {
    let accounts = &services.accounts;
    let done = match request {
        Request::Ping => Ok(Done::Alive {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
        }),
        Request::Put { rows, update } => Ok(Done::Rows(accounts.put(rows, update).await)),
        Request::Remove { address } => Ok(Done::Rows(vec![accounts.remove(&address).await])),
        Request::Password { address, password } => {
            let row = accounts.password(&address, &password).await;
            Ok(Done::Rows(vec![row]))
        }
        Request::PortalCode { address } => portal_code(services, &address),
        Request::List => Ok(Done::Users(accounts.list())),
        Request::Node(NodeRequest::List) => Ok(Done::Nodes(accounts.nodes())),
        Request::Node(request) => accounts.node(request).await.map(Done::Rows),
        Request::Target(TargetRequest::List) => accounts.targets().await.map(Done::Targets),
        Request::Target(request) => accounts.target(request).await.map(Done::Rows),
        Request::Who { address } => report::who(&services.hub, address.as_deref())
            .await
            .map(Done::People),
        Request::Device(request) => accounts
            .device(request)
            .await
            .map(|row| Done::Rows(vec![row])),
        Request::Rename { address, to } => {
            Ok(Done::Rows(vec![accounts.rename(&address, &to).await]))
        }
        Request::Peers => Ok(Done::Peers((services.peers)())),
        Request::Subscriptions { address } => {
            report::subscriptions(&services.hub, address.as_deref(), &services.notified)
                .await
                .map(Done::Subscriptions)
        }
        Request::Consent {
            address,
            watcher,
            accept,
        } => report::consent(&services.hub, &address, &watcher, accept)
            .await
            .map(|row| Done::Rows(vec![row])),
        Request::Conversations { which } => conversations::rows(&services.hub, which.as_deref())
            .await
            .map(Done::Conversations),
        Request::Filter(request) => {
            filters::answer(&services.hub, &services.filters, request).await
        }
        Request::Callbacks => report::callbacks(&services.hub, &services.callbacks)
            .await
            .map(Done::Callbacks),
        Request::Explain { address } => {
            report::refusals(&services.gate, &address).map(Done::Refusals)
        }
        // Seen to before: it matters who asks.
        Request::Archive(_) => Err("not here".to_owned()),
        Request::Trace { message, user } => {
            report::traces(&services.hub, message.as_deref(), user.as_deref()).map(Done::Traces)
        }
    };
    done.map_or_else(Answer::Error, Answer::Ok)
}

fn portal_code(services: &Services, address: &str) -> Result<Done, String> {
    let Some(portal) = &services.portal else {
        return Err("there is no portal; set `[portal] listen`".into());
    };
    let (code, lifetime) = portal.code(address).map_err(|error| error.to_string())?;
    Ok(Done::Code {
        code,
        seconds: lifetime.as_secs(),
    })
}
