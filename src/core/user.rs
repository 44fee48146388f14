//! One person's live state and the one function that changes it. What each command means is in
//! the modules beside this one; here is only the struct, the dispatch and time.

use crate::core::access::{AccessEntry, Right, Verdict};
use crate::core::address::Address;
use crate::core::away::Away;
use crate::core::chat::Chat;
use crate::core::command::{
    Caller, Command, Ended, PropertyName, PropertyValue, Reply, Route, Standing, WatchState,
};
use crate::core::consent::Acquaintance;
use crate::core::contacts::ContactList;
use crate::core::conversation::Talk;
use crate::core::delivery::Delivery;
use crate::core::devices::DeviceRules;
use crate::core::documents::DocumentInfo;
use crate::core::duplicates::Seen;
use crate::core::effect::{Context, Effect, Forward, Notice, ReplyTag, Rules, Why};
use crate::core::error::Error;
use crate::core::event::Event;
use crate::core::id::{MessageId, PersonId, PointId, Stack};
use crate::core::message::{Fidelity, Kind, Message};
use crate::core::notices::WaitingTold;
use crate::core::points::Point;
use crate::core::port::{Account, PublicationRecord, Write};
use crate::core::presence::View;
use crate::core::time::Time;
use crate::core::trace::{Checkpoint, Step};
use crate::core::typing::Typist;
use crate::core::watchers::Roll;
use crate::core::watches::{Telling, Watching};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One person's live state. Pure: what it does depends on its inputs alone (`decisions.md` 32).
#[derive(Debug)]
pub struct User {
    account: Arc<Account>,
    /// By sign-in, newest last.
    pub(super) points: Vec<Point>,
    /// By first publication, newest last.
    pub(super) publications: Vec<PublicationRecord>,
    pub(super) watches: Vec<Watching>,
    pub(super) properties: Vec<(PropertyName, PropertyValue)>,
    /// `None` = never written, defaults apply.
    pub(super) access: Option<Vec<AccessEntry>>,
    /// Whom this person watches, where that means consent; oldest first.
    pub(super) acquaintances: Vec<Acquaintance>,
    /// By id.
    pub(super) documents: Vec<DocumentInfo>,
    pub(super) contacts: ContactList,
    /// `None` = nothing is ruled, as for nearly everybody.
    pub(super) devices: Option<Box<DeviceRules>>,
    /// By arrival.
    pub(super) deliveries: VecDeque<Delivery>,
    /// Texts that wait for somebody to come, by arrival.
    pub(super) away: VecDeque<Away>,
    pub(super) talks: Vec<Talk>,
    /// Set if this is a conversation of many.
    pub(super) chat: Option<Box<Chat>>,
    pub(super) seen: VecDeque<Seen>,
    pub(super) typists: Vec<Typist>,
    /// What the points add up to, as of the last [`User::settle`].
    pub(super) fold: View,
    /// What single watchers are shown instead of the fold ([`Command::ShowTo`]).
    pub(super) shown_to: BTreeMap<Address, View>,
    pub(super) telling: Telling,
    pub(super) roll: Roll,
    /// Watchers whose waiting the owner was told of by a text.
    pub(super) waiting_told: Option<Box<WaitingTold>>,
    /// When the owner was last told that a message could not be archived.
    pub(super) unarchived_told: Option<Time>,
    /// The list of watchers is not what those who watch it were told.
    pub(super) roll_changed: bool,
    /// Those who watch the calls may not know them.
    pub(super) calls_changed: bool,
    /// The fold may be out of date.
    pub(super) stale: bool,
    /// Watchers may not know the fold.
    pub(super) untold: bool,
    /// The point that made it stale.
    pub(super) cause: Option<PointId>,
    /// Not later than the next thing that is due.
    wake: Option<Time>,
}

impl User {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self {
            account,
            points: Vec::new(),
            publications: Vec::new(),
            watches: Vec::new(),
            properties: Vec::new(),
            access: None,
            acquaintances: Vec::new(),
            documents: Vec::new(),
            contacts: ContactList::default(),
            devices: None,
            deliveries: VecDeque::new(),
            away: VecDeque::new(),
            talks: Vec::new(),
            chat: None,
            seen: VecDeque::new(),
            typists: Vec::new(),
            fold: View::offline(Time(0)),
            shown_to: BTreeMap::new(),
            telling: Telling::default(),
            roll: Roll::default(),
            waiting_told: None,
            unarchived_told: None,
            roll_changed: false,
            calls_changed: false,
            stale: false,
            untold: false,
            cause: None,
            wake: None,
        }
    }

    /// Executes a command; consequences are appended to `out` in order. The answer to `tag` may
    /// come later (messages), from another command or from [`Self::tick`]; it comes exactly once.
    pub fn apply(
        &mut self,
        cx: &mut Context<'_>,
        caller: &Caller,
        command: Command,
        tag: ReplyTag,
        out: &mut Vec<Effect>,
    ) {
        if self.wake.is_some_and(|at| at <= cx.now) {
            self.tick(cx, out);
        }
        let mut fx = Fx::new(cx, out);
        match self.dispatch(&mut fx, caller, command, tag) {
            Ok(Some(reply)) => fx.reply(tag, Ok(reply)),
            Ok(None) => {}
            Err(error) => fx.reply(tag, Err(error)),
        }
        self.settle(&mut fx);
        self.chat_settle(&mut fx);
        fx.flush();
    }

    /// When [`Self::tick`] should be called next; a tick too early or too many is harmless.
    pub fn wake_at(&self) -> Option<Time> {
        self.wake
    }

    /// Lets time pass: leases, grace, doubt, merged notifications, answers that are due.
    pub fn tick(&mut self, cx: &mut Context<'_>, out: &mut Vec<Effect>) {
        let mut fx = Fx::new(cx, out);
        self.expire_points(&mut fx);
        self.expire_publications(&mut fx);
        self.expire_watches(&mut fx);
        self.expire_acquaintances(&mut fx);
        self.expire_properties(&mut fx);
        self.expire_deliveries(&mut fx);
        self.expire_away(&mut fx);
        self.expire_typists(&mut fx);
        self.expire_talks(&fx);
        self.expire_seen(&fx);
        self.chat_settle(&mut fx);
        // Doubt hides points by time alone.
        self.stale = true;
        self.settle(&mut fx);
        let (now, rules) = (fx.now(), fx.rules());
        fx.flush();
        self.rearm(now, rules);
    }

    /// Whether nothing is lost by dropping this value and restoring it from storage later.
    pub fn is_idle(&self) -> bool {
        self.points.is_empty()
            && self.publications.is_empty()
            && self.watches.is_empty()
            && self.shown_to.is_empty()
            && self.acquaintances.is_empty()
            && self.deliveries.is_empty()
            && self.away.is_empty()
            && self.talks.is_empty()
            && self.chat.is_none()
            && self.seen.is_empty()
            && self.typists.is_empty()
    }

    /// Whose state this is.
    pub fn person(&self) -> PersonId {
        self.account.person
    }

    /// The account as it is now.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Takes over a changed account (address, aliases, name).
    pub fn set_account(&mut self, account: Arc<Account>) {
        self.account = account;
    }

    /// `Ok(None)`: the answer comes later, or from somebody else.
    fn dispatch(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        command: Command,
        tag: ReplyTag,
    ) -> Result<Option<Reply>, Error> {
        if self.chat.is_some() || matches!(command, Command::Chat(_)) {
            return self.chat_dispatch(fx, caller, command, tag);
        }
        if self.hides(fx.rules(), caller) {
            return Err(Error::UnknownUser);
        }
        let reply = match command {
            Command::Submit(submit) => {
                return self.submit(fx, caller, submit, tag).map(|()| None);
            }
            Command::Speak(speak) => return self.speak(fx, caller, *speak, tag),
            Command::Detach(conversation) => {
                self.must_own(caller)?;
                self.detach(conversation);
                Reply::Done
            }
            Command::Deliver(message) => return self.deliver(fx, caller, message, tag),
            Command::Outcome {
                message,
                point,
                outcome,
            } => {
                self.outcome(fx, message, point, outcome);
                Reply::Done
            }
            Command::Health { point, alive } => {
                if alive {
                    self.point_answered(fx, point);
                } else {
                    self.point_failed(fx, point, None);
                }
                Reply::Done
            }
            Command::Relay(relay) => {
                self.relay(fx, &relay);
                Reply::Done
            }
            Command::Register(register) => self.register(fx, caller, register)?,
            Command::Renew { point, lease } => self.renew_point(fx, caller, point, lease)?,
            Command::Tether { point, change } => self.tether(fx, caller, point, change)?,
            Command::Publish(publish) => self.publish(fx, caller, &publish)?,
            Command::Retract {
                publication,
                version,
            } => self.retract(fx, caller, publication, version)?,
            other => self.dispatch_watching(fx, caller, other)?,
        };
        Ok(Some(reply))
    }

    /// The second half of [`Self::dispatch`]: what concerns others' view of the person.
    fn dispatch_watching(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        command: Command,
    ) -> Result<Reply, Error> {
        match command {
            Command::Watch(watch) => self.watch(fx, caller, watch),
            Command::RenewWatch {
                watch,
                lease,
                handle,
                notify,
            } => self.renew_watch(fx, caller, watch, (lease, handle, notify)),
            Command::Unwatch { watch, notify } => self.unwatch(fx, caller, watch, notify),
            Command::SaveWatch { watch, handle } => self.save_watch(fx, caller, watch, handle),
            Command::Look => self.look(fx, caller),
            Command::ShowTo { watcher, presence } => self.show_to(fx, caller, watcher, presence),
            Command::Decide { watcher, accept } => self.decide(fx, caller, &watcher, accept),
            Command::Acquaint { with, until } => self.acquaint(fx, caller, with, until),
            Command::Properties(names) => self.read_properties(fx, caller, names),
            Command::SetProperties { changes } => self.set_properties(fx, caller, changes),
            Command::Access => {
                self.must(fx.rules(), caller, Right::ReadAcl)?;
                Ok(Reply::Access(self.access.clone().unwrap_or_default()))
            }
            Command::SetAccess(list) => self.set_access(fx, caller, list),
            Command::Documents => self.list_documents(fx.rules(), caller),
            Command::PutDocument(put) => self.put_document(fx, caller, *put),
            Command::Contacts => {
                self.must_own(caller)?;
                Ok(Reply::Contacts(self.contacts.clone()))
            }
            Command::SetDevices(changes) => self.set_devices(fx, caller, changes),
            Command::Check(right) => self.must(fx.rules(), caller, right).map(|()| Reply::Done),
            Command::Locate => self.locate(fx.rules(), caller),
            Command::Uncalled(by) => self.uncalled(fx, caller, &by),
            Command::Standing => self.standing(fx, caller),
            Command::Erase => self.erase(fx, caller),
            // The other half is executed by `dispatch`; nothing comes here from there.
            _ => Err(Error::Denied("no such command")),
        }
    }

    pub(super) fn standing(&self, fx: &Fx<'_, '_>, caller: &Caller) -> Result<Reply, Error> {
        let (now, rules) = (fx.now(), fx.rules());
        self.must(rules, caller, Right::Subscriptions)?;
        let publication = |p: &PublicationRecord| (p.id, p.point, p.presence.clone(), p.expires);
        Ok(Reply::Standing(Box::new(Standing {
            view: self.fold.clone(),
            points: self.points.iter().map(Point::info).collect(),
            publications: self.publications.iter().map(publication).collect(),
            watches: self.watch_infos(),
            pending: self.deliveries.len(),
            away: self.away.len(),
            devices: self.device_infos(now, rules),
            device_rules: self.devices.as_deref().cloned().unwrap_or_default(),
            spread: self.spread(rules),
        })))
    }

    /// The account is gone: everything ends, everybody is told.
    pub(super) fn erase(&mut self, fx: &mut Fx<'_, '_>, caller: &Caller) -> Result<Reply, Error> {
        self.must_own(caller)?;
        let (person, now) = (self.person(), fx.now());
        fx.store(Write::DeleteAccount(person));
        self.abandon_deliveries(fx);
        self.abandon_away(fx);
        for point in std::mem::take(&mut self.points) {
            fx.log(Notice::PointEnded(person, point.record.id, Why::Erased));
            let stack = point.record.stack;
            let point = point.info();
            fx.emit(stack, Event::PointEnded { person, point });
        }
        for watch in std::mem::take(&mut self.watches) {
            let view = View::offline(now);
            if watch.record.state != WatchState::Waiting {
                let ended = crate::core::command::Change::Ended(Ended::NoResource, view);
                self.send(fx, &watch.record, ended);
            }
        }
        *self = Self::new(Arc::clone(&self.account));
        Ok(Reply::Done)
    }

    /// Whether the caller is the owner or this server itself. A node's owner is another person.
    pub(super) fn owns(&self, caller: &Caller) -> bool {
        let owner = self.account.node.as_ref().and_then(|node| node.owner);
        caller.scheme == crate::core::access::Scheme::Internal
            || caller.person == Some(self.account.person)
            || (owner.is_some() && caller.person == owner)
    }

    /// Whether this is no person: what is forbidden here is said openly (`decisions.md` 16).
    pub(super) fn is_node(&self) -> bool {
        self.account.node.is_some()
    }

    pub(super) fn must_own(&self, caller: &Caller) -> Result<(), Error> {
        if self.owns(caller) {
            return Ok(());
        }
        Err(Error::Denied("not the owner"))
    }

    /// Whether a node is not there at all for a caller: its list denies him `list`. A person's is
    /// always there, because a block must look like absence (`decisions.md` 16).
    fn hides(&self, rules: &Rules, caller: &Caller) -> bool {
        self.is_node() && self.verdict(rules, caller, Right::List) == Verdict::Blocked
    }

    pub(super) fn must(&self, rules: &Rules, caller: &Caller, right: Right) -> Result<(), Error> {
        match self.verdict(rules, caller, right) {
            Verdict::Granted => Ok(()),
            Verdict::Blocked | Verdict::Asked | Verdict::Withheld => {
                Err(Error::Denied(right.name()))
            }
        }
    }

    /// This person's server acting by itself.
    pub(super) fn internal(&self) -> Caller {
        Caller {
            address: self.account.address.clone(),
            person: Some(self.account.person),
            scheme: crate::core::access::Scheme::Internal,
            route: Route::Internal,
        }
    }

    /// What counts for the fold has changed, because of that point.
    pub(super) fn changed(&mut self, cause: Option<PointId>) {
        self.stale = true;
        self.cause = cause.or(self.cause);
    }

    /// The person did something by that point.
    pub(super) fn touch(&mut self, fx: &Fx<'_, '_>, id: PointId) {
        let (now, rules) = (fx.now(), fx.rules());
        if let Some(point) = self.points.iter_mut().find(|p| p.record.id == id) {
            let idle = point.is_idle(now, rules);
            point.active = now;
            if idle {
                self.changed(Some(id));
                self.arm(now.after(rules.idle_after));
            }
        }
    }

    /// Something is due then.
    pub(super) fn arm(&mut self, at: Time) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Finds out anew what is due next.
    pub(super) fn rearm(&mut self, now: Time, rules: &Rules) {
        let points = self.points.iter().map(|p| p.due(now, rules));
        let publications = self.publications.iter().filter_map(|p| p.expires);
        let watches = self.watches.iter().map(|w| w.due(rules));
        let properties = self.properties.iter().filter_map(|(_, v)| v.expires);
        let deliveries = self.deliveries.iter().filter_map(Delivery::due);
        let away = self.away.iter().map(|away| away.until);
        let talks = self.talks.iter().map(|t| t.last.after(rules.conversation));
        let seen = self.seen.front().map(|s| s.at.after(rules.duplicate));
        self.wake = points
            .chain(publications)
            .chain(watches)
            .chain(properties)
            .chain(deliveries)
            .chain(away)
            .chain(talks)
            .chain(seen)
            .chain(self.typists.iter().map(Typist::due))
            // Once that is past, it waits for what is under way.
            .chain(
                self.chat
                    .as_ref()
                    .map(|chat| chat.ends(rules))
                    .filter(|at| *at > now),
            )
            .chain(self.telling.at)
            .chain(self.roll.at)
            .chain(self.acquaintances.iter().map(|known| known.until))
            .min();
    }
}

/// Collects effects of one command in the order in which they may take effect: stores and answers
/// first, what they cause afterwards (`design.md` 3).
pub(super) struct Fx<'a, 'c> {
    cx: &'a mut Context<'c>,
    out: &'a mut Vec<Effect>,
    later: Vec<Effect>,
}

impl<'a, 'c> Fx<'a, 'c> {
    pub(super) fn new(cx: &'a mut Context<'c>, out: &'a mut Vec<Effect>) -> Self {
        Self {
            cx,
            out,
            later: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Time {
        self.cx.now
    }

    pub(super) fn rules(&self) -> &'c Rules {
        self.cx.rules
    }

    pub(super) fn fidelity(&self, from: Stack, to: Stack, kind: Kind) -> Fidelity {
        self.cx.fidelity.between(from, to, kind)
    }

    pub(super) fn typing_beat(&self, stack: Stack) -> Option<std::time::Duration> {
        self.cx.fidelity.typing_beat(stack)
    }

    pub(super) fn shows_waiting(&self, stack: Stack) -> bool {
        self.cx.fidelity.shows_waiting(stack)
    }

    pub(super) fn next_number(&mut self) -> u32 {
        self.cx.ids.next_number()
    }

    pub(super) fn random(&mut self) -> u128 {
        self.cx.ids.random()
    }

    /// A fresh message id: milliseconds above 80 random bits.
    pub(super) fn message_id(&mut self) -> MessageId {
        let random = self.random() & ((1 << 80) - 1);
        MessageId(u128::from(self.cx.now.0) << 80 | random)
    }

    pub(super) fn store(&mut self, write: Write) {
        self.out.push(Effect::Store(write));
    }

    pub(super) fn reply(&mut self, tag: ReplyTag, answer: Result<Reply, Error>) {
        if tag != ReplyTag::NOBODY {
            self.out.push(Effect::Reply(tag, answer));
        }
    }

    pub(super) fn emit(&mut self, stack: Stack, event: Event) {
        self.later.push(Effect::Emit(stack, event));
    }

    pub(super) fn forward(&mut self, forward: Forward) {
        self.later.push(Effect::Forward(Box::new(forward)));
    }

    /// Before any answer: see [`Effect::Admitted`].
    pub(super) fn admitted(&mut self, message: &Arc<Message>, copy: bool, members: Vec<Address>) {
        let message = Arc::clone(message);
        self.out.push(Effect::Admitted {
            message,
            copy,
            members,
        });
    }

    pub(super) fn trace(&mut self, message: MessageId, step: Step) {
        let at = self.cx.now;
        self.later
            .push(Effect::Trace(Checkpoint { message, at, step }));
    }

    pub(super) fn log(&mut self, notice: Notice) {
        self.later.push(Effect::Log(notice));
    }

    /// Lets out what was held back until after the answers.
    pub(super) fn flush(self) {
        let mut later = self.later;
        self.out.append(&mut later);
    }
}
