//! The torture messages of RFC 4475 and RFC 5118 against the running front.

use crate::house::House;
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Manifest {
    message: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    file: String,
    #[serde(default)]
    status: Vec<u16>,
    class: String,
}

fn rows() -> Vec<(Row, Vec<u8>)> {
    let mut all = Vec::new();
    for set in ["rfc4475", "rfc5118"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/wire")
            .join(set);
        let text = std::fs::read_to_string(folder.join("manifest.toml")).unwrap();
        let manifest: Manifest = toml::from_str(&text).unwrap();
        for row in manifest.message {
            let octets = std::fs::read(folder.join(&row.file)).unwrap();
            all.push((row, octets));
        }
    }
    all
}

/// Statuses that a server gives where its own rules come before what the manifest is about: it
/// serves no such method yet, or asks who is there.
const OURS: [u16; 5] = [401, 405, 407, 481, 501];

#[tokio::test]
async fn all_are_survived_and_none_is_answered_wrongly() {
    let house = House::new().await;
    let rows = rows();
    assert_eq!(rows.len(), 65);
    let mut answered = 0;
    for (row, octets) in rows {
        let mut ua = house.udp("alice").await;
        ua.via = "";
        ua.send_octets(&octets).await;
        // Every shard has turned once it answers; enough Call-IDs reach all of them.
        let mut open = 16;
        for _ in 0..open {
            let say = ua.say("OPTIONS", "sip:example.com");
            let text = ua.write(&say, "");
            ua.send(&text).await;
        }
        while open > 0 {
            let answer = ua.receive().await;
            if answer.header("CSeq").ends_with("OPTIONS") && answer.status() == 200 {
                open -= 1;
                continue;
            }
            answered += 1;
            let status = answer.status();
            let fits = row.status.contains(&status) || OURS.contains(&status);
            assert!(
                fits || (row.class == "invalid" && status == 400),
                "{}: {status}, expected one of {:?}",
                row.file,
                row.status
            );
        }
    }
    assert!(answered >= 15, "{answered}");
}
