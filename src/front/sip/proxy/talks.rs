//! Calls that run through us and are answered: who talks is on the phone (`[sip]
//! calls_make_on_phone`).
//!
//! A call begins with the first 2xx to its INVITE. It ends with a BYE of either side (or the 481 of
//! one that has forgotten it, RFC 5057 5.1), when its session timer runs out (RFC 4028 8: without
//! one, after [`LONGEST`]), when its Record-Route leads nowhere any more, and with the connection
//! of one of our people in it. What is published about it has a short lease, renewed while the call
//! lasts: should we end without a word, it ends soon after.

use crate::core::address::Address;
use crate::core::id::PublicationId;
use sip::flow::{Flow, Millis};
use sip::{HeaderId, RawMessage};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Without a session timer nobody can tell a long call from one whose BYE got lost.
const LONGEST: Millis = 12 * 3_600_000;
/// Least session that is believed (RFC 4028 4: 90 s), and what a side is late at most.
const SHORTEST: u64 = 90;
/// Lease of what is published.
pub(super) const LEASE: Duration = Duration::from_secs(300);
/// It is renewed so long before its end.
const RENEW: Millis = 240_000;
/// Calls of one shard that are followed.
const MOST: usize = 20_000;

/// What a call is known by: Call-ID and the tag of who called.
pub(in crate::front::sip) type Name = Arc<str>;

/// One of our people in a call.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) address: Address,
    pub(super) published: Option<PublicationId>,
    pub(super) under_way: bool,
}

#[derive(Debug)]
struct Talk {
    parties: Vec<Party>,
    /// Connections whose end is the call's.
    flows: Vec<u64>,
    until: Millis,
    /// When there is something to do.
    due: Millis,
}

/// What is to be done about a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To publish it for that party, or to renew that.
    Publish(Name, usize),
    /// It is over.
    Retract(Address, PublicationId),
}

/// All answered calls of one shard.
#[derive(Debug, Default)]
pub(in crate::front::sip) struct Talks {
    all: HashMap<Name, Talk>,
    /// By connection.
    by_flow: HashMap<u64, Vec<Name>>,
    times: BTreeSet<(Millis, Name)>,
}

impl Talks {
    /// A call is answered: who takes part and is one of ours.
    pub(super) fn begin(
        &mut self,
        now: Millis,
        name: Name,
        (parties, flows): (Vec<Party>, &[Flow]),
        session: Option<u64>,
    ) -> Vec<Step> {
        if parties.is_empty() || self.all.contains_key(&name) {
            return Vec::new();
        }
        if self.all.len() >= MOST {
            tracing::warn!(
                most = MOST,
                "too many calls at once to show them all as presence"
            );
            return Vec::new();
        }
        let streams = flows.iter().filter(|flow| flow.transport.is_reliable());
        let steps = (0..parties.len()).map(|party| Step::Publish(Arc::clone(&name), party));
        let steps = steps.collect();
        let until = end(now, session);
        let due = until.min(now.saturating_add(RENEW));
        self.times.insert((due, Arc::clone(&name)));
        let flows: Vec<u64> = streams.map(|flow| flow.id).collect();
        for flow in &flows {
            let names = self.by_flow.entry(*flow).or_default();
            names.push(Arc::clone(&name));
        }
        let talk = Talk {
            parties,
            flows,
            until,
            due,
        };
        self.all.insert(name, talk);
        steps
    }

    /// A new offer, or the session timer alone, was agreed on.
    pub(super) fn lives(&mut self, now: Millis, name: &Name, session: Option<u64>) {
        if let Some(talk) = self.all.get_mut(name) {
            talk.until = end(now, session);
            let due = talk.due.min(talk.until);
            self.set(name, due);
        }
    }

    /// It is over.
    pub(super) fn end(&mut self, name: &Name) -> Vec<Step> {
        let Some(talk) = self.all.remove(name) else {
            return Vec::new();
        };
        self.times.remove(&(talk.due, Arc::clone(name)));
        for flow in &talk.flows {
            if let Some(names) = self.by_flow.get_mut(flow) {
                names.retain(|other| other != name);
                if names.is_empty() {
                    self.by_flow.remove(flow);
                }
            }
        }
        let known = talk.parties.into_iter();
        known
            .filter_map(|party| Some(Step::Retract(party.address, party.published?)))
            .collect()
    }

    /// A connection is gone.
    pub(super) fn lost(&mut self, connection: u64) -> Vec<Step> {
        let gone = self.by_flow.remove(&connection).unwrap_or_default();
        gone.iter().flat_map(|name| self.end(name)).collect()
    }

    /// When [`Talks::pass`] is due.
    pub(in crate::front::sip) fn due(&self) -> Option<Millis> {
        self.times.first().map(|(at, _)| *at)
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, now: Millis) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some((at, name)) = self.times.first().cloned() {
            if at > now {
                break;
            }
            let Some(talk) = self.all.get(&name) else {
                self.times.pop_first();
                continue;
            };
            if talk.until <= now {
                steps.extend(self.end(&name));
                continue;
            }
            let parties = 0..talk.parties.len();
            steps.extend(parties.map(|party| Step::Publish(Arc::clone(&name), party)));
            let due = talk.until.min(now.saturating_add(RENEW));
            self.set(&name, due);
        }
        steps
    }

    pub(super) fn party(&mut self, name: &Name, party: usize) -> Option<&mut Party> {
        self.all.get_mut(name)?.parties.get_mut(party)
    }

    fn set(&mut self, name: &Name, due: Millis) {
        if let Some(talk) = self.all.get_mut(name) {
            self.times.remove(&(talk.due, Arc::clone(name)));
            talk.due = due;
            self.times.insert((due, Arc::clone(name)));
        }
    }
}

/// The names that a message within a call may have: whoever sent it.
pub(super) fn names(message: &RawMessage) -> Option<[Name; 2]> {
    let call_id = message.call_id().ok()?;
    let from = message.from().ok()?;
    let to = message.to().ok()?;
    Some([from.tag(), to.tag()].map(|tag| format!("{call_id}\n{}", tag.unwrap_or_default()).into()))
}

/// RFC 4028: how long the session holds without a refresh, if both sides keep a timer.
pub(super) fn session(answer: &RawMessage) -> Option<u64> {
    let value = answer.text(HeaderId::SessionExpires)?;
    let seconds = value.split(';').next()?.trim().parse::<u64>().ok()?;
    Some(seconds.max(SHORTEST))
}

fn end(now: Millis, session: Option<u64>) -> Millis {
    let span = session.map_or(LONGEST, |seconds| seconds.saturating_mul(1_000));
    now.saturating_add(span.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::flow::Transport;

    fn flow(id: u64) -> Flow {
        Flow {
            transport: Transport::Tcp,
            peer: ([192, 0, 2, 1], 5060).into(),
            id,
        }
    }

    fn party(name: &str) -> Party {
        Party {
            address: Address::parse(name).unwrap(),
            published: None,
            under_way: false,
        }
    }

    fn begun(session: Option<u64>) -> (Talks, Name) {
        let mut talks = Talks::default();
        let name: Name = "c\nt".into();
        let both = vec![party("alice@example.com"), party("bob@example.com")];
        let steps = talks.begin(0, Arc::clone(&name), (both, &[flow(7), flow(8)]), session);
        let publish = |at| Step::Publish(Arc::clone(&name), at);
        assert_eq!(steps, [publish(0), publish(1)]);
        talks.party(&name, 1).unwrap().published = Some(PublicationId(5));
        (talks, name)
    }

    fn retracted() -> [Step; 1] {
        let bob = Address::parse("bob@example.com").unwrap();
        [Step::Retract(bob, PublicationId(5))]
    }

    #[test]
    fn a_call_is_published_while_it_lasts_and_ends_once() {
        let (mut talks, name) = begun(None);
        assert_eq!(talks.due(), Some(RENEW));
        assert!(talks.pass(RENEW - 1).is_empty());
        assert_eq!(talks.pass(RENEW).len(), 2, "renewed");
        assert_eq!(talks.due(), Some(2 * RENEW));
        // What was never published is not taken back here: its answer is on its way.
        assert_eq!(talks.end(&name), retracted());
        assert!(talks.end(&name).is_empty() && talks.due().is_none());
    }

    #[test]
    fn rfc_4028_a_session_that_nobody_refreshes_is_over() {
        let (mut talks, name) = begun(Some(1_800));
        talks.pass(RENEW);
        talks.lives(1_000_000, &name, Some(1_800));
        assert!(
            talks
                .pass(2_799_999)
                .iter()
                .all(|step| matches!(step, Step::Publish(..)))
        );
        assert_eq!(talks.pass(2_800_000), retracted());
        // Without a timer it does not last for ever, either.
        let (mut talks, _) = begun(None);
        let mut steps = Vec::new();
        while let Some(at) = talks.due() {
            steps = talks.pass(at);
        }
        assert_eq!(steps, retracted());
    }

    #[test]
    fn a_call_ends_with_the_connection_of_one_of_ours() {
        let (mut talks, _) = begun(None);
        assert!(talks.lost(9).is_empty());
        assert_eq!(talks.lost(8), retracted());
        assert!(talks.due().is_none() && talks.by_flow.is_empty());
    }
}
