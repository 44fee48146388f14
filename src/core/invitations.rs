//! Application invitations (files, voice, whiteboards) towards people none of whose clients can
//! take them up: declined at once, in the sender's own protocol, and both are told (`decisions.md`
//! 23). Between clients of one stack they pass untouched.

use crate::core::address::Address;
use crate::core::command::{Caller, Fate, Reply};
use crate::core::error::Error;
use crate::core::id::{ConversationId, PersonId};
use crate::core::message::{Content, Message, Original};
use crate::core::notices::{SYSTEM, post, post_as, text};
use crate::core::trace::Step;
use crate::core::user::{Fx, User};

impl User {
    /// Executes [`crate::core::command::Command::Uncalled`].
    pub(super) fn uncalled(
        &self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        by: &Address,
    ) -> Result<Reply, Error> {
        self.must_own(caller)?;
        let to = self.account().address.clone();
        let system = Address::new(&fx.rules().system_local, to.domain());
        if let Ok(system) = system {
            let line = format!("{by} called you, but your client takes no calls. It was declined.");
            let conversation = ConversationId(fx.random());
            post(fx, self.person(), (system, to), conversation, text(line));
        }
        Ok(Reply::Done)
    }

    /// Nobody here understands this. An invitation is declined; anything else is refused.
    pub(super) fn decline(
        &self,
        fx: &mut Fx<'_, '_>,
        message: &Message,
    ) -> Result<Option<Fate>, Error> {
        let Content::Invitation { cookie, offer } = &message.content else {
            return Err(Error::Unsupported);
        };
        fx.trace(
            message.id,
            Step::Dropped("declined: no client there can take it up"),
        );
        let Some(sender) = message.from_person.filter(|_| *offer) else {
            // An accept or cancel of what was declined: nothing more to say.
            return Ok(Some(Fate::Dropped));
        };
        let refusal = Content::Invitation {
            cookie: cookie.clone(),
            offer: false,
        };
        // The front of its stack makes the refusal of the invitation itself.
        let original = Original {
            stack: SYSTEM,
            bytes: message.original.bytes.clone(),
            key: None,
            decoded: message.original.decoded,
        };
        let back = (message.to.clone(), message.from.clone());
        post_as(fx, sender, back, message.conversation, refusal, original);
        let system = Address::new(&fx.rules().system_local, message.to.domain());
        let Ok(system) = system else {
            return Ok(Some(Fate::Dropped));
        };
        let mut tell = |person: PersonId, to: &Address, line: String| {
            let conversation = ConversationId(fx.random());
            post(
                fx,
                person,
                (system.clone(), to.clone()),
                conversation,
                text(line),
            );
        };
        let line = format!(
            "{} can't take your invitation (a file, a call or another application) with the client \
             in use there. It was declined.",
            message.to
        );
        tell(sender, &message.from, line);
        let line = format!(
            "{} invited you to something that your client can't take up (a file, a call or another \
             application). It was declined for you.",
            message.from
        );
        tell(self.person(), &message.to, line);
        Ok(Some(Fate::Dropped))
    }
}
