//! What becomes of a delivery: outcomes, the sender's answer, keeping, trying on and giving up
//! (`decisions.md` 18, 19).

use crate::core::command::{Fate, Outcome};
use crate::core::conversation::Peer;
use crate::core::delivery::{Delivery, Phase, sent};
use crate::core::effect::Why;
use crate::core::error::Error;
use crate::core::event::Event;
use crate::core::id::{MessageId, PointId};
use crate::core::message::{Ack, Content, Message, ReceiptFate};
use crate::core::port::{KeptRecord, Stay, Write};
use crate::core::receipts::{receipt, receipt_delivered};
use crate::core::routing::{Attempt, Route, Try, verdict_of};
use crate::core::trace::Step;
use crate::core::user::{Fx, User};
use std::sync::Arc;

impl User {
    /// Executes [`Command::Outcome`].
    pub(super) fn outcome(
        &mut self,
        fx: &mut Fx<'_, '_>,
        message: MessageId,
        point: PointId,
        outcome: Outcome,
    ) {
        self.record_outcome(fx, message, point, outcome);
        match outcome {
            Outcome::Delivered | Outcome::Refused(_) | Outcome::HasLeft => {
                self.point_answered(fx, point);
            }
            Outcome::Failed | Outcome::Unreached => self.point_failed(fx, point, Some(outcome)),
            Outcome::Gone => self.end_point(fx, point, Why::Gone),
            Outcome::QueueFull => {}
        }
    }

    fn record_outcome(
        &mut self,
        fx: &mut Fx<'_, '_>,
        message: MessageId,
        point: PointId,
        outcome: Outcome,
    ) {
        let retry = fx.now().after(fx.rules().retry);
        let Some(at) = self.delivery_at(message) else {
            return;
        };
        let delivery = &mut self.deliveries[at];
        let phase = delivery.phase;
        let open = |a: &&mut Attempt| a.point == point && a.state == Try::Open;
        let Some(attempt) = delivery.attempts.iter_mut().find(open) else {
            return;
        };
        attempt.state = match outcome {
            Outcome::Unreached | Outcome::QueueFull if phase == Phase::Kept => Try::Retry(retry),
            other => Try::Over(other),
        };
        fx.trace(
            message,
            match outcome {
                Outcome::Delivered => Step::Delivered(point),
                failed => Step::AttemptFailed(point, failed),
            },
        );
        self.note_hearing(fx, at, point, outcome);
        let delivery = &self.deliveries[at];
        let more = delivery.attempts.iter().any(|a| !a.over());
        if outcome == Outcome::Delivered {
            receipt_delivered(fx, &self.deliveries[at]);
        }
        if outcome == Outcome::Delivered && phase == Phase::Kept && more {
            // Who has it must not get it again after a restart.
            let record = self.kept_record(at);
            fx.store(Write::PutKept(record));
        }
        self.arm(retry);
        self.resolve(fx, message);
    }

    /// What an outcome says of the conversation and of the devices.
    fn note_hearing(&mut self, fx: &mut Fx<'_, '_>, at: usize, point: PointId, outcome: Outcome) {
        let delivery = &self.deliveries[at];
        let peer = Peer::sender(&delivery.message);
        match outcome {
            Outcome::Delivered => {
                let device = |a: &&Attempt| a.point == point && !a.lonely(&delivery.attempts);
                let failed = delivery.attempts.iter().find(device).and_then(|taken| {
                    let mut all = delivery.attempts.iter();
                    all.find(|a| a.device == taken.device && a.unanswered())
                });
                let failed = failed.map(|failed| failed.point);
                self.heard(&peer, point);
                if let Some(failed) = failed {
                    self.answered_alone(fx, point, failed);
                }
            }
            Outcome::HasLeft => self.unheard(&peer, point),
            _ => {}
        }
    }

    /// Looks whether a delivery is decided, answers, and forgets it when nothing is open.
    pub(super) fn resolve(&mut self, fx: &mut Fx<'_, '_>, message: MessageId) {
        let Some(at) = self.delivery_at(message) else {
            return;
        };
        self.fall_back(fx, at, false);
        let delivery = &self.deliveries[at];
        let over = delivery.attempts.iter().all(Attempt::over);
        let some = delivery.attempts.iter().any(Attempt::delivered);
        let success = match delivery.message.ack {
            Ack::All => over && some && delivery.everywhere(),
            Ack::Any | Ack::Hop => some,
        };
        // A restored text without any point waits for one until its time is up.
        let failure = over && !success && !delivery.attempts.is_empty();
        let phase = delivery.phase;
        match phase {
            Phase::Awaiting(_) if success => self.answer(fx, at, &Ok(Fate::Delivered)),
            Phase::Awaiting(_) | Phase::Kept if failure && self.waits_on(fx, at) => return,
            Phase::Awaiting(_) if failure => {
                let error = verdict_of(&self.deliveries[at].attempts);
                self.answer(fx, at, &Err(error));
            }
            Phase::Kept if success => self.drop_kept(fx, at),
            Phase::Kept if failure => self.fail_kept(fx, at),
            _ => {}
        }
        let delivery = &self.deliveries[at];
        if over && delivery.phase == Phase::Told {
            self.deliveries.remove(at);
        }
    }

    /// Tells everybody who waits.
    fn answer(&mut self, fx: &mut Fx<'_, '_>, at: usize, result: &Result<Fate, Error>) {
        let delivery = &mut self.deliveries[at];
        delivery.phase = Phase::Told;
        let (message, conversation) = (delivery.message.id, delivery.message.conversation);
        for tag in delivery.tags.drain(..) {
            let reply = result.clone().map(|fate| sent(message, conversation, fate));
            fx.reply(tag, reply);
        }
        if let Err(error) = result {
            fx.trace(message, Step::Failed(error.clone()));
        }
        self.seen_result(message, result.clone());
    }

    /// Stores the message and tells the sender that it is kept (`decisions.md` 18).
    pub(super) fn keep(&mut self, fx: &mut Fx<'_, '_>, at: usize) {
        let retry = fx.now().after(fx.rules().retry);
        fx.store(Write::PutKept(self.kept_record(at)));
        self.answer(fx, at, &Ok(Fate::Kept));
        let delivery = &mut self.deliveries[at];
        delivery.phase = Phase::Kept;
        for attempt in &mut delivery.attempts {
            if let Try::Over(Outcome::Unreached | Outcome::QueueFull) = attempt.state {
                attempt.state = Try::Retry(retry);
            }
        }
        let (message, until) = (Arc::clone(&delivery.message), delivery.until);
        // Whoever has not answered by now may be slow or gone.
        self.fall_back(fx, at, true);
        fx.trace(message.id, Step::Kept);
        receipt(fx, &message, ReceiptFate::Kept);
        self.arm(retry.min(until));
    }

    fn kept_record(&self, at: usize) -> KeptRecord {
        let delivery = &self.deliveries[at];
        let delivered = delivery.attempts.iter().filter(|a| a.delivered());
        KeptRecord {
            person: self.person(),
            message: Arc::clone(&delivery.message),
            until: delivery.away.unwrap_or(delivery.until),
            delivered: delivered.map(|a| a.point).collect(),
            stay: match delivery.away {
                Some(_) => Stay::Leaving,
                None => Stay::Passing,
            },
        }
    }

    fn drop_kept(&mut self, fx: &mut Fx<'_, '_>, at: usize) {
        let delivery = &mut self.deliveries[at];
        delivery.phase = Phase::Told;
        let (id, was_away) = (delivery.message.id, delivery.away.is_some());
        fx.store(Write::DeleteKept(self.person(), id));
        if was_away {
            self.drain(fx);
        }
    }

    /// A kept message can't be delivered after all: the sender, who was told success, is told.
    fn fail_kept(&mut self, fx: &mut Fx<'_, '_>, at: usize) {
        let error = verdict_of(&self.deliveries[at].attempts);
        let message = Arc::clone(&self.deliveries[at].message);
        self.drop_kept(fx, at);
        self.tell_failed(fx, &message, error);
    }

    /// A point came (back): what waits for it goes to it, in the order it came.
    pub(super) fn knock(&mut self, fx: &mut Fx<'_, '_>) {
        self.reopen(fx);
        self.drain(fx);
    }

    fn reopen(&mut self, fx: &mut Fx<'_, '_>) {
        if self.deliveries.is_empty() {
            return;
        }
        let mut deliveries = std::mem::take(&mut self.deliveries);
        for delivery in &mut deliveries {
            if delivery.phase == Phase::Kept {
                self.widen(fx, delivery);
            }
            self.open_waiting(fx, delivery);
        }
        self.deliveries = deliveries;
        for at in 0..self.deliveries.len() {
            self.fall_back(fx, at, false);
        }
    }

    /// A kept text that nobody has yet also goes to inboxes that came later.
    fn widen(&self, fx: &Fx<'_, '_>, delivery: &mut Delivery) {
        let Route::To(found) = self.route(fx, &delivery.message) else {
            return;
        };
        for new in found {
            let same = |a: &&mut Attempt| a.stack == new.stack && a.inbox == new.inbox;
            match delivery.attempts.iter_mut().find(same) {
                None => delivery.attempts.push(new),
                Some(old) => {
                    let again = Outcome::Unreached;
                    let lost = [again, Outcome::QueueFull, Outcome::Gone].map(Try::Over);
                    if matches!(old.state, Try::Retry(_)) || lost.contains(&old.state) {
                        old.state = Try::Waiting;
                    }
                }
            }
        }
    }

    /// A point went or is doubted: what waited for it goes to its inbox's next point, or fails.
    pub(super) fn point_lost(&mut self, fx: &mut Fx<'_, '_>, id: PointId) {
        if self.deliveries.is_empty() {
            return;
        }
        let mut deliveries = std::mem::take(&mut self.deliveries);
        let mut touched = Vec::new();
        for delivery in &mut deliveries {
            let mut changed = false;
            for attempt in &mut delivery.attempts {
                if attempt.point != id || !matches!(attempt.state, Try::Waiting | Try::Retry(_)) {
                    continue;
                }
                changed = true;
                attempt.state = match self.point_for(attempt.stack, &attempt.inbox) {
                    Some(_) => Try::Waiting,
                    None => Try::Over(Outcome::Gone),
                };
            }
            if changed {
                self.open_waiting(fx, delivery);
                touched.push(delivery.message.id);
            }
        }
        self.deliveries = deliveries;
        for message in touched {
            self.resolve(fx, message);
        }
    }

    /// Answers that are due, retries, and the end of trying.
    pub(super) fn expire_deliveries(&mut self, fx: &mut Fx<'_, '_>) {
        let now = fx.now();
        let due = |d: &Delivery| d.due().is_some_and(|due| due <= now);
        let ids: Vec<_> = self
            .deliveries
            .iter()
            .filter(|d| due(d))
            .map(|d| d.message.id)
            .collect();
        for id in ids {
            let Some(at) = self.delivery_at(id) else {
                continue;
            };
            if let Phase::Awaiting(answer_at) = self.deliveries[at].phase
                && now >= answer_at
            {
                self.keep(fx, at);
            }
            if now >= self.deliveries[at].until {
                self.give_up(fx, at);
            } else {
                self.retry(fx, at);
            }
        }
    }

    fn retry(&mut self, fx: &mut Fx<'_, '_>, at: usize) {
        let now = fx.now();
        let mut delivery = self.deliveries[at].clone();
        for attempt in &mut delivery.attempts {
            if matches!(attempt.state, Try::Retry(then) if now >= then) {
                attempt.state = match self.point_for(attempt.stack, &attempt.inbox) {
                    Some(_) => Try::Waiting,
                    None => Try::Over(Outcome::Unreached),
                };
            }
        }
        self.open_waiting(fx, &mut delivery);
        let id = delivery.message.id;
        self.deliveries[at] = delivery;
        self.resolve(fx, id);
    }

    fn give_up(&mut self, fx: &mut Fx<'_, '_>, at: usize) {
        let delivery = &mut self.deliveries[at];
        let id = delivery.message.id;
        for attempt in &mut delivery.attempts {
            if attempt.state == Try::Open {
                fx.emit(
                    attempt.stack,
                    Event::Cancel {
                        point: attempt.point,
                        message: id,
                    },
                );
            }
            attempt.state = match attempt.state {
                Try::Open => Try::Over(Outcome::Failed),
                Try::Waiting | Try::Retry(_) | Try::Reserve => Try::Over(Outcome::Unreached),
                over @ (Try::Over(_) | Try::Spared) => over,
            };
        }
        let nowhere = delivery.attempts.is_empty() && delivery.phase == Phase::Kept;
        if nowhere && !self.waits_on(fx, at) {
            self.fail_kept(fx, at);
        }
        self.resolve(fx, id);
    }

    pub(super) fn delivery_at(&self, message: MessageId) -> Option<usize> {
        self.deliveries.iter().position(|d| d.message.id == message)
    }

    /// The delivery ends before anything of it was let out. If storage took so long that the sender
    /// was told success meanwhile, he is told by a text.
    pub(super) fn refuse(&mut self, fx: &mut Fx<'_, '_>, at: usize, error: &Error) {
        if self.deliveries[at].phase == Phase::Kept {
            self.fail_kept(fx, at);
        } else {
            self.answer(fx, at, &Err(error.clone()));
        }
        self.deliveries.remove(at);
    }

    /// Everything under way fails: the account is gone.
    pub(super) fn abandon_deliveries(&mut self, fx: &mut Fx<'_, '_>) {
        for at in 0..self.deliveries.len() {
            self.answer(fx, at, &Err(Error::UnknownUser));
        }
        self.deliveries.clear();
    }
}

/// The text that tells a sender of a late failure, in the same conversation (`decisions.md` 18).
pub(super) fn failure_notice(failed: &Message) -> String {
    let excerpt: String = match &failed.content {
        Content::Text(text) => text.body.chars().take(80).collect(),
        _ => String::new(),
    };
    format!(
        "Your message to {} could not be delivered: {excerpt}",
        failed.to
    )
}
