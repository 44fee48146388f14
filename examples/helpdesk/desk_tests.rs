use super::case::{Cases, Stage};
use super::desk::{Desk, Settings};
use super::vocabulary::{Action, By, Event, Record, What};
use proptest::prelude::*;

const CONFIG: &str = r#"
offer = 30
grace = 60
[agents]
"ann@d" = { skills = ["general"], capacity = 2 }
"ben@d" = { skills = ["general", "billing"], capacity = 1 }
[skills]
billing = ["invoice", "refund"]
[canned]
hello = "Good day! How may I help you?"
"#;

/// A desk on virtual time with what it was heard to say.
struct Stage0 {
    desk: Desk,
    now: u64,
    log: Vec<Record>,
}

fn settings() -> Settings {
    toml::from_str(CONFIG).expect("settings")
}

impl Stage0 {
    fn new() -> Self {
        let (now, log) = (1_000, Vec::new());
        let desk = Desk::restore(settings(), &log, now);
        Self { desk, now, log }
    }

    /// Applies an event; every text to a customer arrives. Returns `to: text` of all.
    fn on(&mut self, event: Event) -> Vec<String> {
        let mut said = Vec::new();
        let mut events = std::collections::VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.desk.apply(self.now, event) {
                match action {
                    Action::Keep(record) => self.log.push(record),
                    Action::Tell { to, text, case } => {
                        said.push(format!("{to}: {text}"));
                        events.extend(case.map(|case| Event::Delivered { case }));
                    }
                    Action::Offer {
                        agent,
                        customer,
                        text,
                    } => {
                        said.push(format!("{agent}: card of {customer}"));
                        said.push(format!("{agent}: {text}"));
                    }
                }
            }
        }
        said
    }

    fn say(&mut self, from: &str, text: &str) -> Vec<String> {
        let (from, text) = (from.to_owned(), text.to_owned());
        self.on(Event::Said { from, text })
    }

    fn comes(&mut self, agent: &str) -> Vec<String> {
        let (agent, there) = (agent.to_owned(), true);
        self.on(Event::Presence { agent, there })
    }

    fn goes(&mut self, agent: &str) -> Vec<String> {
        let (agent, there) = (agent.to_owned(), false);
        self.on(Event::Presence { agent, there })
    }

    fn later(&mut self, seconds: u64) -> Vec<String> {
        self.now += seconds;
        self.on(Event::Tick)
    }

    fn restart(&mut self) {
        let before = self.desk.cases().clone();
        self.desk = Desk::restore(settings(), &self.log, self.now);
        assert_eq!(self.desk.cases(), &before);
    }
}

fn has(said: &[String], wanted: &str) {
    assert!(
        said.iter().any(|line| line.contains(wanted)),
        "{wanted} in {said:#?}"
    );
}

fn has_not(said: &[String], unwanted: &str) {
    assert!(
        !said.iter().any(|line| line.contains(unwanted)),
        "{unwanted} in {said:#?}"
    );
}

#[test]
fn the_card_comes_first_then_the_case_and_customers_see_only_the_desk() {
    let mut stage = Stage0::new();
    stage.comes("ann@d");
    let said = stage.say("carol@c", "my printer burns");
    assert_eq!(
        said,
        [
            "ann@d: card of carol@c",
            "ann@d: [#1] carol@c is waiting. /take 1 within 30 s"
        ]
    );
    let said = stage.say("ann@d", "/take");
    assert_eq!(
        said,
        ["ann@d: [#1] carol@c is yours.\ncustomer: my printer burns"]
    );
    assert_eq!(
        stage.say("ann@d", "/a hello"),
        ["carol@c: Good day! How may I help you?"]
    );
    assert_eq!(
        stage.say("ann@d", "Pull the plug."),
        ["carol@c: Pull the plug."]
    );
    assert_eq!(stage.say("carol@c", "done"), ["ann@d: [#1 carol@c] done"]);
    has(&stage.say("ann@d", "/secret carol"), "ann@d: /take");
    assert_eq!(
        stage.say("ann@d", "/close"),
        [
            "carol@c: Thank you for writing. Goodbye!",
            "ann@d: [#1] closed."
        ]
    );
    assert!(stage.desk.cases().open.is_empty());
    assert_eq!(stage.desk.cases().history("carol@c").count(), 1);
    assert_eq!(stage.desk.wake_at(), None);
}

#[test]
fn the_queue_tells_positions_and_capacity_is_kept() {
    let mut stage = Stage0::new();
    let said = stage.say("c1@c", "help");
    assert_eq!(said, ["c1@c: You are number 1 in the queue."]);
    has(
        &stage.say("c2@c", "help"),
        "c2@c: You are number 2 in the queue.",
    );
    has(
        &stage.say("c3@c", "help"),
        "c3@c: You are number 3 in the queue.",
    );
    assert!(stage.say("c3@c", "hello?").is_empty());
    let said = stage.comes("ann@d");
    has(&said, "ann@d: card of c1@c");
    has(&said, "ann@d: card of c2@c");
    has(&said, "c3@c: You are number 1 in the queue.");
    stage.say("ann@d", "/take 1");
    stage.say("ann@d", "/take 2");
    has(
        &stage.say("ann@d", "/queue"),
        "1 waiting\n#3 c3@c (general)\nyours: #1 c1@c (active)\nyours: #2 c2@c (current)",
    );
    assert_eq!(stage.say("ann@d", "to two"), ["c2@c: to two"]);
    assert_eq!(stage.say("ann@d", "/c 1 to one"), ["c1@c: to one"]);
    assert_eq!(stage.say("ann@d", "and more"), ["c1@c: and more"]);
    let said = stage.say("ann@d", "/close 2");
    has(&said, "ann@d: card of c3@c");
    let said = stage.say("ann@d", "/take");
    has(
        &said,
        "customer: help\ndesk: You are number 3 in the queue.\ncustomer: hello?",
    );
}

#[test]
fn skill_then_longest_idle_decides() {
    let mut stage = Stage0::new();
    stage.comes("ben@d");
    stage.now += 10;
    stage.comes("ann@d");
    has(
        &stage.say("c1@c", "my INVOICE is wrong"),
        "ben@d: card of c1@c",
    );
    stage.say("ben@d", "/take");
    // Ben has no room: the next one with that question waits for him, others do not.
    has(
        &stage.say("c2@c", "a refund please"),
        "c2@c: You are number 1 in the queue.",
    );
    has(&stage.say("c3@c", "hello"), "ann@d: card of c3@c");
    stage.say("ann@d", "/take");
    stage.now += 10;
    has(&stage.say("ben@d", "/close"), "ben@d: card of c2@c");
    stage.say("ben@d", "/take");
    stage.say("ben@d", "/close");
    stage.now += 10;
    stage.say("ann@d", "/close");
    // Both are free; Ben longer.
    has(&stage.say("c4@c", "hello"), "ben@d: card of c4@c");
}

#[test]
fn offers_are_withdrawn_and_go_round() {
    let mut stage = Stage0::new();
    stage.comes("ben@d");
    stage.now += 1;
    stage.comes("ann@d");
    has(&stage.say("c@c", "hello"), "ben@d: card of c@c");
    assert_eq!(stage.desk.wake_at(), Some(stage.now + 30));
    assert!(stage.later(29).is_empty());
    let said = stage.later(1);
    has(&said, "ben@d: [#1] The offer was withdrawn.");
    has(&said, "ann@d: card of c@c");
    has(&stage.say("ben@d", "/take 1"), "A colleague has it.");
    has(&stage.later(30), "ben@d: card of c@c");
    // Who lets two pass in a row gets no more until they write.
    stage.later(30);
    stage.later(30);
    let said = stage.later(30);
    has_not(&said, "card");
    has(&stage.say("ann@d", "/queue"), "ann@d: card of c@c");
}

#[test]
fn hold_and_transfer_by_name_and_by_skill() {
    let mut stage = Stage0::new();
    stage.comes("ann@d");
    stage.say("c@c", "hello");
    stage.say("ann@d", "/take");
    has(&stage.say("ann@d", "/hold"), "c@c: One moment please.");
    has(&stage.say("ann@d", "text"), "You have no customer now");
    has(
        &stage.say("c@c", "still there?"),
        "ann@d: [#1 c@c] still there?",
    );
    has(
        &stage.say("ann@d", "/hold 1"),
        "c@c: Thank you for waiting.",
    );
    has(
        &stage.say("ann@d", "/transfer nobody"),
        "Nobody else is or has nobody.",
    );
    stage.comes("ben@d");
    let said = stage.say("ann@d", "/transfer ben wants money");
    has(
        &said,
        "c@c: One moment please, I am handing you over to a colleague.",
    );
    has(&said, "ben@d: card of c@c");
    has_not(&said, "c@c: wants money");
    let said = stage.say("ben@d", "/take");
    has(&said, "ann@d (note): wants money");
    has(&stage.say("ann@d", "/c 1 psst"), "[#1] is not yours.");
    // Billing is Ben's alone, so from Ben it comes back to him or waits.
    has(
        &stage.say("ben@d", "/transfer general"),
        "ann@d: card of c@c",
    );
}

#[test]
fn nothing_is_lost_when_an_agent_vanishes() {
    let mut stage = Stage0::new();
    stage.comes("ann@d");
    stage.say("c@c", "one");
    stage.say("ann@d", "/take");
    stage.goes("ann@d");
    assert!(stage.later(59).is_empty(), "a short absence is forgiven");
    stage.say("c@c", "two");
    let said = stage.later(1);
    has(
        &said,
        "c@c: One moment please, a colleague will go on with you.",
    );
    let said = stage.comes("ben@d");
    has(&said, "ben@d: card of c@c");
    has(
        &stage.say("ben@d", "/take"),
        "customer: one\ncustomer: two\n",
    );
    // A text that cannot be delivered says the same at once.
    stage.say("c@c", "three");
    let (to, case) = ("ben@d".to_owned(), None);
    stage.on(Event::Failed { to, case });
    let said = stage.comes("ann@d");
    has(&said, "ann@d: card of c@c");
    has(&stage.say("ann@d", "/take"), "customer: three");
}

#[test]
fn nothing_is_lost_when_the_desk_restarts() {
    let mut stage = Stage0::new();
    stage.comes("ann@d");
    stage.say("c1@c", "one");
    stage.say("ann@d", "/take");
    stage.say("c2@c", "two");
    // Kept, and the desk dies before it is sent.
    let text = "the answer is 42".to_owned();
    let from = "ann@d".to_owned();
    for action in stage.desk.apply(stage.now, Event::Said { from, text }) {
        if let Action::Keep(record) = action {
            stage.log.push(record);
        }
    }
    stage.restart();
    let said = stage.on(Event::Tick);
    assert_eq!(said, ["c1@c: the answer is 42"]);
    stage.restart();
    assert!(
        stage.on(Event::Tick).is_empty(),
        "once delivered it is not sent again"
    );
    let said = stage.comes("ann@d");
    has(
        &said,
        "[#1] c1@c (the desk was restarted)\ncustomer: one\nann@d: the answer is 42",
    );
    assert_eq!(stage.say("ann@d", "/take 2").len(), 1);
    has(&stage.say("c3@c", "three"), "number 1");
    stage.restart();
    // Agents who do not come back lose their customers to others.
    stage.comes("ben@d");
    let said = stage.later(60);
    has(
        &said,
        "c1@c: One moment please, a colleague will go on with you.",
    );
}

#[test]
fn what_is_kept_is_masked_and_what_is_shown_is_not() {
    let mut stage = Stage0::new();
    stage.comes("ann@d");
    stage.say("c@c", "hello");
    stage.say("ann@d", "/take");
    let said = stage.say("c@c", "card 4111 1111 1111 1111, ssn 123-45-6789");
    assert_eq!(
        said,
        ["ann@d: [#1 c@c] card 4111 1111 1111 1111, ssn 123-45-6789"]
    );
    let log = serde_json::to_string(&stage.log).expect("a log");
    assert!(
        log.contains("card **** **** **** 1111, ssn ***-**-****"),
        "{log}"
    );
    assert!(
        !log.contains("4111 1111") && !log.contains("123-45"),
        "{log}"
    );
}

#[test]
fn open_cases_are_bounded() {
    let mut stage = Stage0::new();
    for n in 0..1_000 {
        stage.say(&format!("c{n}@c"), "x");
    }
    let said = stage.say("late@c", "x");
    assert_eq!(
        said,
        ["late@c: We are very busy. Please write again later."]
    );
}

fn events() -> impl Strategy<Value = (u64, Event)> {
    let agent = prop_oneof![Just("ann@d".to_owned()), Just("ben@d".to_owned())];
    let customer = (0..4).prop_map(|n| format!("c{n}@c"));
    let who = prop_oneof![agent.clone(), customer.clone()];
    let text = prop_oneof![
        Just("/take".to_owned()),
        Just("/hold".to_owned()),
        Just("/close".to_owned()),
        (0..9u64).prop_map(|n| format!("/c {n} x")),
        (0..9u64).prop_map(|n| format!("/take {n}")),
        Just("/transfer billing y".to_owned()),
        Just("/transfer ann".to_owned()),
        "[a-z/ ]{0,9}",
    ];
    let event = prop_oneof![
        4 => (who.clone(), text).prop_map(|(from, text)| Event::Said { from, text }),
        2 => (customer.clone(), "[a-z]{1,9}").prop_map(|(from, text)| Event::Said { from, text }),
        2 => (agent, any::<bool>()).prop_map(|(agent, there)| Event::Presence { agent, there }),
        1 => (who, prop::option::of(0..9u64)).prop_map(|(to, case)| Event::Failed { to, case }),
        1 => (0..9u64).prop_map(|case| Event::Delivered { case }),
        1 => customer.prop_map(|from| Event::Left { from }),
        2 => Just(Event::Tick),
    ];
    (0..40u64, event)
}

fn lines(cases: &Cases) -> usize {
    cases.open.values().map(|case| case.lines.len()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// After anything: the log rebuilds the same cases, each waits or has somebody, nobody has more
    /// offers than room, and the time to wake is not in the past.
    #[test]
    fn the_log_is_the_state(events in prop::collection::vec(events(), 0..60)) {
        let mut stage = Stage0::new();
        for (pause, event) in events {
            stage.now += pause;
            let customers = match &event {
                Event::Said { from, .. } if from.ends_with("@c") => 1,
                _ => 0,
            };
            let before = stage.log.len();
            for action in stage.desk.apply(stage.now, event) {
                if let Action::Keep(record) = action {
                    stage.log.push(record);
                }
            }
            let kept = stage.log[before..].iter().filter(|record| {
                matches!(&record.what, What::Line { by: By::Customer, .. })
            });
            prop_assert_eq!(kept.count(), customers, "each customer's text is kept once");
            let cases = stage.desk.cases();
            let rebuilt = Desk::restore(settings(), &stage.log, stage.now);
            prop_assert_eq!(rebuilt.cases(), cases);
            prop_assert_eq!(lines(rebuilt.cases()), lines(cases));
            for (id, case) in &cases.open {
                let waiting = cases.queue.iter().filter(|waiting| *waiting == id).count();
                prop_assert_eq!(waiting, usize::from(case.stage == Stage::Waiting));
            }
            prop_assert!(cases.queue.iter().all(|id| cases.open.contains_key(id)));
            prop_assert!(stage.desk.wake_at().is_none_or(|at| at > stage.now));
        }
    }
}
