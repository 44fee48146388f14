//! NTLM between servers: another one proves itself to us by the account that we share with it.

use crate::house::{User, text_mime};
use crate::peer::{have, have_by, said};
use crate::site::{HOST, HOST_B, Site, password_file};
use crate::talk::{at, caught, hears, node, say, watch};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Two servers that have nothing in common but a password, by NTLM alone.
struct Pair {
    a: Site,
    b: Site,
}

impl Pair {
    fn start(last: u8, passwords: [&str; 2]) -> Self {
        let [high, low] = u16::try_from(std::process::id() % 30_000)
            .unwrap_or(1)
            .to_be_bytes();
        let ip = |more: u8| Ipv4Addr::new(127, 100 + high, low, last + more);
        let mut pair = Self {
            a: Site::new("ntlm-a", ip(0)),
            b: Site::new("ntlm-b", ip(1)),
        };
        let (a, b) = (pair.a.at, pair.b.at);
        for (site, domain, other, theirs, password, people) in [
            (
                &pair.a,
                "example.com",
                "b.example",
                b,
                passwords[0],
                "alice",
            ),
            (
                &pair.b,
                "b.example",
                "example.com",
                a,
                passwords[1],
                "carol",
            ),
        ] {
            let file = password_file(password);
            let mut rest = String::new();
            let _ = write!(
                rest,
                "[rvp.peers.\"{other}\"]\naddress = [\"{theirs}\"]\nauth = [\"ntlm\"]\n\
                 user = 'RVP\\Servers'\npassword_file = \"{}\"\n\
                 [domain.\"{domain}\"]\nforeign = [\"{other}\"]\n",
                file.display()
            );
            site.configure(domain, "", &rest);
            site.import(domain, &[people]);
        }
        pair.a.launch();
        pair.b.launch();
        pair
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_two_servers_prove_themselves_to_each_other_by_ntlm() {
    let pair = Pair::start(205, ["shared", "shared"]);
    let told = caught(async {
        let (mut alice, mut alices) = at("alice", pair.a.at, HOST).await;
        let (mut carol, mut carols) = at("carol", pair.b.at, HOST_B).await;
        for text in ["by NTLM", "on the same connection"] {
            let answer = say(&mut alice, HOST_B, "carol", text).await;
            assert_eq!(answer.status(), 200, "{}", answer.body);
            hears(&mut carols, &[text]).await;
        }
        let answer = say(&mut carol, HOST, "alice", "and back").await;
        assert_eq!(answer.status(), 200, "{}", answer.body);
        hears(&mut alices, &["and back"]).await;
        let first = watch(&mut alice, HOST_B, "carol").await;
        assert_eq!(first.status(), 207, "{}", first.body);
        hears(&mut alices, &["<r:online/>", &node(HOST_B, "carol")]).await;
    })
    .await;
    if let Err(panic) = told {
        eprintln!("{}\n---\n{}", pair.a.log(), pair.b.log());
        std::panic::resume_unwind(panic);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_a_server_with_another_password_is_not_believed() {
    let pair = Pair::start(215, ["shared", "another"]);
    let (mut alice, _alices) = at("alice", pair.a.at, HOST).await;
    let (_carol, mut carols) = at("carol", pair.b.at, HOST_B).await;
    // Trouble between servers is never shown as the user's own.
    let answer = say(&mut alice, HOST_B, "carol", "hello").await;
    assert_eq!(answer.status(), 412, "{}", pair.a.log());
    assert!(answer.header("WWW-Authenticate").is_none());
    assert!(carols.peek().is_none());
    let log = pair.b.log();
    assert!(log.contains("bad password"), "{log}");
    assert!(log.contains(r"user=RVP\Servers"), "{log}");
}

/// A server that shares an account with b.example's.
fn site(last: u8, auth: &str) -> Site {
    let [high, low] = u16::try_from(std::process::id() % 30_000)
        .unwrap_or(1)
        .to_be_bytes();
    let mut site = Site::new("ntlm", Ipv4Addr::new(127, 100 + high, low, last));
    let file = password_file("shared by both");
    let rest = format!(
        "[rvp.peers.\"b.example\"]\naddress = [\"127.0.0.1:9\"]\n\
         user = 'b-server'\npassword_file = \"{}\"\nauth = [{auth}]\n\
         [domain.\"example.com\"]\nforeign = [\"b.example\"]\n",
        file.display()
    );
    site.configure("example.com", "", &rest);
    site.import("example.com", &["alice"]);
    site.launch();
    site
}

/// The status of carol's message, sent by curl as her server.
async fn curl(site: &Site, scheme: &str, password: &str) -> String {
    let carol = User::of("carol", site.at, HOST_B);
    let body = carol.message("alice", &text_mime(scheme));
    let body = body.replace(&node(HOST_B, "alice"), &node(HOST, "alice"));
    let mut command = tokio::process::Command::new("curl");
    command
        .args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{num_connects}",
        ])
        .args(["-X", "NOTIFY", "-H", "RVP-Notifications-Version: 0.2"])
        .args(["-H", "Content-Type: text/xml", "-H", "RVP-Hop-Count: 2"])
        .args(["-H", "RVP-Ack-Type: DeepOr"])
        .args([
            "-H",
            &format!("RVP-From-Principal: {}", node(HOST_B, "carol")),
        ])
        .args(["--connect-to", &format!("{HOST}:80:{}", site.at)])
        .args([scheme, "-u", &format!("b-server:{password}")])
        .args(["--data-binary", &body, &node(HOST, "alice")]);
    said(&command.output().await.expect("curl runs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_curl_proves_itself_as_a_server() {
    if !have_by("curl with NTLM", "curl -V | grep -q NTLM") {
        return;
    }
    let site = site(225, "\"ntlm\", \"digest\"");
    let (_alice, mut inbox) = at("alice", site.at, HOST).await;
    for scheme in ["--ntlm", "--digest"] {
        assert_eq!(curl(&site, scheme, "shared by both").await, "200 1");
        hears(&mut inbox, &[scheme]).await;
        assert_eq!(curl(&site, scheme, "wrong").await, "401 1");
        assert!(inbox.peek().is_none());
    }
    // Only what is configured for that server is taken from it.
    let site = self::site(226, "\"digest\"");
    assert_eq!(curl(&site, "--ntlm", "shared by both").await, "401 1");
}

/// The Python with the NTLM libraries: TRISTACK_TEST_PYTHON, else the one tests/run makes.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("TRISTACK_TEST_PYTHON")
        .map_or_else(|| root.join("target/peers/bin/python"), PathBuf::from);
    let mut probe = Command::new(&python);
    let there = have("Python with pyspnego", probe.args(["-c", "import spnego"]));
    there.then_some(python)
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_pyspnego_proves_itself_as_a_server_by_ntlm_and_negotiate() {
    let Some(python) = python() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let site = site(227, "\"ntlm\"");
    let (_alice, mut inbox) = at("alice", site.at, HOST).await;
    for (protocol, text) in [("ntlm", "by NTLM"), ("negotiate", "by Negotiate")] {
        let run = async |password: &str| {
            let mut command = tokio::process::Command::new(&python);
            command
                .env("OPENSSL_CONF", root.join("tests/peers/ntlm/openssl.cnf"))
                .arg(root.join("tests/peers/ntlm/server.py"))
                .args([protocol, &format!("http://{}", site.at)])
                .args(["EXAMPLE\\B-Server", password]);
            said(&command.output().await.expect("runs"))
        };
        let heard = run("shared by both").await;
        let want = "notify=200 legs=2 complete=True again=200 fresh=401";
        assert_eq!(heard, want, "{protocol}");
        for _ in 0..2 {
            hears(&mut inbox, &[text]).await;
        }
        let heard = run("wrong").await;
        assert!(
            heard.starts_with("notify=401 legs=2"),
            "{protocol}: {heard}"
        );
        assert!(heard.contains("again=401 fresh=401"), "{protocol}: {heard}");
        assert!(inbox.peek().is_none());
    }
}
