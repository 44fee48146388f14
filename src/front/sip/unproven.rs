//! Answers to requests whose sender has proved nothing: one each, over UDP never so large that we
//! would serve to flood somebody whose address was forged, and only so many per source.

use super::front::Front;
use super::shard::{Req, Shard};
use crate::net::Grant;
use bytes::Bytes;
use sip::build::Response;
use sip::flow::{Flow, Millis};
use sip::transaction::Retention;
use sip::{HeaderId, RawMessage};

impl Front {
    /// Whether that source may have one more answer. What it is refused is logged once per dry
    /// spell, and counted each time.
    fn grants(&self, flow: Flow, now: Millis) -> bool {
        match self.unproven.spend(flow.peer.ip(), now) {
            Grant::Yes => true,
            Grant::No(first) => {
                self.hub.stats().unanswered.add(1);
                if first {
                    tracing::warn!(
                        peer = %flow.peer,
                        "SIP requests without proof are not answered any more: too many from this \
                         source ([limits] unproven_rate, unproven_burst)"
                    );
                }
                false
            }
        }
    }

    /// The first of the answers that may go out; forms of the same answer, the richest first. To
    /// this machine the smallest goes whatever its size: it floods nobody else.
    fn fitting(
        &self,
        flow: Flow,
        request: &RawMessage,
        forms: impl IntoIterator<Item = Bytes>,
    ) -> Option<Bytes> {
        // 1.5 times what was sent is not worth a forged address.
        let most = if flow.transport.is_reliable() {
            usize::MAX
        } else {
            request.as_bytes().len().saturating_mul(3) / 2
        };
        let free = flow.peer.ip().is_loopback() && !self.settings.fairness.loopback;
        let mut smallest = None;
        for bytes in forms {
            if bytes.len() <= most {
                return Some(bytes);
            }
            smallest = Some(bytes);
        }
        let found = smallest.filter(|_| free);
        if found.is_none() {
            self.hub.stats().unanswered.add(1);
            tracing::info!(
                peer = %flow.peer, octets = request.as_bytes().len(),
                "SIP request not answered: any answer over UDP would be more than 1.5 times as large"
            );
        }
        found
    }

    /// Refuses without a transaction.
    pub(super) fn refuse(
        &self,
        now: Millis,
        (flow, reply): (Flow, Flow),
        request: &RawMessage,
        status: u16,
        dress: impl for<'m> Fn(Response<'m>) -> Response<'m>,
    ) {
        if !self.grants(flow, now) {
            return;
        }
        let plain = || {
            Response::to(request, status)
                .received(flow.peer)
                .to_tag(self.tag(request))
        };
        let forms = [dress(plain()), plain(), plain().compact()];
        let forms = forms.into_iter().map(Response::finish);
        if let Some(bytes) = self.fitting(flow, request, forms) {
            self.send(reply, bytes);
        }
    }
}

impl Shard {
    /// Asks for proof: with every challenge if they fit, else with the first.
    pub(super) fn challenge(
        &mut self,
        now: Millis,
        req: &Req,
        (status, id): (u16, HeaderId),
        values: &[String],
    ) {
        let with = |values: &[String], compact: bool| {
            self.response(req, status, |r| {
                let r = if compact { r.compact() } else { r };
                values.iter().fold(r, |r, value| r.header(id, value))
            })
        };
        let first = values.get(..1).unwrap_or_default();
        // MD5 is what a challenge without algorithm means (RFC 7616 3.3).
        let bare: Vec<String> = first
            .iter()
            .map(|value| value.replace(", algorithm=MD5,", ","))
            .collect();
        let forms = [with(values, false), with(first, false), with(&bare, true)];
        self.respond_unproven(now, req, status, forms);
    }

    /// Answers a request whose sender is not known, in the first form that fits.
    pub(super) fn respond_unproven(
        &mut self,
        now: Millis,
        req: &Req,
        status: u16,
        forms: impl IntoIterator<Item = Bytes>,
    ) {
        let bytes = if self.front.grants(req.flow, now) {
            self.front.fitting(req.flow, &req.message, forms)
        } else {
            None
        };
        match bytes {
            Some(bytes) => {
                let kept = Retention::Stateless;
                let _ = self.engine.respond(now, req.tx, status, bytes, kept);
            }
            None => self.engine.forget(req.tx),
        }
        self.drain(now);
    }
}
