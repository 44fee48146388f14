//! Commands, and the requests they become.

use auth::digest::Ask;
use bytes::Bytes;

use super::RequestId;
use super::agent::{Draft, Purpose, Ua};
use super::body::{COMPOSING, PIDF, Status, TEXT, composing};
use super::incoming::ACCEPT;
use crate::dialog::Stamp;
use crate::flow::Millis;
use crate::scan::{text, uri};
use crate::subscription::{EventId, Subscriber};
use crate::write::Head;

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

    pub(super) fn new_watch(&mut self, who: &str) {
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

    pub(super) fn send_subscribe(
        &mut self,
        now: Millis,
        purpose: Purpose,
        expires: u32,
        challenged: u8,
    ) {
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
    pub(super) fn send_as(
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
