//! What neighbours tell us in the subscriptions that we hold there (RFC 6665 4.1.3).

use super::line::Line;
use super::{Held, PAUSE, Pair, REFUSED, Upstream};
use crate::core::calls::Calls;
use crate::core::presence::Presence;
use crate::front::sip::event::dialog;
use crate::front::sip::shard::{Req, Shard};
use crate::front::sip::translate::read_pidf;
use sip::flow::Millis;
use sip::subscription::{Reason, Told};
use sip::{HeaderId, RawMessage};

/// What a body says.
enum News {
    Presence(Presence),
    Calls(Calls),
}

impl Upstream {
    fn read(&self, notify: &RawMessage) -> Option<News> {
        let kind = notify.content_type().ok().flatten()?;
        if !kind.is(self.takes()) {
            return None;
        }
        let body = notify.body();
        match self.line {
            // Whatever that system calls the line: the dialog says which one was asked for.
            Some(_) => Some(News::Calls(dialog::read(body).ok()?.0)),
            None => read_pidf(body).map(News::Presence),
        }
    }
}

impl Shard {
    /// A NOTIFY (RFC 6665 4.1.3): in a dialog of ours, or nobody's.
    pub(in crate::front::sip) fn upstream_told(&mut self, now: Millis, req: &Req) {
        let call_id = req.message.call_id().unwrap_or_default();
        let front = std::sync::Arc::clone(&self.front);
        let pair = self.upstreams.by_call.get(call_id).cloned();
        let Some((pair, upstream)) = pair.and_then(|pair| {
            let upstream = self.upstreams.all.get_mut(&pair)?;
            Some((pair, upstream))
        }) else {
            return self.respond(now, req, 481, |r| r);
        };
        let source = req.flow.peer.ip();
        let at_place = front
            .neighbours
            .routes
            .is_place_of(upstream.route.peer, source);
        let elsewhere = |line: &Line| !line.was_asked_at(source) && !at_place;
        if upstream.line.as_deref().is_some_and(elsewhere) {
            tracing::warn!(peer = %req.flow.peer, line = %pair.1, "a report on a line from elsewhere: 481");
            return self.respond(now, req, 481, |r| r);
        }
        let news = upstream.read(&req.message);
        let takes = upstream.takes();
        let Some(subscriber) = &mut upstream.subscriber else {
            return self.respond(now, req, 481, |r| r);
        };
        let told = subscriber.notified(now, &req.message);
        if upstream.state == Held::Live {
            // It may have shortened the lease.
            upstream.due = upstream.due.min(subscriber.refresh_at());
            let due = upstream.due;
            self.upstreams.next = Some(self.upstreams.next.map_or(due, |next| next.min(due)));
        }
        let body = req.message.body();
        let (status, ended) = match told {
            Told::Foreign => (481, None),
            Told::Stale => (500, None),
            Told::State if !body.is_empty() && news.is_none() => (415, None),
            Told::State => (200, None),
            Told::Ended { reason } => (200, Some(reason)),
        };
        let of = upstream.of.clone();
        let ending = upstream.state == Held::Ending;
        tracing::debug!(%of, by = %pair.1, ?told, octets = body.len(), "told by a neighbour");
        if status == 200
            && let Some(news) = news
            && !ending
        {
            upstream.offline = false;
            match news {
                News::Presence(presence) => self.upstream_show(&pair, &of, Some(presence)),
                News::Calls(calls) => self.line_told(now, &pair, calls),
            }
        }
        self.respond(now, req, status, |r| match status {
            415 => r.header(HeaderId::Accept, takes),
            _ => r,
        });
        if let Some(reason) = ended {
            self.upstream_ended(now, &pair, reason, &req.message);
        }
    }

    /// RFC 6665 4.1.3: what the last NOTIFY says about coming back.
    fn upstream_ended(
        &mut self,
        now: Millis,
        pair: &Pair,
        reason: Option<Reason>,
        notify: &RawMessage,
    ) {
        let Some(upstream) = self.upstreams.all.get(pair) else {
            return;
        };
        if upstream.state == Held::Ending {
            return self.let_go(pair);
        }
        let state = notify.subscription_state().ok().flatten();
        let after = state.and_then(|state| state.retry_after());
        let after = after.map(|seconds| u64::from(seconds) * 1000);
        tracing::info!(of = %upstream.of, by = %pair.1, ?reason, "watching has ended there");
        let pause = match reason {
            Some(Reason::Deactivated | Reason::Timeout) => 0,
            Some(Reason::Rejected | Reason::NoResource | Reason::Invariant) => REFUSED,
            Some(Reason::Probation | Reason::GiveUp) | None => after.unwrap_or(PAUSE),
        };
        // A server that ends each at once is not asked more often than any that fails.
        let young = now.saturating_sub(upstream.since) < PAUSE;
        let pause = if pause == 0 && young && upstream.pause > 0 {
            PAUSE
        } else {
            pause.max(1)
        };
        self.upstream_down(now, pair, pause.min(24 * 3_600_000));
        if pause > 1 {
            self.show_offline(pair);
        }
    }
}
