//! Commands, the requests they become, and what their answers mean.

use auth::digest::{Ask, Challenge};
use bytes::Bytes;

use super::agent::{Draft, Purpose, Ua};
use super::body::{COMPOSING, PIDF, Status, TEXT, composing};
use super::incoming::ACCEPT;
use super::{Event, RequestId};
use crate::dialog::Stamp;
use crate::flow::Millis;
use crate::raw::{HeaderId, RawMessage};
use crate::scan::{params, seconds, text, uri};
use crate::subscription::{EventId, Next, Subscriber, expires_of};
use crate::transaction::{self, Failure};
use crate::write::Head;

/// Challenges to one request before we give up: a stale nonce, then a fresh one.
const CHALLENGES: u8 = 2;

impl Ua {
    /// Signs in, or refreshes; goes on refreshing by itself.
    pub fn register(&mut self, now: Millis) -> RequestId {
        let expires = self.expires;
        self.send_register(now, Purpose::Register, expires)
    }

    /// Signs out: removes what is published, ends all watches, removes the binding.
    pub fn unregister(&mut self, now: Millis) -> RequestId {
        if self.etag.is_some() {
            self.status = None;
            self.publication.refresh_at = None;
            self.send_publish(now);
        }
        let watched: Vec<String> = self.watches.keys().cloned().collect();
        for who in watched {
            self.unwatch(now, &who);
        }
        self.registration.refresh_at = None;
        self.send_register(now, Purpose::Unregister, 0)
    }

    fn send_register(&mut self, now: Millis, purpose: Purpose, expires: u32) -> RequestId {
        self.registration.cseq += 1;
        let domain = self.account.address.split('@').nth(1).unwrap_or_default();
        let draft = Draft {
            purpose,
            method: "REGISTER",
            uri: format!("sip:{domain}"),
            to: format!("<{}>", self.uri()),
            call_id: self.registration.call_id.clone(),
            cseq: self.registration.cseq,
            extra: vec![
                ("Contact", format!("<{}>", self.contact())),
                ("Expires", expires.to_string()),
            ],
            body: None,
            challenged: 0,
        };
        self.send(now, draft)
    }

    /// Publishes our state; while an earlier one is under way, the newest waits.
    pub fn publish(&mut self, now: Millis, status: Status) {
        self.status = Some(status);
        if self.publishing {
            self.publish_waiting = true;
        } else {
            self.send_publish(now);
        }
    }

    pub(super) fn send_publish(&mut self, now: Millis) {
        self.publication.cseq += 1;
        self.publishing = true;
        let mut extra = vec![("Event", "presence".to_owned())];
        if let Some(etag) = &self.etag {
            extra.push(("SIP-If-Match", etag.clone()));
        }
        let (purpose, expires, body) = match &self.status {
            Some(status) => {
                let document = status.to_pidf(&self.uri());
                (
                    Purpose::Publish,
                    self.account.expires,
                    Some((PIDF, Bytes::from(document))),
                )
            }
            None => (Purpose::Unpublish, 0, None),
        };
        extra.push(("Expires", expires.to_string()));
        let draft = Draft {
            purpose,
            method: "PUBLISH",
            uri: self.uri(),
            to: format!("<{}>", self.uri()),
            call_id: self.publication.call_id.clone(),
            cseq: self.publication.cseq,
            extra,
            body,
            challenged: 0,
        };
        self.send(now, draft);
    }

    /// Watches somebody's presence; goes on refreshing by itself.
    pub fn watch(&mut self, now: Millis, who: &str) {
        let who = bare(who.as_bytes());
        self.new_watch(&who);
        self.send_watch(now, who);
    }

    fn new_watch(&mut self, who: &str) {
        let (call_id, tag) = (self.word(), self.word());
        let event = EventId {
            package: "presence".into(),
            id: None,
        };
        let watch = Subscriber::new(
            event,
            &format!("sip:{who}"),
            &self.local(),
            &self.contact(),
            PIDF,
            &call_id,
            &tag,
        );
        self.watches.insert(who.to_owned(), watch);
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, now: Millis, who: &str) {
        let who = bare(who.as_bytes());
        self.send_subscribe(now, Purpose::Unwatch(who), 0, 0);
    }

    pub(super) fn send_watch(&mut self, now: Millis, who: String) {
        let expires = self.account.expires;
        self.send_subscribe(now, Purpose::Watch(who), expires, 0);
    }

    fn send_subscribe(&mut self, now: Millis, purpose: Purpose, expires: u32, challenged: u8) {
        let (Purpose::Watch(who) | Purpose::Unwatch(who)) = &purpose else {
            return;
        };
        let (branch, cnonce, via) = (self.branch(), self.word(), self.via());
        let Some(watch) = self.watches.get_mut(who) else {
            return;
        };
        let ask = Ask {
            method: "SUBSCRIBE",
            uri: watch.request_uri(),
            body: b"",
            cnonce: &cnonce,
        };
        // A 401 to SUBSCRIBE is answered by `origin`, which has a challenge from REGISTER too.
        let signed = match self.proxy.again(&ask) {
            Some(value) => Some(("Proxy-Authorization", value)),
            None => self
                .origin
                .again(&ask)
                .map(|value| ("Authorization", value)),
        };
        let stamp = Stamp {
            via: &via,
            branch: &branch,
        };
        let header = signed.as_ref().map(|(name, value)| (*name, value.as_str()));
        let bytes = watch.subscribe(expires, stamp, header);
        let id = self.new_id();
        let draft = Draft {
            purpose,
            method: "SUBSCRIBE",
            uri: String::new(),
            to: String::new(),
            call_id: String::new(),
            cseq: 0,
            extra: Vec::new(),
            body: None,
            challenged,
        };
        self.pending.insert(id, draft);
        self.start(now, id, "SUBSCRIBE", &branch, bytes);
    }

    /// Sends a text; [`Event::Sent`] or [`Event::Failed`] tells how it went.
    pub fn text(&mut self, now: Millis, to: &str, text: &str) -> RequestId {
        let body = Bytes::copy_from_slice(text.as_bytes());
        self.message(now, Purpose::Text, to, "text/plain;charset=UTF-8", body)
    }

    /// Tells that we type, or no longer do. Failures of this are not told.
    pub fn typing(&mut self, now: Millis, to: &str, active: bool) -> RequestId {
        let body = Bytes::from(composing(active));
        self.message(now, Purpose::Typing, to, COMPOSING, body)
    }

    fn message(
        &mut self,
        now: Millis,
        purpose: Purpose,
        to: &str,
        kind: &'static str,
        body: Bytes,
    ) -> RequestId {
        debug_assert!(kind.starts_with(TEXT) || kind == COMPOSING);
        let to = format!("sip:{}", bare(to.as_bytes()));
        let draft = Draft {
            purpose,
            method: "MESSAGE",
            to: format!("<{to}>"),
            uri: to,
            call_id: self.word(),
            cseq: 1,
            extra: Vec::new(),
            body: Some((kind, body)),
            challenged: 0,
        };
        self.send(now, draft)
    }

    /// Asks the server whether it is there.
    pub fn options(&mut self, now: Millis) -> RequestId {
        let domain = self.account.address.split('@').nth(1).unwrap_or_default();
        let uri = format!("sip:{domain}");
        let draft = Draft {
            purpose: Purpose::Options,
            method: "OPTIONS",
            to: format!("<{uri}>"),
            uri,
            call_id: self.word(),
            cseq: 1,
            extra: vec![("Accept", ACCEPT.to_owned())],
            body: None,
            challenged: 0,
        };
        self.send(now, draft)
    }

    fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.word())
    }

    fn send(&mut self, now: Millis, draft: Draft) -> RequestId {
        let id = self.new_id();
        self.send_as(now, id, draft, None);
        id
    }

    /// Sends a request under an id; signed with the answer given, else with what is known already.
    fn send_as(
        &mut self,
        now: Millis,
        id: RequestId,
        draft: Draft,
        signed: Option<(&'static str, String)>,
    ) {
        let (branch, cnonce) = (self.branch(), self.word());
        let body = draft.body.as_ref().map_or(&b""[..], |(_, octets)| octets);
        let ask = Ask {
            method: draft.method,
            uri: &draft.uri,
            body,
            cnonce: &cnonce,
        };
        let signed = signed.or_else(|| match draft.method {
            "REGISTER" => self
                .origin
                .again(&ask)
                .map(|value| ("Authorization", value)),
            "OPTIONS" => None,
            _ => self
                .proxy
                .again(&ask)
                .map(|value| ("Proxy-Authorization", value)),
        });
        let mut head = Head::request(draft.method, &draft.uri);
        head.header("Via", format_args!("{};branch={branch};rport", self.via()))
            .header("Max-Forwards", 70)
            .header("From", format_args!("{};tag={}", self.local(), self.tag))
            .header("To", &draft.to)
            .header("Call-ID", &draft.call_id)
            .header("CSeq", format_args!("{} {}", draft.cseq, draft.method));
        for (name, value) in &draft.extra {
            head.header(name, value);
        }
        if let Some((name, value)) = signed {
            head.header(name, value);
        }
        head.header("User-Agent", &self.account.user_agent);
        let bytes = head.body(
            draft
                .body
                .as_ref()
                .map(|(kind, octets)| (*kind, &octets[..])),
        );
        let method = draft.method;
        self.pending.insert(id, draft);
        self.start(now, id, method, &branch, bytes);
    }

    pub(super) fn transaction_event(&mut self, now: Millis, event: transaction::Event<RawMessage>) {
        match event {
            transaction::Event::Response {
                token,
                status,
                message,
                ..
            } if status >= 200 => self.answered(now, token, status, &message),
            transaction::Event::Failed { token, why, .. } => {
                let (status, reason) = match why {
                    Failure::Timeout => (408, "no answer"),
                    Failure::Transport => (503, "no connection"),
                };
                if let Some(draft) = self.pending.remove(&token) {
                    self.failed(now, token, &draft, status, reason.to_owned());
                }
            }
            other => self.request_event(now, other),
        }
    }

    fn answered(&mut self, now: Millis, id: RequestId, status: u16, response: &RawMessage) {
        let Some(mut draft) = self.pending.remove(&id) else {
            return;
        };
        if matches!(status, 401 | 407) && draft.challenged < CHALLENGES {
            draft.challenged += 1;
            if self.answer_challenge(now, id, status, &draft, response) {
                return;
            }
        }
        if let Purpose::Watch(who) | Purpose::Unwatch(who) = &draft.purpose {
            let who = who.clone();
            return self.watch_answered(now, id, &who, &draft, response);
        }
        match status {
            200..300 => self.succeeded(now, id, status, &draft, response),
            _ => self.refused(now, id, status, &draft, response),
        }
    }

    /// False if the challenge can't be answered.
    fn answer_challenge(
        &mut self,
        now: Millis,
        id: RequestId,
        status: u16,
        draft: &Draft,
        response: &RawMessage,
    ) -> bool {
        let (header, name) = match status {
            401 => (HeaderId::WwwAuthenticate, "Authorization"),
            _ => (HeaderId::ProxyAuthenticate, "Proxy-Authorization"),
        };
        let challenges: Vec<Challenge> = response
            .all(header)
            .filter_map(|value| Challenge::parse(std::str::from_utf8(value).ok()?).ok())
            .collect();
        let cnonce = self.word();
        let body = draft.body.clone();
        let ask = Ask {
            method: draft.method,
            uri: &draft.uri,
            body: body.as_ref().map_or(&b""[..], |(_, octets)| octets),
            cnonce: &cnonce,
        };
        let client = if status == 401 {
            &mut self.origin
        } else {
            &mut self.proxy
        };
        let Some(value) = client.answer(&challenges, &ask) else {
            return false;
        };
        if matches!(draft.purpose, Purpose::Watch(_) | Purpose::Unwatch(_)) {
            // Signed anew from the challenge just remembered.
            let expires = match draft.purpose {
                Purpose::Unwatch(_) => 0,
                _ => self.account.expires,
            };
            self.send_subscribe(now, draft.purpose.clone(), expires, draft.challenged);
            return true;
        }
        let mut again = draft.clone();
        again.cseq = match draft.method {
            "REGISTER" => {
                self.registration.cseq += 1;
                self.registration.cseq
            }
            "PUBLISH" => {
                self.publication.cseq += 1;
                self.publication.cseq
            }
            _ => draft.cseq + 1,
        };
        self.send_as(now, id, again, Some((name, value)));
        true
    }

    fn succeeded(
        &mut self,
        now: Millis,
        id: RequestId,
        status: u16,
        draft: &Draft,
        response: &RawMessage,
    ) {
        match draft.purpose {
            Purpose::Register => {
                let expires = self.granted(response);
                self.registration.refresh_at = Some(Self::ahead(now, expires));
                self.events.push_back(Event::Registered { expires });
            }
            Purpose::Unregister => self.events.push_back(Event::Unregistered),
            Purpose::Publish => {
                self.publishing = false;
                self.etag = response.first(HeaderId::SipEtag).map(text);
                let expires = expires_of(response).unwrap_or(self.account.expires);
                self.publication.refresh_at = Some(Self::ahead(now, expires));
                if self.publish_waiting {
                    self.publish_waiting = false;
                    self.send_publish(now);
                } else {
                    self.events.push_back(Event::Published);
                }
            }
            Purpose::Unpublish => {
                self.publishing = false;
                self.etag = None;
            }
            Purpose::Text => self.events.push_back(Event::Sent { id, status }),
            Purpose::Options => self.events.push_back(Event::Alive),
            Purpose::Typing | Purpose::Watch(_) | Purpose::Unwatch(_) => {}
        }
    }

    /// Seconds granted to our own Contact.
    fn granted(&self, response: &RawMessage) -> u32 {
        let contact = self.contact();
        response
            .values(HeaderId::Contact)
            .find(|value| uri(value) == contact.as_bytes())
            .and_then(|value| params(value).find(|p| p.is(b"expires")))
            .and_then(|param| seconds(param.value))
            .or_else(|| expires_of(response))
            .unwrap_or(self.expires)
    }

    fn refused(
        &mut self,
        now: Millis,
        id: RequestId,
        status: u16,
        draft: &Draft,
        response: &RawMessage,
    ) {
        let min = response.first(HeaderId::MinExpires).and_then(seconds);
        match (&draft.purpose, status) {
            (Purpose::Publish, 412) => {
                // RFC 3903 4.1: the server lost it; publish anew.
                self.etag = None;
                self.send_publish(now);
            }
            (Purpose::Register, 423) if min.is_some_and(|min| min > self.expires) => {
                self.expires = min.unwrap_or(self.expires);
                self.register(now);
            }
            _ => {
                let reason = text(response.reason().unwrap_or_default());
                self.failed(now, id, draft, status, reason);
            }
        }
    }

    fn failed(&mut self, _now: Millis, id: RequestId, draft: &Draft, status: u16, reason: String) {
        match &draft.purpose {
            Purpose::Publish | Purpose::Unpublish => {
                self.publishing = false;
                self.etag = None;
            }
            Purpose::Watch(who) => {
                self.watches.remove(who);
                let why = format!("{status} {reason}");
                let who = who.clone();
                return self.events.push_back(Event::WatchEnded { who, why });
            }
            Purpose::Unwatch(who) => {
                self.watches.remove(who);
                return;
            }
            Purpose::Typing => return,
            Purpose::Register | Purpose::Unregister | Purpose::Text | Purpose::Options => {}
        }
        self.events.push_back(Event::Failed {
            id,
            method: draft.method,
            status,
            reason,
        });
    }

    fn watch_answered(
        &mut self,
        now: Millis,
        id: RequestId,
        who: &str,
        draft: &Draft,
        response: &RawMessage,
    ) {
        let Some(watch) = self.watches.get_mut(who) else {
            return;
        };
        let first = watch.refresh_count() == 0;
        match watch.answered(now, response) {
            Next::Wait if first => self.events.push_back(Event::Watching {
                who: who.to_owned(),
            }),
            Next::Wait => {}
            Next::Longer(seconds) => {
                self.send_subscribe(now, draft.purpose.clone(), seconds, draft.challenged);
            }
            Next::Anew => {
                self.new_watch(who);
                self.send_watch(now, who.to_owned());
            }
            // The last NOTIFY, which follows, says the end.
            Next::Over
                if matches!(draft.purpose, Purpose::Unwatch(_))
                    && response.status() == Some(200) => {}
            Next::Challenge | Next::Over => {
                let status = response.status().unwrap_or_default();
                let reason = text(response.reason().unwrap_or_default());
                self.failed(now, id, draft, status, reason);
            }
        }
    }
}

/// `alice@example.com` of any URI or name-addr.
pub(super) fn bare(value: &[u8]) -> String {
    let uri = uri(value);
    let scheme = |name: &[u8]| {
        let (start, rest) = uri.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some(rest)
    };
    let rest = scheme(b"sips:").or_else(|| scheme(b"sip:")).unwrap_or(uri);
    let end = rest.iter().position(|b| matches!(b, b';' | b'?'));
    text(rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest))
}
