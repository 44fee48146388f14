//! A SIP user agent for many users over one flow: keeps requests going, one window in all, answers
//! what it is asked, repeats over UDP what got no answer.

use crate::Failure;
use crate::sip::{self, Request, User};
use crate::wire::{Transport, Wire};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};
use tokio_rustls::TlsConnector;

/// Between two sendings of a request.
const RETRY: Duration = Duration::from_millis(500);
/// A request without an answer for so long has failed.
const GIVE_UP: Duration = Duration::from_secs(8);

/// See the module.
pub(crate) struct Agent {
    pub(crate) wire: Wire,
    users: Vec<User>,
    /// Rises over all requests: the CSeq of each and the key it is found by.
    sequence: u32,
}

/// One request that is not answered yet.
struct Open {
    text: String,
    since: Instant,
    sent: Instant,
    user: usize,
}

/// What makes a request needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Next {
    pub(crate) local: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) sequence: u32,
}

/// A final answer.
pub(crate) struct Answer<'a> {
    /// The place of the user who asked.
    pub(crate) user: usize,
    pub(crate) text: &'a str,
    pub(crate) taken: Duration,
}

impl Answer<'_> {
    pub(crate) fn status(&self) -> u16 {
        sip::status(self.text)
    }
}

impl Agent {
    /// Users of these numbers, over one new flow.
    pub(crate) async fn open(
        transport: Transport,
        server: SocketAddr,
        tls: Option<&TlsConnector>,
        users: Range<u64>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            wire: Wire::open(transport, server, tls).await?,
            users: users.map(User::numbered).collect(),
            sequence: 0,
        })
    }

    /// The same over UDP.
    pub(crate) async fn udp(server: SocketAddr, users: Range<u64>) -> Result<Self, Failure> {
        Self::open(Transport::Udp, server, None, users).await
    }

    /// Runs requests that `next` makes (with the place of their user), `window` at once, until it
    /// makes no more and all are answered; `done` gets each final answer. The number of requests
    /// without one.
    pub(crate) async fn run(
        &mut self,
        window: usize,
        mut next: impl FnMut(&mut [User], Next) -> Option<(usize, String)>,
        mut done: impl FnMut(&Answer<'_>),
    ) -> Result<u64, Failure> {
        let mut open: HashMap<u32, Open> = HashMap::new();
        let (mut more, mut failed) = (true, 0u64);
        loop {
            while more && open.len() < window {
                self.sequence += 1;
                let about = Next {
                    local: self.wire.local,
                    transport: self.wire.transport,
                    sequence: self.sequence,
                };
                let Some((user, text)) = next(&mut self.users, about) else {
                    more = false;
                    break;
                };
                self.wire.send(&text).await?;
                let now = Instant::now();
                let entry = Open {
                    text,
                    since: now,
                    sent: now,
                    user,
                };
                open.insert(about.sequence, entry);
            }
            if open.is_empty() {
                return Ok(failed);
            }
            match tokio::time::timeout(RETRY, self.wire.receive()).await {
                Ok(text) => self.take(&text?, &mut open, &mut done).await?,
                Err(_) => failed += self.again(&mut open).await?,
            }
        }
    }

    async fn take(
        &mut self,
        text: &str,
        open: &mut HashMap<u32, Open>,
        done: &mut impl FnMut(&Answer<'_>),
    ) -> Result<(), Failure> {
        let status = sip::status(text);
        if status == 0 {
            return self.answer(text).await.map(drop);
        }
        if status < 200 {
            return Ok(());
        }
        let sequence = sip::header(text, "CSeq").and_then(|v| v.split(' ').next()?.parse().ok());
        let Some(entry) = sequence.and_then(|s: u32| open.remove(&s)) else {
            return Ok(());
        };
        if (status == 401 || status == 407)
            && let Some(user) = self.users.get_mut(entry.user)
        {
            user.challenged(sip::head(text));
        }
        done(&Answer {
            user: entry.user,
            text,
            taken: entry.since.elapsed(),
        });
        Ok(())
    }

    /// Answers a request of the server's with 200; false if it was none.
    async fn answer(&mut self, text: &str) -> Result<bool, Failure> {
        if text.len() < 5 || sip::status(text) != 0 {
            return Ok(false);
        }
        self.wire.send(&sip::ok(text)).await?;
        Ok(true)
    }

    /// Repeats what is overdue; gives up after [`GIVE_UP`].
    async fn again(&mut self, open: &mut HashMap<u32, Open>) -> Result<u64, Failure> {
        let before = open.len();
        open.retain(|_, entry| entry.since.elapsed() <= GIVE_UP);
        let failed = before - open.len();
        if self.wire.transport == Transport::Udp {
            for entry in open.values_mut().filter(|e| e.sent.elapsed() >= RETRY) {
                entry.sent = Instant::now();
                self.wire.send(&entry.text).await?;
            }
        }
        Ok(failed as u64)
    }

    /// Makes every user know a nonce and sends one request of each until it is granted.
    pub(crate) async fn each(
        &mut self,
        what: &str,
        make: impl Fn(&mut User, Next) -> String,
    ) -> Result<(), Failure> {
        let mut left: Vec<usize> = (0..self.users.len()).collect();
        let mut last = String::new();
        for _round in 0..2 {
            let (mut queue, mut refused) = (left.into_iter(), Vec::new());
            let next = |users: &mut [User], about: Next| {
                let at = queue.next()?;
                Some((at, make(users.get_mut(at)?, about)))
            };
            let lost = self
                .run(64, next, |answer| {
                    if answer.status() / 100 != 2 {
                        refused.push(answer.user);
                        sip::head(answer.text).clone_into(&mut last);
                    }
                })
                .await?;
            if lost > 0 {
                return Err(format!("{what}: {lost} requests without an answer"));
            }
            left = refused;
            if left.is_empty() {
                return Ok(());
            }
        }
        Err(format!("{what}: {} refused, the last: {last}", left.len()))
    }

    /// Registers every user, each with a contact at this flow.
    pub(crate) async fn register(&mut self) -> Result<(), Failure> {
        self.each("REGISTER", register_text).await
    }

    /// Answers everything that comes, for so long.
    pub(crate) async fn answer_for(&mut self, span: Duration) -> Result<(), Failure> {
        let end = tokio::time::Instant::now() + span;
        while let Ok(text) = tokio::time::timeout_at(end, self.wire.receive()).await {
            self.answer(&text?).await?;
        }
        Ok(())
    }

    /// Answers everything that comes, until the task is dropped; `seen` gets each request.
    pub(crate) async fn listen(mut self, mut seen: impl FnMut(&str)) {
        while let Ok(text) = self.wire.receive().await {
            if matches!(self.answer(&text).await, Ok(true)) {
                seen(&text);
            }
        }
    }
}

/// A REGISTER of the user's contact at this flow.
pub(crate) fn register_text(user: &mut User, about: Next) -> String {
    register_for(user, 3600, about)
}

/// The end of it.
pub(crate) fn unregister_text(user: &mut User, about: Next) -> String {
    register_for(user, 0, about)
}

fn register_for(user: &mut User, seconds: u32, about: Next) -> String {
    let to = format!("sip:{}@example.com", user.name);
    let call = format!("reg{}", user.name);
    sip::write(
        user,
        &Request {
            method: "REGISTER",
            uri: "sip:example.com",
            to: &to,
            call: &call,
            about,
            extra: &format!("Expires: {seconds}\r\n"),
            body: "",
        },
    )
}

/// A MESSAGE to another user.
pub(crate) fn message_text(user: &mut User, to: u64, about: Next) -> String {
    let to = format!("sip:u{to}@example.com");
    let call = format!("m{}", user.name);
    sip::write(
        user,
        &Request {
            method: "MESSAGE",
            uri: &to,
            to: &to,
            call: &call,
            about,
            extra: "Content-Type: text/plain\r\n",
            body: "How about lunch at noon, at the usual place?",
        },
    )
}

/// A first SUBSCRIBE to another user's presence.
pub(crate) fn subscribe_text(user: &mut User, of: u64, about: Next) -> String {
    let to = format!("sip:u{of}@example.com");
    let call = format!("w{of}{}", user.name);
    sip::write(
        user,
        &Request {
            method: "SUBSCRIBE",
            uri: &to,
            to: &to,
            call: &call,
            about,
            extra: "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n",
            body: "",
        },
    )
}

/// A PUBLISH of the user's own state; `tag` is that of the publication it changes, or empty.
pub(crate) fn publish_text(user: &mut User, busy: bool, tag: &str, about: Next) -> String {
    let to = format!("sip:{}@example.com", user.name);
    let call = format!("p{}", user.name);
    let extra = if tag.is_empty() {
        String::new()
    } else {
        format!("SIP-If-Match: {tag}\r\n")
    };
    let extra = format!(
        "Event: presence\r\nExpires: 3600\r\nContent-Type: application/pidf+xml\r\n{extra}"
    );
    let body = sip::pidf(&user.name, busy);
    sip::write(
        user,
        &Request {
            method: "PUBLISH",
            uri: &to,
            to: &to,
            call: &call,
            about,
            extra: &extra,
            body: &body,
        },
    )
}
