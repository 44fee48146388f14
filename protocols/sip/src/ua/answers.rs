//! What the answers to our requests mean.

use auth::digest::{Ask, Challenge};

use super::agent::{Draft, Purpose, Ua};
use super::{Event, RequestId};
use crate::flow::Millis;
use crate::raw::{HeaderId, RawMessage};
use crate::scan::{params, seconds, text, uri};
use crate::subscription::{Next, expires_of};
use crate::transaction::{self, Failure};

/// Challenges to one request before we give up: a stale nonce, then a fresh one.
const CHALLENGES: u8 = 2;

impl Ua {
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
