//! Sample records.

use std::sync::Arc;
use std::time::Duration;
use tristack::core::access::{AccessEntry, Detail, Part, Right, Rights, Scheme, Subject};
use tristack::core::address::Address;
use tristack::core::calls::{Call, CallState, Calls};
use tristack::core::chat::{ChatRecord, Invited, Member};
use tristack::core::command::{
    Lineage, PointSpec, PropertyName, PropertyValue, Reach, Tether, Topic, Via, WatchState,
};
use tristack::core::id::{
    ConversationId, MessageId, PersonId, PointId, PublicationId, Stack, WatchId,
};
use tristack::core::message::{Ack, Content, Format, InChat, Message, Original, Text, Wants};
use tristack::core::port::{
    Account, KeptRecord, PointRecord, PublicationRecord, Secret, Stay, WatchRecord,
};
use tristack::core::presence::{Document, Origin, Presence, State};
use tristack::core::time::Time;

/// The stack that samples use.
pub const STACK: Stack = Stack::named("sip");

/// An address.
pub fn address(text: &str) -> Address {
    Address::parse(text).expect("a valid address")
}

/// An account of that person.
pub fn account(person: PersonId, at: &str, aliases: &[&str]) -> Account {
    Account {
        person,
        address: address(at),
        aliases: aliases.iter().map(|text| address(text)).collect(),
        display_name: "J\u{f6}rg \u{1f600} 'quoted'; --".to_owned(),
        email: "mail@example.com".to_owned(),
        secret: Secret(vec![0, 1, 2, 255]),
        suspended: false,
        node: None,
    }
}

/// A point with every field set.
pub fn point(person: PersonId, id: u32) -> PointRecord {
    PointRecord {
        person,
        id: PointId(id),
        stack: STACK,
        spec: PointSpec {
            key: Some("urn:uuid:1;reg-id=1".into()),
            inbox: "sip:alice@192.0.2.1:5060".into(),
            lease: Duration::from_hours(1),
            tether: Tether::Connection,
            reach: Reach::SendOnly,
            implies: Some(State::Registered),
            preference: 700,
            source: Some("2001:db8::1".parse().expect("an address")),
            client: "Pidgin/2.14 \"x\"".into(),
            machine: Some("laptop".into()),
            family: Some("messenger".into()),
            handle: vec![0, 255, 1].into(),
        },
        holder: None,
        lineage: Some(Lineage {
            name: "call@id".into(),
            sequence: u32::MAX,
        }),
        since: Time(1_000),
        expires: Time(2_000),
    }
}

/// A publication with every field set.
pub fn publication(person: PersonId, id: u32) -> PublicationRecord {
    PublicationRecord {
        person,
        id: PublicationId(id),
        version: 7,
        stack: STACK,
        point: Some(PointId(5)),
        source: Some("192.0.2.7".parse().expect("an address")),
        key: Some("device".into()),
        presence: Presence {
            state: State::BackSoon,
            origin: Origin::Manual,
            token: Some("gone-fishing".into()),
            note: Some("zur\u{fc}ck um 3 <&>".into()),
            document: Some(Arc::new(Document {
                stack: STACK,
                media: "application/pidf+xml".into(),
                bytes: "<presence note=\"\u{e9}\"/>".into(),
            })),
        },
        calls: Some(Calls {
            full: true,
            version: 7,
            list: vec![Call {
                id: "line 1".into(),
                state: CallState::Confirmed,
                detail: "<dialog/>".into(),
            }],
        }),
        set: Time(77),
        lease: Some(Duration::from_mins(1)),
        expires: Some(Time(99)),
    }
}

/// A watch with every field set.
pub fn watch(person: PersonId, id: u32) -> WatchRecord {
    WatchRecord {
        person,
        id: WatchId(id),
        of: address("alice@example.com"),
        watcher: address("%2541@example.com"),
        watcher_person: Some(PersonId(2)),
        scheme: Scheme::Digest,
        topic: Topic::Calls,
        state: WatchState::Waiting,
        notify: true,
        since: Time(12),
        stack: STACK,
        via: Via::Inboxes,
        key: Some("dialog".into()),
        handle: vec![9; 300].into(),
        lease: Duration::from_mins(10),
        expires: Time(12_345),
    }
}

/// A kept text with every field set.
pub fn kept(person: PersonId, id: u128) -> KeptRecord {
    let message = Message {
        id: MessageId(id),
        at: Time(5),
        from: address("bob@example.com"),
        from_person: Some(PersonId(2)),
        from_name: "Bob \u{202e}".into(),
        to: address("alice@example.com"),
        conversation: ConversationId(u128::MAX),
        content: Content::Text(Text {
            body: "line 1\r\nline 2 \u{0}\u{1F600}".into(),
            media: "text/plain".into(),
            format: Some(Format {
                font: "MS Shell Dlg".into(),
                bold: true,
                italic: false,
                underline: true,
                strike: false,
                colour: 0x00ff_0000,
                charset: 204,
                pitch: 22,
            }),
        }),
        original: Original {
            stack: STACK,
            bytes: vec![0, 159, 146, 150].into(),
            key: Some("call/1/tag".into()),
            decoded: tristack::core::message::Decoded::Characters,
        },
        ack: Ack::All,
        hops: 3,
        wants: Some(Arc::new(Wants {
            id: "m1".into(),
            delivered: true,
            failed: true,
            kept: false,
        })),
        chat: Some(Arc::new(InChat {
            address: address("conv-abc@example.com"),
            line: "J\u{f6}rg: \u{1f600}".into(),
        })),
    };
    KeptRecord {
        person,
        message: Arc::new(message),
        until: Time(60_000),
        delivered: vec![PointId(5), PointId(6)],
        stay: Stay::Leaving,
    }
}

/// A property.
pub fn property(local: &str) -> (PropertyName, PropertyValue) {
    let name = PropertyName {
        namespace: "http://schemas.microsoft.com/rvp/".into(),
        local: local.into(),
    };
    let value = PropertyValue {
        bytes: vec![60, 0, 62].into(),
        expires: Some(Time(1)),
        fallback: Some(vec![0, 255].into()),
    };
    (name, value)
}

/// An access list with every kind of subject.
pub fn access() -> Vec<AccessEntry> {
    let entry = |subject, schemes: &[Scheme]| AccessEntry {
        subject,
        schemes: schemes.to_vec(),
        grant: Rights::default().with(Right::Presence),
        deny: Rights::ALL,
        ask: Rights::default().with(Right::Presence),
        detail: Detail::ALL,
    };
    vec![
        entry(
            Subject::Address(address("bob@example.com")),
            &[Scheme::Digest, Scheme::Ntlm],
        ),
        AccessEntry {
            detail: Detail::NONE.with(Part::Note),
            ..entry(Subject::Address(address("carol@example.com")), &[])
        },
        entry(Subject::Server("im.example.net".into()), &[Scheme::Peer]),
        entry(Subject::Domain("example.net".into()), &[]),
        entry(
            Subject::Everybody,
            &[Scheme::Assertion, Scheme::Kerberos, Scheme::Internal],
        ),
    ]
}

/// A conversation of many with every field set.
pub fn chat(person: PersonId) -> ChatRecord {
    let member = |number: u128, at: &str| Member {
        person: PersonId(number),
        address: address(at),
        name: "J\u{f6}rg \u{1f600} 'quoted'; --".into(),
        since: Time(5),
        met: number == 1,
    };
    ChatRecord {
        person,
        conversation: ConversationId(u128::MAX),
        address: address("conv-abc@example.com"),
        creator: PersonId(1),
        since: Time(4),
        grown: true,
        members: vec![member(1, "a@example.com"), member(2, "b@example.com")],
        invited: vec![Invited {
            member: member(3, "c@example.com"),
            by: PersonId(2),
            told: true,
        }],
        former: vec![member(4, "d@example.com")],
    }
}
