//! What neighbours tell us in the subscriptions that we hold there (RFC 6665 4.1.3).

use super::{Held, PAUSE, Pair, REFUSED};
use crate::front::sip::shard::{Req, Shard};
use crate::front::sip::translate::{PIDF, read_pidf};
use sip::flow::Millis;
use sip::subscription::{Reason, Told};
use sip::{HeaderId, RawMessage};

impl Shard {
    /// A NOTIFY (RFC 6665 4.1.3): in a dialog of ours, or nobody's.
    pub(in crate::front::sip) fn upstream_told(&mut self, now: Millis, req: &Req) {
        let call_id = req.message.call_id().unwrap_or_default();
        let pair = self.upstreams.by_call.get(call_id).cloned();
        let Some((pair, upstream)) = pair.and_then(|pair| {
            let upstream = self.upstreams.all.get_mut(&pair)?;
            Some((pair, upstream))
        }) else {
            return self.respond(now, req, 481, |r| r);
        };
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
        let kind = req.message.content_type().ok().flatten();
        let pidf = kind.is_some_and(|kind| kind.is(PIDF));
        let body = req.message.body();
        let presence = pidf.then(|| read_pidf(body)).flatten();
        let (status, ended) = match told {
            Told::Foreign => (481, None),
            Told::Stale => (500, None),
            Told::State if !body.is_empty() && presence.is_none() => (415, None),
            Told::State => (200, None),
            Told::Ended { reason } => (200, Some(reason)),
        };
        let of = upstream.of.clone();
        let ending = upstream.state == Held::Ending;
        let state = presence.as_ref().map(|presence| presence.state);
        tracing::debug!(%of, by = %pair.1, ?told, ?state, octets = body.len(), "told by a neighbour");
        if status == 200
            && let Some(presence) = presence
            && !ending
        {
            upstream.offline = false;
            self.upstream_show(&pair, &of, Some(presence));
        }
        self.respond(now, req, status, |r| match status {
            415 => r.header(HeaderId::Accept, PIDF),
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
