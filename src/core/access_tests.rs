use super::*;
use proptest::prelude::*;

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

fn address(text: &str) -> Address {
    Address::parse(text).expect("test address")
}

fn entry(subject: Subject, grant: u16, deny: u16) -> AccessEntry {
    AccessEntry {
        subject,
        schemes: Vec::new(),
        grant: Rights(grant),
        deny: Rights(deny),
        ask: Rights::default(),
    }
}

/// The rule written the long way round: class by class.
fn naive(
    list: &[AccessEntry],
    default: Defaults,
    who: &Address,
    scheme: Scheme,
    right: Right,
) -> Verdict {
    let server = |name: &str| who.local().strip_prefix('/') == Some(name);
    let classes: [&dyn Fn(&Subject) -> bool; 3] = [
        &|s| match s {
            Subject::Address(a) => a == who,
            Subject::Server(name) => server(name),
            _ => false,
        },
        &|s| matches!(s, Subject::Domain(d) if &**d == who.domain()),
        &|s| matches!(s, Subject::Everybody),
    ];
    for class in classes {
        let of_class: Vec<_> = list
            .iter()
            .filter(|e| class(&e.subject))
            .filter(|e| e.schemes.is_empty() || e.schemes.contains(&scheme))
            .collect();
        if of_class.iter().any(|e| e.deny.has(right)) {
            return Verdict::Blocked;
        }
        if of_class.iter().any(|e| e.grant.has(right)) {
            return Verdict::Granted;
        }
        if of_class.iter().any(|e| e.ask.has(right)) {
            return Verdict::Asked;
        }
    }
    if default.grant.has(right) && default.ask.has(right) {
        Verdict::Asked
    } else if default.grant.has(right) {
        Verdict::Granted
    } else {
        Verdict::Withheld
    }
}

#[test]
fn the_most_specific_entry_that_speaks_wins() {
    let bob = address("bob@example.com");
    let presence = Right::Presence as u16;
    let list = [
        entry(Subject::Everybody, 0, presence),
        entry(Subject::Domain("example.com".into()), presence, 0),
        entry(Subject::Address(bob.clone()), 0, presence),
    ];
    let say = |who: &str| {
        let who = address(who);
        verdict(
            &list,
            Rights::default().into(),
            &who,
            Scheme::Digest,
            Right::Presence,
        )
    };
    assert_eq!(say("bob@example.com"), Verdict::Blocked);
    assert_eq!(say("carol@example.com"), Verdict::Granted);
    assert_eq!(say("eve@else.example"), Verdict::Blocked);
    let silent = verdict(
        &list,
        Rights::default().into(),
        &bob,
        Scheme::Digest,
        Right::SendTo,
    );
    assert_eq!(
        silent,
        Verdict::Withheld,
        "no entry speaks, nothing by default"
    );
}

#[test]
fn deny_beats_grant_among_equals_in_any_order() {
    let bob = address("bob@example.com");
    let grant = entry(Subject::Address(bob.clone()), Right::SendTo as u16, 0);
    let deny = entry(Subject::Address(bob.clone()), 0, Right::SendTo as u16);
    for list in [[grant.clone(), deny.clone()], [deny, grant]] {
        let got = verdict(
            &list,
            Rights::ALL.into(),
            &bob,
            Scheme::Digest,
            Right::SendTo,
        );
        assert_eq!(got, Verdict::Blocked);
    }
}

#[test]
fn another_scheme_is_not_listed() {
    let bob = address("bob@example.com");
    let mut grant = entry(Subject::Address(bob.clone()), Right::SendTo as u16, 0);
    grant.schemes = vec![Scheme::Ntlm];
    let list = [grant, entry(Subject::Everybody, 0, Right::SendTo as u16)];
    let with = |scheme| verdict(&list, Rights::ALL.into(), &bob, scheme, Right::SendTo);
    assert_eq!(with(Scheme::Ntlm), Verdict::Granted);
    assert_eq!(with(Scheme::Digest), Verdict::Blocked);
}

#[test]
fn a_server_principal_does_not_cover_its_users() {
    let bob = address("bob@im.example.com");
    let list = [entry(
        Subject::Server("im.example.com".into()),
        Rights::ALL.0,
        0,
    )];
    let got = verdict(
        &list,
        Rights::default().into(),
        &bob,
        Scheme::Digest,
        Right::Presence,
    );
    assert_eq!(got, Verdict::Withheld);
    let itself = Address::of_server("im.example.com", "example.com").expect("an address");
    let got = |who, right| verdict(&list, Rights::default().into(), who, Scheme::Peer, right);
    assert_eq!(got(&itself, Right::Presence), Verdict::Granted);
    let other = Address::of_server("im2.example.com", "example.com").expect("an address");
    assert_eq!(got(&other, Right::Presence), Verdict::Withheld);
}

#[test]
fn a_question_stands_until_an_answer_of_the_same_rank() {
    let bob = address("bob@example.com");
    let presence = Right::Presence as u16;
    let mut question = entry(Subject::Address(bob.clone()), 0, 0);
    question.ask = Rights(presence);
    let yes = entry(Subject::Address(bob.clone()), presence, 0);
    let no = entry(Subject::Address(bob.clone()), 0, presence);
    let all = entry(Subject::Everybody, presence, 0);
    let say = |list: &[AccessEntry]| {
        let default = Rights::ALL.into();
        verdict(list, default, &bob, Scheme::Digest, Right::Presence)
    };
    let entries = [&question, &all];
    assert_eq!(say(&entries.map(Clone::clone)), Verdict::Asked);
    let answered = [&yes, &question].map(Clone::clone);
    assert_eq!(say(&answered), Verdict::Granted);
    let refused = [&question, &yes, &no].map(Clone::clone);
    assert_eq!(say(&refused), Verdict::Blocked);
    // The domain's policy asks only where no entry speaks, and only about what it would grant.
    let default = |grant| Defaults {
        grant,
        ask: Rights(presence),
    };
    let none = |default| verdict(&[], default, &bob, Scheme::Digest, Right::Presence);
    assert_eq!(none(default(Rights::ALL)), Verdict::Asked);
    assert_eq!(none(default(Rights::default())), Verdict::Withheld);
}

fn any_entry() -> impl Strategy<Value = AccessEntry> {
    let subject = prop_oneof![
        Just(Subject::Address(address("bob@example.com"))),
        Just(Subject::Address(address("carol@example.com"))),
        Just(Subject::Server("example.com".into())),
        Just(Subject::Domain("example.com".into())),
        Just(Subject::Domain("else.example".into())),
        Just(Subject::Everybody),
    ];
    let schemes = prop_oneof![
        Just(vec![]),
        Just(vec![Scheme::Digest]),
        Just(vec![Scheme::Ntlm, Scheme::Kerberos]),
    ];
    (subject, schemes, 0..1024u16, 0..1024u16, 0..1024u16).prop_map(
        |(subject, schemes, grant, deny, ask)| AccessEntry {
            subject,
            schemes,
            grant: Rights(grant),
            deny: Rights(deny),
            ask: Rights(ask),
        },
    )
}

proptest! {
    #[test]
    fn rvp_5_acl_the_verdict_is_the_naive_one(
        list in proptest::collection::vec(any_entry(), 0..8),
        grant in 0..1024u16,
        ask in 0..1024u16,
        right in 0..10usize,
        scheme in prop_oneof![Just(Scheme::Digest), Just(Scheme::Ntlm), Just(Scheme::Peer)],
    ) {
        let people = ["bob@example.com", "carol@example.com", "dave@example.com", "x@else.example"];
        let server = Address::of_server("example.com", "example.com").expect("an address");
        for who in people.map(address).into_iter().chain([server]) {
            let right = RIGHTS[right];
            let default = Defaults { grant: Rights(grant), ask: Rights(ask) };
            prop_assert_eq!(
                verdict(&list, default, &who, scheme, right),
                naive(&list, default, &who, scheme, right)
            );
        }
    }
}
