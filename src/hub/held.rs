//! Messages that a filter holds: stored before the sender is told so, let go by an operator.

use super::diverted;
use super::shared::Shared;
use super::writer::{From, Job};
use super::{Answer, Envelope, ReplyTo};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Route};
use crate::core::error::Error;
use crate::core::id::MessageId;
use crate::core::message::Message;
use crate::core::port::{HeldRecord, StoreError, Write};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Most messages held at a time; what comes then is refused.
const MOST: usize = 10_000;

/// How many are held.
#[derive(Default)]
pub(super) struct Count(AtomicUsize);

impl Count {
    pub(super) fn set(&self, count: usize) {
        self.0.store(count, Ordering::Release);
    }

    fn one_less(&self) {
        let less = |count: usize| Some(count.saturating_sub(1));
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }
}

/// The message with an id: what comes from another server is given one only at its recipient.
pub(super) fn named(shared: &Shared, message: Arc<Message>) -> Arc<Message> {
    if message.id.0 != 0 {
        return message;
    }
    let mut octets = [0; 16];
    // Without randomness the time alone has to do.
    let _ = getrandom::fill(&mut octets);
    let random = u128::from_be_bytes(octets) & ((1 << 80) - 1);
    let mut named = (*message).clone();
    named.at = shared.clock.now();
    named.id = MessageId(u128::from(named.at.0) << 80 | random);
    Arc::new(named)
}

/// Sends a held message to the writer; the future says whether it is stored.
pub(super) fn put(
    shared: &Arc<Shared>,
    writer: &mpsc::WeakUnboundedSender<Job>,
    record: HeldRecord,
) -> Result<impl Future<Output = Result<(), StoreError>> + Send + use<>, Error> {
    if shared.held.0.fetch_add(1, Ordering::AcqRel) >= MOST {
        shared.held.one_less();
        return Err(Error::Overloaded);
    }
    let (done, stored) = oneshot::channel();
    let job = Job {
        writes: vec![Write::PutHeld(record)],
        from: From::Operator(done),
    };
    let sent = writer
        .upgrade()
        .is_some_and(|writer| writer.send(job).is_ok());
    if !sent {
        shared.held.one_less();
        return Err(Error::Stopping);
    }
    let shared = Arc::clone(shared);
    Ok(async move {
        let stopped = || Err(StoreError::Backend("the hub is stopped".to_owned()));
        let stored = stored.await.unwrap_or_else(|_| stopped());
        if stored.is_err() {
            shared.held.one_less();
        }
        stored
    })
}

/// Delivers a held message past the filters.
pub(super) async fn release(shared: &Shared, record: &HeldRecord) -> Answer {
    let (sender, answer) = oneshot::channel();
    let message = Arc::clone(&record.message);
    let caller = Caller {
        address: message.from.clone(),
        person: message.from_person,
        scheme: record.scheme,
        route: match record.scheme {
            Scheme::Peer => Route::Peer(message.original.stack),
            _ => Route::Point(message.original.stack),
        },
    };
    let envelope = Envelope {
        caller,
        command: Command::Deliver(message),
        reply: ReplyTo::Once(sender),
    };
    shared.pass_admitted(record.person, envelope);
    answer.await.unwrap_or(Err(Error::Stopping))
}

/// It is decided: the row is gone.
pub(super) fn decided(shared: &Shared) {
    shared.held.one_less();
}

/// Tells a sender here that his message will not arrive.
pub(super) fn tell(shared: &Shared, record: &HeldRecord, why: &str) {
    let message = &record.message;
    let local = &shared.settings.rules.system_local;
    let system = Address::new(local, message.from.domain());
    let (Some(person), Ok(from)) = (message.from_person, system) else {
        let (from, to) = (&message.from, &message.to);
        tracing::info!(%from, %to, "a held message was dropped; its sender can't be told");
        return;
    };
    let text = format!(
        "Your message to {} was held by this server and will not be delivered: {why}",
        message.to
    );
    diverted::say(shared, person, (from, message.from.clone()), None, text);
}
