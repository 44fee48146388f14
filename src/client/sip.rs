//! The SIP user agent on a socket: one task per client, commands in, events out.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sip::flow::{Flow, Transport};
use sip::raw::{Datagram, Limits, StreamEvent, StreamFramer, frame_datagram};
use sip::ua::{Input, Link, Output, RequestId, Ua};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub use sip::ua::{Account, Activity, Event, Status};

/// Commands and events that may wait. While this many events wait, the socket is not read.
const QUEUE: usize = 256;
/// A server that takes no octets for so long is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// Why a command had no success.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The server said no; 408 stands for no answer, 503 for no connection.
    #[error("{status} {reason}")]
    Status {
        /// The status code.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// The client has been stopped.
    #[error("the client has stopped")]
    Stopped,
}

type Reply = oneshot::Sender<Result<u16, Refused>>;

enum Command {
    Register(Reply),
    Unregister(Reply),
    Options(Reply),
    Text(String, String, Reply),
    Typing(String, bool),
    Publish(Status),
    Watch(String),
    Unwatch(String),
}

/// A running client; dropped with its last clone.
#[derive(Debug, Clone)]
pub struct SipClient {
    commands: mpsc::Sender<Command>,
    local: SocketAddr,
}

impl SipClient {
    /// Opens the way to the server (UDP or TCP) and starts the client's task. It is not signed in
    /// yet. The events must be read: a full queue stops the reading of the socket.
    pub async fn connect(
        account: Account,
        server: SocketAddr,
        transport: Transport,
    ) -> io::Result<(Self, mpsc::Receiver<Event>)> {
        let socket = Socket::open(server, transport).await?;
        let local = socket.local()?;
        let flow = Flow {
            transport,
            peer: server,
            id: 1,
        };
        let agent = Ua::new(account, Link { flow, local }, random);
        let (commands, inbox) = mpsc::channel(QUEUE);
        let (events, receiver) = mpsc::channel(QUEUE);
        let shell = Shell {
            agent,
            socket: Some(socket),
            started: Instant::now(),
            waiting: HashMap::new(),
            out: VecDeque::new(),
            wake_at: None,
            lost: false,
        };
        tokio::spawn(shell.run(inbox, events));
        Ok((Self { commands, local }, receiver))
    }

    /// Our own address on the way to the server.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Signs in and stays so.
    pub async fn register(&self) -> Result<u16, Refused> {
        self.ask(Command::Register).await
    }

    /// Signs out.
    pub async fn unregister(&self) -> Result<u16, Refused> {
        self.ask(Command::Unregister).await
    }

    /// Asks whether the server is there.
    pub async fn options(&self) -> Result<u16, Refused> {
        self.ask(Command::Options).await
    }

    /// Sends a text; 200 delivered, 202 kept for later.
    pub async fn text(&self, to: &str, text: &str) -> Result<u16, Refused> {
        let (to, text) = (to.to_owned(), text.to_owned());
        self.ask(|reply| Command::Text(to, text, reply)).await
    }

    /// Tells that we type, or no longer do.
    pub async fn typing(&self, to: &str, active: bool) {
        self.tell(Command::Typing(to.to_owned(), active)).await;
    }

    /// Publishes our state.
    pub async fn publish(&self, status: Status) {
        self.tell(Command::Publish(status)).await;
    }

    /// Watches somebody; [`Event::Presence`] follows.
    pub async fn watch(&self, who: &str) {
        self.tell(Command::Watch(who.to_owned())).await;
    }

    /// Ends a watch.
    pub async fn unwatch(&self, who: &str) {
        self.tell(Command::Unwatch(who.to_owned())).await;
    }

    async fn tell(&self, command: Command) {
        // A client that has stopped said so by closing its events.
        let _ = self.commands.send(command).await;
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<u16, Refused> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await;
        answer.await.unwrap_or(Err(Refused::Stopped))
    }
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream, StreamFramer),
}

impl Socket {
    async fn open(server: SocketAddr, transport: Transport) -> io::Result<Self> {
        match transport {
            Transport::Udp => {
                let any = if server.is_ipv4() {
                    "0.0.0.0:0"
                } else {
                    "[::]:0"
                };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(server).await?;
                Ok(Self::Udp(socket))
            }
            Transport::Tcp => {
                let stream = TcpStream::connect(server).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream, StreamFramer::new(Limits::default())))
            }
            Transport::Tls | Transport::Ws | Transport::Wss => {
                Err(io::Error::from(io::ErrorKind::Unsupported))
            }
        }
    }

    fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(stream, _) => stream.local_addr(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            // What UDP refuses is as good as lost: the transaction repeats it.
            Self::Udp(socket) => socket.send(bytes).await.map(|_| ()).or(Ok(())),
            Self::Tcp(stream, _) => {
                match tokio::time::timeout(WRITE_PATIENCE, stream.write_all(bytes)).await {
                    Ok(result) => result,
                    Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
                }
            }
        }
    }

    /// Waits for octets. Cancelling loses nothing.
    async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => loop {
                match socket.recv(buffer).await {
                    Ok(length) => return Ok(length),
                    // An ICMP answer to something we sent (no listener yet): timers deal with it.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                }
            },
            Self::Tcp(stream, _) => match stream.read(buffer).await? {
                0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                length => Ok(length),
            },
        }
    }
}

struct Shell {
    agent: Ua,
    socket: Option<Socket>,
    started: Instant,
    waiting: HashMap<RequestId, (&'static str, Reply)>,
    out: VecDeque<Event>,
    wake_at: Option<u64>,
    lost: bool,
}

impl Shell {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>, events: mpsc::Sender<Event>) {
        let mut buffer = vec![0_u8; 64 * 1024];
        loop {
            self.drain().await;
            let wake = self
                .wake_at
                .map(|at| self.started + Duration::from_millis(at));
            let readable = self.out.len() < QUEUE;
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                permit = events.reserve(), if !self.out.is_empty() => {
                    let Ok(permit) = permit else { return };
                    if let Some(event) = self.out.pop_front() {
                        permit.send(event);
                    }
                }
                read = receive(&mut self.socket, &mut buffer), if readable => match read {
                    Ok(length) => self.octets(buffer.get(..length).unwrap_or_default()).await,
                    Err(_) => self.closed(),
                },
                () = until(wake) => self.agent.handle(self.now(), Input::Tick),
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        let (method, id, reply) = match command {
            Command::Register(reply) => ("REGISTER", self.agent.register(now), reply),
            Command::Unregister(reply) => ("REGISTER", self.agent.unregister(now), reply),
            Command::Options(reply) => ("OPTIONS", self.agent.options(now), reply),
            Command::Text(to, text, reply) => ("MESSAGE", self.agent.text(now, &to, &text), reply),
            Command::Typing(to, active) => {
                self.agent.typing(now, &to, active);
                return;
            }
            Command::Publish(status) => return self.agent.publish(now, status),
            Command::Watch(who) => return self.agent.watch(now, &who),
            Command::Unwatch(who) => return self.agent.unwatch(now, &who),
        };
        self.waiting.insert(id, (method, reply));
        if self.socket.is_none() {
            self.agent.handle(now, Input::Closed);
        }
    }

    /// Does all that the agent wants; leaves its wake-up time.
    async fn drain(&mut self) {
        loop {
            let now = self.now();
            match self.agent.poll(now) {
                Output::Send(bytes) => {
                    let sent = match &mut self.socket {
                        Some(socket) => socket.send(&bytes).await,
                        None => Ok(()),
                    };
                    if sent.is_err() {
                        self.closed();
                    }
                }
                Output::Event(event) => {
                    self.resolve(&event);
                    // Each command after the loss fails in the same way; the loss is told once.
                    if event != Event::Disconnected || !std::mem::replace(&mut self.lost, true) {
                        self.out.push_back(event);
                    }
                }
                Output::Idle { wake_at } => {
                    self.wake_at = wake_at;
                    return;
                }
            }
        }
    }

    /// Answers whoever waits for what the event tells.
    fn resolve(&mut self, event: &Event) {
        match event {
            Event::Sent { id, status } => {
                if let Some((_, reply)) = self.waiting.remove(id) {
                    let _ = reply.send(Ok(*status));
                }
            }
            Event::Registered { .. } | Event::Unregistered => self.all_of("REGISTER", &Ok(200)),
            Event::Alive => self.all_of("OPTIONS", &Ok(200)),
            Event::Failed {
                id,
                method,
                status,
                reason,
            } => {
                let refused = Err(Refused::Status {
                    status: *status,
                    reason: reason.clone(),
                });
                match self.waiting.remove(id) {
                    Some((_, reply)) => {
                        let _ = reply.send(refused);
                    }
                    // A registration goes on under another id after a 423.
                    None if *method == "REGISTER" => self.all_of(method, &refused),
                    None => {}
                }
            }
            _ => {}
        }
    }

    fn all_of(&mut self, method: &str, result: &Result<u16, Refused>) {
        let done = self
            .waiting
            .extract_if(|_, (waits_for, _)| *waits_for == method);
        for (_, (_, reply)) in done {
            let _ = reply.send(result.clone());
        }
    }

    async fn octets(&mut self, octets: &[u8]) {
        let now = self.now();
        let mut ping = false;
        match &mut self.socket {
            Some(Socket::Udp(_)) => {
                let datagram = Bytes::copy_from_slice(octets);
                if let Ok(Datagram::Message(message)) = frame_datagram(datagram, &Limits::default())
                {
                    self.agent.handle(now, Input::Message(message));
                }
            }
            Some(Socket::Tcp(_, framer)) => {
                framer.push(octets);
                while let Some(event) = framer.next() {
                    match event {
                        Ok(StreamEvent::Message(message)) => {
                            self.agent.handle(now, Input::Message(message));
                        }
                        Ok(StreamEvent::Ping) => ping = true,
                        Ok(_) => {}
                        Err(_) => return self.closed(),
                    }
                }
            }
            None => {}
        }
        if ping && let Some(socket) = &mut self.socket {
            // RFC 5626 4.4.1: the pong.
            if socket.send(b"\r\n").await.is_err() {
                self.closed();
            }
        }
    }

    fn closed(&mut self) {
        if self.socket.take().is_some() {
            self.agent.handle(self.now(), Input::Closed);
        }
    }
}

async fn receive(socket: &mut Option<Socket>, buffer: &mut [u8]) -> io::Result<usize> {
    match socket {
        Some(socket) => socket.receive(buffer).await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn random() -> u64 {
    // Without a source of randomness the process can do nothing safely; 0 would make tags collide,
    // which a server refuses.
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
#[path = "sip_tests.rs"]
mod tests;
