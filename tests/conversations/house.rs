//! A hub with five people and both stacks, and what clients do with it.

use crate::clients::{Front, MESH, PAGER, State, person};
use crate::support::records::{account, address, point};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tristack::core::access::{AccessEntry, Detail, Right, Rights, Scheme, Subject};
use tristack::core::address::Address;
use tristack::core::chat::{ChatCommand, ChatInfo};
use tristack::core::command::{
    Caller, Command, PointChange, Reach, Register, Reply, Route, Submit, Tether, Whence,
};
use tristack::core::error::Error;
use tristack::core::fidelity::FidelityColumn;
use tristack::core::id::{ConversationId, MessageId, PersonId, Stack};
use tristack::core::message::{Ack, Content, Decoded, Fidelity, Message, Original, Text};
use tristack::core::port::{Store, Write};
use tristack::core::time::Time;
use tristack::hub::{Answer, Clock, Hub, ManualClock, Resolution, Settings};
use tristack::storage::Memory;

pub(crate) const PEOPLE: usize = 5;
/// The conversation, as mesh clients name it.
pub(crate) const NAME: ConversationId = ConversationId(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which stacks a person is on: three kinds.
pub(crate) fn stacks(who: usize) -> &'static [Stack] {
    match who {
        0 | 2 => &[MESH],
        1 | 3 => &[PAGER],
        _ => &[MESH, PAGER],
    }
}

pub(crate) struct House {
    pub(crate) hub: Hub,
    pub(crate) store: Arc<Memory>,
    pub(crate) state: Arc<Mutex<State>>,
    clock: Arc<ManualClock>,
    texts: usize,
}

impl House {
    pub(crate) async fn new() -> Self {
        let store = Arc::new(Memory::new());
        let all = (0..PEOPLE).map(|who| {
            let mut account = account(person(who), &format!("p{who}@example.com"), &[]);
            account.display_name = format!("p{who}");
            Write::PutAccount(account)
        });
        store.commit(all.collect()).await.expect("accounts");
        let state = Arc::new(Mutex::new(State::default()));
        let clock = Arc::new(ManualClock::new(Time(1_000_000)));
        let hub = open(&store, &state, &clock).await;
        let house = Self {
            hub,
            store,
            state,
            clock,
            texts: 0,
        };
        for who in 0..PEOPLE {
            house.sign_in(who).await;
        }
        house
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// Dies and comes back with what was stored.
    pub(crate) async fn crash(&mut self) {
        self.store = Arc::new(self.store.snapshot());
        self.hub = open(&self.store, &self.state, &self.clock).await;
        self.settle().await;
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, to: PersonId, caller: &Caller, command: Command) -> Answer {
        let call = self.hub.call(to, caller, command);
        let answered = tokio::time::timeout(PATIENCE, call).await;
        answered.expect("an answer in time")
    }

    pub(crate) async fn sign_in(&self, who: usize) {
        for stack in stacks(who) {
            let mut spec = point(PersonId(0), 0).spec;
            spec.inbox = format!("{stack}:p{who}").into();
            spec.key = Some(spec.inbox.clone());
            spec.reach = Reach::Full;
            // A device of its own for each stack.
            spec.machine = Some(stack.name().into());
            spec.client = stack.name().into();
            spec.source = None;
            spec.tether = Tether::Address;
            spec.lease = Duration::from_hours(20);
            let change = PointChange::Put(Box::new(spec));
            self.register(who, *stack, change).await;
        }
    }

    pub(crate) async fn sign_out(&self, who: usize) {
        for stack in stacks(who) {
            self.register(who, *stack, PointChange::RemoveAll).await;
        }
    }

    async fn register(&self, who: usize, stack: Stack, change: PointChange) {
        let register = Command::Register(Register {
            stack,
            lineage: None,
            changes: vec![change],
        });
        let done = self.call(person(who), &caller(who, stack), register).await;
        done.expect("registered");
    }

    pub(crate) async fn block(&self, who: usize, whom: usize, blocked: bool) {
        let entry = AccessEntry {
            subject: Subject::Address(at(whom)),
            schemes: Vec::new(),
            grant: Rights::default(),
            deny: Rights::default().with(Right::SendTo),
            ask: Rights::default(),
            detail: Detail::ALL,
        };
        let list = blocked.then_some(entry).into_iter().collect();
        let set = Command::SetAccess(list);
        let done = self.call(person(who), &caller(who, MESH), set).await;
        done.expect("the list is set");
    }

    /// A message of a mesh client to one.
    pub(crate) async fn copy(&self, from: usize, to: usize, content: Content) -> Answer {
        let message = message(from, MESH, at(to), content);
        self.submit(from, MESH, message, (Some(NAME), person(to)))
            .await
    }

    /// A text to the chat address.
    pub(crate) async fn write(&self, from: usize, stack: Stack, chat: &str, text: &str) -> Answer {
        let to = address(chat);
        let Resolution::Local(account) = self.hub.directory().resolve(&to) else {
            return Err(Error::UnknownUser);
        };
        let message = message(from, stack, to, plain(text));
        self.submit(from, stack, message, (None, account.person))
            .await
    }

    async fn submit(
        &self,
        from: usize,
        stack: Stack,
        message: Message,
        (conversation, to): (Option<ConversationId>, PersonId),
    ) -> Answer {
        let submit = Command::Submit(Submit {
            message,
            conversation,
            to,
            whence: Whence::default(),
        });
        self.call(person(from), &caller(from, stack), submit).await
    }

    /// The next text, different from all others.
    pub(crate) fn text(&mut self) -> String {
        self.texts += 1;
        format!("text {}", self.texts)
    }

    /// The conversation as the server has it; `None` = there is none.
    pub(crate) async fn chat(&self) -> Option<ChatInfo> {
        let account = self.hub.directory().chats().into_iter().next()?;
        let internal = Caller {
            address: account.address.clone(),
            person: Some(account.person),
            scheme: Scheme::Internal,
            route: Route::Internal,
        };
        let show = Command::Chat(Box::new(ChatCommand::Show));
        match self.call(account.person, &internal, show).await {
            Ok(Reply::Chat(info)) => Some(*info),
            Ok(other) => panic!("not a conversation: {other:?}"),
            Err(_) => None,
        }
    }

    /// Messages under way to a person.
    pub(crate) async fn pending(&self, who: usize) -> usize {
        let standing = Command::Standing;
        match self.call(person(who), &caller(who, MESH), standing).await {
            Ok(Reply::Standing(standing)) => standing.pending,
            other => panic!("no standing: {other:?}"),
        }
    }

    /// Until nothing is under way: several rounds in which nobody has anything to do any more.
    pub(crate) async fn settle(&self) {
        let mut quiet = 0;
        let mut before = usize::MAX;
        while quiet < 4 {
            let mut pending = self.chat().await.map_or(0, |chat| chat.pending);
            for who in 0..PEOPLE {
                pending += self.pending(who).await;
            }
            let events = self.state().events;
            quiet = if pending == 0 && events == before {
                quiet + 1
            } else {
                0
            };
            before = events;
            tokio::task::yield_now().await;
        }
    }
}

async fn open(store: &Arc<Memory>, state: &Arc<Mutex<State>>, clock: &Arc<ManualClock>) -> Hub {
    let shown: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    let domains = vec!["example.com".to_owned()];
    let settings = Settings {
        shards: 2,
        ..Settings::default()
    };
    let hub = Hub::start(Arc::clone(store), domains, settings, shown).await;
    let hub = hub.expect("a hub");
    let cell = Arc::new(OnceLock::new());
    for (stack, known) in [(MESH, Fidelity::Exact), (PAGER, Fidelity::Dropped)] {
        let front = Front {
            stack,
            state: Arc::clone(state),
            hub: Arc::clone(&cell),
        };
        let column = FidelityColumn {
            text: Fidelity::Adapted,
            typing: Fidelity::Adapted,
            typing_beat: None,
            join: known,
            leave: known,
            invitation: Fidelity::Refused,
            receipt: Fidelity::Dropped,
            opaque: Fidelity::Refused,
            shows_waiting: true,
            own_texts: Fidelity::Dropped,
            own_state: Fidelity::Dropped,
        };
        hub.attach(stack, Arc::new(front), column);
    }
    assert!(cell.set(hub.clone()).is_ok());
    hub.open().await.expect("open");
    hub
}

pub(crate) fn at(who: usize) -> Address {
    address(&format!("p{who}@example.com"))
}

pub(crate) fn plain(text: &str) -> Content {
    Content::Text(Text {
        body: text.into(),
        media: "text/plain".into(),
        format: None,
    })
}

fn caller(who: usize, stack: Stack) -> Caller {
    Caller {
        address: at(who),
        person: Some(person(who)),
        scheme: Scheme::Digest,
        route: Route::Point(stack),
    }
}

fn message(from: usize, stack: Stack, to: Address, content: Content) -> Message {
    Message {
        id: MessageId(0),
        at: Time(0),
        from: at(from),
        from_person: None,
        from_name: "".into(),
        to,
        conversation: ConversationId(0),
        content,
        original: Original {
            stack,
            bytes: bytes::Bytes::new(),
            key: None,
            decoded: Decoded::default(),
        },
        ack: Ack::Any,
        hops: 1,
        wants: None,
        chat: None,
    }
}
