//! Typing between stacks that say it differently: some repeat a beat while it lasts (RVP: every
//! four seconds, `rvp.md` 5), others say once how long to believe it and when it ends (RFC 3994).
//! Whoever types is remembered here from the first notice until a message, a leave, the end of its
//! time or the notice that it is over. Live state only: nothing of it is ever stored.

use crate::core::conversation::Peer;
use crate::core::id::{PointId, Stack};
use crate::core::message::{Content, Message};
use crate::core::routing::{Attempt, Route, Try};
use crate::core::time::Time;
use crate::core::user::{Fx, User};
use std::sync::Arc;
use std::time::Duration;

/// How many people are remembered as typing to one person; the one longest silent gives way.
const TYPISTS: usize = 64;
/// A notice of a stack that beats is passed on again to one that does not after this long: a
/// receiver believes the first one for a minute (RFC 3994 3.3).
const REFRESH: Duration = Duration::from_secs(45);

/// Somebody who types to us on another stack than some of our points.
#[derive(Debug)]
pub(super) struct Typist {
    peer: Peer,
    /// The newest notice.
    message: Arc<Message>,
    /// When it is over without a further one.
    until: Time,
    /// When clients that want a beat get the next one.
    beat: Time,
    /// When clients without one were told last.
    told: Time,
}

impl Typist {
    /// When something about it is due.
    pub(super) fn due(&self) -> Time {
        self.until.min(self.beat)
    }
}

impl User {
    /// Remembers a notice; tells whether clients of a stack that is not the sender's, with that
    /// beat, are to be shown it now.
    pub(super) fn typist(&mut self, fx: &Fx<'_, '_>, message: &Arc<Message>) -> Showing {
        let now = fx.now();
        let peer = Peer::sender(message);
        let Content::Typing { active, valid } = message.content else {
            return Showing { refresh: true };
        };
        let known = self.typists.iter().position(|t| t.peer == peer);
        if !active {
            known.map(|at| self.typists.remove(at));
            return Showing { refresh: true };
        }
        let until = now.after(valid);
        let refresh = match known {
            Some(at) => {
                let typist = &mut self.typists[at];
                let refresh = now.since(typist.told) >= REFRESH;
                typist.message = Arc::clone(message);
                typist.until = until;
                if refresh {
                    typist.told = now;
                }
                refresh
            }
            None => {
                if self.typists.len() >= TYPISTS
                    && let Some(at) = (0..TYPISTS).min_by_key(|at| self.typists[*at].until)
                {
                    self.typists.remove(at);
                }
                self.typists.push(Typist {
                    peer,
                    message: Arc::clone(message),
                    until,
                    beat: until,
                    told: now,
                });
                true
            }
        };
        self.arm(until);
        Showing { refresh }
    }

    /// Clients of a stack with that beat were shown the notice: the next beat is due.
    pub(super) fn beat(&mut self, fx: &Fx<'_, '_>, message: &Message, beat: Duration) {
        let (peer, next) = (Peer::sender(message), fx.now().after(beat));
        if let Some(typist) = self.typists.iter_mut().find(|t| t.peer == peer) {
            typist.beat = typist.beat.min(next);
            self.arm(next);
        }
    }

    /// A message or a leave ends typing: receivers know that by themselves (RFC 3994 3.2).
    pub(super) fn typed(&mut self, peer: &Peer) {
        self.typists.retain(|typist| typist.peer != *peer);
    }

    /// Beats that are due, and the end of what nobody has said to go on.
    pub(super) fn expire_typists(&mut self, fx: &mut Fx<'_, '_>) {
        let now = fx.now();
        let mut typists = std::mem::take(&mut self.typists);
        typists.retain_mut(|typist| {
            let over = typist.until <= now;
            if !over && typist.beat > now {
                return true;
            }
            let mut next = typist.until;
            for (point, stack) in self.strangers(fx, &typist.message) {
                let beat = fx.typing_beat(stack);
                match beat {
                    // What beats has no word for the end: it just stops.
                    Some(beat) if !over => next = next.min(now.after(beat)),
                    None if over => {}
                    _ => continue,
                }
                let again = again(fx, &typist.message, !over);
                let inbox = self.inbox(point);
                self.emit_attempt(fx, &again, (point, &inbox), (false, false));
            }
            typist.beat = next;
            !over
        });
        self.typists = typists;
    }

    /// One live point for each inbox on another stack than the message's that is shown it.
    fn strangers(&self, fx: &Fx<'_, '_>, message: &Message) -> Vec<(PointId, Stack)> {
        let Route::To(attempts) = self.route(fx, message) else {
            return Vec::new();
        };
        let shown = |a: &Attempt| a.stack != message.original.stack && a.state != Try::Reserve;
        let live = |a: Attempt| {
            let (point, live) = self.point_for(a.stack, &a.inbox)?;
            live.then_some((point, a.stack))
        };
        attempts
            .into_iter()
            .filter(shown)
            .filter_map(live)
            .collect()
    }

    fn inbox(&self, point: PointId) -> Arc<str> {
        self.point(point)
            .map_or_else(|| "".into(), |point| Arc::clone(&point.record.spec.inbox))
    }
}

/// What [`User::typist`] found.
pub(super) struct Showing {
    /// Also for clients that were told before how long to believe it.
    pub(super) refresh: bool,
}

/// The same notice once more: a message of its own, so that no client takes it for a repetition.
fn again(fx: &mut Fx<'_, '_>, message: &Message, active: bool) -> Arc<Message> {
    let mut again = message.clone();
    again.id = fx.message_id();
    again.at = fx.now();
    if let Content::Typing { active: state, .. } = &mut again.content {
        *state = active;
    }
    Arc::new(again)
}
