//! At the speaker's own person: who is recognised as speaking in a conversation of many, and when
//! one of two becomes one of three.

use super::words::{addresses, usage};
use super::{ChatCommand, Goal, Opening, Say, Speak, owner_of};
use crate::core::command::{Caller, Command, Fate, Reply};
use crate::core::conversation::Peer;
use crate::core::delivery::{accepted, sent};
use crate::core::effect::{Forward, ReplyTag};
use crate::core::error::Error;
use crate::core::id::{ConversationId, PersonId};
use crate::core::message::{Content, Message};
use crate::core::notices::{post, text};
use crate::core::user::{Fx, User};

impl User {
    /// Executes [`Command::Speak`]. `None`: the conversation answers.
    pub(in crate::core) fn speak(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        speak: Speak,
        tag: ReplyTag,
    ) -> Result<Option<Reply>, Error> {
        let mut message = speak.submit.message;
        self.vet(fx, caller, &mut message)?;
        match speak.goal {
            Goal::Factory => self.convene(fx, caller, message, tag),
            Goal::Chat(person, conversation, leg) => {
                message.conversation = conversation;
                fx.trace(message.id, accepted(&message));
                let say = ChatCommand::Say(Say { message, leg });
                fx.forward(Forward {
                    to: person,
                    caller: caller.clone(),
                    command: Command::Chat(Box::new(say)),
                    reply: tag,
                });
                Ok(None)
            }
        }
    }

    /// The conversation has grown: what the pair says outside of it from now on is another one.
    pub(in crate::core) fn detach(&mut self, conversation: ConversationId) {
        self.talks.retain(|talk| talk.id != conversation);
    }

    /// A join to somebody ("I add you") in a running conversation with somebody else makes it one
    /// of many. Texts alone do not: a program that sends alerts to hundreds under one name has not
    /// introduced them to each other.
    pub(in crate::core) fn adds_a_third(&self, message: &Message, to: PersonId) -> bool {
        message.content == Content::Join && !self.talk_peers(message.conversation, to).is_empty()
    }

    fn talk_peers(&self, conversation: ConversationId, besides: PersonId) -> Vec<PersonId> {
        let peers = self.talks.iter().filter(|talk| talk.id == conversation);
        let peers = peers.filter_map(|talk| match talk.peer {
            Peer::Person(person) if person != besides => Some(person),
            _ => None,
        });
        peers.filter(|person| *person != self.person()).collect()
    }

    /// Makes the conversation, with what was said as the first thing in it.
    pub(in crate::core) fn open_chat(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        (message, to): (Message, PersonId),
        tag: ReplyTag,
    ) {
        let conversation = message.conversation;
        let mut people = vec![self.person()];
        people.extend(self.talk_peers(conversation, to));
        let opening = Opening {
            people,
            first: Some((message, to)),
            ..self.opening(conversation)
        };
        forward_opening(fx, caller, opening, tag);
    }

    fn opening(&self, conversation: ConversationId) -> Opening {
        Opening {
            conversation,
            domain: self.account().address.domain().into(),
            creator: self.person(),
            people: vec![self.person()],
            accounts: Vec::new(),
            add: Vec::new(),
            first: None,
            third: None,
        }
    }

    /// A text to [`super::FACTORY`]: the people it names are asked into a new conversation.
    fn convene(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        mut message: Message,
        tag: ReplyTag,
    ) -> Result<Option<Reply>, Error> {
        let Content::Text(said) = &message.content else {
            return match message.content {
                Content::Invitation { .. } | Content::Opaque { .. } => Err(Error::Unsupported),
                _ => {
                    let (id, conversation) = (message.id, message.conversation);
                    Ok(Some(sent(id, conversation, Fate::Dropped)))
                }
            };
        };
        let named = addresses(&said.body, message.from.domain());
        let wrong = named.iter().find_map(|named| named.as_ref().err());
        if named.is_empty() || wrong.is_some() {
            let usage = usage(message.from.domain());
            let line = match wrong {
                Some(word) => format!("{word} is no address. {usage}"),
                None => usage,
            };
            let conversation = ConversationId(fx.random());
            let ends = (message.to.clone(), message.from.clone());
            post(fx, self.person(), ends, conversation, text(line));
            return Ok(Some(sent(message.id, conversation, Fate::Delivered)));
        }
        message.conversation = ConversationId(fx.random());
        fx.trace(message.id, accepted(&message));
        let opening = Opening {
            add: named.into_iter().flatten().collect(),
            ..self.opening(message.conversation)
        };
        forward_opening(fx, caller, opening, tag);
        Ok(None)
    }
}

fn forward_opening(fx: &mut Fx<'_, '_>, caller: &Caller, opening: Opening, tag: ReplyTag) {
    fx.forward(Forward {
        to: owner_of(opening.conversation),
        caller: caller.clone(),
        command: Command::Chat(Box::new(ChatCommand::Open(opening))),
        reply: tag,
    });
}
