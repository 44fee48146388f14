//! The engine: what goes in, what comes out, and who is found.

use std::collections::VecDeque;

use bytes::Bytes;
use thiserror::Error;

use super::Settings;
use super::derive::cancel_for;
use super::key::{Answer, Credentials, Keys, Kind, Named, RequestFacts, ResponseFacts};
use super::store::{Machine, Phase, Stop, Store, Transaction, TxId};
use crate::flow::{Flow, Millis};

/// What happened outside. `M` is the parsed message; the engine only hands it on.
#[derive(Debug)]
pub enum Input<'a, M> {
    /// A request that passed the syntax checks.
    Request {
        /// Its facts.
        facts: RequestFacts<'a>,
        /// The way it came.
        flow: Flow,
        /// Where its responses go (RFC 3261 18.2.2, RFC 3581): see [`super::reply_flow`].
        reply: Flow,
        /// The request.
        message: M,
    },
    /// A response.
    Response {
        /// Its facts.
        facts: ResponseFacts<'a>,
        /// The way it came.
        flow: Flow,
        /// The response.
        message: M,
    },
    /// What [`Output::Send`] asked for could not be sent.
    SendFailed {
        /// The transaction named there.
        tx: TxId,
    },
    /// A stream connection is gone: no response will come on it.
    FlowClosed {
        /// [`Flow::id`].
        flow: u64,
    },
    /// Time has come to the `wake_at` of the last [`Output::Idle`].
    Tick,
}

/// What the engine wants done.
#[derive(Debug)]
pub enum Output<M> {
    /// Send these octets.
    Send {
        /// The way.
        flow: Flow,
        /// A whole message.
        bytes: Bytes,
        /// Whom to name in [`Input::SendFailed`].
        tx: TxId,
    },
    /// Tell the transaction user.
    Event(Event<M>),
    /// Nothing more until input, or until this time.
    Idle {
        /// When [`Input::Tick`] is due.
        wake_at: Option<Millis>,
    },
}

/// What the transaction user is told.
#[derive(Debug)]
pub enum Event<M> {
    /// A new request: answer it with [`Engine::respond`].
    Request {
        /// The transaction to answer.
        tx: TxId,
        /// The way it came.
        flow: Flow,
        /// The request.
        message: M,
    },
    /// An ACK that acknowledges no failure of ours: for a 2xx, or a stray to be dropped.
    Ack {
        /// The INVITE transaction, if it has the ACK's branch (RFC 2543 clients).
        tx: Option<TxId>,
        /// The way it came.
        flow: Flow,
        /// The ACK.
        message: M,
    },
    /// A CANCEL: answer it (200, or 481 without a target unless late), then the target with 487.
    Cancel {
        /// The CANCEL's own transaction.
        tx: TxId,
        /// The INVITE it is for, while that is unanswered.
        target: Option<TxId>,
        /// That INVITE has its answer already: 200 all the same, and nothing else (RFC 3261 9.2).
        late: bool,
        /// The way it came.
        flow: Flow,
        /// The CANCEL.
        message: M,
    },
    /// A request for which there is no room: answer 503 without a transaction, or drop it.
    Overloaded {
        /// The way it came.
        flow: Flow,
        /// Where a response would go.
        reply: Flow,
        /// The request.
        message: M,
    },
    /// Nothing has been answered yet: [`Engine::respond`] with 100 now (RFC 3261 17.2.1, RFC 4320 4.1).
    TryingDue {
        /// The transaction.
        tx: TxId,
    },
    /// A response to a request of ours.
    Response {
        /// Its transaction.
        tx: TxId,
        /// The caller's own.
        token: u64,
        /// The status code.
        status: u16,
        /// The way it came.
        flow: Flow,
        /// The response.
        message: M,
    },
    /// A 2xx to an INVITE whose transaction has gone (RFC 6026): a proxy forwards it, others ACK or
    /// drop it. All other stray responses are absorbed (RFC 4320 4.2).
    Stray {
        /// The way it came.
        flow: Flow,
        /// The response.
        message: M,
    },
    /// A request of ours got no final response.
    Failed {
        /// Its transaction, gone now.
        tx: TxId,
        /// The caller's own.
        token: u64,
        /// Why.
        why: Failure,
    },
    /// A request to us stayed unanswered too long; an answer would be absorbed now.
    Expired {
        /// Its transaction, gone now.
        tx: TxId,
    },
    /// A final response to an INVITE was never acknowledged (timer H), or could not be sent.
    Unacknowledged {
        /// Its transaction, gone now.
        tx: TxId,
    },
}

/// Why a request of ours failed without a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Timer B or F.
    Timeout,
    /// The transport could not carry it.
    Transport,
}

/// Whether a server transaction remembers its final response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// As RFC 3261 17.2 says.
    Transaction,
    /// The transaction goes with the response: challenges and other refusals (decisions 6). An
    /// ACK that follows is reported as a stray.
    Stateless,
}

/// Why an answer was not sent. None of these is a fault of the peer; all are counted by callers.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Absorbed {
    /// The transaction has ended: a late response (RFC 4320 4.2).
    #[error("the transaction has ended")]
    Gone,
    /// It has its final response already.
    #[error("already answered")]
    Answered,
    /// 408 to a non-INVITE (RFC 4320 4.2), or a provisional other than 100 (RFC 4320 4.1).
    #[error("RFC 4320 forbids this status here")]
    Forbidden,
}

/// A request to be sent in a client transaction.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// Its method; INVITE gets the INVITE machine. ACK is not sent through transactions.
    pub method: &'a [u8],
    /// The branch that we put into its top Via; unique.
    pub branch: &'a [u8],
    /// The way to its next hop.
    pub flow: Flow,
    /// The whole request.
    pub bytes: Bytes,
    /// Comes back with each event.
    pub token: u64,
}

/// All transactions of one shard of traffic.
#[derive(Debug)]
pub struct Engine<M> {
    pub(super) settings: Settings,
    pub(super) store: Store,
    pub(super) out: VecDeque<Output<M>>,
    pub(super) keys: Keys,
}

impl<M> Engine<M> {
    /// An empty engine. The secret keys its hash tables against aimed collisions; random, per
    /// process.
    pub fn new(settings: Settings, secret: [u64; 2]) -> Self {
        Self {
            settings,
            store: Store::default(),
            out: VecDeque::new(),
            keys: Keys::new(secret),
        }
    }

    /// Transactions alive.
    pub fn len(&self) -> usize {
        self.store.live()
    }

    /// True if none is alive.
    pub fn is_empty(&self) -> bool {
        self.store.live() == 0
    }

    /// Takes what happened. Timers that are due by `now` fire first.
    pub fn handle(&mut self, now: Millis, input: Input<'_, M>) {
        match input {
            Input::Request {
                facts,
                flow,
                reply,
                message,
            } => self.request(now, self.keys.name(&facts), flow, reply, message),
            Input::Response {
                facts,
                flow,
                message,
            } => self.response(now, &self.keys.answer(&facts), flow, message),
            Input::SendFailed { tx } => {
                self.fire_due(now);
                self.send_failed(tx);
            }
            Input::FlowClosed { flow } => {
                self.fire_due(now);
                for tx in self.store.on_flow(flow) {
                    self.send_failed(tx);
                }
            }
            Input::Tick => self.fire_due(now),
        }
    }

    /// The next thing to do; call until [`Output::Idle`].
    pub fn poll(&mut self) -> Output<M> {
        match self.out.pop_front() {
            Some(output) => output,
            None => Output::Idle {
                wake_at: self.store.wake_at(),
            },
        }
    }

    /// Sends a request of ours; its end is reported by [`Event::Response`] with a final status, or
    /// [`Event::Failed`]. A second request with a branch in use takes the branch over.
    pub fn start(&mut self, now: Millis, request: Outgoing<'_>) -> TxId {
        let invite = request.method == b"INVITE";
        let machine = if invite {
            Machine::ClientInvite
        } else {
            Machine::ClientOther
        };
        let key = self.keys.client(request.branch, request.method);
        let mut new = Transaction::new(key, machine, request.flow);
        new.token = request.token;
        new.bytes = request.bytes.clone();
        // Timers A and E, B and F.
        if !request.flow.transport.is_reliable() {
            new.interval = self.settings.t1;
            new.repeat_at = now.saturating_add(new.interval);
        }
        new.ends_at = now.saturating_add(self.settings.give_up());
        let tx = self.store.insert(new);
        self.send(tx, request.flow, request.bytes);
        tx
    }

    /// Stops an INVITE of ours: the CANCEL goes out as soon as a provisional response is there
    /// (RFC 3261 9.1). Its own result is not reported; the INVITE's is.
    pub fn cancel(&mut self, now: Millis, invite: TxId) {
        let Some(transaction) = self.store.get(invite) else {
            return;
        };
        let open = matches!(transaction.phase, Phase::Trying | Phase::Proceeding);
        if transaction.machine != Machine::ClientInvite || transaction.stop != Stop::No || !open {
            return;
        }
        transaction.stop = Stop::Wanted;
        if transaction.phase == Phase::Proceeding {
            self.send_cancel(now, invite);
        }
    }

    pub(super) fn send_cancel(&mut self, now: Millis, invite: TxId) {
        let give_up = self.settings.give_up();
        let Some(transaction) = self.store.get(invite) else {
            return;
        };
        transaction.stop = Stop::Sent;
        // A peer that never ends the INVITE does not hold us: 9.1 gives it 64*T1.
        transaction.ends_at = now.saturating_add(give_up);
        let flow = transaction.flow;
        let Some(bytes) = cancel_for(&transaction.bytes) else {
            return;
        };
        let branch = super::wire::branch_of(&bytes).unwrap_or_default().to_vec();
        self.store.arm(invite);
        self.start(
            now,
            Outgoing {
                method: b"CANCEL",
                branch: &branch,
                flow,
                bytes,
                token: u64::MAX,
            },
        );
    }

    /// Drops a transaction without a word: what arrives for it later is a stray or a new request.
    pub fn forget(&mut self, tx: TxId) {
        self.store.remove(tx);
    }

    pub(super) fn send(&mut self, tx: TxId, flow: Flow, bytes: Bytes) {
        self.out.push_back(Output::Send { flow, bytes, tx });
    }

    pub(super) fn tell(&mut self, event: Event<M>) {
        self.out.push_back(Output::Event(event));
    }

    pub(super) fn request(
        &mut self,
        now: Millis,
        named: Named,
        flow: Flow,
        reply: Flow,
        message: M,
    ) {
        self.fire_due(now);
        if named.kind == Kind::Ack {
            let tx = self.store.find(named.invite);
            return self.acknowledged(now, tx, flow, message);
        }
        if let Some(tx) = self.store.find(named.key) {
            if !self.is_answer_to_challenge(tx, named.credentials) {
                return self.repeated(tx, reply);
            }
            self.store.remove(tx);
        }
        // Those that are through only absorb repeats, which the network brings within seconds: a
        // new request is worth more than the rest of their 32 s.
        if self.store.live() >= self.settings.capacity && !self.store.make_room() {
            return self.tell(Event::Overloaded {
                flow,
                reply,
                message,
            });
        }
        let tx = self.accept(now, &named, reply);
        if named.kind != Kind::Cancel {
            return self.tell(Event::Request { tx, flow, message });
        }
        let invite = self.store.find(named.invite);
        let target = invite.filter(|tx| {
            let transaction = self.store.get(*tx);
            transaction.is_some_and(|t| matches!(t.phase, Phase::Trying | Phase::Proceeding))
        });
        self.tell(Event::Cancel {
            tx,
            target,
            late: invite.is_some() && target.is_none(),
            flow,
            message,
        });
    }

    /// COMPAT(libpurple): the request comes again with credentials under the same branch and
    /// `CSeq`. A transaction that still holds the 401 or 407 must not absorb it.
    fn is_answer_to_challenge(&mut self, tx: TxId, credentials: Credentials) -> bool {
        credentials == Credentials::Present
            && self.store.get(tx).is_some_and(|t| {
                matches!(t.status, 401 | 407)
                    && matches!(t.phase, Phase::Completed | Phase::Confirmed)
            })
    }

    fn accept(&mut self, now: Millis, named: &Named, reply: Flow) -> TxId {
        let invite = named.kind == Kind::Invite;
        let machine = if invite {
            Machine::ServerInvite
        } else {
            Machine::ServerOther
        };
        let mut new = Transaction::new(named.key, machine, reply);
        let (trying, end) = if invite {
            (self.settings.trying_invite, self.settings.invite_max)
        } else {
            (self.settings.trying_other, self.settings.give_up())
        };
        new.repeat_at = now.saturating_add(trying);
        new.ends_at = now.saturating_add(end);
        self.store.insert(new)
    }

    pub(super) fn response(&mut self, now: Millis, answer: &Answer, flow: Flow, message: M) {
        self.fire_due(now);
        if let Some(tx) = self.store.find(answer.key) {
            return self.answered(now, tx, answer, flow, message);
        }
        if answer.invite && (200..300).contains(&answer.status) {
            self.tell(Event::Stray { flow, message });
        }
    }
}
