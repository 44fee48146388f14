//! The notifier's half (RFC 6665 4.2).

use bytes::Bytes;

use super::{Content, EventId, Reason};
use crate::dialog::{Corrupt, Dialog, DialogError, Pack, Stamp, Unpack};
use crate::flow::Millis;
use crate::raw::RawMessage;

/// Format of [`Notifier::save`]; older ones stay readable.
const VERSION: u64 = 1;

/// Consecutive NOTIFYs without any answer that end a subscription.
///
/// COMPAT(libpurple): it never answers a NOTIFY whose body it can't use. One silence alone is no
/// death (client-quirks); RFC 6665 4.2.2 ends it at the first.
const SILENCES: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    Pending,
    Terminated(Reason),
}

/// A NOTIFY to be sent in a client transaction of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// The whole request.
    pub bytes: Bytes,
    /// True if it says `terminated`: after its answer nothing is left.
    pub last: bool,
}

/// What the end of a NOTIFY means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Nothing: all is said.
    Quiet,
    /// Something newer waits: call [`Notifier::next`].
    More,
    /// The subscription is over; forget it. No further NOTIFY may be sent.
    Ended,
}

/// One subscription that we serve. At most one NOTIFY is under way; while it is, newer content
/// replaces older content that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifier {
    dialog: Dialog,
    event: EventId,
    /// Our Contact, as a URI.
    contact: Box<str>,
    state: State,
    expires_at: Millis,
    /// `None`: nothing to say. `Some(None)`: the state alone.
    waiting: Option<Content>,
    under_way: bool,
    silences: u8,
    over: bool,
}

impl Notifier {
    /// The subscription that our 2xx with this To tag opens. It ends at `expires_at`; for a fetch
    /// (Expires 0) that is now, and [`Notifier::terminate`] follows with the state.
    pub fn accept(
        subscribe: &RawMessage,
        local_tag: &str,
        contact: &str,
        expires_at: Millis,
    ) -> Result<Self, DialogError> {
        let event = EventId::of(subscribe).ok_or(DialogError::Header("Event"))?;
        Ok(Self {
            dialog: Dialog::accepting(subscribe, local_tag)?,
            event,
            contact: contact.into(),
            state: State::Active,
            expires_at,
            waiting: None,
            under_way: false,
            silences: 0,
            over: false,
        })
    }

    /// Its dialog: Call-ID and tags to find it by, target and routes to send along.
    pub fn dialog(&self) -> &Dialog {
        &self.dialog
    }

    /// Its event package and id.
    pub fn event(&self) -> &EventId {
        &self.event
    }

    /// When it ends unless refreshed.
    pub fn expires_at(&self) -> Millis {
        self.expires_at
    }

    /// True until it is terminated.
    pub fn is_live(&self) -> bool {
        !self.over && !matches!(self.state, State::Terminated(_))
    }

    /// True while a NOTIFY is not answered: what is given now waits for its end.
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// The number of the next NOTIFY, from 0; it goes on rising, with a gap, over a restart. The
    /// version of packages whose documents are numbered.
    pub fn next_version(&self) -> u32 {
        self.dialog.local_cseq
    }

    /// Goes on numbering where an older subscription in the same dialog stopped.
    pub fn follow(&mut self, older: &Self) {
        self.dialog.local_cseq = older.dialog.local_cseq;
    }

    /// True while authorisation is not decided.
    pub fn is_pending(&self) -> bool {
        self.state == State::Pending
    }

    /// True if a SUBSCRIBE within a dialog is for this subscription.
    pub fn holds(&self, subscribe: &RawMessage) -> bool {
        self.dialog.holds(subscribe) && EventId::of(subscribe).as_ref() == Some(&self.event)
    }

    /// A SUBSCRIBE within the dialog: checks its order, takes its Contact and the new end. A
    /// NOTIFY must follow (RFC 6665 4.2.1.2): [`Notifier::notify`], or for Expires 0
    /// [`Notifier::terminate`].
    pub fn refresh(
        &mut self,
        subscribe: &RawMessage,
        expires_at: Millis,
    ) -> Result<(), DialogError> {
        self.dialog.receive(subscribe)?;
        self.expires_at = expires_at;
        self.silences = 0;
        Ok(())
    }

    /// Authorisation is not decided yet: NOTIFYs say `pending` until [`Notifier::activate`].
    pub fn pend(&mut self) {
        if self.is_live() {
            self.state = State::Pending;
        }
    }

    /// Authorisation was given.
    pub fn activate(&mut self) {
        if self.state == State::Pending {
            self.state = State::Active;
        }
    }

    /// New state for the watcher. `None` if a NOTIFY is under way: this content waits for its end,
    /// in place of any that waited. Also `None` after the end.
    pub fn notify(&mut self, now: Millis, content: Content, stamp: Stamp<'_>) -> Option<Notify> {
        if !self.is_live() {
            return None;
        }
        self.waiting = Some(content);
        self.next(now, stamp)
    }

    /// Ends it: the last NOTIFY, at once or after the one that is under way. Content that waited is
    /// replaced; without content, it stays and goes with the end.
    pub fn terminate(
        &mut self,
        now: Millis,
        reason: Reason,
        content: Option<Content>,
        stamp: Stamp<'_>,
    ) -> Option<Notify> {
        if !self.is_live() {
            return None;
        }
        self.state = State::Terminated(reason);
        self.waiting = content.or(self.waiting.take()).or(Some(Content::default()));
        self.next(now, stamp)
    }

    /// Ends it if it was not refreshed in time.
    pub fn expire(&mut self, now: Millis, stamp: Stamp<'_>) -> Option<Notify> {
        if now < self.expires_at {
            return None;
        }
        self.terminate(now, Reason::Timeout, None, stamp)
    }

    /// The NOTIFY that waits, once none is under way.
    pub fn next(&mut self, now: Millis, stamp: Stamp<'_>) -> Option<Notify> {
        if self.under_way || self.over {
            return None;
        }
        let content = self.waiting.take()?;
        self.under_way = true;
        let left = self.expires_at.saturating_sub(now).div_ceil(1_000);
        let (state, last) = match self.state {
            State::Active => (format!("active;expires={left}"), false),
            State::Pending => (format!("pending;expires={left}"), false),
            State::Terminated(reason) => (format!("terminated;reason={}", reason.token()), true),
        };
        let mut head = self.dialog.request("NOTIFY", stamp);
        head.header("Event", self.event.value())
            .header("Subscription-State", state)
            .header("Contact", format_args!("<{}>", self.contact));
        let body = content.body.as_ref();
        if body.is_some_and(|(kind, _)| is_list(kind)) {
            head.header("Require", "eventlist");
        }
        let bytes = head.body(body.map(|(kind, octets)| (&**kind, &octets[..])));
        Some(Notify { bytes, last })
    }

    /// The final status of the NOTIFY under way.
    pub fn answered(&mut self, status: u16) -> After {
        match status {
            100..200 => return self.standing(),
            200..300 => self.silences = 0,
            408 => return self.silent(),
            // RFC 6665 4.2.2 with RFC 5057 5.1: these end the usage or the dialog; the others are
            // about this one request. COMPAT(libpurple): 415 to a body it can't show is harmless.
            404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 502 | 604 => self.over = true,
            _ => {}
        }
        self.under_way = false;
        self.standing()
    }

    /// No answer came to the NOTIFY under way (timer F).
    pub fn silent(&mut self) -> After {
        self.under_way = false;
        self.silences = self.silences.saturating_add(1);
        if self.silences >= SILENCES {
            self.over = true;
        }
        self.standing()
    }

    /// The NOTIFY under way could not be sent at all: there is nobody any more.
    pub fn unreachable(&mut self) -> After {
        self.under_way = false;
        self.over = true;
        After::Ended
    }

    fn standing(&mut self) -> After {
        let said = !self.under_way && self.waiting.is_none();
        if self.over || (said && matches!(self.state, State::Terminated(_))) {
            self.over = true;
            return After::Ended;
        }
        if !self.under_way && self.waiting.is_some() {
            return After::More;
        }
        After::Quiet
    }

    /// The state that must outlive a restart. What waits or is under way does not: after a
    /// restart the watcher gets the state of that moment.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Pack::default();
        out.number(VERSION);
        self.dialog.pack(&mut out);
        out.text(&self.event.package);
        out.number(u64::from(self.event.id.is_some()));
        out.text(self.event.id.as_deref().unwrap_or_default());
        out.text(&self.contact);
        out.number(u64::from(self.state == State::Pending));
        out.number(self.expires_at);
        out.0
    }

    /// What [`Notifier::save`] wrote, its CSeq advanced by [`crate::dialog::RESTORE_JUMP`] so that
    /// it only rises whatever was sent after the save.
    pub fn restore(saved: &[u8]) -> Result<Self, Corrupt> {
        let mut from = Unpack(saved);
        if from.number()? != VERSION {
            return Err(Corrupt);
        }
        let dialog = Dialog::unpack(&mut from)?;
        let package = from.text()?;
        let has_id = from.number()? == 1;
        let id = Some(from.text()?).filter(|_| has_id);
        let contact = from.text()?;
        let state = match from.number()? {
            0 => State::Active,
            _ => State::Pending,
        };
        let expires_at = from.number()?;
        from.end()?;
        Ok(Self {
            dialog,
            event: EventId { package, id },
            contact,
            state,
            expires_at,
            waiting: None,
            under_way: false,
            silences: 0,
            over: false,
        })
    }
}

/// Whether a body is that of a list, which only those read who said so (RFC 4662 4.3).
fn is_list(kind: &str) -> bool {
    kind.starts_with("multipart/related;") && kind.contains("application/rlmi+xml")
}
