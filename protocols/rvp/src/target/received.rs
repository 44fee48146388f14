//! A NOTIFY as a target sees it.

use crate::document::{self, Change, Contact, PropertyUpdate, State};
use crate::error::ParseError;
use crate::mime::{Block, Format, Kind};
use crate::namespace::RVP;
use crate::request::{AckType, Action, Request, SubscriptionId};
use crate::status::Status;
use crate::text::{Form, Habit};
use crate::url::{NodeUrl, Principal};
use crate::version::Version;
use bytes::Bytes;

/// One notification with what its request said about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// What it is.
    pub notification: Notification,
    /// Who says to have sent it: **a claim**, both parts of it. Whoever reaches the target can write
    /// anything there; see the [module](super#who-sent-it).
    pub sender: Sender,
    /// Whom it is for, as the document says; empty in an application's own.
    pub recipients: Vec<Contact>,
    /// The node asked: which of several, if one target serves several. Its host is the request's
    /// own word too.
    pub node: NodeUrl,
    /// The node that it was sent to, as a Tristack server tells its registered targets
    /// (`Tristack-Node`), whose own URL is another. A claim as well: the signature covers the body.
    pub origin: Option<NodeUrl>,
    /// The query of the request target, if there is one; registered targets may have one.
    pub query: Option<String>,
    /// For which subscription it was sent.
    pub subscription: Option<SubscriptionId>,
    /// How many times it was passed on, by the sender's count; 1 if it does not say.
    pub hops: u32,
    /// When the sender wants the answer: a target is the last hop, so it matters only to one that
    /// passes notifications on.
    pub ack: Option<AckType>,
    /// The peer's version; the answer echoes it.
    pub version: Version,
}

/// The two places that name a sender.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sender {
    /// `RVP-From-Principal`: often the server, on what a server makes by itself.
    pub principal: Option<Principal>,
    /// `notification-from` of the document: whom a client shows as the sender.
    pub contact: Option<Contact>,
}

impl Sender {
    /// The URL to show or look up: the document's, else the header's.
    pub fn href(&self) -> Option<String> {
        let principal = self.principal.as_ref();
        let contact = self.contact.as_ref().map(|contact| contact.href.clone());
        contact.or_else(|| principal.and_then(|p| p.node()).map(NodeUrl::href))
    }

    /// The alias that the sender's node has, if it is a user's.
    pub fn alias(&self) -> Option<String> {
        let node = NodeUrl::parse(&self.href()?).ok()?;
        node.alias().map(str::to_owned)
    }
}

/// What a notification can be.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notification {
    /// An instant message.
    Message(Text),
    /// Somebody types in that conversation.
    Typing(Session),
    /// Somebody opens a conversation, or adds this inbox to one.
    Join(Session),
    /// Somebody leaves a conversation.
    Leave(Session),
    /// An application's invitation, its acceptance or its cancelling.
    Invite(Invitation),
    /// Properties of a watched node changed, presence among them.
    PropertyChange(PropertyUpdate),
    /// An application's own XML, or a MIME type that RVP does not know.
    Other(Other),
}

/// A conversation: `Session-Id`, as written.
pub type Session = Option<String>;

/// An instant message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// The text, lines ending as the sender's.
    pub text: String,
    /// The conversation.
    pub session: Session,
    /// How it looks.
    pub format: Option<Format>,
}

/// `text/x-msmsgsinvite`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invitation {
    /// The conversation.
    pub session: Session,
    /// `Application-Name`, `Invitation-Command` and the like.
    pub fields: Block,
}

/// What is none of RVP's own kinds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Other {
    /// XML of an application, byte for byte as sent; it passed the strict gate.
    Xml(Bytes),
    /// A MIME block of an unknown type, in a message.
    Mime(Block),
}

impl Other {
    /// The application's own root element: the document's, or what stands in `r:notification`.
    pub fn element(&self) -> Option<xml::Element> {
        let Self::Xml(body) = self else { return None };
        let root = xml::parse(body, &xml::Limits::with_bytes(body.len())).ok()?;
        if root.name.local() != "notification" || !is_rvp(root.name.namespace().as_str()) {
            return Some(root);
        }
        root.elements().next().cloned()
    }
}

impl Notification {
    /// The state in a property change, the last one if there are several.
    pub fn state(&self) -> Option<&State> {
        let Self::PropertyChange(update) = self else {
            return None;
        };
        let mut states = update.changes.iter().filter_map(|change| match change {
            Change::Set(document::Property::State(value)) => Some(&value.state),
            _ => None,
        });
        states.next_back()
    }

    /// The name of an application's own notification, `{namespace}local`: of its root, or of what
    /// stands in `r:notification`. `None` for all others.
    pub fn name(&self) -> Option<String> {
        let Self::Other(other) = self else {
            return None;
        };
        let name = other.element()?.name;
        Some(format!("{{{}}}{}", name.namespace().as_str(), name.local()))
    }
}

/// The head of a request as far as a target needs it.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) method: &'a str,
    /// Without query.
    pub(super) target: &'a str,
    pub(super) query: Option<&'a str>,
    /// `Tristack-Node`.
    pub(super) origin: Option<&'a str>,
    pub(super) headers: &'a [(&'a [u8], &'a [u8])],
}

impl Received {
    /// Reads one; `Err` is the status and is answered without a handler.
    pub(super) fn read(
        head: &Head<'_>,
        body: &Bytes,
        limit: usize,
        form: Option<Form>,
    ) -> Result<Self, Refusal> {
        let request = Request::parse(head.method, head.target, head.headers)?;
        let Action::Notify(notify) = request.action else {
            // A target is no server: nothing to subscribe to, no properties (`RVP 3`).
            return Err(Refusal::Method);
        };
        if body.len() > limit {
            return Err(Refusal::Size);
        }
        let read = read_document(document::Notification::parse(body, limit)?, form)?;
        Ok(Self {
            notification: read.notification,
            sender: Sender {
                principal: request.from,
                contact: read.from,
            },
            recipients: read.to,
            node: request.node,
            origin: head.origin.and_then(|url| NodeUrl::parse(url).ok()),
            query: head.query.map(str::to_owned),
            subscription: notify.subscription,
            hops: notify.hops,
            ack: notify.ack,
            version: request.version,
        })
    }
}

/// Why the handler did not see a request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Not RVP, or not well-formed.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// An RVP method, but not NOTIFY.
    #[error("only NOTIFY is served here")]
    Method,
    /// The body is over the limit.
    #[error("body too large")]
    Size,
    /// Passed on too often: a loop.
    #[error("too many hops")]
    Hops,
    /// The body broke off.
    #[error("body incomplete")]
    Incomplete,
    /// The body did not come in time.
    #[error("body too slow")]
    Slow,
    /// Not signed by the registered server.
    #[error(transparent)]
    Signature(#[from] crate::signature::SignatureError),
    /// As many handlers run as may.
    #[error("busy")]
    Busy,
}

impl Refusal {
    /// The status that it earns.
    pub fn status(&self) -> Status {
        match self {
            Self::Parse(error) => error.status(),
            Self::Method => Status::NotImplemented,
            Self::Size => Status::TooLarge,
            Self::Hops => Status::PreconditionFailed,
            Self::Incomplete => Status::BadRequest,
            Self::Slow => Status::RequestTimeout,
            Self::Signature(_) => Status::Forbidden,
            Self::Busy => Status::Unavailable,
        }
    }
}

struct Document {
    notification: Notification,
    from: Option<Contact>,
    to: Vec<Contact>,
}

fn read_document(
    document: document::Notification,
    form: Option<Form>,
) -> Result<Document, ParseError> {
    match document {
        document::Notification::Other(body) => Ok(Document {
            notification: Notification::Other(Other::Xml(body)),
            from: None,
            to: Vec::new(),
        }),
        document::Notification::Properties(properties) => Ok(Document {
            notification: Notification::PropertyChange(properties.update),
            from: Some(properties.from),
            to: properties.to,
        }),
        document::Notification::Message(message) => {
            // Nothing is known of a sender's habit from one notification to the next.
            let mut habit = form.map_or(Habit::Unknown, Habit::fixed);
            let decoded = match form {
                // A fixed habit of octets would still let other text through unread.
                None | Some(Form::Octets) => habit.read(&message.mime),
                Some(Form::Characters) => message.mime,
            };
            Ok(Document {
                notification: read_block(Block::parse(&decoded)?)?,
                from: Some(message.from),
                to: message.to,
            })
        }
    }
}

fn read_block(block: Block) -> Result<Notification, ParseError> {
    let session = block.session().map(str::to_owned);
    Ok(match block.kind() {
        Kind::Text => Notification::Message(Text {
            format: block.format(),
            session,
            text: block.body,
        }),
        Kind::Typing => Notification::Typing(session),
        Kind::Join => Notification::Join(session),
        Kind::Leave => Notification::Leave(session),
        Kind::Invite => Notification::Invite(Invitation {
            session,
            fields: block.invitation()?,
        }),
        Kind::Other => Notification::Other(Other::Mime(block)),
    })
}

fn is_rvp(namespace: &str) -> bool {
    let bare = RVP.trim_end_matches('/');
    namespace.trim_end_matches('/').eq_ignore_ascii_case(bare)
}
