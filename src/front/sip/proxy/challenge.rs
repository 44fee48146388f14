//! Challenges of neighbours to requests that are passed on: never the caller's business.
//!
//! He has no account there. Shown such a challenge, his client would ask him for a password, or
//! answer with a proof of the one that he has here, in whatever realm the neighbour names. So we
//! answer it ourselves where credentials for that neighbour are configured (RFC 3261 22.3), and say
//! 502 where not.

use super::super::neighbour::Proofs;
use super::super::shard::Shard;
use sip::RawMessage;
use sip::flow::{Flow, Millis};
use std::sync::Arc;

/// The neighbour that a request goes to.
#[derive(Debug)]
pub(super) struct Beyond {
    /// Its section of the configuration, by number.
    pub(super) peer: Option<usize>,
    /// What it is called.
    pub(super) key: Arc<str>,
    proofs: Proofs,
}

impl Beyond {
    pub(super) fn new(peer: Option<usize>, key: Arc<str>) -> Self {
        Self {
            peer,
            key,
            proofs: Proofs::default(),
        }
    }
}

impl Shard {
    /// The neighbour at the other end of a dialog: known by its address alone.
    pub(super) fn beyond(&self, flow: Flow) -> Beyond {
        let routes = &self.front.neighbours.routes;
        let ip = flow.peer.ip();
        let mut known = routes.known.iter().enumerate();
        let found = known.find(|(at, _)| routes.is_place_of(Some(*at), ip));
        match found {
            Some((at, known)) => Beyond::new(Some(at), Arc::clone(&known.key)),
            None => Beyond::new(None, ip.to_string().into()),
        }
    }

    /// A response to a request that was passed on.
    pub(in crate::front::sip) fn passed_back(
        &mut self,
        now: Millis,
        token: u64,
        (status, flow): (u16, Flow),
        response: RawMessage,
    ) {
        if !self.challenged(now, token, status, &response) {
            self.overheard(now, token, (status, flow), &response);
            self.proxy
                .response(now, &mut self.engine, token, status, response);
        }
        self.tell_ended();
    }

    /// Whether it is a neighbour's challenge, which is dealt with here.
    fn challenged(&mut self, now: Millis, token: u64, status: u16, response: &RawMessage) -> bool {
        if !matches!(status, 401 | 407) {
            return false;
        }
        let journey = self.proxy.held(token);
        let Some(mut beyond) = journey.and_then(|journey| journey.beyond.take()) else {
            return false;
        };
        let answer = self.answer_to(token, response, &mut beyond);
        let cause = match answer {
            Ok(line) => {
                let again = self.proxy.again(now, &mut self.engine, token, line);
                if let Some(journey) = self.proxy.held(token) {
                    journey.beyond = Some(beyond);
                }
                if again {
                    return true;
                }
                "the call was given up"
            }
            Err(cause) => {
                tracing::warn!(peer = %beyond.key, status, cause, "a neighbour asks for credentials");
                cause
            }
        };
        let warning = format!("399 tristack \"{cause}\"");
        let told = (502, warning);
        self.proxy.unproved(now, &mut self.engine, token, told);
        true
    }

    fn answer_to(
        &self,
        token: u64,
        response: &RawMessage,
        beyond: &mut Beyond,
    ) -> Result<(&'static str, String), &'static str> {
        let known = beyond
            .peer
            .and_then(|at| self.front.neighbours.routes.known.get(at));
        let Some(proof) = known.and_then(|known| known.proof.as_ref()) else {
            return Err("the other server asks for credentials, and none are configured for it");
        };
        let asked = self.proxy.asked(token);
        let (request, uri) = asked.ok_or("the call was given up")?;
        let method = request.method().map_or("", |method| method.as_str());
        let asked = (method, uri, request.body());
        let answer = beyond.proofs.answer(proof, response, asked);
        answer.ok_or("the other server does not take the credentials configured for it")
    }
}
