//! The subscriber's half (RFC 6665 4.1).

use bytes::Bytes;

use super::{EventId, Reason, expires_of};
use crate::dialog::{Dialog, DialogError, Stamp};
use crate::flow::Millis;
use crate::raw::{HeaderId, RawMessage};
use crate::scan::{params, seconds, tag};
use crate::write::Head;

/// What a NOTIFY told us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Answer 200; the body, if any, is the state.
    State,
    /// Answer 200; the body is the last state.
    Ended {
        /// Why, if it said so.
        reason: Option<Reason>,
    },
    /// Answer 481: it is not ours.
    Foreign,
    /// Answer 500: older than what we know.
    Stale,
}

/// What to do about a response to our SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing before the refresh.
    Wait,
    /// Send it again with credentials.
    Challenge,
    /// Send it again with this many seconds.
    Longer(u32),
    /// Start anew with a fresh dialog.
    Anew,
    /// It is over: refused, or removed as we asked.
    Over,
}

/// One subscription that we hold.
#[derive(Debug, Clone)]
pub struct Subscriber {
    event: EventId,
    /// Whom we watch, as a URI.
    target: Box<str>,
    /// We, as a From value without a tag.
    local: Box<str>,
    local_tag: Box<str>,
    call_id: Box<str>,
    contact: Box<str>,
    accept: Box<str>,
    cseq: u32,
    dialog: Option<Dialog>,
    asked: u32,
    expires_at: Millis,
    refresh_at: Millis,
    grants: u32,
}

impl Subscriber {
    /// A subscription not asked for yet. Call-ID and tag are fresh ones of the caller.
    pub fn new(
        event: EventId,
        target: &str,
        local: &str,
        contact: &str,
        accept: &str,
        call_id: &str,
        local_tag: &str,
    ) -> Self {
        Self {
            event,
            target: target.into(),
            local: local.into(),
            local_tag: local_tag.into(),
            call_id: call_id.into(),
            contact: contact.into(),
            accept: accept.into(),
            cseq: 0,
            dialog: None,
            asked: 3_600,
            expires_at: Millis::MAX,
            refresh_at: Millis::MAX,
            grants: 0,
        }
    }

    /// Whom it watches.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The Request-URI of the next SUBSCRIBE, for its Digest.
    pub fn request_uri(&self) -> &str {
        self.dialog
            .as_ref()
            .map_or(&self.target, |dialog| dialog.request_uri())
    }

    /// How often it was granted so far.
    pub fn refresh_count(&self) -> u32 {
        self.grants
    }

    /// When to send [`Subscriber::subscribe`] again.
    pub fn refresh_at(&self) -> Millis {
        self.refresh_at
    }

    /// When it ends unless it is refreshed; `Millis::MAX` before anything was granted.
    pub fn expires_at(&self) -> Millis {
        self.expires_at
    }

    /// The next SUBSCRIBE: the first, a refresh, or the end with `expires` 0. `authorization` is
    /// a whole header line's name and value.
    pub fn subscribe(
        &mut self,
        expires: u32,
        stamp: Stamp<'_>,
        authorization: Option<(&str, &str)>,
    ) -> Bytes {
        self.asked = expires;
        self.refresh_at = Millis::MAX;
        let mut head = match &mut self.dialog {
            Some(dialog) => dialog.request("SUBSCRIBE", stamp),
            None => self.first(stamp),
        };
        head.header("Contact", format_args!("<{}>", self.contact))
            .header("Event", self.event.value())
            .header("Accept", &self.accept)
            .header("Expires", expires);
        if let Some((name, value)) = authorization {
            head.header(name, value);
        }
        head.body(None)
    }

    fn first(&mut self, stamp: Stamp<'_>) -> Head {
        self.cseq += 1;
        let mut head = Head::request("SUBSCRIBE", &self.target);
        head.header(
            "Via",
            format_args!("{};branch={};rport", stamp.via, stamp.branch),
        )
        .header("Max-Forwards", 70)
        .header(
            "From",
            format_args!("{};tag={}", self.local, self.local_tag),
        )
        .header("To", format_args!("<{}>", self.target))
        .header("Call-ID", &self.call_id)
        .header("CSeq", format_args!("{} SUBSCRIBE", self.cseq));
        head
    }

    /// The final response to the SUBSCRIBE.
    pub fn answered(&mut self, now: Millis, response: &RawMessage) -> Next {
        let min = response.first(HeaderId::MinExpires).and_then(seconds);
        match response.status().unwrap_or_default() {
            200..300 if self.asked == 0 => Next::Over,
            200..300 => {
                if self.dialog.is_none() {
                    self.dialog = Dialog::accepted(response).ok();
                }
                self.grants = self.grants.saturating_add(1);
                self.granted(now, expires_of(response).unwrap_or(self.asked));
                Next::Wait
            }
            401 | 407 => Next::Challenge,
            423 => min
                .filter(|min| *min > self.asked)
                .map_or(Next::Over, Next::Longer),
            481 if self.dialog.take().is_some() => Next::Anew,
            _ => Next::Over,
        }
    }

    fn granted(&mut self, now: Millis, seconds: u32) {
        let span = u64::from(seconds) * 1_000;
        self.expires_at = now.saturating_add(span);
        // Before the end by a tenth, at least the time a transaction may take if there is room.
        let ahead = (span / 10).max(32_000).min(span / 2);
        self.refresh_at = now.saturating_add(span - ahead);
    }

    /// True if a NOTIFY is for this subscription; it may come before the response (4.1.2.4).
    pub fn holds(&self, notify: &RawMessage) -> bool {
        let ours = match &self.dialog {
            Some(dialog) => dialog.holds(notify),
            None => {
                notify.first(HeaderId::CallId) == Some(self.call_id.as_bytes())
                    && notify.first(HeaderId::To).and_then(tag) == Some(self.local_tag.as_bytes())
            }
        };
        ours && EventId::of(notify).as_ref() == Some(&self.event)
    }

    /// Takes a NOTIFY.
    pub fn notified(&mut self, now: Millis, notify: &RawMessage) -> Told {
        if !self.holds(notify) {
            return Told::Foreign;
        }
        let taken = match &mut self.dialog {
            Some(dialog) => dialog.receive(notify).map(|()| true),
            None => Dialog::accepting(notify, &self.local_tag).map(|mut dialog| {
                dialog.local_cseq = self.cseq;
                self.dialog = Some(dialog);
                true
            }),
        };
        match taken {
            Err(DialogError::OutOfOrder { .. }) => return Told::Stale,
            Err(DialogError::Header(_)) => return Told::Foreign,
            Ok(_) => {}
        }
        let state = notify
            .first(HeaderId::SubscriptionState)
            .unwrap_or_default();
        let word = state.split(|b| *b == b';').next().unwrap_or_default();
        if word.trim_ascii().eq_ignore_ascii_case(b"terminated") {
            self.dialog = None;
            self.refresh_at = Millis::MAX;
            let reason = params(state).find(|p| p.is(b"reason"));
            return Told::Ended {
                reason: reason.and_then(|p| Reason::parse(p.value)),
            };
        }
        let left = params(state).find(|p| p.is(b"expires"));
        if let Some(left) = left.and_then(|p| seconds(p.value)) {
            // 4.1.2.2: a NOTIFY may shorten, never prolong.
            if now.saturating_add(u64::from(left) * 1_000) < self.expires_at {
                self.granted(now, left);
            }
        }
        Told::State
    }
}
