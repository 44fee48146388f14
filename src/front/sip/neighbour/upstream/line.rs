//! Telephone lines that a telephone system is asked for (`[sip] line_server`): RFC 4235 as its
//! subscriber. A line is an upstream of its own kind: asked for, refreshed, tried again and given up
//! as any other; what it is told is published for the line's owner, for as long as the subscription
//! has been granted.

use super::{Held, Order, Pair, Upstream};
use crate::core::address::Address;
use crate::core::calls::Calls;
use crate::core::command::{Command, PointHint, Publish, Reply};
use crate::core::error::Error;
use crate::core::id::{PersonId, PublicationId};
use crate::front::SIP;
use crate::front::sip::front::Front;
use crate::front::sip::place::Named;
use crate::front::sip::shard::{Pending, Shard};
use crate::hub::{Answer, Want};
use sip::flow::Millis;
use sip::subscription::Subscriber;
use std::net::IpAddr;
use std::time::Duration;

/// Who stands first in the pair of a line: nobody, it has no stand-in.
pub(super) const LINE: PersonId = PersonId(0);
/// Least pause between two refreshes because of a gap: a system that can't count is not asked in
/// circles.
const GAP: Millis = 2_000;
/// Lease of "no calls" where nobody knows any more: all that was there is replaced by it.
const HUNG_UP: Duration = Duration::from_secs(1);

/// One line.
pub(super) struct Line {
    name: String,
    calls: Calls,
    /// All its calls are known, in this dialog.
    whole: bool,
    /// Where the SUBSCRIBE went to.
    place: Option<IpAddr>,
    published: Option<PublicationId>,
    /// A publication is under way; what changes meanwhile is owed.
    under_way: bool,
    owed: Owed,
    /// When the last refresh because of a gap was due.
    gap: Option<Millis>,
}

/// What is still to be published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owed {
    #[default]
    Nothing,
    /// A longer lease.
    Lease,
    /// The calls.
    Calls,
}

/// What became of a report.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// The line does something else now.
    News,
    /// It does what it did.
    Same,
    /// Something is missing; whether what came was news.
    Gap(bool),
}

impl Order {
    /// To ask for a line.
    pub(in crate::front::sip::neighbour) fn line(name: &str, owner: &Address, by: Address) -> Self {
        Self {
            of: owner.clone(),
            person: LINE,
            by,
            line: Some(name.to_owned()),
        }
    }
}

impl Line {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            calls: Calls::default(),
            whole: false,
            place: None,
            published: None,
            under_way: false,
            owed: Owed::Nothing,
            gap: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The SUBSCRIBE goes there.
    pub(super) fn asked_at(&mut self, place: IpAddr) {
        self.place = Some(place);
    }

    pub(super) fn was_asked_at(&self, place: IpAddr) -> bool {
        self.place == Some(place)
    }

    /// A new dialog counts anew (RFC 4235 3.8); what is published stays until it says something.
    pub(super) fn forget(&mut self) {
        self.whole = false;
    }

    /// Nobody knows what it does.
    pub(super) fn hang_up(&mut self) {
        self.calls = Calls::default();
        self.whole = false;
    }

    /// RFC 4235 3.8: full state replaces, partial state changes what is known if it is the next;
    /// after a gap it is taken too, and all of it asked for.
    fn take(&mut self, report: Calls) -> Taken {
        if !report.full && !self.whole {
            return Taken::Gap(false);
        }
        let first = !self.whole;
        let gap = !report.full && report.version > self.calls.version.saturating_add(1);
        let before = self.calls.list.clone();
        if self.calls.take(report).is_err() {
            // Older than what is known.
            return Taken::Same;
        }
        self.whole = true;
        let news = first || self.calls.list != before;
        match (gap, news) {
            (true, news) => Taken::Gap(news),
            (false, true) => Taken::News,
            (false, false) => Taken::Same,
        }
    }
}

impl Shard {
    /// A report on a line.
    pub(super) fn line_told(&mut self, now: Millis, pair: &Pair, report: Calls) {
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        let live = upstream.state == Held::Live;
        let Some(line) = &mut upstream.line else {
            return;
        };
        let taken = line.take(report);
        let news = matches!(taken, Taken::News | Taken::Gap(true));
        let busy = line.calls.is_busy();
        if news {
            tracing::info!(line = %pair.1, of = %upstream.of, busy, "telephone line");
        }
        // While the SUBSCRIBE is on its way, all of it comes anyway (RFC 6665 4.2.1.2).
        if matches!(taken, Taken::Gap(_)) && live {
            let due = line.gap.map_or(now, |last| now.max(last + GAP));
            line.gap = Some(due);
            tracing::info!(line = %pair.1, "reports on a line are missing: asked for all");
            self.upstreams.set(pair, Held::Live, due);
        }
        self.line_owes(pair, if news { Owed::Calls } else { Owed::Lease });
    }

    /// Something about a line is to be published.
    pub(super) fn line_owes(&mut self, pair: &Pair, what: Owed) {
        let upstream = self.upstreams.all.get_mut(pair);
        let Some(line) = upstream.and_then(|upstream| upstream.line.as_mut()) else {
            return;
        };
        line.owed = line.owed.max(what);
        self.line_publish(pair);
    }

    fn line_publish(&mut self, pair: &Pair) {
        let now = self.front.now();
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        let of = upstream.of.clone();
        let lease = upstream.line_lease(now);
        let Some(line) = &mut upstream.line else {
            return;
        };
        if line.under_way {
            return;
        }
        let owed = std::mem::take(&mut line.owed);
        let known = line.published;
        let nothing = match owed {
            Owed::Nothing => true,
            // What is not known is not prolonged.
            Owed::Lease => !line.whole || known.is_none(),
            Owed::Calls => false,
        };
        if nothing {
            return;
        }
        let calls = (owed == Owed::Calls).then(|| Calls {
            full: true,
            ..line.calls.clone()
        });
        let command = Command::Publish(Publish {
            stack: SIP,
            target: known.map(|id| (id, None)),
            adopt: false,
            // A telephone system stands for no sign-in.
            hint: PointHint::default(),
            // The same after a restart: it takes the place of what was published before.
            key: Some(format!("line {}", line.name).into()),
            presence: None,
            calls,
            lease: Some(lease),
        });
        let account = match self.target(&Named::Person(of.clone()), Want::Send) {
            Ok((_, account)) => account,
            Err(error) => {
                tracing::warn!(line = %pair.1, %of, cause = %error, "nobody to tell of what a line does");
                return;
            }
        };
        if let Some(upstream) = self.upstreams.all.get_mut(pair)
            && let Some(line) = &mut upstream.line
        {
            line.under_way = true;
        }
        let reply = self.wait(Pending::Line(pair.clone()));
        let caller = Front::internal(of, account.person);
        self.front.hub.send(account.person, caller, command, reply);
    }

    /// The answer to that.
    pub(in crate::front::sip) fn line_published(&mut self, pair: &Pair, answer: Answer) {
        let Some(upstream) = self.upstreams.all.get_mut(pair) else {
            return;
        };
        let Some(line) = &mut upstream.line else {
            return;
        };
        line.under_way = false;
        match answer {
            Ok(Reply::Published { publication, .. }) => line.published = Some(publication),
            // Its lease has ended meanwhile: published anew, once.
            Err(Error::StaleId) if line.published.take().is_some() => line.owed = Owed::Calls,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(line = %pair.1, of = %upstream.of, cause = %error, "what a line does can't be published");
            }
        }
        self.line_publish(pair);
    }
}

impl Upstream {
    /// How long what is known of a line holds: as long as the subscription.
    fn line_lease(&self, now: Millis) -> Duration {
        if self.offline {
            return HUNG_UP;
        }
        let asked = now.saturating_add(u64::from(self.expires) * 1_000);
        let until = self
            .subscriber
            .as_ref()
            .map_or(asked, Subscriber::expires_at);
        Duration::from_millis(until.min(asked).saturating_sub(now).max(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::calls::{Call, CallState};

    fn report(full: bool, version: u32, list: &[(&str, CallState)]) -> Calls {
        let call = |(id, state): &(&str, CallState)| Call {
            id: (*id).into(),
            state: *state,
            detail: "".into(),
        };
        Calls {
            full,
            version,
            list: list.iter().map(call).collect(),
        }
    }

    #[test]
    fn reports_are_put_together_and_gaps_are_seen() {
        use CallState::{Confirmed, Early, Terminated};
        let mut line = Line::new("1001".to_owned());
        let early = report(false, 1, &[("a", Early)]);
        assert_eq!(line.take(early), Taken::Gap(false), "all is not known yet");
        assert!(line.calls.list.is_empty());
        assert_eq!(line.take(report(true, 4, &[])), Taken::News, "the first");
        assert_eq!(line.take(report(true, 5, &[])), Taken::Same);
        let answered = report(false, 6, &[("a", Confirmed)]);
        assert_eq!(line.take(answered.clone()), Taken::News);
        assert!(line.calls.is_busy());
        assert_eq!(line.take(answered), Taken::Same, "not newer");
        let second = report(false, 9, &[("b", Early)]);
        assert_eq!(line.take(second), Taken::Gap(true));
        assert_eq!(
            line.take(report(false, 10, &[("a", Terminated)])),
            Taken::News
        );
        assert!(!line.calls.is_busy() && line.calls.list.len() == 1);
        // A new dialog counts anew, from any number.
        line.forget();
        assert_eq!(line.take(report(false, 11, &[])), Taken::Gap(false));
        assert_eq!(line.take(report(true, 0, &[])), Taken::News);
        assert!(line.calls.list.is_empty());
    }
}
