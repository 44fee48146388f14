//! Every method x right x identity, generated: what an access list says is what each command does,
//! on a person and on a node.

use super::*;
use crate::core::access::{AccessEntry, Detail, Right, Rights, Scheme, Subject};
use crate::core::address::Address;
use crate::core::command::{Caller, PropertyName, PropertyValue, Route};

/// Whose state it is.
const SUBJECT: usize = 0;
/// Owner of the node.
const OWNER: usize = 4;

const RIGHTS: [Right; 10] = [
    Right::List,
    Right::Read,
    Right::Write,
    Right::ReadAcl,
    Right::WriteAcl,
    Right::SendTo,
    Right::Presence,
    Right::ReceiveFrom,
    Right::Subscriptions,
    Right::SubscribeOthers,
];

/// What a front asks for each method of RVP (and its like in SIP), and the right that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// PROPFIND of properties.
    ReadProperties,
    /// PROPFIND of the state; a fetch.
    Look,
    /// SUBSCRIBE update/propchange.
    Watch,
    /// SUBSCRIBE pragma/notify.
    Receive,
    /// SUBSCRIPTIONS.
    Subscriptions,
    /// PROPPATCH.
    Write,
    /// ACL without a body.
    ReadList,
    /// ACL with one.
    WriteList,
    /// NOTIFY, MESSAGE.
    Send,
}

const METHODS: [Method; 9] = [
    Method::ReadProperties,
    Method::Look,
    Method::Watch,
    Method::Receive,
    Method::Subscriptions,
    Method::Write,
    Method::ReadList,
    Method::WriteList,
    Method::Send,
];

impl Method {
    fn right(self) -> Right {
        match self {
            Self::ReadProperties => Right::Read,
            Self::Look | Self::Watch => Right::Presence,
            Self::Receive => Right::ReceiveFrom,
            Self::Subscriptions => Right::Subscriptions,
            Self::Write => Right::Write,
            Self::ReadList => Right::ReadAcl,
            Self::WriteList => Right::WriteAcl,
            Self::Send => Right::SendTo,
        }
    }

    fn command(self, who: &Caller) -> Command {
        match self {
            Self::ReadProperties => Command::Properties(None),
            Self::Look => Command::Look,
            Self::Watch => watch(LETTERS, Via::Direct, HOUR, false),
            Self::Receive => sign_in(LETTERS, spec(LETTERS, "his", HOUR)),
            Self::Subscriptions => Command::Standing,
            Self::Write => {
                let name = PropertyName {
                    namespace: "urn:x".into(),
                    local: "p".into(),
                };
                let value = PropertyValue {
                    bytes: Arc::from(&b"v"[..]),
                    expires: None,
                    fallback: None,
                };
                Command::SetProperties {
                    changes: vec![(name, Some(value))],
                }
            }
            Self::ReadList => Command::Access,
            Self::WriteList => Command::SetAccess(Vec::new()),
            Self::Send => {
                let mut sent = message(1, SUBJECT, LETTERS, text("hello"));
                sent.from = who.address.clone();
                sent.from_person = who.person;
                Command::Deliver(Arc::new(sent))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Owner,
    Local,
    OtherScheme,
    OfDomain,
    Foreign,
    Server,
    Anonymous,
}

const WHO: [Who; 7] = [
    Who::Owner,
    Who::Local,
    Who::OtherScheme,
    Who::OfDomain,
    Who::Foreign,
    Who::Server,
    Who::Anonymous,
];

impl Who {
    fn caller(self, node: bool) -> Caller {
        let foreign = Address::parse("x@b.example").expect("an address");
        let server = Address::parse("im@b.example").expect("an address");
        match self {
            Self::Owner if node => caller(OWNER, LETTERS),
            Self::Owner => caller(SUBJECT, LETTERS),
            Self::Local | Self::OfDomain => caller(1, LETTERS),
            Self::OtherScheme => Caller {
                scheme: Scheme::Ntlm,
                ..caller(1, LETTERS)
            },
            Self::Foreign | Self::Server => Caller {
                address: if self == Self::Server {
                    server
                } else {
                    foreign
                },
                person: None,
                scheme: Scheme::Peer,
                route: Route::Peer(LETTERS),
            },
            Self::Anonymous => Caller {
                scheme: Scheme::Assertion,
                person: None,
                ..caller(1, LETTERS)
            },
        }
    }

    /// The entry that is written about him.
    fn entry(self, node: bool) -> AccessEntry {
        let address = self.caller(node).address;
        let (subject, schemes) = match self {
            Self::OfDomain => (Subject::Domain(address.domain().into()), Vec::new()),
            // Covers the server itself only, never its users.
            Self::Server => (Subject::Server(address.domain().into()), Vec::new()),
            Self::OtherScheme => (Subject::Address(address), vec![Scheme::Digest]),
            _ => (Subject::Address(address), Vec::new()),
        };
        AccessEntry {
            subject,
            schemes,
            grant: Rights::default(),
            deny: Rights::default(),
            ask: Rights::default(),
            detail: Detail::ALL,
        }
    }

    /// Whether the entry counts for him.
    fn is_covered(self) -> bool {
        !matches!(self, Self::OtherScheme | Self::Server)
    }

    fn has_by_default(self, right: Right) -> bool {
        let local = [
            Right::List,
            Right::Read,
            Right::Presence,
            Right::SendTo,
            Right::ReceiveFrom,
        ];
        match self {
            Self::Owner => true,
            Self::Local | Self::OtherScheme | Self::OfDomain => local.contains(&right),
            Self::Foreign | Self::Server | Self::Anonymous => false,
        }
    }
}

/// What an answer comes to for the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Done,
    /// Openly forbidden.
    Forbidden,
    /// As if nobody were there.
    Absent,
    /// As if the node did not exist.
    Unknown,
}

fn seen(answer: Option<Answer>) -> Seen {
    match answer {
        Some(Ok(Reply::Watching { view, .. })) if view.state == State::Offline => Seen::Absent,
        None | Some(Ok(_)) => Seen::Done,
        Some(Err(Error::NotReachable(_))) => Seen::Absent,
        Some(Err(Error::UnknownUser)) => Seen::Unknown,
        Some(Err(Error::Denied(_))) => Seen::Forbidden,
        Some(Err(other)) => panic!("{other:?}"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Nothing,
    Granted,
    Denied,
}

/// The rule, the long way round.
fn expected(method: Method, right: Right, written: Written, who: Who, node: bool) -> Seen {
    // A node has no presence of its own to show.
    let presence = matches!(method, Method::Look | Method::Watch);
    let fine = if node && presence {
        Seen::Absent
    } else {
        Seen::Done
    };
    if who == Who::Owner {
        return fine;
    }
    let counts = written != Written::Nothing && who.is_covered();
    let hidden = counts && right == Right::List && written == Written::Denied;
    if node && hidden {
        return Seen::Unknown;
    }
    // A person's inboxes are his alone, whatever the list says.
    if !node && method == Method::Receive {
        return Seen::Forbidden;
    }
    let needed = method.right();
    let about = counts && right == needed;
    match written {
        Written::Granted if about => fine,
        // A personal block looks like absence where absence is thinkable (decision 16).
        Written::Denied if about && !node && (presence || method == Method::Send) => Seen::Absent,
        Written::Denied if about => Seen::Forbidden,
        _ if who.has_by_default(needed) => fine,
        _ => Seen::Forbidden,
    }
}

fn play(method: Method, right: Right, written: Written, who: Who, node: bool) -> Seen {
    let mut world = World::new(5);
    if node {
        world.make_node(SUBJECT, OWNER);
    }
    let owner = caller(if node { OWNER } else { SUBJECT }, LETTERS);
    let inbox = sign_in(LETTERS, spec(LETTERS, "own", HOUR));
    world
        .ask(SUBJECT, &owner, inbox)
        .expect("the owner's inbox");
    if !node {
        publish(&mut world, SUBJECT, LETTERS, "own", State::Busy).expect("published");
    }
    let mut entry = who.entry(node);
    match written {
        Written::Nothing => {}
        Written::Granted => entry.grant = entry.grant.with(right),
        Written::Denied => entry.deny = entry.deny.with(right),
    }
    let list = Command::SetAccess(vec![entry]);
    world.ask(SUBJECT, &owner, list).expect("the list");
    let asker = who.caller(node);
    let tag = world.send(SUBJECT, &asker, method.command(&asker));
    seen(world.answer(tag))
}

#[test]
fn rvp_5_acl_every_method_right_and_identity() {
    let mut played = 0;
    for node in [false, true] {
        for who in WHO {
            for right in RIGHTS {
                for written in [Written::Nothing, Written::Granted, Written::Denied] {
                    for method in METHODS {
                        let got = play(method, right, written, who, node);
                        let want = expected(method, right, written, who, node);
                        assert_eq!(
                            got, want,
                            "{method:?} by {who:?}, {right:?} {written:?}, node: {node}"
                        );
                        played += 1;
                    }
                }
            }
        }
    }
    assert_eq!(played, 2 * 7 * 10 * 3 * 9);
}
