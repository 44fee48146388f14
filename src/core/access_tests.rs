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
        detail: Detail::ALL,
    }
}

const CLASSES: usize = 3;

/// Entries about somebody, of one class: by address, by domain, about everybody.
fn of_class<'l>(
    list: &'l [AccessEntry],
    class: usize,
    who: &Address,
    scheme: Scheme,
) -> impl Iterator<Item = &'l AccessEntry> {
    let about = move |subject: &Subject| match subject {
        Subject::Address(a) => class == 0 && a == who,
        Subject::Server(name) => class == 0 && who.local().strip_prefix('/') == Some(name),
        Subject::Domain(d) => class == 1 && **d == *who.domain(),
        Subject::Everybody => class == 2,
    };
    list.iter()
        .filter(move |e| about(&e.subject))
        .filter(move |e| e.schemes.is_empty() || e.schemes.contains(&scheme))
}

/// The rule written the long way round: class by class.
fn naive(
    list: &[AccessEntry],
    default: Defaults,
    who: &Address,
    scheme: Scheme,
    right: Right,
) -> Verdict {
    for class in 0..CLASSES {
        let of_class: Vec<_> = of_class(list, class, who, scheme).collect();
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

/// The same for how much is seen: what all entries of the first class that speaks show together.
fn naive_detail(list: &[AccessEntry], who: &Address, scheme: Scheme) -> Detail {
    let says = |rights: Rights| rights.has(Right::Presence);
    for class in 0..CLASSES {
        let (mut granted, mut asked) = (None::<u8>, None::<u8>);
        for entry in of_class(list, class, who, scheme) {
            if says(entry.grant) && !says(entry.deny) {
                granted = Some(granted.unwrap_or(0) | entry.detail.0);
            } else if says(entry.ask) && !says(entry.deny) {
                asked = Some(asked.unwrap_or(0) | entry.detail.0);
            }
        }
        if let Some(bits) = granted.or(asked) {
            return Detail(bits);
        }
    }
    Detail::ALL
}

#[test]
fn rfc_5025_3_3_the_entry_that_grants_says_how_much() {
    let bob = address("bob@example.com");
    let presence = Right::Presence as u16;
    let grants = |subject, detail| AccessEntry {
        detail,
        ..entry(subject, presence, 0)
    };
    let note = Detail::NONE.with(Part::Note);
    let busy = Detail::NONE.with(Part::Activities);
    let all = grants(Subject::Everybody, Detail::ALL);
    let some = grants(Subject::Domain("example.com".into()), note);
    let more = grants(Subject::Domain("example.com".into()), busy);
    let silent = AccessEntry {
        detail: Detail::NONE,
        ..entry(Subject::Address(bob.clone()), Right::SendTo as u16, 0)
    };
    let says = |list: &[&AccessEntry]| {
        let list: Vec<_> = list.iter().copied().cloned().collect();
        detail(&list, &bob, Scheme::Digest)
    };
    assert_eq!(says(&[]), Detail::ALL);
    assert_eq!(says(&[&silent]), Detail::ALL, "it does not speak of it");
    assert_eq!(says(&[&all, &some, &silent]), note, "the more specific");
    assert_eq!(
        says(&[&some, &all, &more]),
        note.or(busy),
        "permissions add up"
    );
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
    (
        subject,
        schemes,
        0..1024u16,
        0..1024u16,
        0..1024u16,
        0..16u8,
    )
        .prop_map(|(subject, schemes, grant, deny, ask, detail)| AccessEntry {
            subject,
            schemes,
            grant: Rights(grant),
            deny: Rights(deny),
            ask: Rights(ask),
            detail: Detail(detail),
        })
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
            let says = verdict(&list, default, &who, scheme, right);
            prop_assert_eq!(says, naive(&list, default, &who, scheme, right));
            let seen = verdict(&list, default, &who, scheme, Right::Presence);
            // How much is asked only of those who see something, now or once they may.
            if matches!(seen, Verdict::Granted | Verdict::Asked) {
                let naive = naive_detail(&list, &who, scheme);
                prop_assert_eq!(detail(&list, &who, scheme), naive);
            }
        }
    }
}
