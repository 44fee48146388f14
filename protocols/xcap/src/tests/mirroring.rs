//! Rules and their mirror (RFC 4745 sections 7 and 10, RFC 5025 section 3).

use crate::policy::{
    Handling, MirrorError, Provide, Ruleset, Subject, Surroundings, Wanted, fresh, mirror,
};
use crate::usage::Usage;
use proptest::prelude::*;
use xml::Limits;

fn address(uri: &str) -> Option<String> {
    let address = uri.strip_prefix("sip:").unwrap_or(uri);
    address.contains('@').then(|| address.to_lowercase())
}

fn list(uri: &str) -> Vec<String> {
    match uri {
        "http://h/friends" => vec!["f1@x".to_owned(), "f2@y".to_owned()],
        _ => Vec::new(),
    }
}

fn around() -> Surroundings<'static> {
    Surroundings {
        address: &address,
        list: &list,
    }
}

fn rules(inner: &str) -> String {
    format!(
        "<c:ruleset xmlns:c='urn:ietf:params:xml:ns:common-policy' xmlns:o='urn:oma:xml:xdm:common-policy' xmlns='urn:ietf:params:xml:ns:pres-rules'>{inner}</c:ruleset>"
    )
}

fn rule(id: &str, conditions: &str, handling: &str) -> String {
    format!(
        "<c:rule id='{id}'><c:conditions>{conditions}</c:conditions><c:actions><sub-handling>{handling}</sub-handling></c:actions></c:rule>"
    )
}

fn says(document: &str, who: &str) -> Handling {
    says_at(document, who, 1_000)
}

fn says_at(document: &str, who: &str, now: u64) -> Handling {
    let rules = Ruleset::parse(document.as_bytes(), &Limits::default(), &around()).unwrap();
    let all = rules.verdicts(now).about;
    let find = |subject: Subject| {
        all.iter()
            .find(|(s, _)| *s == subject)
            .map(|(_, v)| v.handling)
    };
    let domain = who.rsplit_once('@').unwrap().1;
    find(Subject::Address(who.to_owned()))
        .or_else(|| find(Subject::Domain(domain.to_owned())))
        .or_else(|| find(Subject::Everybody))
        .unwrap()
}

fn identity(inner: &str) -> String {
    format!("<c:identity>{inner}</c:identity>")
}

#[test]
fn conditions_are_anded_and_identities_ored() {
    let document = rules(&format!(
        "{}{}{}",
        rule(
            "a",
            &identity(
                "<c:one id='sip:A@x'/><c:one id='tel:1'/><c:many domain='y'><c:except id='sip:b@y'/></c:many>"
            ),
            "allow"
        ),
        rule(
            "b",
            &identity("<c:many><c:except domain='z'/><c:except id='sip:e@w'/></c:many>"),
            "confirm"
        ),
        rule(
            "c",
            &format!("{}<c:sphere value='work'/>", identity("<c:many/>")),
            "allow"
        ),
    ));
    for (who, handling) in [
        ("a@x", Handling::Allow),
        ("other@x", Handling::Confirm),
        ("any@y", Handling::Allow),
        ("b@y", Handling::Confirm),
        ("any@z", Handling::Block),
        ("any@w", Handling::Confirm),
        ("e@w", Handling::Block),
    ] {
        assert_eq!(says(&document, who), handling, "{who}");
    }
    // No rule at all permits nothing; a rule without conditions is about all.
    assert_eq!(says(&rules(""), "a@x"), Handling::Block);
    assert_eq!(
        says(
            &rules(
                "<c:rule id='a'><c:actions><sub-handling>allow</sub-handling></c:actions></c:rule>"
            ),
            "a@x"
        ),
        Handling::Allow
    );
}

#[test]
fn permissions_add_up() {
    // RFC 4745 10.2, RFC 5025 3.2.1: allow > polite-block > confirm > block.
    let order = ["block", "confirm", "polite-block", "allow"];
    for (low, one) in order.iter().enumerate() {
        for (high, other) in order.iter().enumerate() {
            let document = rules(&format!(
                "{}{}",
                rule("a", &identity("<c:one id='sip:a@x'/>"), one),
                rule("b", &identity("<c:many/>"), other)
            ));
            assert_eq!(says(&document, "a@x").word(), order[low.max(high)]);
        }
    }
}

#[test]
fn oma_conditions() {
    let document = rules(&format!(
        "{}{}{}{}",
        rule(
            "friends",
            "<o:external-list><o:entry anc='http://h/friends'/></o:external-list>",
            "allow"
        ),
        rule("one", &identity("<c:one id='sip:a@x'/>"), "polite-block"),
        rule("others", "<o:other-identity/>", "confirm"),
        rule("nobody", "<o:anonymous-request/>", "allow"),
    ));
    for (who, handling) in [
        ("f1@x", Handling::Allow),
        ("f2@y", Handling::Allow),
        ("a@x", Handling::PoliteBlock),
        ("z@x", Handling::Confirm),
    ] {
        assert_eq!(says(&document, who), handling, "{who}");
    }
}

#[test]
fn rules_hold_while_they_are_valid() {
    let interval = "<c:validity><c:from>1970-01-01T00:00:02Z</c:from><c:until>1970-01-01T00:00:04Z</c:until></c:validity>";
    let document = rules(&rule(
        "a",
        &format!("{}{interval}", identity("<c:many/>")),
        "allow",
    ));
    let parsed = Ruleset::parse(document.as_bytes(), &Limits::default(), &around()).unwrap();
    for (now, handling, until) in [
        (1_000, Handling::Block, Some(2_000)),
        (2_000, Handling::Allow, Some(4_000)),
        (3_999, Handling::Allow, Some(4_000)),
        (4_000, Handling::Block, None),
    ] {
        assert_eq!(says_at(&document, "a@x", now), handling);
        assert_eq!(parsed.verdicts(now).until, until);
    }
}

#[test]
fn transformations_give_parts() {
    let provide = |inner: &str| {
        let document = rules(&format!(
            "<c:rule id='a'><c:transformations>{inner}</c:transformations></c:rule>"
        ));
        let rules = Ruleset::parse(document.as_bytes(), &Limits::default(), &around()).unwrap();
        rules.verdict(&Subject::Everybody, 0).provide
    };
    let persons = "<provide-persons><all-persons/></provide-persons>";
    assert_eq!(provide(""), Provide::default());
    assert_eq!(provide("<provide-all-attributes/>"), Provide::default());
    assert_eq!(
        provide(&format!("{persons}<provide-all-attributes/>")),
        Provide {
            whole: false,
            ..Provide::ALL
        }
    );
    let every = format!(
        "{persons}<provide-services><all-services/></provide-services><provide-devices><all-devices/></provide-devices>"
    );
    assert_eq!(
        provide(&format!("{every}<provide-all-attributes/>")),
        Provide::ALL
    );
    assert_eq!(provide(&every), Provide::default());
    for (word, given) in [("false", false), ("bare", true), ("full", true)] {
        let input = format!("{persons}<provide-user-input>{word}</provide-user-input>");
        assert_eq!(provide(&input).user_input, given, "{word}");
    }
    assert_eq!(
        provide(&format!(
            "{persons}<provide-activities>true</provide-activities><provide-note>false</provide-note>"
        )),
        Provide {
            activities: true,
            ..Provide::default()
        }
    );
    assert_eq!(
        provide("<provide-persons/><provide-activities>true</provide-activities>"),
        Provide::default()
    );
}

#[test]
fn a_block_is_an_exception_where_more_is_permitted() {
    let document = rules(&format!(
        "<!-- mine -->\n  {}\n  {}",
        rule("all", &identity("<c:many/>"), "allow"),
        rule(
            "vips",
            &identity("<c:one id='sip:m@x'/><c:one id='sip:v@x'/>"),
            "allow"
        ),
    ));
    let wanted = [(
        Subject::Address("m@x".to_owned()),
        Handling::PoliteBlock,
        None,
    )];
    let changed = mirror(
        document.as_bytes(),
        &wanted,
        0,
        &Limits::default(),
        &around(),
    )
    .unwrap();
    let changed = String::from_utf8(changed).unwrap();
    assert_eq!(says(&changed, "m@x"), Handling::PoliteBlock);
    assert_eq!(says(&changed, "v@x"), Handling::Allow);
    assert_eq!(says(&changed, "z@z"), Handling::Allow);
    assert!(
        changed.contains("<c:many><c:except id=\"sip:m@x\"/></c:many>"),
        "{changed}"
    );
    assert!(
        changed.contains("<c:identity><c:one id='sip:v@x'/></c:identity>"),
        "{changed}"
    );
    assert!(
        changed.contains("<!-- mine -->\n  <c:rule id='all'>"),
        "{changed}"
    );
    // The same again changes nothing, and taking it back allows her again.
    let again = mirror(
        changed.as_bytes(),
        &wanted,
        0,
        &Limits::default(),
        &around(),
    )
    .unwrap();
    assert_eq!(again, changed.as_bytes());
    let wanted = [(Subject::Address("m@x".to_owned()), Handling::Allow, None)];
    let back = mirror(&again, &wanted, 0, &Limits::default(), &around()).unwrap();
    assert_eq!(
        says(std::str::from_utf8(&back).unwrap(), "m@x"),
        Handling::Allow
    );
}

#[test]
fn a_list_can_not_be_narrowed() {
    let document = rules(&rule(
        "friends",
        "<o:external-list><o:entry anc='http://h/friends'/></o:external-list>",
        "allow",
    ));
    let wanted = [(
        Subject::Address("f1@x".to_owned()),
        Handling::PoliteBlock,
        None,
    )];
    let refused = mirror(
        document.as_bytes(),
        &wanted,
        0,
        &Limits::default(),
        &around(),
    );
    assert!(
        matches!(refused, Err(MirrorError::Unmirrored(_))),
        "{refused:?}"
    );
}

fn subjects() -> impl Strategy<Value = Subject> {
    prop::sample::select(vec![
        Subject::Everybody,
        Subject::Domain("x".to_owned()),
        Subject::Domain("y".to_owned()),
        Subject::Address("a@x".to_owned()),
        Subject::Address("b@x".to_owned()),
        Subject::Address("c@z".to_owned()),
    ])
}

fn wanted() -> impl Strategy<Value = Vec<Wanted>> {
    let one = (
        subjects(),
        prop::sample::select(vec![
            Handling::Confirm,
            Handling::PoliteBlock,
            Handling::Allow,
        ]),
        prop::option::of(any::<bool>()),
    );
    prop::collection::vec(one, 1..6).prop_map(|mut all| {
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all.dedup_by(|one, other| one.0 == other.0);
        all
    })
}

fn conditions() -> impl Strategy<Value = String> {
    let who = prop::sample::select(vec![
        "<c:one id='sip:a@x'/>",
        "<c:one id='sip:b@x'/>",
        "<c:many/>",
        "<c:many domain='x'/>",
        "<c:many domain='y'><c:except id='sip:d@y'/></c:many>",
        "<c:many><c:except id='sip:a@x'/><c:except domain='z'/></c:many>",
    ]);
    prop_oneof![
        4 => prop::collection::vec(who, 1..4).prop_map(|all| format!("<c:conditions>{}</c:conditions>", identity(&all.concat()))),
        1 => Just("<c:conditions><o:other-identity/></c:conditions>".to_owned()),
        1 => Just("<c:conditions/>".to_owned()),
        1 => Just(String::new()),
    ]
}

fn documents() -> impl Strategy<Value = String> {
    let messages = prop::option::of(prop::sample::select(vec!["allow", "block"]));
    let handling = prop::sample::select(vec!["block", "confirm", "polite-block", "allow"]);
    let one = (conditions(), prop::option::of(handling), messages).prop_map(|(c, h, m)| {
        let h = h.map_or(String::new(), |h| {
            format!("<sub-handling>{h}</sub-handling>")
        });
        let m = m.map_or(String::new(), |m| {
            format!("<messages xmlns='urn:tristack:xml:ns:pres-rules'>{m}</messages>")
        });
        format!("{c}<c:actions>{h}{m}</c:actions></c:rule>")
    });
    prop::collection::vec(one, 0..5).prop_map(|all| {
        let all: Vec<String> = all
            .iter()
            .enumerate()
            .map(|(n, rest)| format!("\n<c:rule id='r{n}'>{rest}"))
            .collect();
        rules(&all.concat())
    })
}

proptest! {
    /// Whatever a document says and whatever is wanted: afterwards it says that, says of all whom
    /// no wish is about what it said before, and is one we would let in.
    #[test]
    fn a_mirrored_document_says_what_is_wanted(document in documents(), wanted in wanted()) {
        let before = Ruleset::parse(document.as_bytes(), &Limits::default(), &around()).unwrap();
        let changed = mirror(document.as_bytes(), &wanted, 0, &Limits::default(), &around()).unwrap();
        let root = xml::parse(&changed, &Limits::default()).unwrap();
        prop_assert_eq!(Usage::PresRules.validate(&root), Ok(()));
        let after = Ruleset::parse(&changed, &Limits::default(), &around()).unwrap();
        for (subject, handling, messages) in &wanted {
            let says = after.verdict(subject, 0);
            prop_assert!(says.handling == *handling || says.handling.is_denial() && handling.is_denial(), "{:?} {:?} {}", subject, says, String::from_utf8_lossy(&changed));
            prop_assert_eq!(says.messages, *messages);
        }
        let only_addresses = wanted.iter().all(|(s, ..)| matches!(s, Subject::Address(_)));
        let other = Subject::Address("other@w".to_owned());
        if only_addresses && !document.contains("other-identity") {
            prop_assert_eq!(after.verdict(&other, 0), before.verdict(&other, 0));
        }
        let again = mirror(&changed, &wanted, 0, &Limits::default(), &around()).unwrap();
        prop_assert_eq!(again, changed);
    }

    #[test]
    fn a_fresh_document_says_what_is_wanted(wanted in wanted()) {
        let text = fresh(&wanted);
        let root = xml::parse(&text, &Limits::default()).unwrap();
        prop_assert_eq!(Usage::PresRules.validate(&root), Ok(()));
        let rules = Ruleset::parse(&text, &Limits::default(), &around()).unwrap();
        for (subject, handling, messages) in &wanted {
            let says = rules.verdict(subject, 0);
            prop_assert_eq!((says.handling, says.messages), (*handling, *messages));
        }
    }
}
