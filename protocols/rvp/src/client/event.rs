//! What notifications mean to a client.

use crate::document::{Change, Contact, Notification, Property, PropertyUpdate, State};
use crate::error::ParseError;
use crate::mime::{Block, Kind};
use crate::text::Habit;
use bytes::Bytes;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// What arrives at the callback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A watched node changed its state.
    Presence {
        /// Whose.
        from: Contact,
        /// The new state.
        state: State,
    },
    /// Other properties changed.
    Properties {
        /// Whose.
        from: Contact,
        /// What.
        update: PropertyUpdate,
    },
    /// A text.
    Text {
        /// By whom.
        from: Contact,
        /// What.
        text: String,
        /// In which conversation.
        session: String,
    },
    /// Somebody types.
    Typing {
        /// Who.
        from: Contact,
        /// In which conversation.
        session: String,
    },
    /// Somebody opens a conversation or adds us to it.
    Join {
        /// Who.
        from: Contact,
        /// Which.
        session: String,
    },
    /// Somebody leaves a conversation.
    Leave {
        /// Who.
        from: Contact,
        /// Which.
        session: String,
    },
    /// An invitation or another type of payload.
    Other {
        /// By whom.
        from: Contact,
        /// The block.
        block: Block,
    },
    /// An application's own notification.
    Application(Bytes),
    /// The server can't be reached, or refuses what it granted before; it is tried again and
    /// again.
    Interrupted {
        /// The first cause.
        why: String,
    },
    /// All is kept again.
    Resumed,
}

/// Events as they arrive: [`Events::recv`], or a stream. It ends with the client.
#[derive(Debug)]
pub struct Events(pub(super) mpsc::Receiver<Event>);

impl Events {
    /// The next one; `None` when the client is gone.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// The next one if it is there.
    ///
    /// # Errors
    /// There is none now, or none any more.
    pub fn try_recv(&mut self) -> Result<Event, mpsc::error::TryRecvError> {
        self.0.try_recv()
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_recv(cx)
    }
}

/// The events of one notification.
pub(super) fn events(
    notification: Notification,
    habit: &mut Habit,
) -> Result<Vec<Event>, ParseError> {
    let message = match notification {
        Notification::Other(body) => return Ok(vec![Event::Application(body)]),
        Notification::Properties(properties) => {
            let from = properties.from;
            let mut states = Vec::new();
            let mut others = PropertyUpdate::default();
            for change in properties.update.changes {
                match change {
                    Change::Set(Property::State(value)) => {
                        states.push(Event::Presence {
                            from: from.clone(),
                            state: value.state,
                        });
                    }
                    other => others.changes.push(other),
                }
            }
            if !others.changes.is_empty() {
                states.push(Event::Properties {
                    from,
                    update: others,
                });
            }
            return Ok(states);
        }
        Notification::Message(message) => message,
    };
    let from = message.from;
    let block = Block::parse(&habit.read(&message.mime))?;
    let session = block.session().unwrap_or_default().to_owned();
    Ok(vec![match block.kind() {
        Kind::Text => Event::Text {
            from,
            session,
            text: block.body,
        },
        Kind::Typing => Event::Typing { from, session },
        Kind::Join => Event::Join { from, session },
        Kind::Leave => Event::Leave { from, session },
        Kind::Invite | Kind::Other => Event::Other { from, block },
    }])
}
