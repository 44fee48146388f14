//! The archive of the real binary, over real sockets and by its commands.

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::actor::{Actor, Encoding, Heard, RvpActor, SipActor};
use support::server::{self, Server};

const PATIENCE: Duration = Duration::from_secs(10);

fn rvp(server: &Server, name: &str, encoding: Encoding) -> RvpActor {
    let mut actor = RvpActor::new(name, server.rvp, encoding).expect("a user");
    actor.sign_in().expect("signs in");
    actor
}

fn sip(server: &Server, name: &str) -> SipActor {
    let mut actor = SipActor::tcp(name, server.sip_tcp).expect("a user");
    actor.sign_in().expect("signs in");
    actor
}

fn archive(server: &Server, arguments: &[&str]) -> Output {
    let all: Vec<&str> = ["archive"].iter().chain(arguments).copied().collect();
    server.command(&all).output().expect("it runs")
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    format!("{text}{}", String::from_utf8_lossy(&output.stderr))
}

fn asks(server: &Server, arguments: &[&str]) -> String {
    let output = archive(server, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(server: &Server, arguments: &[&str]) -> Value {
    let all: Vec<&str> = arguments.iter().chain(&["--json"]).copied().collect();
    let text = asks(server, &all);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn search(server: &Server, query: &[&str]) -> Vec<Value> {
    let all: Vec<&str> = ["search", "--reason", "test"]
        .iter()
        .chain(query)
        .copied()
        .collect();
    let found = json(server, &all);
    found["items"].as_array().expect("items").clone()
}

fn text(item: &Value) -> &str {
    item["text"].as_str().unwrap_or_default()
}

fn hears(actor: &impl Actor, wanted: &str) {
    loop {
        match actor.next(PATIENCE) {
            Some(Heard::Text { text, .. }) if text == wanted => return,
            Some(_) => {}
            None => panic!("nobody said {wanted:?}"),
        }
    }
}

fn get(server: &Server, path: &str) -> String {
    server::get(server.admin, path)
}

#[test]
fn what_is_said_among_many_is_archived_once_with_what_became_of_it_for_each() {
    // Carol alone must be archived: that binds the conversation she is in.
    let rules = "[archive]\npolicy = \"off\"\ndisclaimer = \"This is kept.\"\n[archive.people]\n\"carol@example.com\" = \"required\"\n";
    let server = Server::start_with(&["alice", "bob", "carol"], rules);
    let alice = rvp(&server, "alice", Encoding::Characters);
    let mut bob = sip(&server, "bob");
    let carol = sip(&server, "carol");
    assert_eq!(bob.open("alice").expect("an answer"), 200);
    hears_joins(&bob, "alice");
    assert_eq!(bob.add("carol").expect("an answer"), 200);
    hears_joins(&bob, "carol");
    assert_eq!(bob.tell("noon at the usual place").expect("an answer"), 200);
    let notice = Heard::Text {
        from: "postmaster".to_owned(),
        text: "This is kept.".to_owned(),
    };
    let said = carol.in_conversation("bob", "noon at the usual place");
    hears_all(&carol, vec![said, notice]);
    hears_in(&alice, "bob", "noon at the usual place");
    let found = search(&server, &["\"usual place\""]);
    assert_eq!(found.len(), 1, "{found:?}");
    let item = &found[0];
    assert_eq!(item["message"]["from"], "bob@example.com", "{item}");
    let members = item["message"]["members"].to_string();
    assert!(
        members.contains("alice@") && members.contains("carol@"),
        "{item}"
    );
    // Carol's own row says what she saw; that all have it is the conversation's word.
    let results = item["results"].as_array().expect("results");
    let of = |to: &str| results.iter().filter(|r| r["to"] == *to).count();
    assert_eq!(of("carol@example.com"), 1, "{item}");
    let chat = item["message"]["to"].as_str().expect("a chat address");
    assert_eq!(of(chat), 2, "{item}");
}

fn hears_joins(actor: &impl Actor, who: &str) {
    loop {
        match actor.next(PATIENCE) {
            Some(heard) if actor.is_news(&heard, who, true) => return,
            Some(_) => {}
            None => panic!("nobody said that {who} joined"),
        }
    }
}

fn hears_in(actor: &impl Actor, from: &str, text: &str) {
    hears_all(actor, vec![actor.in_conversation(from, text)]);
}

/// All of it, in whatever order.
fn hears_all(actor: &impl Actor, mut wanted: Vec<Heard>) {
    while !wanted.is_empty() {
        match actor.next(PATIENCE) {
            Some(heard) => wanted.retain(|one| *one != heard),
            None => panic!("not heard: {wanted:?}"),
        }
    }
}

#[test]
fn both_ingresses_are_archived_and_found() {
    let server = Server::start_with(&["alice", "bob", "carol"], "[archive]\npolicy = \"on\"\n");
    let mut alice = rvp(&server, "alice", Encoding::Octets);
    let mut bob = sip(&server, "bob");
    let carol = rvp(&server, "carol", Encoding::Characters);
    assert_eq!(
        alice.say("bob", "gr\u{fc}n by RVP").expect("an answer"),
        200
    );
    hears(&bob, "gr\u{fc}n by RVP");
    assert_eq!(bob.say("alice", "Blue by SIP").expect("an answer"), 200);
    hears(&alice, "Blue by SIP");
    assert_eq!(alice.typing("bob").expect("an answer"), 200);
    assert_eq!(
        alice
            .offer_file("carol", "plan.doc", 4711)
            .expect("an answer"),
        200
    );
    assert_eq!(bob.say("dave", "to nobody").expect("an answer"), 404);
    drop(carol);

    let found = search(&server, &["grun", "from:alice"]);
    assert_eq!(found.len(), 1, "{found:?}");
    let green = &found[0];
    assert_eq!(text(green), "gr\u{fc}n by RVP");
    let message = &green["message"];
    assert_eq!(message["decoded"], "octets", "{green}");
    assert_eq!(
        (&message["stack"], &message["direction"]),
        (&"rvp".into(), &"inside".into())
    );
    let result = &green["results"][0];
    assert_eq!(
        (&result["what"], &result["stack"]),
        (&"delivered".into(), &"sip".into())
    );
    assert_eq!(
        result["rendering"].as_str().map(str::len),
        Some(64),
        "{green}"
    );

    let blue = search(
        &server,
        &["\"blue by\"", "with:bob@example.com", "to:alice"],
    );
    assert_eq!(blue.len(), 1, "{blue:?}");
    assert_eq!(blue[0]["message"]["decoded"], "characters");
    assert_eq!(blue[0]["results"][0]["stack"], "rvp");
    let file = search(&server, &["plan", "to:carol"]);
    assert_eq!(file[0]["message"]["offer"]["file"], "plan.doc", "{file:?}");
    assert_eq!(file[0]["message"]["offer"]["size"], 4711);
    // No typing, nothing to unknown people; newest first.
    let all = search(&server, &["with:@example.com"]);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0]["seq"].as_u64() > all[2]["seq"].as_u64());
    assert!(search(&server, &["before:2020-01-01"]).is_empty());
    assert_eq!(search(&server, &["after:2020-01-01", "plan"]).len(), 1);

    let wrong = archive(&server, &["search", "--reason", "x", "form:alice"]);
    assert!(
        said(&wrong).contains("did you mean `from:`?"),
        "{}",
        said(&wrong)
    );
    assert_eq!(wrong.status.code(), Some(1));
    let without = archive(&server, &["search", "--reason", " ", "x"]);
    assert!(said(&without).contains("--reason"), "{}", said(&without));

    let table = asks(&server, &["search", "--reason", "test", "blue"]);
    assert!(table.starts_with("WHEN"), "{table}");
    assert!(
        table.contains("Blue by SIP") && table.contains("delivered"),
        "{table}"
    );
    let conversation = green["message"]["conversation"].as_str().expect("an id");
    let shown = asks(&server, &["show", conversation, "--reason", "test"]);
    assert!(shown.contains("    gr\u{fc}n by RVP"), "{shown}");
    assert!(
        shown.contains("> ") && shown.contains("sent sha256:"),
        "{shown}"
    );
    let id = green["message"]["id"].as_str().expect("an id");
    let one = asks(&server, &["show", "--message", id, "--reason", "test"]);
    assert_eq!(one.matches(" -> ").count(), 1, "{one}");
}

/// The rows of a database that no server runs on.
fn sqlite(server: &Server, sql: &str) -> String {
    let database = data(server).join("tristack.db");
    let mut command = Command::new("sqlite3");
    command.args(["-cmd", ".timeout 10000"]);
    let output = command.arg(database).arg(sql).output();
    let output = output.expect("sqlite3");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn data(server: &Server) -> PathBuf {
    server.certificate().parent().expect("a folder").to_owned()
}

#[test]
fn exports_are_checked_by_tools_that_are_not_ours() {
    let server = Server::start_with(&["alice", "bob"], "[archive]\npolicy = \"required\"\n");
    let mut alice = rvp(&server, "alice", Encoding::Characters);
    let mut bob = sip(&server, "bob");
    for n in 1..=120 {
        let text = format!("text <number> {n}");
        assert_eq!(alice.say("bob", &text).expect("an answer"), 200);
    }
    assert_eq!(bob.say("alice", "an answer").expect("an answer"), 200);
    let hold = ["hold", "add", "case-17", "--person", "Bob@Example.com"];
    let hold: Vec<&str> = hold.iter().chain(&["--reason", "court"]).copied().collect();
    asks(&server, &hold);
    let holds = asks(&server, &["hold", "list"]);
    assert!(
        holds.contains("bob@example.com") && holds.contains("court"),
        "{holds}"
    );
    let folder = server.scratch("out").join("case");
    let to = folder.to_string_lossy().into_owned();
    let export = [
        "export", "--case", "case-17", "--to", &to, "--reason", "court",
    ];
    let told = asks(&server, &export);
    assert!(told.contains("121 messages"), "{told}");
    let run = |program: &str, arguments: &str| {
        let mut command = Command::new(program);
        command.args(arguments.split(' ')).current_dir(&folder);
        command.output().expect(program).status.success()
    };
    let signature = "dgst -sha256 -verify public.pem -signature SHA256SUMS.sig SHA256SUMS";
    assert!(run("sha256sum", "--strict -c SHA256SUMS"));
    assert!(run("openssl", signature));
    let lines = std::fs::read_to_string(folder.join("messages.jsonl")).expect("lines");
    assert_eq!(lines.lines().count(), 121);
    let first: Value = serde_json::from_str(lines.lines().next().expect("one")).expect("JSON");
    assert_eq!(text(&first), "text <number> 1");
    assert_eq!(first["results"][0]["what"], "delivered");
    let conversation = first["message"]["conversation"].as_str().expect("an id");
    let page = folder.join(format!("conversations/{conversation}.html"));
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.contains("text &lt;number&gt; 120"), "{page}");
    let again = archive(&server, &export);
    assert!(
        said(&again).contains("something in it already"),
        "{}",
        said(&again)
    );
    std::fs::write(
        folder.join("messages.jsonl"),
        lines.replace("number", "figure"),
    )
    .expect("written");
    assert!(!run("sha256sum", "--strict -c SHA256SUMS"));
    // What was done is in the archive itself.
    let acts = sqlite(
        &server,
        "SELECT head FROM archive WHERE head LIKE '%\"row\":\"journal\"%'",
    );
    for act in [
        "\"act\":\"hold\"",
        "\"act\":\"export\"",
        "\"why\":\"court\"",
        "(uid ",
    ] {
        assert!(acts.contains(act), "{act} in {acts}");
    }
}

#[test]
fn changes_are_found_and_named_and_a_seal_finds_a_new_chain() {
    let configuration = "[archive]\npolicy = \"on\"\nseal_dir = \"seals\"\n";
    let mut server = Server::start_with(&["alice", "bob"], configuration);
    let mut alice = rvp(&server, "alice", Encoding::Characters);
    let bob = sip(&server, "bob");
    for n in 1..=5 {
        assert_eq!(
            alice.say("bob", &format!("text {n}")).expect("an answer"),
            200
        );
    }
    drop(bob);
    assert!(asks(&server, &["verify"]).contains("The chain is sound."));
    let sealed = json(&server, &["seal", "--reason", "test"]);
    let seal = sealed[0].as_str().expect("a file").to_owned();
    let seals = Path::new(&seal).parent().expect("a folder");
    let signature = format!("{seal}.sig");
    let checked = Command::new("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .arg(seals.join("public.pem"))
        .args(["-signature", &signature, &seal])
        .status();
    assert!(checked.is_ok_and(|status| status.success()));
    assert!(asks(&server, &["verify", "--seal", &seal]).contains("1 seals"));
    // Without a server the same commands work on the storage itself.
    assert_eq!(server.stop(), Some(0));
    assert!(asks(&server, &["verify", "--seal", &seal]).contains("The chain is sound."));
    sqlite(
        &server,
        "CREATE TABLE archive_saved AS SELECT * FROM archive",
    );
    let restore = "DELETE FROM archive; INSERT INTO archive SELECT * FROM archive_saved";
    let body = "CAST(replace(CAST(body AS TEXT), 'text 1', 'text 9') AS BLOB)";
    for (sql, want) in [
        (
            format!("UPDATE archive SET body = {body} WHERE seq = 1"),
            "row 1 has another body",
        ),
        (
            "UPDATE archive SET head = replace(head, 'bob@', 'eve@') WHERE seq = 2".to_owned(),
            "row 2 does not follow row 1",
        ),
        (
            "DELETE FROM archive WHERE seq IN (3, 4)".to_owned(),
            "row 3 and those up to 4 are missing",
        ),
        (
            "UPDATE archive SET seq = CASE seq WHEN 2 THEN -3 ELSE -2 END WHERE seq IN (2, 3); \
             UPDATE archive SET seq = -seq WHERE seq < 0"
                .to_owned(),
            "row 3 does not follow row 2",
        ),
        (
            "UPDATE archive SET body = x'' WHERE seq = 1".to_owned(),
            "row 1 has lost its body",
        ),
    ] {
        sqlite(&server, &sql);
        let output = archive(&server, &["verify"]);
        let told = said(&output);
        assert_eq!(output.status.code(), Some(1), "{sql}: {told}");
        assert!(told.contains(want), "{sql}: {told}");
        sqlite(&server, restore);
        asks(&server, &["verify"]);
    }
    // Cut off at its end, or written anew as a whole, it looks sound; the seal knows.
    for (sql, want) in [
        (
            "DELETE FROM archive WHERE seq > 2".to_owned(),
            "were removed",
        ),
        (written_anew(&server), "was written anew"),
    ] {
        sqlite(&server, &sql);
        asks(&server, &["verify"]);
        let output = archive(&server, &["verify", "--seal", &seal]);
        let told = said(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(want), "{told}");
        sqlite(&server, restore);
    }
}

/// Statements that change who got row 2 and make the chain sound again.
fn written_anew(server: &Server) -> String {
    use tristack::archive::chain::{hex, link};
    let heads = sqlite(server, "SELECT head FROM archive ORDER BY seq");
    let mut previous = tristack::core::archive::START;
    let mut sql = String::new();
    for (seq, head) in (1..).zip(heads.lines()) {
        let head = match seq {
            2 => head.replace("bob@", "eve@"),
            _ => head.to_owned(),
        };
        previous = link(&previous, seq, &head);
        let (head, link) = (head.replace('\'', "''"), hex(&previous));
        let set = format!("UPDATE archive SET head = '{head}', link = x'{link}'");
        sql = format!("{sql}{set} WHERE seq = {seq};");
    }
    sql
}

/// Senders that go on until told, and count what was answered with success.
fn senders(server: &Server, stop: &Arc<AtomicBool>) -> Vec<std::thread::JoinHandle<Vec<String>>> {
    let mut threads = Vec::new();
    for (name, by_sip) in [("alice", false), ("bob", true), ("carol", true)] {
        let stop = Arc::clone(stop);
        let mut actor: Box<dyn Actor + Send> = if by_sip {
            Box::new(sip(server, name))
        } else {
            Box::new(rvp(server, name, Encoding::Characters))
        };
        threads.push(std::thread::spawn(move || {
            let mut done = Vec::new();
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let word = format!("w{name}{n}");
                match actor.say("dave", &word) {
                    Ok(200 | 202) => done.push(word),
                    Ok(_) | Err(_) => break,
                }
            }
            done
        }));
    }
    threads
}

/// How often each text is in the archive.
fn archived(server: &Server, name: &str) -> BTreeMap<String, usize> {
    let folder = server.scratch(name).join("all");
    let to = folder.to_string_lossy().into_owned();
    asks(
        server,
        &[
            "export", "to:dave", "--form", "jsonl", "--to", &to, "--reason", "test",
        ],
    );
    let lines = std::fs::read_to_string(folder.join("messages.jsonl")).expect("lines");
    let mut found = BTreeMap::new();
    for line in lines.lines() {
        let item: Value = serde_json::from_str(line).expect("JSON");
        *found.entry(text(&item).to_owned()).or_insert(0) += 1;
    }
    found
}

#[test]
fn required_what_was_answered_with_success_outlives_kill_9_exactly_once() {
    let configuration = "[archive]\npolicy = \"required\"\n";
    let mut server = Server::start_with(&["alice", "bob", "carol", "dave"], configuration);
    let dave = sip(&server, "dave");
    let stop = Arc::new(AtomicBool::new(false));
    let threads = senders(&server, &stop);
    for _ in 0..200 {
        assert!(dave.next(PATIENCE).is_some(), "texts come");
    }
    server.kill();
    stop.store(true, Ordering::Relaxed);
    let done: Vec<String> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("a sender"))
        .collect();
    assert!(done.len() >= 100, "{} answered", done.len());
    server.launch();
    assert!(asks(&server, &["verify"]).contains("The chain is sound."));
    let found = archived(&server, "required");
    for word in &done {
        assert_eq!(found.get(word), Some(&1), "{word}");
    }
}

#[test]
fn on_what_was_committed_outlives_kill_9_exactly_once() {
    let configuration = "[archive]\npolicy = \"on\"\n";
    let mut server = Server::start_with(&["alice", "bob", "carol", "dave"], configuration);
    let dave = sip(&server, "dave");
    let stop = Arc::new(AtomicBool::new(false));
    let threads = senders(&server, &stop);
    for _ in 0..100 {
        assert!(dave.next(PATIENCE).is_some(), "texts come");
    }
    // What is found is committed: an operator's own row is committed behind it.
    let committed = archived(&server, "before");
    assert!(committed.len() >= 50, "{}", committed.len());
    server.kill();
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("a sender");
    }
    server.launch();
    assert!(asks(&server, &["verify"]).contains("The chain is sound."));
    let found = archived(&server, "after");
    for word in committed.keys() {
        assert_eq!(found.get(word), Some(&1), "{word}");
    }
}

#[test]
fn required_and_failing_is_told_to_both_sides_and_shown_red() {
    let configuration = "[archive]\npolicy = \"required\"\n";
    let server = Server::start_with(&["alice", "bob"], configuration);
    let mut alice = rvp(&server, "alice", Encoding::Characters);
    let mut bob = sip(&server, "bob");
    assert!(get(&server, "/readyz").starts_with("HTTP/1.1 200"));
    sqlite(&server, "ALTER TABLE archive RENAME TO archive_away");
    assert_eq!(alice.say("bob", "secret").expect("an answer"), 503);
    assert_eq!(bob.say("alice", "secret").expect("an answer"), 500);
    for actor in [&alice as &dyn Actor, &bob as &dyn Actor] {
        let heard = actor.next(PATIENCE);
        let Some(Heard::Text { from, text }) = heard else {
            panic!("no notice but {heard:?}");
        };
        assert_eq!(from, "postmaster");
        assert!(text.contains("could not be archived"), "{text}");
    }
    let ready = get(&server, "/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("red: archive"),
        "{ready}"
    );
    assert!(get(&server, "/healthz").contains("red: archive"));
    sqlite(&server, "ALTER TABLE archive_away RENAME TO archive");
    assert_eq!(alice.say("bob", "open").expect("an answer"), 200);
    hears(&bob, "open");
    assert!(get(&server, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(asks(&server, &["verify"]).contains("The chain is sound."));
}
