//! Requests of others: texts, typing, notifications, OPTIONS.

use super::Event;
use super::agent::Ua;
use super::body::{COMPOSING, PIDF, Status, TEXT, is_composing};
use super::outgoing::bare;
use crate::flow::Millis;
use crate::raw::{HeaderId, RawMessage};
use crate::scan::text;
use crate::subscription::Told;
use crate::transaction::{self, Retention, TxId};
use crate::write::Head;

/// What we can show.
pub(super) const ACCEPT: &str = "text/plain, application/im-iscomposing+xml, application/pidf+xml";
const ALLOW: &str = "MESSAGE, NOTIFY, OPTIONS";

impl Ua {
    pub(super) fn request_event(&mut self, now: Millis, event: transaction::Event<RawMessage>) {
        match event {
            transaction::Event::Request { tx, message, .. } => self.asked(now, tx, &message),
            transaction::Event::Cancel { tx, message, .. } => {
                self.answer(now, tx, &message, 481, "Call/Transaction Does Not Exist");
            }
            // Everything is answered at once, so no 100 is ever due; ACKs of our refusals and
            // strays of INVITEs that we never sent mean nothing to us.
            _ => {}
        }
    }

    fn asked(&mut self, now: Millis, tx: TxId, request: &RawMessage) {
        let method = request.method().map_or("", |method| method.as_str());
        match method {
            "MESSAGE" => self.message_came(now, tx, request),
            "NOTIFY" => self.notify_came(now, tx, request),
            "OPTIONS" => self.answer(now, tx, request, 200, "OK"),
            _ => self.answer(now, tx, request, 405, "Method Not Allowed"),
        }
    }

    fn message_came(&mut self, now: Millis, tx: TxId, request: &RawMessage) {
        let from = bare(request.first(HeaderId::From).unwrap_or_default());
        let kind = request
            .first(HeaderId::ContentType)
            .unwrap_or(TEXT.as_bytes());
        let kind = kind
            .split(|b| *b == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let event = if kind.eq_ignore_ascii_case(TEXT.as_bytes()) {
            let text = text(request.body());
            Some(Event::Text { from, text })
        } else if kind.eq_ignore_ascii_case(COMPOSING.as_bytes()) {
            is_composing(request.body()).map(|active| Event::Typing { from, active })
        } else {
            return self.answer(now, tx, request, 415, "Unsupported Media Type");
        };
        let Some(event) = event else {
            return self.answer(now, tx, request, 400, "Bad Request");
        };
        self.answer(now, tx, request, 200, "OK");
        self.events.push_back(event);
    }

    fn notify_came(&mut self, now: Millis, tx: TxId, request: &RawMessage) {
        let found = self
            .watches
            .iter_mut()
            .find(|(_, watch)| watch.holds(request));
        let Some((who, watch)) = found.map(|(who, watch)| (who.clone(), watch)) else {
            return self.answer(now, tx, request, 481, "Subscription does not exist");
        };
        let told = watch.notified(now, request);
        match told {
            Told::State | Told::Ended { .. } => self.answer(now, tx, request, 200, "OK"),
            Told::Foreign => {
                return self.answer(now, tx, request, 481, "Subscription does not exist");
            }
            Told::Stale => return self.answer(now, tx, request, 500, "CSeq out of order"),
        }
        let kind = request.first(HeaderId::ContentType).unwrap_or_default();
        let pidf = kind
            .get(..PIDF.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PIDF.as_bytes()));
        if let Some(status) = pidf.then(|| Status::from_pidf(request.body())).flatten() {
            let who = who.clone();
            self.events.push_back(Event::Presence { who, status });
        }
        if let Told::Ended { reason } = told {
            self.watches.remove(&who);
            let why = reason.map_or("ended", |reason| reason.token()).to_owned();
            self.events.push_back(Event::WatchEnded { who, why });
        }
    }

    fn answer(&mut self, now: Millis, tx: TxId, request: &RawMessage, status: u16, reason: &str) {
        let tag = self.tag.clone();
        let mut head = Head::answer(request, status, reason, &tag);
        match status {
            405 => {
                head.header("Allow", ALLOW);
            }
            415 => {
                head.header("Accept", ACCEPT);
            }
            200 if request.method().is_some_and(|m| m.as_str() == "OPTIONS") => {
                head.header("Allow", ALLOW).header("Accept", ACCEPT);
            }
            _ => {}
        }
        let bytes = head.body(None);
        // Only a transaction that has ended refuses; then nobody waits for this.
        let _ = self
            .engine
            .respond(now, tx, status, bytes, Retention::Transaction);
    }
}
