//! Presence of people at neighbours, as each watcher here may see it.
//!
//! Who may see what is for the other domain to say, so every watcher has a subscription of his own
//! there (RFC 6665 4.1), made in his name; what it tells is shown to him alone
//! ([`Command::ShowTo`]). Each belongs to the shard that its Call-ID leads to. Once per
//! `peer_check` one subscription at each server is refreshed: that is how we notice that a server
//! is gone (its people are shown offline) or has forgotten us (subscribed anew). Telephone lines are
//! watched the same way, see `line`.

mod line;
mod told;

use super::errand::{Draft, Ending, bare};
use super::outbox::uri_of;
use super::upkeep::internal;
use super::{Fault, Purpose, Route};
use crate::core::address::Address;
use crate::core::command::{Command, Reply};
use crate::core::id::PersonId;
use crate::core::presence::{Presence, State};
use crate::front::sip::front::Front;
use crate::front::sip::shard::{Pending, Shard};
use crate::front::sip::translate::PIDF;
use crate::hub::{Answer, ReplyTo};
use bytes::Bytes;
use line::{LINE, Line, Owed};
use sip::body::dialog_info::CONTENT_TYPE as DIALOG_INFO;
use sip::dialog::Stamp;
use sip::flow::{Flow, Millis};
use sip::subscription::{EventId, Next, Subscriber};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Lease asked for, in seconds.
const LEASE: u32 = 3600;
/// Longest pause between two attempts at a server that fails.
const PAUSE: Millis = 60_000;
/// Pause after a refusal: who said no is asked again in a while.
const REFUSED: Millis = 600_000;
/// Pause where too many requests are under way at a server.
const CROWD: Millis = 200;
/// How long the end of a subscription is waited for.
const ENDING: Millis = 32_000;
/// Looks at servers between two looks at whether anybody still watches.
const LOOKS: u32 = 4;
/// Subscriptions held at all neighbours together.
const MOST: usize = 50_000;
/// Refreshes and attempts that start together on one turn.
const TOGETHER: usize = 64;

/// Somebody here watches somebody there.
#[derive(Clone, Debug)]
pub(in super::super) struct Order {
    pub(in super::super) of: Address,
    pub(in super::super) person: PersonId,
    pub(in super::super) by: Address,
    /// A telephone line by its name instead: `of` is its owner, `by` the line itself.
    pub(in super::super) line: Option<String>,
}

/// The stand-in, and who watches it; for a telephone line [`LINE`] and the line.
pub(in super::super) type Pair = (PersonId, Address);

/// One watcher's subscription.
pub(in super::super) struct Upstream {
    of: Address,
    route: Arc<Route>,
    call_id: String,
    subscriber: Option<Subscriber>,
    state: Held,
    /// When something is due: refresh, next attempt, end of waiting.
    due: Millis,
    pause: Millis,
    /// Shown offline because of the server, not of what it said.
    offline: bool,
    since: Millis,
    expires: u32,
    line: Option<Box<Line>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Asked, not answered yet.
    Asked,
    /// Subscribed.
    Live,
    /// To be tried again.
    Down,
    /// We want no more.
    Ending,
}

/// All of one shard.
#[derive(Default)]
pub(in super::super) struct Upstreams {
    all: BTreeMap<Pair, Upstream>,
    by_call: HashMap<String, Pair>,
    /// Failures in a row, by server.
    failing: HashMap<Arc<str>, u32>,
    /// Nothing is due before that; a lower bound of what is in `all`.
    next: Option<Millis>,
    /// When servers are looked at next.
    check: Option<Millis>,
    looks: u32,
}

impl Upstreams {
    /// When something is due at the earliest.
    pub(in super::super) fn due(&self) -> Option<Millis> {
        self.next.into_iter().chain(self.check).min()
    }

    fn set(&mut self, pair: &Pair, state: Held, due: Millis) {
        if let Some(upstream) = self.all.get_mut(pair) {
            upstream.state = state;
            upstream.due = due;
            self.wake(due);
        }
    }

    fn wake(&mut self, at: Millis) {
        if at != Millis::MAX {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    /// What is due, some of it; moves the bound.
    fn take_due(&mut self, now: Millis) -> Vec<(Pair, Held)> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let all = self.all.iter();
        let due: Vec<(Pair, Held)> = all
            .filter(|(_, upstream)| upstream.due <= now)
            .map(|(pair, upstream)| (pair.clone(), upstream.state))
            .take(TOGETHER)
            .collect();
        let rest = self.all.values().map(|upstream| upstream.due);
        let rest = rest.filter(|at| *at > now && *at != Millis::MAX).min();
        // More than go together: the others come with the next turn.
        self.next = if due.len() < TOGETHER {
            rest
        } else {
            Some(now)
        };
        due
    }
}

impl Shard {
    /// Somebody watches.
    pub(in super::super) fn upstream_order(&mut self, now: Millis, order: Order) {
        let pair = (order.person, order.by);
        let known = self.upstreams.all.get(&pair);
        if known.is_some_and(|known| known.state != Held::Ending) {
            return;
        }
        let front = Arc::clone(&self.front);
        let routes = &front.neighbours.routes;
        let route = match &order.line {
            Some(_) => routes.line_server(),
            None => routes.of(order.of.domain()),
        };
        let Some(route) = route else { return };
        if self.upstreams.all.len() >= MOST / front.inboxes().len().max(1) {
            tracing::warn!(of = %order.of, by = %pair.1, "too many people at neighbours are watched");
            return;
        }
        let upstream = Upstream {
            of: order.of,
            route: Arc::new(route),
            call_id: String::new(),
            subscriber: None,
            state: Held::Down,
            due: now,
            pause: 0,
            offline: false,
            since: now,
            expires: LEASE,
            line: order.line.map(|name| Box::new(Line::new(name))),
        };
        if let Some(old) = self.upstreams.all.insert(pair.clone(), upstream) {
            self.upstreams.by_call.remove(&old.call_id);
        }
        if self.upstreams.check.is_none() {
            self.upstreams.check = Some(now + millis(front.neighbours.check));
        }
        self.subscribe_anew(now, &pair);
    }

    /// Asks for a fresh subscription.
    fn subscribe_anew(&mut self, now: Millis, pair: &Pair) {
        let call_id = self.own_call_id();
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        self.upstreams.by_call.remove(&upstream.call_id);
        self.upstreams.by_call.insert(call_id.clone(), pair.clone());
        upstream.call_id = call_id;
        upstream.subscriber = None;
        if let Some(line) = &mut upstream.line {
            line.forget();
        }
        self.upstream_ask(now, pair);
    }

    /// Sends the next SUBSCRIBE: the first, a refresh or the end.
    fn upstream_ask(&mut self, now: Millis, pair: &Pair) {
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        if upstream.state != Held::Ending {
            upstream.state = Held::Asked;
        }
        // Until it is answered; an errand always is.
        upstream.due = Millis::MAX;
        let route = Arc::clone(&upstream.route);
        let draft = Draft {
            purpose: Purpose::Subscribe(pair.clone()),
            method: "SUBSCRIBE",
            speaker: Some(pair.1.clone()),
            request: None,
            target: None,
        };
        self.errand(now, &route, draft);
    }

    /// A Call-ID that leads to this shard.
    fn own_call_id(&self) -> String {
        let domain = self.front.places.default_domain();
        loop {
            let call_id = format!("{}{}@{domain}", super::own_id(), super::own_id());
            let inbox = self.front.inbox_of(call_id.as_bytes());
            if inbox.is_none_or(|inbox| Arc::ptr_eq(inbox, &self.inbox)) {
                return call_id;
            }
        }
    }

    /// Writes the SUBSCRIBE that is due, without Via.
    pub(super) fn write_subscribe(
        &mut self,
        pair: &Pair,
        flow: Flow,
        proof: Option<(&str, &str)>,
    ) -> Option<Bytes> {
        let contact = self.contact(flow);
        let front = Arc::clone(&self.front);
        let upstream = self.upstreams.all.get_mut(pair)?;
        let (package, target, local) = match &mut upstream.line {
            Some(line) => {
                line.asked_at(flow.peer.ip());
                let ends = front.neighbours.routes.line_ends(line.name())?;
                ("dialog", ends.0, ends.1)
            }
            None => ("presence", uri_of(&upstream.of), uri_of(&pair.1)),
        };
        let takes = upstream.takes();
        let expires = if upstream.state == Held::Ending {
            0
        } else {
            upstream.expires
        };
        let call_id = &upstream.call_id;
        let subscriber = upstream.subscriber.get_or_insert_with(|| {
            Subscriber::new(
                EventId {
                    package: package.into(),
                    id: None,
                },
                &target,
                &format!("<{local}>"),
                &contact,
                takes,
                call_id,
                &super::own_id(),
            )
        });
        let stamp = Stamp {
            via: "SIP/2.0/UDP x",
            branch: "z9hG4bKx",
        };
        Some(bare(&subscriber.subscribe(expires, stamp, proof)))
    }

    /// The answer to a SUBSCRIBE of ours.
    pub(super) fn upstream_answered(&mut self, now: Millis, pair: &Pair, ending: Ending) {
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        let key = Arc::clone(&upstream.route.key);
        if upstream.state == Held::Ending {
            // What is still told is taken for a while.
            return self.upstreams.set(pair, Held::Ending, now + ENDING);
        }
        let answer = match ending {
            Ok((_, answer)) => answer,
            Err(fault) => return self.upstream_failed(now, pair, fault),
        };
        self.server_answers(now, &key);
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        let Some(subscriber) = &mut upstream.subscriber else {
            return;
        };
        let status = answer.status().unwrap_or_default();
        match subscriber.answered(now, &answer) {
            Next::Wait => {
                upstream.pause = 0;
                let due = subscriber.refresh_at();
                tracing::debug!(of = %upstream.of, by = %pair.1, peer = %key, "watching");
                self.upstreams.set(pair, Held::Live, due);
                self.line_owes(pair, Owed::Lease);
            }
            Next::Longer(seconds) if seconds <= 24 * 3600 => {
                upstream.expires = seconds;
                self.subscribe_anew(now, pair);
            }
            Next::Anew => self.subscribe_anew(now, pair),
            Next::Challenge | Next::Longer(_) | Next::Over => {
                tracing::info!(of = %upstream.of, by = %pair.1, peer = %key, status, "can't watch");
                // Its own trouble passes; a refusal is a word.
                let passes = matches!(status, 480 | 486 | 500..=599);
                let pause = if passes { self.longer(pair) } else { REFUSED };
                self.upstream_down(now, pair, pause);
                self.show_offline(pair);
            }
        }
    }

    fn upstream_failed(&mut self, now: Millis, pair: &Pair, fault: Fault) {
        match fault {
            // Its turn comes; that says nothing about anybody.
            Fault::Full => return self.upstreams.set(pair, Held::Down, now + CROWD),
            Fault::Denied | Fault::TooLarge | Fault::Unwritable => {
                self.upstream_down(now, pair, REFUSED);
                return self.show_offline(pair);
            }
            Fault::Nowhere | Fault::Unknown | Fault::Late | Fault::Connect | Fault::Resting => {}
        }
        let least = millis(self.front.neighbours.check);
        let pause = self.longer(pair);
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        let key = Arc::clone(&upstream.route.key);
        let first = upstream
            .subscriber
            .as_ref()
            .is_none_or(|s| s.refresh_count() == 0);
        let failures = self.upstreams.failing.entry(Arc::clone(&key)).or_default();
        *failures += if fault == Fault::Late { 1 } else { 2 };
        let dead = *failures >= 2;
        if first || dead {
            self.upstream_down(now, pair, pause);
        } else {
            // One silent refresh is no death yet: the next look tells.
            self.upstreams.set(pair, Held::Live, now + least);
        }
        if dead {
            self.server_dead(now, &key, fault);
        }
    }

    /// The next pause of one that fails: twice the last.
    fn longer(&self, pair: &Pair) -> Millis {
        let least = millis(self.front.neighbours.check);
        let last = self.upstreams.all.get(pair).map_or(0, |known| known.pause);
        (last * 2).clamp(least.min(PAUSE), PAUSE)
    }

    fn upstream_down(&mut self, now: Millis, pair: &Pair, pause: Millis) {
        if let Some(upstream) = self.upstreams.all.get_mut(pair) {
            upstream.pause = pause;
            upstream.subscriber = None;
            self.upstreams.set(pair, Held::Down, now + pause);
        }
    }

    /// A server is gone: nobody knows how its people are.
    fn server_dead(&mut self, now: Millis, key: &Arc<str>, fault: Fault) {
        let check = millis(self.front.neighbours.check);
        let there = |upstream: &Upstream| upstream.route.key == *key;
        let all = self.upstreams.all.iter();
        let lost: Vec<Pair> = all
            .filter(|(_, upstream)| there(upstream) && upstream.state != Held::Ending)
            .map(|(pair, _)| pair.clone())
            .collect();
        let mut count = 0;
        for pair in lost {
            let live = self.upstreams.all.get(&pair);
            if live.is_some_and(|upstream| upstream.state == Held::Live) {
                self.upstream_down(now, &pair, check);
                count += 1;
            }
            self.show_offline(&pair);
        }
        if count > 0 {
            tracing::warn!(peer = %key, count, cause = %fault, "neighbour is gone: its people are shown offline");
        }
    }

    /// A server answers: what waits for it is due now.
    fn server_answers(&mut self, now: Millis, key: &Arc<str>) {
        if self.upstreams.failing.remove(key).is_none() {
            return;
        }
        for upstream in self.upstreams.all.values_mut() {
            if upstream.route.key == *key && upstream.state == Held::Down {
                upstream.due = upstream.due.min(now);
            }
        }
        self.upstreams.wake(now);
    }

    fn show_offline(&mut self, pair: &Pair) {
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        if std::mem::replace(&mut upstream.offline, true) {
            return;
        }
        if let Some(line) = &mut upstream.line {
            line.hang_up();
            self.line_owes(pair, Owed::Calls);
        } else {
            let of = upstream.of.clone();
            self.upstream_show(pair, &of, Some(Presence::of(State::Offline)));
        }
    }

    fn upstream_show(&self, pair: &Pair, of: &Address, presence: Option<Presence>) {
        let command = Command::ShowTo {
            watcher: pair.1.clone(),
            presence,
        };
        self.front
            .hub
            .send(pair.0, internal(of), command, ReplyTo::Nobody);
    }

    fn let_go(&mut self, pair: &Pair) {
        if let Some(upstream) = self.upstreams.all.remove(pair) {
            self.upstreams.by_call.remove(&upstream.call_id);
            self.upstream_show(pair, &upstream.of, None);
        }
        if self.upstreams.all.is_empty() {
            self.upstreams.check = None;
            self.upstreams.failing.clear();
        }
    }

    /// Does what is due.
    pub(in super::super) fn upstreams_due(&mut self, now: Millis) {
        if self.upstreams.check.is_some_and(|at| at <= now) {
            self.upstreams.check = Some(now + millis(self.front.neighbours.check));
            self.look_at_servers(now);
        }
        let due = self.upstreams.take_due(now);
        for (pair, state) in due {
            match state {
                Held::Live => self.upstream_ask(now, &pair),
                Held::Down => self.attempt(now, &pair),
                Held::Ending => self.let_go(&pair),
                Held::Asked => {}
            }
        }
    }

    /// Once more: a refresh where the dialog still stands, else anew.
    fn attempt(&mut self, now: Millis, pair: &Pair) {
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        upstream.since = now;
        if upstream.subscriber.is_some() {
            self.upstream_ask(now, pair);
        } else {
            self.subscribe_anew(now, pair);
        }
    }

    /// One subscription at each server is refreshed; now and then all watchers are counted.
    fn look_at_servers(&mut self, now: Millis) {
        let mut seen: HashSet<Arc<str>> = HashSet::new();
        for upstream in self.upstreams.all.values_mut() {
            if upstream.state == Held::Live && seen.insert(Arc::clone(&upstream.route.key)) {
                upstream.due = now;
            }
        }
        self.upstreams.wake(now);
        self.upstreams.looks += 1;
        if self.upstreams.looks < LOOKS {
            return;
        }
        self.upstreams.looks = 0;
        let old = |upstream: &Upstream| now.saturating_sub(upstream.since) > 1_000;
        let all = self.upstreams.all.iter();
        let pairs: Vec<Pair> = all
            .filter(|(_, upstream)| upstream.state != Held::Ending && old(upstream))
            // A line is asked for as long as it is configured.
            .filter(|(pair, _)| pair.0 != LINE)
            .map(|(pair, _)| pair.clone())
            .collect();
        for pair in pairs {
            self.upstream_look(&pair);
        }
    }

    /// Asks whether somebody still watches.
    pub(in super::super) fn upstream_look(&mut self, pair: &Pair) {
        let Some(upstream) = self.upstreams.all.get(pair) else {
            return;
        };
        let caller = internal(&upstream.of);
        let reply = self.wait(Pending::Watched(pair.clone()));
        self.front
            .hub
            .send(pair.0, caller, Command::Standing, reply);
    }

    /// The answer to that.
    pub(in super::super) fn upstream_looked(&mut self, now: Millis, pair: &Pair, answer: Answer) {
        let Ok(Reply::Standing(standing)) = answer else {
            return;
        };
        if standing.watches.iter().any(|watch| watch.watcher == pair.1) {
            return;
        }
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        match upstream.state {
            Held::Live => {
                upstream.state = Held::Ending;
                self.upstream_ask(now, pair);
            }
            Held::Down => self.let_go(pair),
            // The next look finds it answered.
            Held::Asked | Held::Ending => {}
        }
    }
}

impl Upstream {
    /// The type of body that is asked for.
    fn takes(&self) -> &'static str {
        match self.line {
            Some(_) => DIALOG_INFO,
            None => PIDF,
        }
    }
}

impl Front {
    /// The shard that keeps what somebody here watches there.
    pub(in super::super) fn keeper(
        &self,
        person: PersonId,
        by: &Address,
    ) -> Option<&Arc<crate::front::sip::inbox::Inbox>> {
        self.inbox_of(format!("{:x} {by}", person.0).as_bytes())
    }
}

fn millis(span: Duration) -> Millis {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
