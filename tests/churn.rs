//! A day of churn on virtual time: watchers come, come again, die and are replaced, devices publish
//! and vanish, calls begin and end. The process must not grow, no table either, and at the end
//! nothing is left.

use bytes::Bytes;
use sip::dialog::Stamp;
use sip::raw::{Datagram, Limits, RawMessage, frame_datagram};
use sip::subscription::{After, Content, Notifier, Notify, Reason};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tristack::core::calls::{Call, CallState, Calls};
use tristack::core::command::{
    Caller, Change, Command, PointHint, Publish, Reply, Topic, Via, Watch,
};
use tristack::core::effect::{Context, Effect, ReplyTag, Rules};
use tristack::core::event::Event;
use tristack::core::exercise::{Counting, PHONES, account, caller};
use tristack::core::fidelity::FidelityTable;
use tristack::core::id::{PublicationId, WatchId};
use tristack::core::port::PersonRecords;
use tristack::core::presence::{Document, Presence, State};
use tristack::core::time::Time;
use tristack::core::user::User;

const WATCHERS: usize = 300;
const HOURS: u64 = 24;

/// One person, those who watch, and the engine of each subscription.
struct Day {
    user: User,
    ids: Counting,
    rules: Rules,
    fidelity: FidelityTable,
    now: Time,
    random: u64,
    served: HashMap<WatchId, Notifier>,
    /// Subscriptions by the name of their device; what a device forgot it does not refresh.
    devices: HashMap<usize, WatchId>,
    published: Vec<PublicationId>,
    calls: Option<PublicationId>,
    version: u32,
    told: u64,
    most: usize,
}

impl Day {
    fn new() -> Self {
        let (mut ids, rules, fidelity) =
            (Counting::default(), Rules::default(), FidelityTable::new());
        let mut context = Context {
            now: Time(1),
            ids: &mut ids,
            rules: &rules,
            fidelity: &fidelity,
        };
        let (user, _) = User::restore(Arc::new(account(0)), PersonRecords::default(), &mut context);
        Self {
            user,
            ids,
            rules,
            fidelity,
            now: Time(1),
            random: 0x1234_5678_9abc_def1,
            served: HashMap::new(),
            devices: HashMap::new(),
            published: Vec::new(),
            calls: None,
            version: 0,
            told: 0,
            most: 0,
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    fn ask(&mut self, who: &Caller, command: Command) -> Option<Reply> {
        let mut effects = Vec::new();
        let mut context = Context {
            now: self.now,
            ids: &mut self.ids,
            rules: &self.rules,
            fidelity: &self.fidelity,
        };
        let tag = ReplyTag(1);
        self.user
            .apply(&mut context, who, command, tag, &mut effects);
        self.take(effects)
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        while let Some(at) = self.user.wake_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let mut effects = Vec::new();
            let mut context = Context {
                now: self.now,
                ids: &mut self.ids,
                rules: &self.rules,
                fidelity: &self.fidelity,
            };
            self.user.tick(&mut context, &mut effects);
            self.take(effects);
        }
        self.now = end;
    }

    fn take(&mut self, effects: Vec<Effect>) -> Option<Reply> {
        let mut answer = None;
        for effect in effects {
            match effect {
                Effect::Reply(_, reply) => answer = reply.ok(),
                Effect::Emit(_, Event::Presence { watch, change, .. }) => self.tell(watch, &change),
                _ => {}
            }
        }
        answer
    }

    /// What the front does with it: one NOTIFY, answered, unanswered or refused.
    fn tell(&mut self, watch: WatchId, change: &Change) {
        self.told += 1;
        let Some(notifier) = self.served.get_mut(&watch) else {
            return;
        };
        let stamp = Stamp {
            via: "SIP/2.0/UDP 192.0.2.1:5060",
            branch: "z9hG4bKx",
        };
        let content = Content::new("application/pidf+xml", Bytes::from_static(b"<presence/>"));
        let notify: Option<Notify> = match change {
            Change::Ended(..) | Change::Last(..) => {
                notifier.terminate(self.now.0, Reason::Timeout, Some(content), stamp)
            }
            _ => notifier.notify(self.now.0, content, stamp),
        };
        if notify.is_none() {
            return;
        }
        let fate = self.below(20);
        let after = self.served.get_mut(&watch).map(|notifier| match fate {
            0 => notifier.silent(),
            1 => notifier.answered(481),
            _ => notifier.answered(200),
        });
        if after == Some(After::Ended) {
            self.served.remove(&watch);
            let unwatch = Command::Unwatch {
                watch,
                notify: false,
            };
            let owner = caller(0, PHONES);
            self.ask(&owner, unwatch);
        }
    }

    fn subscribe(&mut self) {
        let device = usize::try_from(self.below(WATCHERS as u64)).unwrap_or_default();
        let lease = Duration::from_secs(60 + self.below(600));
        if self.below(2) == 0
            && let Some(watch) = self.devices.get(&device).copied()
        {
            let lease = if self.below(6) == 0 {
                Duration::ZERO
            } else {
                lease
            };
            let renew = Command::RenewWatch {
                watch,
                lease,
                handle: None,
                notify: true,
            };
            self.ask(&caller(1 + device, PHONES), renew);
            return;
        }
        let request = subscribe(device, self.told);
        let end = self.now.after(lease).0;
        let notifier =
            Notifier::accept(&request, "ours", "sip:192.0.2.1", end).expect("a subscription");
        let topic = if device % 7 == 0 {
            Topic::Watchers
        } else {
            Topic::Presence
        };
        let who = if topic == Topic::Watchers {
            caller(0, PHONES)
        } else {
            caller(1 + device, PHONES)
        };
        let watch = Command::Watch(Watch {
            topic,
            stack: PHONES,
            lease,
            via: Via::Direct,
            notify: true,
            key: Some(format!("device {device}").into()),
            handle: notifier.save().into(),
        });
        if let Some(Reply::Watching {
            watch: Some(watch), ..
        }) = self.ask(&who, watch)
        {
            if let Some(older) = self.devices.insert(device, watch) {
                self.served.remove(&older);
            }
            self.served.insert(watch, notifier);
        }
    }

    fn publish(&mut self) {
        let device = self.below(5);
        let state = [State::Online, State::Busy, State::Away, State::Idle];
        let state = state[usize::try_from(self.below(4)).unwrap_or_default()];
        let document = Document {
            stack: PHONES,
            media: "application/pidf+xml".into(),
            bytes: format!("<presence>{}</presence>", self.told).into(),
        };
        let presence = Presence {
            document: Some(Arc::new(document)),
            ..Presence::of(state)
        };
        let lease = Some(Duration::from_secs(60 + self.below(900)));
        let key = Some(format!("device {device}").into());
        let command = publication((key, None), Some(presence), None, lease);
        if let Some(Reply::Published { publication, .. }) = self.ask(&caller(0, PHONES), command) {
            self.published.retain(|known| *known != publication);
            self.published.push(publication);
            if self.published.len() > 8 {
                self.published.remove(0);
            }
        }
    }

    fn call(&mut self) {
        self.version += 1;
        let state = if self.below(2) == 0 {
            CallState::Confirmed
        } else {
            CallState::Terminated
        };
        let call = Call {
            id: format!("{}", self.below(5)).into(),
            state,
            detail: "<dialog/>".into(),
        };
        let calls = Calls {
            full: false,
            version: self.version,
            list: vec![call],
        };
        let lease = Some(Duration::from_secs(60 + self.below(900)));
        let target = self.calls;
        let command = publication((Some("line".into()), target), None, Some(calls), lease);
        self.calls = match self.ask(&caller(0, PHONES), command) {
            Some(Reply::Published { publication, .. }) => Some(publication),
            _ => None,
        };
    }

    fn hour(&mut self) {
        let end = self.now.after(Duration::from_hours(1));
        while self.now < end {
            match self.below(10) {
                0..=5 => self.subscribe(),
                6..=7 => self.publish(),
                8 => self.call(),
                _ => {
                    // A device forgets all it had.
                    let device = usize::try_from(self.below(WATCHERS as u64)).unwrap_or_default();
                    self.devices.remove(&device);
                }
            }
            let span = Duration::from_millis(self.below(4_000));
            self.pass(span);
            self.most = self.most.max(self.served.len());
        }
    }
}

fn publication(
    (key, target): (Option<Arc<str>>, Option<PublicationId>),
    presence: Option<Presence>,
    calls: Option<Calls>,
    lease: Option<Duration>,
) -> Command {
    Command::Publish(Publish {
        stack: PHONES,
        target: target.map(|id| (id, None)),
        adopt: false,
        hint: PointHint::default(),
        key,
        presence,
        calls,
        lease,
    })
}

fn subscribe(device: usize, number: u64) -> RawMessage {
    let text = format!(
        "SUBSCRIBE sip:p0@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{number}\r\n\
         From: <sip:p{device}@example.com>;tag=t{number}\r\nTo: <sip:p0@example.com>\r\n\
         Call-ID: {device}-{number}\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:p{device}@192.0.2.9>\r\n\
         Event: presence\r\nContent-Length: 0\r\n\r\n"
    );
    match frame_datagram(text.into(), &Limits::default()) {
        Ok(Datagram::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// Resident memory of this process in octets.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[test]
fn memory_is_flat_over_a_day_and_nothing_is_left() {
    let mut day = Day::new();
    let (mut held, mut most) = (Vec::new(), Vec::new());
    for _ in 0..HOURS {
        day.most = 0;
        day.hour();
        held.push(resident());
        most.push(day.most);
    }
    println!(
        "told {} times, at most {most:?} subscriptions, resident {held:?}",
        day.told
    );
    assert!(day.told > 50_000, "there was churn: {}", day.told);
    // The allocator has its working set after a few hours; a leak of one subscription in ten
    // would be megabytes by then.
    let (early, late) = held.split_at(held.len() / 4);
    let (early, late) = (early.iter().max(), late.iter().max());
    let (early, late) = (early.copied().unwrap_or(0), late.copied().unwrap_or(0));
    assert!(late <= early + (1 << 20), "{held:?}");
    let (early, late) = most.split_at(most.len() / 4);
    assert!(
        late.iter().max() <= early.iter().max().map(|m| m + m / 4).as_ref(),
        "{most:?}"
    );
    // Everybody goes home: all leases end by themselves.
    day.pass(Duration::from_hours(2));
    assert!(day.user.is_idle(), "the core's table is empty");
    let left: Vec<_> = day.served.keys().collect();
    assert!(left.is_empty(), "engines without a watch: {left:?}");
}
