//! A hub with a recording front, and the commands that tests send.

use crate::support::records::{account, address, point};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tristack::core::access::{Right, Scheme};
use tristack::core::command::{
    Caller, Command, Outcome, PointChange, PropertyName, PropertyValue, Reach, Register, Route,
    Submit, Tether, Via, Watch, Whence,
};
use tristack::core::error::Error;
use tristack::core::event::{Event, Outbound};
use tristack::core::fidelity::FidelityColumn;
use tristack::core::id::{ConversationId, MessageId, PersonId, PointId};
use tristack::core::message::{Ack, Content, Fidelity, Message, Original, Text};
use tristack::core::port::{Store, Write};
use tristack::core::time::Time;
use tristack::hub::{Answer, Clock, Hub, ManualClock, ReplySink, ReplyTo, Settings};
use tristack::storage::{Faulty, Memory};

pub use crate::support::records::STACK;

/// Longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

pub const FIDELITY: FidelityColumn = FidelityColumn {
    text: Fidelity::Exact,
    typing: Fidelity::Exact,
    join: Fidelity::Exact,
    leave: Fidelity::Exact,
    invitation: Fidelity::Exact,
    receipt: Fidelity::Dropped,
    opaque: Fidelity::Refused,
    own_texts: Fidelity::Dropped,
    own_state: Fidelity::Dropped,
    shows_waiting: true,
    typing_beat: None,
};

/// Hands all events to the test.
pub struct Front(mpsc::UnboundedSender<Event>);

impl Outbound for Front {
    fn take(&self, event: Event) {
        let _ = self.0.send(event);
    }
}

/// Person number `n`, with address `u<n>@example.com`.
pub fn person(n: u32) -> PersonId {
    PersonId(u128::from(n) << 64 | 0x1234)
}

pub fn caller(n: u32) -> Caller {
    Caller {
        address: address(&format!("u{n}@example.com")),
        person: Some(person(n)),
        scheme: Scheme::Digest,
        route: Route::Point(STACK),
    }
}

/// Puts `count` accounts into a storage.
pub async fn people(store: &impl Store, count: u32) {
    let all = (1..=count)
        .map(|n| Write::PutAccount(account(person(n), &format!("u{n}@example.com"), &[])));
    store.commit(all.collect()).await.unwrap();
}

pub struct Stage {
    pub hub: Hub,
    pub clock: Arc<ManualClock>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Stage {
    pub async fn new<S: Store>(store: &Arc<S>, settings: Settings) -> Self {
        let stage = Self::closed(store, settings).await;
        stage.hub.open().await.unwrap();
        stage
    }

    /// Not open yet.
    pub async fn closed<S: Store>(store: &Arc<S>, settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::new(Time(1_000_000)));
        let shown: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let domains = vec!["example.com".to_owned()];
        let hub = Hub::start(Arc::clone(store), domains, settings, shown);
        let hub = hub.await.unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        hub.attach(STACK, Arc::new(Front(sender)), FIDELITY);
        Self { hub, clock, events }
    }

    pub async fn call(&self, n: u32, command: Command) -> Answer {
        within(self.hub.call(person(n), &caller(n), command)).await
    }

    /// The next event.
    pub async fn event(&mut self) -> Event {
        within(self.events.recv()).await.expect("the hub is there")
    }

    /// The next event that `wanted` takes; others are skipped.
    pub async fn find<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            let event = self.event().await;
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    /// An event that is there already.
    pub fn event_now(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Takes the next delivery and answers it.
    pub async fn take_delivery(&mut self, outcome: Outcome) -> Arc<Message> {
        let (to, point, message) = self.find(delivery).await;
        let command = Command::Outcome {
            message: message.id,
            point,
            outcome,
        };
        let caller = Caller {
            scheme: Scheme::Internal,
            route: Route::Internal,
            person: Some(to),
            address: message.to.clone(),
        };
        self.hub.send(to, caller, command, ReplyTo::Nobody);
        message
    }
}

pub fn delivery(event: &Event) -> Option<(PersonId, PointId, Arc<Message>)> {
    match event {
        Event::Deliver {
            person,
            point,
            message,
            ..
        } => Some((*person, point.id, Arc::clone(message))),
        _ => None,
    }
}

/// Waits, but not for ever.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.expect("this takes too long")
}

/// Signs in at an inbox.
pub fn sign_in(inbox: &str) -> Command {
    let mut spec = point(PersonId(0), 0).spec;
    spec.key = Some(inbox.into());
    spec.inbox = inbox.into();
    spec.reach = Reach::Full;
    spec.tether = Tether::Address;
    Command::Register(Register {
        stack: STACK,
        lineage: None,
        changes: vec![PointChange::Put(Box::new(spec))],
    })
}

/// Reads something: needs no storage.
pub fn look() -> Command {
    Command::Check(Right::Read)
}

pub fn set_property(text: &str) -> Command {
    let name = PropertyName {
        namespace: "n".into(),
        local: "l".into(),
    };
    let value = PropertyValue {
        bytes: text.as_bytes().into(),
        expires: None,
        fallback: None,
    };
    Command::SetProperties {
        changes: vec![(name, Some(value))],
    }
}

pub fn watch() -> Command {
    Command::Watch(Watch {
        topic: tristack::core::command::Topic::Presence,
        stack: STACK,
        lease: Duration::from_mins(10),
        via: Via::Direct,
        notify: false,
        key: None,
        handle: vec![1].into(),
    })
}

/// A text from `from` to `to` in that conversation.
pub fn text(from: u32, to: u32, conversation: u128, body: &str) -> Command {
    let message = Message {
        id: MessageId(0),
        at: Time(0),
        from: address(&format!("u{from}@example.com")),
        from_person: None,
        from_name: "".into(),
        to: address(&format!("u{to}@example.com")),
        conversation: ConversationId(conversation),
        content: Content::Text(Text {
            body: body.into(),
            media: "text/plain".into(),
            format: None,
        }),
        original: Original {
            stack: STACK,
            bytes: body.as_bytes().to_vec().into(),
            key: None,
            decoded: tristack::core::message::Decoded::Characters,
        },
        ack: Ack::Any,
        hops: 0,
        wants: None,
        chat: None,
    };
    Command::Submit(Submit {
        message,
        conversation: Some(ConversationId(conversation)),
        to: person(to),
        whence: Whence::Unknown,
    })
}

pub fn body(message: &Message) -> String {
    match &message.content {
        Content::Text(text) => text.body.as_ref().to_owned(),
        other => panic!("not a text: {other:?}"),
    }
}

/// Collects answers with their tokens.
pub struct Answers(mpsc::UnboundedSender<(u64, Answer)>);

impl ReplySink for Answers {
    fn reply(&self, token: u64, answer: Answer) {
        let _ = self.0.send((token, answer));
    }
}

pub struct Collector {
    sink: Arc<Answers>,
    answers: mpsc::UnboundedReceiver<(u64, Answer)>,
}

impl Collector {
    pub fn new() -> Self {
        let (sender, answers) = mpsc::unbounded_channel();
        Self {
            sink: Arc::new(Answers(sender)),
            answers,
        }
    }

    pub fn send(&self, hub: &Hub, n: u32, command: Command, token: u64) {
        let reply = ReplyTo::Sink(Arc::clone(&self.sink) as Arc<dyn ReplySink>, token);
        hub.send(person(n), caller(n), command, reply);
    }

    pub async fn next(&mut self) -> (u64, Answer) {
        within(self.answers.recv()).await.expect("own sender")
    }

    pub fn now(&mut self) -> Option<(u64, Answer)> {
        self.answers.try_recv().ok()
    }
}

pub fn is_overloaded(answer: &Answer) -> bool {
    matches!(answer, Err(Error::Overloaded))
}

/// A storage with that many accounts, faults to be planted.
pub async fn memory(count: u32) -> Arc<Faulty<Memory>> {
    let store = Memory::new();
    people(&store, count).await;
    Arc::new(Faulty::new(store))
}

/// Settings for tests that count on one shard.
pub fn one_shard() -> Settings {
    Settings {
        shards: 1,
        ..Settings::default()
    }
}
