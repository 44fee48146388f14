use super::*;
use crate::core::address::Address;
use crate::core::id::{ConversationId, MessageId, Stack};
use crate::core::message::{Ack, Decoded, Kind, Original, Text};
use crate::core::pattern::Pattern;
use std::time::Duration;

fn message(from: &str, to: &str, body: &str) -> Message {
    Message {
        id: MessageId(1),
        at: Time(0),
        from: Address::parse(from).unwrap(),
        from_person: None,
        from_name: "".into(),
        to: Address::parse(to).unwrap(),
        conversation: ConversationId(1),
        content: Content::Text(Text {
            body: body.into(),
            media: "text/plain".into(),
            format: None,
        }),
        original: Original {
            stack: Stack::named("sip"),
            bytes: bytes::Bytes::from_static(b"MESSAGE"),
            key: None,
            decoded: Decoded::Characters,
        },
        ack: Ack::Any,
        hops: 1,
        wants: None,
        chat: None,
    }
}

pub(super) fn says(body: &str) -> Message {
    message("alice@example.com", "bob@example.com", body)
}

pub(super) fn filter(check: Check, action: Action) -> Filter {
    Filter {
        name: "f".into(),
        scope: Scope {
            kinds: vec![Kind::Text],
            ..Scope::default()
        },
        hours: None,
        check,
        action,
        reason: String::new(),
        test: false,
        counts: Counts::default(),
    }
}

impl Filter {
    /// What a filter that asks nobody says, at once.
    fn now(&self, message: &Message, now: Time) -> Verdict {
        use futures_util::FutureExt;
        self.judge(message, now).now_or_never().unwrap()
    }

    /// What a filter says.
    pub(super) async fn judge_now(&self, message: &Message) -> Verdict {
        self.judge(message, Time(0)).await
    }
}

fn patterns(all: &[&str]) -> Check {
    Check::Patterns(all.iter().map(|one| Regex::new(one).unwrap()).collect())
}

fn refused(reason: &str) -> Verdict {
    Verdict::Refuse(reason.to_owned())
}

#[test]
fn a_scope_covers_what_all_its_lists_cover() {
    let pattern = |text: &str| Pattern::parse(text).unwrap();
    let scope = Scope {
        from: vec![pattern("*@example.com")],
        to: vec![pattern("bob@*"), pattern("carol@example.com")],
        domains: vec!["example.org".to_owned()],
        stacks: vec![Stack::named("sip")],
        kinds: vec![Kind::Text],
    };
    let covers = |from, to| scope.covers(&message(from, to, "x"));
    assert!(covers("alice@example.com", "bob@example.org"));
    assert!(!covers("alice@example.net", "bob@example.org"), "from");
    assert!(!covers("alice@example.com", "dave@example.org"), "to");
    assert!(!covers("alice@example.com", "carol@example.com"), "domain");
    let mut other = message("alice@example.com", "bob@example.org", "x");
    other.original.stack = Stack::named("rvp");
    assert!(!scope.covers(&other), "stack");
    other.original.stack = Stack::named("sip");
    other.content = Content::Join;
    assert!(!scope.covers(&other), "kind");
}

#[test]
fn size_is_of_the_text_or_else_of_the_original() {
    let mut size = filter(Check::Size(7), Action::Refuse);
    assert_eq!(size.now(&says("seven.."), Time(0)), Verdict::Allow);
    let found = refused("larger than 7 octets");
    assert_eq!(size.now(&says("eight..."), Time(0)), found);
    size.reason = "too\r\nmuch".to_owned();
    assert_eq!(size.now(&says("eight..."), Time(0)), refused("too  much"));
    size.scope.kinds = vec![Kind::Opaque];
    let mut opaque = says("");
    opaque.content = Content::Opaque { what: "x".into() };
    assert_eq!(size.now(&opaque, Time(0)), Verdict::Allow);
    opaque.original.bytes = bytes::Bytes::from_static(b"12345678");
    assert_ne!(size.now(&opaque, Time(0)), Verdict::Allow);
}

#[test]
fn a_rate_is_each_senders_own_and_earned_back() {
    let rate = Rate::new(3, Duration::from_secs(30));
    let alice = Address::parse("alice@example.com").unwrap();
    let bob = Address::parse("bob@example.com").unwrap();
    let taken = |who, at| rate.take(who, Time(at));
    assert!((0..3).all(|_| taken(&alice, 1000)));
    assert!(!taken(&alice, 1000) && taken(&bob, 1000));
    assert!(!taken(&alice, 10_999) && taken(&alice, 11_000) && !taken(&alice, 11_000));
    assert!((0..3).all(|_| taken(&alice, 100_000)) && !taken(&alice, 100_000));
}

#[test]
fn a_rate_remembers_a_bounded_number_of_senders() {
    let rate = Rate::new(1, Duration::from_secs(1));
    let sender = |n: usize| Address::new(&format!("u{n}"), "example.com").unwrap();
    for n in 0..70_000 {
        assert!(rate.take(&sender(n), Time(0)));
    }
    assert!(!rate.take(&sender(69_999), Time(0)), "the newest is known");
    assert!(rate.remembered() < 70_000);
}

#[test]
fn patterns_refuse_or_replace() {
    let secret = filter(patterns(&["(?i)project x", r"\d{16}"]), Action::Refuse);
    assert_eq!(secret.now(&says("lunch?"), Time(0)), Verdict::Allow);
    let found = refused("the text is not allowed here");
    assert_eq!(secret.now(&says("on PROJECT X then"), Time(0)), found);
    assert_eq!((secret.counts.seen(), secret.counts.hits()), (2, 1));
    let action = Action::Replace("[$0]".to_owned());
    let masked = filter(patterns(&["(?i)project x", r"\d{16}"]), action);
    let verdict = masked.now(&says("Project X 1234567812345678"), Time(0));
    assert_eq!(verdict, Verdict::Modify("[$0] [$0]".to_owned()));
    assert_eq!(masked.now(&says("lunch?"), Time(0)), Verdict::Allow);
}

#[test]
fn a_filter_in_test_mode_counts_and_lets_pass() {
    let mut quiet = filter(patterns(&["x"]), Action::Refuse);
    quiet.test = true;
    assert_eq!(quiet.now(&says("x"), Time(0)), Verdict::Allow);
    assert_eq!((quiet.counts.seen(), quiet.counts.hits()), (1, 1));
}

#[test]
fn links_are_judged_by_their_host() {
    let listed = ["example.com".to_owned(), "*.corp.example".to_owned()];
    let allow = Hosts::new(&listed, true).unwrap();
    let deny = Hosts::new(&listed, false).unwrap();
    for (text, host, is_listed) in [
        ("see http://example.com/x", "example.com", true),
        ("see HTTPS://WWW.Example.COM.", "www.example.com", true),
        ("http://a_b.example.com", "a_b.example.com", true),
        ("www.example.com, please", "www.example.com", true),
        ("http://exampl%65.com/", "example.com", true),
        ("ftp://x.corp.example:2121", "x.corp.example", true),
        ("http://example.com@evil.test/", "evil.test", false),
        ("http://evil.test?http.example.com", "evil.test", false),
        ("http://evil.test\\@example.com/", "evil.test", false),
        ("http:\\\\evil.test", "evil.test", false),
        ("http://notexample.com", "notexample.com", false),
        ("http://[2001:db8::1]:80/", "2001:db8::1", false),
        ("http://192.0.2.1/", "192.0.2.1", false),
    ] {
        let told = Some(host.to_owned());
        let (by_allow, by_deny) = if is_listed {
            (None, told)
        } else {
            (told, None)
        };
        assert_eq!(allow.refused(text), by_allow, "{text}");
        assert_eq!(deny.refused(text), by_deny, "{text}");
    }
    for text in ["no link: example.com", "http is a word", "a://", ""] {
        assert_eq!(deny.refused(text), None, "{text}");
    }
    let text = "http://evil.test/a and http://example.com/b";
    assert_eq!(
        allow.without(text, "[link]"),
        "[link]/a and http://example.com/b"
    );
    let policy = filter(Check::Hosts(allow), Action::Refuse);
    let found = refused("links to evil.test are not allowed here");
    assert_eq!(policy.now(&says(text), Time(0)), found);
}

#[test]
fn a_changed_text_leaves_no_octets_that_say_otherwise() {
    let changed = hook::rewritten(&says("secret"), "[removed]".to_owned());
    assert_eq!(text(&changed), Some("[removed]"));
    assert!(!changed.original.is_of(Stack::named("sip")));
    assert!(says("secret").original.is_of(Stack::named("sip")));
}
