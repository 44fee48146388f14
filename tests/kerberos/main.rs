//! Kerberos inside Negotiate against the real binary (feature `gssapi`): an MIT centre from Debian,
//! curl, pyspnego and MIT's library by way of Python; and the attacks that must not work.

#[path = "../support/mod.rs"]
mod support;

mod kdc;
mod wrapping;

use auth::ntlm::{Client as Ntlm, Ingredients};
use kdc::Kdc;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::keepalive::{Answer, Connection};
use support::peer::{have_by, said};
use support::server::Server;

const HTTP: &str = "HTTP@im.example.com";

fn installed() -> bool {
    let programs = "PATH=$PATH:/usr/sbin; command -v krb5kdc kadmin.local kinit kvno faketime curl \
        && curl -V | grep -q SPNEGO && /usr/bin/python3 -c 'import gssapi'";
    have_by(
        "an MIT Kerberos centre with faketime, curl, python3-gssapi",
        programs,
    )
}

/// A server that takes tickets of that centre, and NTLM, and Digest.
fn server(kdc: &Kdc, rvp: &str, auth: &str) -> Server {
    let environment = kdc.environment();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let keytab = kdc.keytab();
    let keytab = keytab.display();
    let auth = format!("[auth]\nkerberos_keytab = \"{keytab}\"\n{auth}\n");
    let rvp = format!("auth = [\"negotiate\", \"digest\"]\n{rvp}");
    Server::start_in(&environment, &["alice", "bob"], &rvp, &auth)
}

fn send(connection: &mut Connection, claimed: &str, token: &[u8]) -> Answer {
    connection.send(claimed, Some(("Negotiate", token)))
}

fn explain(server: &Server, address: &str) -> String {
    said(
        &server
            .command(&["explain", address])
            .output()
            .expect("runs"),
    )
}

/// PROPPATCH by curl with whatever tickets the person has: status and connections.
fn curl(server: &Server, person: &kdc::Person, name: &str) -> String {
    let own = format!("http://im.example.com/instmsg/aliases/{name}");
    let body = "<?xml version=\"1.0\"?><d:propertyupdate xmlns:d=\"DAV:\" \
        xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:set><d:prop><r:state><r:leased-value>\
        <r:value><r:online/></r:value><r:default-value><r:offline/></r:default-value>\
        <d:timeout>1200</d:timeout></r:leased-value></r:state></d:prop></d:set></d:propertyupdate>";
    let output = person
        .command(&[], "curl")
        .args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{num_connects}",
        ])
        .args(["--negotiate", "-u", ":", "-X", "PROPPATCH", "-d", body])
        .args(["-H", "RVP-Notifications-Version: 0.2", "-H"])
        .arg(format!("RVP-From-Principal: {own}"))
        .args(["-H", "Content-Type: text/xml", "--connect-to"])
        .arg(format!("im.example.com:80:127.0.0.1:{}", server.rvp.port()))
        .arg(own)
        .output();
    said(&output.expect("curl runs"))
}

#[test]
fn people_sign_in_with_their_ticket() {
    if !installed() {
        return;
    }
    let kdc = Kdc::start();
    let server = server(&kdc, "", "");
    let (alice, bob) = (kdc.person("alice"), kdc.person("bob"));
    assert_eq!(
        curl(&server, &alice, "alice"),
        "207 1",
        "{}",
        server.log_tail(8)
    );
    assert_eq!(curl(&server, &bob, "alice"), "403 1");

    // The server proves itself, and the connection stays hers.
    let mut client = alice.client(&[]);
    let mut connection = Connection::new(&server);
    let answer = send(&mut connection, "alice", &client.ticket(HTTP));
    assert_eq!(answer.status, 200, "{}", server.log_tail(8));
    assert!(client.believes(&answer.token("Negotiate").expect("a proof")));
    assert_eq!(connection.send("alice", None).status, 200);
    // Another user on it by name alone, then with a ticket of his own: it is his from then on.
    assert_eq!(connection.send("bob", None).status, 403);
    assert_eq!(send(&mut connection, "bob", &bob.ticket(HTTP)).status, 200);
    assert_eq!(connection.send("alice", None).status, 403);
    assert_eq!(connection.send("bob", None).status, 200);

    // NTLM under the same scheme still works.
    let mut connection = Connection::new(&server);
    let ntlm = Ntlm::new("alice", "EXAMPLE", "alice");
    let asked = send(&mut connection, "alice", &ntlm.negotiate());
    let challenge = asked.token("Negotiate").expect("a challenge");
    let with = Ingredients {
        nonce: [7; 8],
        session_key: [9; 16],
        now: 1,
        binding: None,
    };
    let proof = ntlm.authenticate(&ntlm.negotiate(), &challenge, &with);
    let proof = proof.expect("a challenge").message;
    assert_eq!(send(&mut connection, "alice", &proof).status, 200);
}

#[test]
fn tickets_that_must_not_count() {
    if !installed() {
        return;
    }
    let kdc = Kdc::start();
    let server = server(&kdc, "", "");
    let alice = kdc.person("alice");
    let refused = |claimed: &str, token: &[u8], cause: &str| {
        let mut connection = Connection::new(&server);
        let answer = send(&mut connection, claimed, token);
        let log = server.log_tail(6);
        assert_eq!(answer.status, 401, "{cause}: {log}");
        assert!(answer.token("Negotiate").is_none(), "asked from the start");
        assert_eq!(connection.send(claimed, None).status, 401, "{cause}");
        let told = explain(&server, &format!("{claimed}@example.com"));
        assert!(told.contains(cause), "{cause}: {told}\n{log}");
        assert!(
            log.contains(cause) && log.contains("authentication refused"),
            "{log}"
        );
    };

    // The same token on a second connection, and again on its own.
    let ticket = alice.ticket(HTTP);
    let mut first = Connection::new(&server);
    assert_eq!(
        send(&mut first, "alice", &ticket).status,
        200,
        "{}",
        server.log_tail(8)
    );
    refused("alice", &ticket, "replayed");
    assert_eq!(send(&mut first, "alice", &ticket).status, 401);
    assert_eq!(
        first.send("alice", None).status,
        401,
        "and it is nobody's now"
    );

    // Another service of ours, and one whose key is not ours.
    let host = alice.ticket("host@im.example.com");
    refused(
        "alice",
        &host,
        "the ticket is for host/im.example.com@EXAMPLE.COM",
    );
    refused(
        "alice",
        &alice.ticket("HTTP@other.example.com"),
        "no key for this ticket",
    );

    // Damaged in its encrypted part.
    let mut damaged = alice.ticket(HTTP);
    let end = damaged.len() - 20;
    damaged[end] ^= 1;
    refused("alice", &damaged, "Kerberos: ");

    // Known to the realm but not to us; and no person at all.
    refused("carol", &kdc.person("carol").ticket(HTTP), "unknown user");
    let admin = kdc.person("alice/admin").ticket(HTTP);
    refused("alice", &admin, "alice/admin@EXAMPLE.COM is no person");

    // A clock an hour ahead, and a ticket of the day before yesterday.
    alice.fetch("HTTP/im.example.com");
    let ahead = alice.client(&["faketime", "-f", "+1h"]).ticket(HTTP);
    refused("alice", &ahead, "clock: ");
    let past = kdc.person_of_the_past("alice");
    let old = past.client(&["faketime", "-f", kdc::PAST]).ticket(HTTP);
    refused("alice", &old, "the ticket is not valid now");

    // The good one is still good.
    let mut connection = Connection::new(&server);
    assert_eq!(
        send(&mut connection, "alice", &alice.ticket(HTTP)).status,
        200
    );
}

#[test]
fn realms_and_services_count_as_configured() {
    if !installed() {
        return;
    }
    let kdc = Kdc::start();
    let alice = kdc.person("alice");
    let narrow = "kerberos_services = [\"host/im.example.com\"]\n\
        kerberos_realms = { \"OTHER.REALM\" = \"example.com\" }";
    let server = server(&kdc, "", narrow);
    for (service, cause) in [
        (HTTP, "the ticket is for HTTP/im.example.com@EXAMPLE.COM"),
        (
            "host@im.example.com",
            "realm EXAMPLE.COM is not in [auth] kerberos_realms",
        ),
    ] {
        let mut connection = Connection::new(&server);
        assert_eq!(
            send(&mut connection, "alice", &alice.ticket(service)).status,
            401
        );
        let told = explain(&server, "alice@example.com");
        assert!(told.contains(cause), "{told}");
    }
}

/// pyspnego: another SPNEGO than MIT's, with and without TLS, whose channel it is bound to.
#[test]
fn pyspnego_signs_in_bound_to_its_channel() {
    let python = std::env::var_os("TRISTACK_TEST_KERBEROS_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers-kerberos/bin/python"),
        PathBuf::from,
    );
    let probe = format!("{} -c 'import spnego, gssapi, krb5'", python.display());
    if !installed() || !have_by("pyspnego with gssapi and krb5", &probe) {
        return;
    }
    let kdc = Kdc::start();
    let server = server(&kdc, "tls_listen = [\"127.0.0.1:0\"]", "");
    let certificate = server.scratch("data").join("tls-certificate.pem");
    let alice = kdc.person("alice");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/ntlm/sign_in.py");
    let sign_in = |library: &str, url: &str, wrong: &str| {
        let mut command = alice.command(&[], &python);
        command
            .arg(script)
            .args([library, url, "alice", ""])
            .arg(&certificate);
        command.env("WRONG_BINDING", wrong);
        said(&command.output().expect("python runs"))
    };
    let https = format!("https://127.0.0.1:{}", server.rvps.expect("TLS").port());
    let http = format!("http://{}", server.rvp);
    let good = "subscribe=200 legs=1 complete=True own=207 other=403 fresh=401";
    for library in ["spnego-kerberos", "spnego-negotiate-kerberos"] {
        for url in [&http, &https] {
            let heard = sign_in(library, url, "");
            assert_eq!(heard, good, "{library} {url}\n{}", server.log_tail(8));
        }
        let heard = sign_in(library, &https, "another channel");
        assert!(heard.starts_with("subscribe=401"), "{library}: {heard}");
        assert!(explain(&server, "alice@example.com").contains("bound to another TLS channel"));
    }
}

#[test]
fn a_keytab_that_is_none_is_told_at_the_start() {
    let folder = support::temporary::Temporary::new("keytab");
    let keytab = folder.path().join("keytab");
    let file = folder.path().join("tristack.toml");
    let text = format!(
        "[server]\ndata_dir = \"data\"\n[rvp]\nlisten = [\"127.0.0.1:0\"]\n[sip]\nudp = []\ntcp = []\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[auth]\nkerberos_keytab = \"{}\"\n",
        keytab.display()
    );
    std::fs::write(&file, text).expect("written");
    let serve = || {
        let output = Command::new(env!("CARGO_BIN_EXE_tristack"))
            .args(["serve", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        (output.status.code(), said(&output))
    };
    let (code, told) = serve();
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("kerberos_keytab"), "{told}");
    std::fs::write(&keytab, "no keytab").expect("written");
    let (code, told) = serve();
    assert_eq!(code, Some(4), "{told}");
    assert!(
        told.contains("kerberos_keytab") && told.contains("keytab"),
        "{told}"
    );
}
