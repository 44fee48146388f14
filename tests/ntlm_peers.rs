//! Independent NTLM clients against the real binary: pyspnego, ntlm-auth, requests-ntlm, Perl's
//! Authen::NTLM, curl, and MIT Kerberos' SPNEGO with gss-ntlmssp.
//!
//! A peer that is not installed is "left out" in plain `cargo test`; under `tests/run`, which
//! sets TRISTACK_TEST_REQUIRE_PEERS=1 and installs the Python ones below `target`, it is a failure.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::peer::have;
use support::server::Server;

/// The log without the database's lines.
fn log(server: &Server) -> String {
    let all = server.log_tail(200);
    let lines: Vec<&str> = all
        .lines()
        .filter(|line| !line.contains("sqlx::"))
        .collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

const SCHEMES: &str = "auth = [\"negotiate\", \"ntlm\", \"digest\"]";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script(name: &str) -> PathBuf {
    root().join("tests/peers/ntlm").join(name)
}

/// The Python with the NTLM libraries: TRISTACK_TEST_PYTHON, else the one tests/run makes.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("TRISTACK_TEST_PYTHON")
        .map_or_else(|| root().join("target/peers/bin/python"), PathBuf::from);
    let mut probe = Command::new(&python);
    probe.args(["-c", "import spnego, ntlm_auth, requests_ntlm"]);
    have("Python with pyspnego, ntlm-auth, requests-ntlm", &mut probe).then_some(python)
}

fn said(output: &Output) -> String {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
    match text(&output.stderr) {
        errors if output.status.success() || errors.is_empty() => text(&output.stdout),
        errors => format!("{} {errors}", text(&output.stdout)),
    }
}

fn explain(server: &Server, address: &str) -> String {
    let output = server
        .command(&["explain", address])
        .output()
        .expect("runs");
    said(&output)
}

#[test]
fn python_libraries_sign_in() {
    let Some(python) = python() else { return };
    let tls = format!("{SCHEMES}\ntls_listen = [\"127.0.0.1:0\"]");
    let server = Server::start_rvp(&["alice", "bob"], &tls, "");
    let https = server.rvps.expect("TLS");
    let certificate = server.scratch("data").join("tls-certificate.pem");
    let sign_in = |library: &str, url: &str, user: &str, password: &str| {
        let mut command = Command::new(&python);
        command.env("OPENSSL_CONF", script("openssl.cnf"));
        command
            .arg(script("sign_in.py"))
            .args([library, url, user, password]);
        if url.starts_with("https") {
            command.arg(&certificate);
        }
        said(&command.output().expect("runs"))
    };
    let http = format!("http://{}", server.rvp);
    let https = format!("https://127.0.0.1:{}", https.port());
    for url in [&http, &https] {
        for library in ["ntlm-auth", "spnego-ntlm", "spnego-negotiate"] {
            for user in ["EXAMPLE\\alice", "alice@example.com", "alice"] {
                let heard = sign_in(library, url, user, "alice");
                assert_eq!(
                    heard,
                    "subscribe=200 legs=2 complete=True own=207 other=403 fresh=401",
                    "{library} {url} {user}\n{}",
                    log(&server)
                );
            }
            let heard = sign_in(library, url, "EXAMPLE\\alice", "wrong");
            assert!(
                heard.starts_with("subscribe=401 legs=2"),
                "{library}: {heard}"
            );
        }
        let heard = sign_in("requests-ntlm", url, "EXAMPLE\\bob", "bob");
        assert_eq!(heard, "200 207", "requests-ntlm {url}");
    }
    let told = explain(&server, "alice@example.com");
    assert!(told.contains("bad password"), "{told}");
    assert!(told.contains("somebody as its sender"), "{told}");
    let none = explain(&server, "bob@example.com");
    assert!(
        none.contains("No sign-in of bob@example.com was refused"),
        "{none}"
    );
}

/// NTLMv1 and "NTLM2 session" need the switch of their network.
#[test]
fn perl_signs_in_where_old_responses_are_allowed() {
    let mut probe = Command::new("perl");
    if !have(
        "Perl's Authen::NTLM",
        probe.args(["-MAuthen::NTLM", "-e", "1"]),
    ) {
        return;
    }
    let lines = format!("{SCHEMES}\nntlm_v1_networks = [\"127.0.0.0/8\"]");
    let weak = Server::start_rvp(&["alice"], &lines, "");
    let strict = Server::start_rvp(&["alice"], SCHEMES, "");
    let sign_in = |server: &Server, password: &str, version: &str| {
        let mut command = Command::new("perl");
        command
            .arg(script("sign_in.pl"))
            .arg(server.rvp.ip().to_string())
            .arg(server.rvp.port().to_string())
            // With NTLMv2 this library sends the domain in one octet per character, which is no
            // UTF-16: left empty, as its users do.
            .args([
                "alice",
                password,
                if version == "1" { "EXAMPLE" } else { "" },
                version,
            ]);
        said(&command.output().expect("runs"))
    };
    assert_eq!(sign_in(&weak, "alice", "1"), "200", "{}", log(&weak));
    assert_eq!(sign_in(&weak, "wrong", "1"), "401");
    assert_eq!(sign_in(&weak, "alice", "2"), "200", "{}", log(&weak));
    assert_eq!(sign_in(&strict, "alice", "2"), "200", "{}", log(&strict));
    assert_eq!(sign_in(&strict, "alice", "1"), "401");
    let told = explain(&strict, "alice@example.com");
    assert!(told.contains("weaker than policy allows"), "{told}");
}

/// Runs curl for one request; the status of its last answer.
fn curl(server: &Server, more: &[&str]) -> String {
    let own = "http://im.example.com/instmsg/aliases/alice";
    let mut command = Command::new("curl");
    command
        .args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{num_connects}",
        ])
        .args(["-H", "RVP-Notifications-Version: 0.2"])
        .arg("-H")
        .arg(format!("RVP-From-Principal: {own}"))
        .args(["--connect-to"])
        .arg(format!("im.example.com:80:127.0.0.1:{}", server.rvp.port()));
    if let Some(https) = server.rvps {
        let to = format!("im.example.com:443:127.0.0.1:{}", https.port());
        let certificate = server.scratch("data").join("tls-certificate.pem");
        command
            .args(["--connect-to", &to, "--cacert"])
            .arg(certificate);
    }
    said(&command.args(more).output().expect("curl runs"))
}

const ONLINE: &str = "<?xml version=\"1.0\"?><d:propertyupdate xmlns:d=\"DAV:\" \
    xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:set><d:prop><r:state><r:leased-value>\
    <r:value><r:online/></r:value><r:default-value><r:offline/></r:default-value>\
    <d:timeout>1200</d:timeout></r:leased-value></r:state></d:prop></d:set></d:propertyupdate>";

/// With a body, which curl leaves out or repeats as the exchange needs it.
#[test]
fn curl_signs_in_with_ntlm() {
    let mut probe = Command::new("sh");
    if !have(
        "curl with NTLM",
        probe.args(["-c", "curl -V | grep -q NTLM"]),
    ) {
        return;
    }
    let lines = format!("{SCHEMES}\ntls_listen = [\"127.0.0.1:0\"]");
    let server = Server::start_rvp(&["alice"], &lines, "");
    for url in [
        "http://im.example.com/instmsg/aliases/alice",
        "https://im.example.com/instmsg/aliases/alice",
    ] {
        for scheme in ["--ntlm", "--digest"] {
            let request = [
                "-X",
                "PROPPATCH",
                "-H",
                "Content-Type: text/xml",
                "-d",
                ONLINE,
                url,
            ];
            for user in ["EXAMPLE\\alice:alice", "alice:alice"] {
                // Digest takes any spelling, too, but curl hashes it as written.
                let heard = curl(&server, &[&[scheme, "-u", user], &request[..]].concat());
                assert_eq!(heard, "207 1", "{scheme} {user} {url}\n{}", log(&server));
            }
            let wrong = curl(
                &server,
                &[&[scheme, "-u", "alice:wrong"], &request[..]].concat(),
            );
            assert!(wrong.starts_with("401"), "{scheme} {url}: {wrong}");
        }
    }
}

/// MIT's SPNEGO with the gss-ntlmssp mechanism: another SPNEGO than pyspnego's, and strict.
#[test]
fn curl_signs_in_with_negotiate() {
    let mut probe = Command::new("sh");
    let installed = "curl -V | grep -q SPNEGO && ls /etc/gss/mech.d/*ntlmssp*";
    if !have("curl with gss-ntlmssp", probe.args(["-c", installed])) {
        return;
    }
    let server = Server::start_rvp(&["alice"], SCHEMES, "");
    let file = server.scratch("ntlm").join("users");
    std::fs::write(&file, "EXAMPLE:alice:alice\n").expect("written");
    let own = "http://im.example.com/instmsg/aliases/alice";
    let output = Command::new("curl")
        .env("NTLM_USER_FILE", &file)
        .args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{num_connects}",
        ])
        .args(["--negotiate", "-u", ":"])
        .args(["-H", "RVP-Notifications-Version: 0.2", "-H"])
        .arg(format!("RVP-From-Principal: {own}"))
        .args([
            "-H",
            "Content-Type: text/xml",
            "-X",
            "PROPPATCH",
            "-d",
            ONLINE,
        ])
        .arg("--connect-to")
        .arg(format!("im.example.com:80:127.0.0.1:{}", server.rvp.port()))
        .arg(own)
        .output()
        .expect("curl runs");
    assert_eq!(said(&output), "207 1", "{}", log(&server));
}

/// SUBSCRIBE as alice by curl: the status. `how` is curl's scheme, `at` host and alias.
fn subscribe(server: &Server, how: &str, user: &str, at: (&str, &str), call_back: &str) -> String {
    let (host, alias) = at;
    let output = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"])
        .args([how, "-u", user, "-X", "SUBSCRIBE", "-H", OWN_NAME])
        .args(["-H", "RVP-Notifications-Version: 0.2"])
        .args(["-H", "Notification-Type: pragma/notify"])
        .args(["-H", "Subscription-Lifetime: 600"])
        .args(["-H", &format!("Call-Back: {call_back}"), "--connect-to"])
        .arg(format!("{host}:80:127.0.0.1:{}", server.rvp.port()))
        .arg(format!("http://{host}/instmsg/aliases/{alias}"))
        .output()
        .expect("curl runs");
    said(&output)
}

const OWN_NAME: &str = "RVP-From-Principal: http://im.example.com/instmsg/aliases/alice";
const OWN: (&str, &str) = ("im.example.com", "alice");
const OTHER_HOST: (&str, &str) = ("im.other.example", "alice");
const NOBODY: (&str, &str) = ("im.example.com", "nobody");
const HERE: &str = "http://127.0.0.1:1025/";
const ELSEWHERE: &str = "http://192.0.2.200:1025/";

/// The log's lines about sign-ins that failed.
fn refusals(server: &Server) -> Vec<String> {
    let signs = [
        "authentication refused",
        "rvp request refused",
        "send-only:",
    ];
    let log = server.log_tail(usize::MAX);
    let lines = log.lines();
    lines
        .filter(|line| signs.iter().any(|sign| line.contains(sign)))
        .map(str::to_owned)
        .collect()
}

/// Every kind of refusal, as an operator finds it again: one line in the log, and `explain`.
#[test]
fn explain_tells_the_true_causes() {
    if !have("curl", Command::new("curl").arg("-V")) {
        return;
    }
    let server = Server::start_rvp(&["alice", "bob"], "", "");
    let (ntlm, basic, digest) = ("--ntlm", "--basic", "--digest");
    let (alice, wrong) = ("alice:alice", "alice:wrong");
    let host = "wrong IM domain in the URL: im.other.example";
    let alias = "unknown alias in the URL: nobody@example.com";
    for (how, user, at, call_back, status, cause) in [
        (ntlm, alice, OWN, HERE, "401", "scheme NTLM is not offered"),
        (
            basic,
            alice,
            OWN,
            HERE,
            "401",
            "scheme Basic is not offered",
        ),
        (digest, wrong, OWN, HERE, "401", "wrong response (password"),
        (digest, alice, OTHER_HOST, HERE, "404", host),
        (digest, alice, NOBODY, HERE, "404", alias),
        (digest, alice, OWN, ELSEWHERE, "200", "signed in send-only"),
    ] {
        let before = refusals(&server).len();
        let heard = subscribe(&server, how, user, at, call_back);
        assert_eq!(heard, status, "{how} {user} {at:?}\n{}", log(&server));
        let lines = refusals(&server);
        assert_eq!(lines.len(), before + 1, "one line each: {lines:#?}");
        let told = explain(&server, "alice@example.com");
        assert!(told.contains(cause), "{cause}: {told}");
    }
    // Alice's name in Bob's request.
    let bob = ("im.example.com", "bob");
    let spoofed = subscribe(&server, digest, "bob:bob", bob, HERE);
    assert_eq!(spoofed, "403");
    let told = explain(&server, "bob@example.com");
    assert!(told.contains("the request names"), "{told}");
    let unknown = subscribe(&server, digest, "nobody:x", NOBODY, HERE);
    assert_eq!(unknown, "401");
    assert!(explain(&server, "nobody@example.com").contains("unknown user"));
}

const FROM_ALICE: &str = "RVP-From-Principal: http://im.example.com/instmsg/aliases/alice";

/// What the server offers to a client at that address, in order.
fn offered(server: &Server, from: &str, url: &str) -> Vec<String> {
    let certificate = server.scratch("data").join("tls-certificate.pem");
    let output = Command::new("curl")
        .args(["-sS", "-D", "-", "-o", "/dev/null", "-X", "SUBSCRIBE"])
        .args([
            "--interface",
            from,
            "-H",
            "Host: im.example.com",
            "--cacert",
        ])
        .arg(certificate)
        .args(["-H", "RVP-Notifications-Version: 0.2"])
        .args(["-H", "Notification-Type: pragma/notify"])
        .args(["-H", "Subscription-Lifetime: 600"])
        .args(["-H", "Call-Back: http://127.0.0.1:1025/", "-H", FROM_ALICE])
        .arg(url)
        .output()
        .expect("curl runs");
    let head = said(&output);
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
        .map(|(_, value)| value.split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn schemes_are_offered_by_listener_and_network() {
    if !have("curl", Command::new("curl").arg("-V")) {
        return;
    }
    let lines = "auth = [\"digest\", \"ntlm\"]\ntls_auth = [\"ntlm\", \"negotiate\"]\n\
        tls_listen = [\"127.0.0.1:0\"]\n\
        auth_networks = { \"127.0.0.8/29\" = \"negotiate ntlm digest\", \"127.0.0.9\" = \"digest\" }";
    let server = Server::start_rvp(&["alice"], lines, "");
    let path = "/instmsg/aliases/alice";
    let http = format!("http://{}{path}", server.rvp);
    let https = format!("https://{}{path}", server.rvps.expect("TLS"));
    for (from, url, expected) in [
        ("127.0.0.1", &http, vec!["Digest", "NTLM"]),
        ("127.0.0.1", &https, vec!["NTLM", "Negotiate"]),
        ("127.0.0.10", &http, vec!["Negotiate", "NTLM", "Digest"]),
        ("127.0.0.10", &https, vec!["Negotiate", "NTLM", "Digest"]),
        ("127.0.0.9", &http, vec!["Digest"]),
        ("127.0.0.9", &https, vec!["Digest"]),
    ] {
        assert_eq!(offered(&server, from, url), expected, "{from} {url}");
    }
}
