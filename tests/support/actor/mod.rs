//! Test users written from the protocol texts by hand: plain sockets, threads and string
//! building, none of the server's own parsers. An RVP user and a SIP user look alike to a
//! transcript: they sign in, set a state, watch, say, type and hear.

pub mod digest;
mod mesh;
mod rvp;
mod sip;

pub use rvp::{Encoding, RvpActor};
pub use sip::{SipActor, status as sip_status};

use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What reached a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A text.
    Text {
        /// Local part of the sender.
        from: String,
        /// The text, line ends as LF.
        text: String,
    },
    /// The sender is typing, or has stopped.
    Typing {
        /// Local part of the sender.
        from: String,
        /// Still typing?
        active: bool,
    },
    /// Somebody's state.
    Presence {
        /// Local part of the person watched.
        of: String,
        /// RVP name of the state.
        state: String,
    },
    /// Somebody joined or left the conversation.
    Membership {
        /// Local part of the sender.
        from: String,
        /// Joined, not left.
        joined: bool,
    },
    /// Anything else, as it came.
    Other(String),
}

/// A user of either stack.
pub trait Actor {
    /// Signs in, showing "online" where the stack does not by itself.
    fn sign_in(&mut self) -> Result<(), String>;
    /// Signs out the polite way.
    fn sign_out(&mut self) -> Result<(), String>;
    /// Disappears without a word.
    fn vanish(&mut self);
    /// Publishes a state by its RVP name.
    fn set_state(&mut self, state: &str) -> Result<(), String>;
    /// Watches somebody.
    fn watch(&mut self, whom: &str) -> Result<(), String>;
    /// Reports that a call is going on, or is over.
    fn on_phone(&mut self, _busy: bool) -> Result<(), String> {
        Err("only telephones report calls".to_owned())
    }
    /// Sends a text; the status of the final answer.
    fn say(&mut self, to: &str, text: &str) -> Result<u16, String>;
    /// Says that the user is typing.
    fn typing(&mut self, to: &str) -> Result<u16, String>;
    /// Adds somebody to the conversation that the user is in; the status of the final answer.
    fn add(&mut self, whom: &str) -> Result<u16, String>;
    /// Opens a conversation with those people by the address that makes them.
    fn open(&mut self, whom: &str) -> Result<u16, String> {
        self.say("conv", &format!("/add {whom}"))
    }
    /// Says something to all others in the conversation that the user is in; the worst status.
    fn tell(&mut self, text: &str) -> Result<u16, String>;
    /// Tells all others in the conversation that the user types; the worst status.
    fn type_to_all(&mut self) -> Result<u16, String>;
    /// What that looks like to this user.
    fn typing_in_conversation(&self, from: &str) -> Heard;
    /// Leaves the conversation.
    fn leave(&mut self) -> Result<u16, String>;
    /// Who else is in, as this user's client knows: local parts, sorted. Takes what is heard
    /// meanwhile.
    fn roster(&mut self) -> Result<Vec<String>, String>;
    /// What a text in the conversation looks like to this user.
    fn in_conversation(&self, from: &str, text: &str) -> Heard;
    /// Whether that says that somebody came into the conversation, or went.
    fn is_news(&self, heard: &Heard, of: &str, joined: bool) -> bool;
    /// Offers somebody a file; the status of the final answer.
    fn offer(&mut self, _to: &str) -> Result<u16, String> {
        Err("no application invitations on this stack".to_owned())
    }
    /// Blocks somebody, or lifts the block.
    fn block(&mut self, whom: &str, blocked: bool) -> Result<(), String>;
    /// From now on answers what comes in with this status (200 to start with); 0 = not at all.
    fn answer_with(&mut self, status: u16);
    /// The channel of what was heard.
    fn heard(&self) -> &mpsc::Receiver<Heard>;

    /// The next thing heard, at most `within` from now.
    fn next(&self, within: Duration) -> Option<Heard> {
        self.heard().recv_timeout(within).ok()
    }

    /// The next thing heard that is not presence (or is, if `presence`).
    fn next_kind(&self, presence: bool, within: Duration) -> Option<Heard> {
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let heard = self.next(left)?;
            if matches!(heard, Heard::Presence { .. }) == presence {
                return Some(heard);
            }
        }
    }
}

/// The text between two marks.
pub fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let from = text.find(start)? + start.len();
    let rest = &text[from..];
    rest.find(end).map(|to| &rest[..to])
}

/// The part of an address or node URL that names the user.
pub fn local_part(text: &str) -> String {
    let text = text.trim().trim_end_matches('/');
    let text = text.rsplit('/').next().unwrap_or(text);
    let text = text.strip_prefix("sip:").unwrap_or(text);
    text.split('@').next().unwrap_or(text).to_owned()
}

/// XML escapes for text and attribute values.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The five predefined entities and the two line-end references, back to characters.
pub fn unescape(text: &str) -> String {
    text.replace("&#13;", "\r")
        .replace("&#xD;", "\r")
        .replace("&#10;", "\n")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}
