//! A million archived messages: how long a search takes, what an export needs.

use crate::Failure;
use crate::report::{Goal, Row};
use crate::server::tristack::Server;
use bytes::Bytes;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tristack::archive::record::{self, About};
use tristack::archive::{Archivist, Commit, Settings};
use tristack::core::address::Address;
use tristack::core::id::{ConversationId, MessageId, Stack};
use tristack::core::message::{Ack, Content, Decoded, Message, Original, Text};
use tristack::core::port::{Store, Write as Change};
use tristack::core::time::Time;
use tristack::storage::Sqlite;

/// Messages.
const COUNT: u64 = 1_000_000;
/// Messages of one commit.
const BATCH: u64 = 1_000;
/// Different words they are made of.
const WORDS: u64 = 20_000;
/// People who write.
const PEOPLE: u64 = 500;
/// When the first was written: 2026-01-01; one each 20 s from then on.
const FIRST: u64 = 1_767_225_600_000;

/// What people ask, from what is rare to what is in nearly everything.
const QUERIES: [&[&str]; 8] = [
    &["word17"],
    &["the"],
    &["the", "from:u7"],
    &["\"the word3\""],
    &[
        "with:u7@example.com",
        "after:2026-03-01",
        "before:2026-03-02",
    ],
    &["from:@example.com"],
    &["the", "before:2026-01-05"],
    &["nowhere"],
];

/// Fills the archive, then asks the running server by its own commands.
pub(crate) async fn million(server: &mut Server) -> Result<Vec<Row>, Failure> {
    server.peer.process.kill();
    let folder = server.config.parent().ok_or("no folder")?.to_owned();
    let (filled, indexed) = fill(&folder.join("data/tristack.db")).await?;
    server.crash_and_restart()?;
    let mut rows = vec![
        Row::figure("archive: 1,000,000 rows written", filled.as_secs_f64(), "s"),
        Row::figure(
            "archive: 1,000,000 rows indexed",
            indexed.as_secs_f64(),
            "s",
        ),
    ];
    for query in QUERIES {
        let mut spent = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            run(server, &["search", "--reason", "load", "--json"], query)?;
            spent.push(start.elapsed());
        }
        spent.sort();
        let name = format!("archive search {}", query.join(" "));
        let middle = spent.get(2).copied().unwrap_or_default();
        let row = Row::figure(name, middle.as_secs_f64() * 1_000.0, "ms");
        rows.push(row.goal(Goal::AtMost(200.0)));
    }
    let before = server.memory();
    let start = Instant::now();
    let to = folder.join("export").display().to_string();
    let own = run(
        server,
        &["export", "--form", "jsonl", "--to", &to, "--reason", "load"],
        &["from:@example.com"],
    )?;
    let spent = start.elapsed().as_secs_f64();
    let size =
        std::fs::metadata(folder.join("export/messages.jsonl")).map_err(|e| e.to_string())?;
    let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
    let grown = mib(server.memory().saturating_sub(before));
    rows.extend([
        Row::figure("archive export, all as JSON Lines", spent, "s"),
        Row::figure("archive export", mib(size.len()) / spent, "MiB/s"),
        Row::figure("archive export: memory of the command", mib(own), "MiB"),
        Row::figure("archive export: growth of the server", grown, "MiB"),
    ]);
    Ok(rows)
}

async fn fill(database: &Path) -> Result<(Duration, Duration), Failure> {
    let store = Sqlite::open(database).await.map_err(|e| e.to_string())?;
    let store = Arc::new(store);
    let start = Instant::now();
    for first in (0..COUNT).step_by(1_000) {
        let rows = (first..first + BATCH).map(row).collect();
        store.commit(rows).await.map_err(|e| e.to_string())?;
    }
    let filled = start.elapsed();
    let start = Instant::now();
    let writer = Arc::clone(&store);
    let commit: Commit = Arc::new(move |writes| {
        let store = Arc::clone(&writer);
        Box::pin(async move { store.commit(writes).await })
    });
    let now = Arc::new(|| Time(FIRST));
    let archivist = Archivist::new(Arc::clone(&store), commit, now, Settings::default());
    archivist.index_all().await.map_err(|e| e.to_string())?;
    let indexed = start.elapsed();
    store.close().await;
    Ok((filled, indexed))
}

/// Short words are frequent, as in any language.
fn row(n: u64) -> Change {
    let mut random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::from("the");
    for _ in 0..12 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // The smaller the number, the more frequent.
        let word = (random % WORDS) * (random >> 32) % WORDS % (1 + random % WORDS);
        let _ = write!(text, " word{word}");
    }
    let person = |n: u64| format!("u{}@example.com", n % PEOPLE);
    let (from, to) = (person(random), person(random >> 20));
    let address = |text: &str| Address::from_normal(text).expect("an address of ours");
    let original = format!(
        "MESSAGE sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK{random:x}\r\n\
         From: <sip:{from}>;tag=x\r\nTo: <sip:{to}>\r\nCall-ID: {random:x}@192.0.2.7\r\n\
         CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let at = FIRST + n * 20_000;
    let message = Message {
        id: MessageId(u128::from(at) << 80 | u128::from(random)),
        at: Time(at),
        from: address(&from),
        from_person: None,
        from_name: "".into(),
        to: address(&to),
        conversation: ConversationId(u128::from(n / 20) << 64 | 7),
        content: Content::Text(Text {
            body: text.into(),
            media: "text/plain".into(),
            format: None,
        }),
        original: Original {
            stack: Stack::named("sip"),
            bytes: Bytes::from(original),
            key: None,
            decoded: Decoded::Characters,
        },
        ack: Ack::Any,
        hops: 1,
        wants: None,
        chat: None,
    };
    let about = About {
        direction: "inside",
        members: &[],
    };
    Change::Archive(Box::new(record::message(&message, about)))
}

/// Runs a command; the most memory it had, in octets.
fn run(server: &Server, arguments: &[&str], query: &[&str]) -> Result<u64, Failure> {
    let mut command = Command::new(&server.binary);
    command.arg("archive").args(arguments).args(query);
    command.arg("--config").arg(&server.config);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|e| e.to_string())?;
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while matches!(child.try_wait(), Ok(None)) {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) * 1024);
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(most);
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
