//! The four state machines of RFC 3261 17 with the Accepted state of RFC 6026.

use bytes::Bytes;

use super::derive::ack_for;
use super::engine::{Absorbed, Engine, Event, Failure, Retention};
use super::key::Answer;
use super::store::{Machine, Phase, Stop, Transaction, TxId};
use crate::flow::{Flow, Millis, NEVER};

/// What a due timer means; decided under the borrow of the transaction, done after it.
enum Due {
    Nothing,
    Repeat(Flow, Bytes),
    Trying,
    Failed(u64),
    Expired,
    Unacknowledged,
    End,
}

impl<M> Engine<M> {
    /// Answers a request. The bytes are the whole response; they go where the request's reply flow
    /// points, and again with each repeat of the request.
    pub fn respond(
        &mut self,
        now: Millis,
        tx: TxId,
        status: u16,
        bytes: Bytes,
        retention: Retention,
    ) -> Result<(), Absorbed> {
        let settings = self.settings;
        let transaction = self.store.get(tx).ok_or(Absorbed::Gone)?;
        let flow = transaction.flow;
        let answered = match (transaction.machine, transaction.phase) {
            (Machine::ClientInvite | Machine::ClientOther, _) => return Err(Absorbed::Gone),
            (_, Phase::Trying | Phase::Proceeding) => false,
            // RFC 6026 7.1: further 2xx go straight out.
            (_, Phase::Accepted) if (200..300).contains(&status) => true,
            _ => return Err(Absorbed::Answered),
        };
        let invite = transaction.machine == Machine::ServerInvite;
        // RFC 4320 4.1, 4.2.
        if !invite && (status == 408 || (101..200).contains(&status)) {
            return Err(Absorbed::Forbidden);
        }
        let reliable = flow.transport.is_reliable();
        transaction.status = status;
        let gone = if answered {
            false
        } else if status < 200 {
            transaction.bytes = bytes.clone();
            transaction.phase = Phase::Proceeding;
            transaction.repeat_at = NEVER;
            if invite {
                transaction.ends_at = now.saturating_add(settings.invite_max);
            }
            false
        } else if retention == Retention::Stateless || (!invite && reliable) {
            // Timer J is zero on reliable transports.
            true
        } else {
            transaction.finish(now, &settings, invite, status, &bytes);
            false
        };
        self.send(tx, flow, bytes);
        if gone {
            self.store.remove(tx);
            return Ok(());
        }
        self.store.arm(tx);
        if !invite && status >= 200 {
            self.store.through(tx);
        }
        Ok(())
    }

    /// A repeat of a request that has a transaction: our latest word again, if there is one.
    pub(super) fn repeated(&mut self, tx: TxId, reply: Flow) {
        let Some(transaction) = self.store.get(tx) else {
            return;
        };
        // A client behind a NAT that lost its binding repeats from its new address.
        transaction.flow = reply;
        let speaks = match transaction.phase {
            Phase::Proceeding | Phase::Completed => !transaction.bytes.is_empty(),
            // RFC 6026 7.1: the 2xx is the transaction user's to repeat.
            Phase::Trying | Phase::Confirmed | Phase::Accepted => false,
        };
        if speaks {
            let bytes = transaction.bytes.clone();
            self.send(tx, reply, bytes);
        }
    }

    pub(super) fn acknowledged(&mut self, now: Millis, tx: Option<TxId>, flow: Flow, message: M) {
        let t4 = self.settings.t4;
        let found = tx.and_then(|tx| self.store.get(tx).map(|t| (tx, t)));
        let Some((tx, transaction)) = found else {
            return self.tell(Event::Ack {
                tx: None,
                flow,
                message,
            });
        };
        match transaction.phase {
            Phase::Completed if transaction.flow.transport.is_reliable() => {
                self.store.remove(tx);
            }
            Phase::Completed => {
                // Timer I.
                transaction.phase = Phase::Confirmed;
                transaction.bytes = Bytes::new();
                transaction.repeat_at = NEVER;
                transaction.ends_at = now.saturating_add(t4);
                self.store.arm(tx);
            }
            Phase::Accepted => self.tell(Event::Ack {
                tx: Some(tx),
                flow,
                message,
            }),
            // Repeats, and ACKs of nothing.
            Phase::Confirmed | Phase::Trying | Phase::Proceeding => {}
        }
    }

    pub(super) fn answered(
        &mut self,
        now: Millis,
        tx: TxId,
        answer: &Answer,
        flow: Flow,
        message: M,
    ) {
        let status = answer.status;
        let settings = self.settings;
        let Some(transaction) = self.store.get(tx) else {
            return;
        };
        let token = transaction.token;
        let invite = transaction.machine == Machine::ClientInvite;
        let tell = match (transaction.phase, status) {
            (Phase::Trying | Phase::Proceeding, ..200) => {
                if invite {
                    // Timers A and B end; how long it may ring is the user's to say (timer C).
                    transaction.repeat_at = NEVER;
                    if transaction.stop != Stop::Sent {
                        transaction.ends_at = now.saturating_add(settings.invite_max);
                    }
                }
                transaction.phase = Phase::Proceeding;
                let stop = transaction.stop;
                self.store.arm(tx);
                if stop == Stop::Wanted {
                    self.send_cancel(now, tx);
                }
                true
            }
            (Phase::Trying | Phase::Proceeding, _) => {
                self.completed(now, tx, answer);
                true
            }
            // RFC 6026 7.2: every 2xx is passed up, from each branch of a fork.
            (Phase::Accepted, 200..300) => true,
            (Phase::Completed, 300..) if invite => {
                let (flow, ack) = (transaction.flow, transaction.bytes.clone());
                self.send(tx, flow, ack);
                false
            }
            _ => false,
        };
        if tell && token != u64::MAX {
            self.tell(Event::Response {
                tx,
                token,
                status,
                flow,
                message,
            });
        }
    }

    /// A client transaction gets its first final response.
    fn completed(&mut self, now: Millis, tx: TxId, answer: &Answer) {
        let settings = self.settings;
        let Some(transaction) = self.store.get(tx) else {
            return;
        };
        let reliable = transaction.flow.transport.is_reliable();
        transaction.status = answer.status;
        transaction.repeat_at = NEVER;
        let mut ack = None;
        let stays = match (transaction.machine, answer.status) {
            (Machine::ClientInvite, 200..300) => {
                transaction.phase = Phase::Accepted;
                Some(settings.give_up()) // timer M
            }
            (Machine::ClientInvite, _) => {
                transaction.phase = Phase::Completed;
                ack = ack_for(&transaction.bytes, &answer.to);
                (!reliable).then_some(settings.d)
            }
            _ => {
                transaction.phase = Phase::Completed;
                (!reliable).then_some(settings.t4) // timer K
            }
        };
        transaction.bytes = ack.clone().unwrap_or_default();
        let (flow, machine) = (transaction.flow, transaction.machine);
        if let Some(ack) = ack {
            self.send(tx, flow, ack);
        }
        match (stays, self.store.get(tx)) {
            (Some(span), Some(transaction)) => {
                transaction.ends_at = now.saturating_add(span);
                self.store.arm(tx);
                if machine == Machine::ClientOther {
                    self.store.through(tx);
                }
            }
            _ => self.store.remove(tx),
        }
    }

    /// The transport gave up on a message of a transaction.
    pub(super) fn send_failed(&mut self, tx: TxId) {
        let Some(transaction) = self.store.get(tx) else {
            return;
        };
        let token = transaction.token;
        match (transaction.machine, transaction.phase) {
            (Machine::ClientInvite | Machine::ClientOther, Phase::Trying | Phase::Proceeding) => {
                self.store.remove(tx);
                self.fail(tx, token, Failure::Transport);
            }
            // Nobody waits any more; an ACK that could not go ends the matter (17.1.1.2).
            (Machine::ClientInvite | Machine::ClientOther, _) => self.store.remove(tx),
            (Machine::ServerInvite, Phase::Completed) => {
                self.store.remove(tx);
                self.tell(Event::Unacknowledged { tx });
            }
            // A response was lost: a repeat of the request asks again. An accepted INVITE stays to
            // absorb repeats (RFC 6026 7.1).
            (Machine::ServerInvite | Machine::ServerOther, _) => {}
        }
    }

    fn fail(&mut self, tx: TxId, token: u64, why: Failure) {
        if token != u64::MAX {
            self.tell(Event::Failed { tx, token, why });
        }
    }

    pub(super) fn fire_due(&mut self, now: Millis) {
        while let Some(tx) = self.store.due(now) {
            let t2 = self.settings.t2;
            let due = match self.store.get(tx) {
                Some(transaction) => transaction.fire(now, t2),
                None => continue,
            };
            match due {
                Due::Nothing => self.store.arm(tx),
                Due::Repeat(flow, bytes) => {
                    self.store.arm(tx);
                    self.send(tx, flow, bytes);
                }
                Due::Trying => {
                    self.store.arm(tx);
                    self.tell(Event::TryingDue { tx });
                }
                Due::End => self.store.remove(tx),
                Due::Failed(token) => {
                    self.store.remove(tx);
                    self.fail(tx, token, Failure::Timeout);
                }
                Due::Expired => {
                    self.store.remove(tx);
                    self.tell(Event::Expired { tx });
                }
                Due::Unacknowledged => {
                    self.store.remove(tx);
                    self.tell(Event::Unacknowledged { tx });
                }
            }
        }
    }
}

impl Transaction {
    /// A server transaction gets its final response and stays for repeats or the ACK.
    fn finish(
        &mut self,
        now: Millis,
        settings: &super::Settings,
        invite: bool,
        status: u16,
        bytes: &Bytes,
    ) {
        self.repeat_at = NEVER;
        // Timers H, J and L are all 64*T1.
        self.ends_at = now.saturating_add(settings.give_up());
        if invite && (200..300).contains(&status) {
            self.phase = Phase::Accepted;
            self.bytes = Bytes::new();
            return;
        }
        self.phase = Phase::Completed;
        self.bytes = bytes.clone();
        if invite && !self.flow.transport.is_reliable() {
            // Timer G.
            self.interval = settings.t1;
            self.repeat_at = now.saturating_add(self.interval);
        }
    }

    fn fire(&mut self, now: Millis, t2: Millis) -> Due {
        if self.ends_at <= now {
            return match (self.machine, self.phase) {
                (
                    Machine::ClientInvite | Machine::ClientOther,
                    Phase::Trying | Phase::Proceeding,
                ) => Due::Failed(self.token),
                (
                    Machine::ServerInvite | Machine::ServerOther,
                    Phase::Trying | Phase::Proceeding,
                ) => Due::Expired,
                (Machine::ServerInvite, Phase::Completed) => Due::Unacknowledged,
                _ => Due::End,
            };
        }
        if self.repeat_at > now {
            return Due::Nothing;
        }
        let (next, due) = match (self.machine, self.phase) {
            // Timer A doubles without bound.
            (Machine::ClientInvite, Phase::Trying) => {
                (self.interval.saturating_mul(2), self.again())
            }
            // Timers E and G double up to T2; E is T2 once a provisional came.
            (Machine::ClientOther, Phase::Trying) | (Machine::ServerInvite, Phase::Completed) => {
                (self.interval.saturating_mul(2).min(t2), self.again())
            }
            (Machine::ClientOther, Phase::Proceeding) => (t2, self.again()),
            (Machine::ServerInvite | Machine::ServerOther, Phase::Trying) => (0, Due::Trying),
            _ => (0, Due::Nothing),
        };
        self.interval = next;
        self.repeat_at = if next == 0 {
            NEVER
        } else {
            now.saturating_add(next)
        };
        due
    }

    fn again(&self) -> Due {
        Due::Repeat(self.flow, self.bytes.clone())
    }
}
