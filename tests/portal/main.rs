//! The portal of the real binary over real sockets and TLS: one-time codes, directory passwords
//! checked by OpenLDAP, and that the passwords it hands out sign in on both stacks.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod slapd;

use auth::digest::{Ask, Challenge, Client, Style};
use browser::{Browser, between};
use slapd::{ALICES, Slapd};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};
use support::peer::{have_by, said};
use support::server::Server;

const LISTEN: &str = "[portal]\nlisten = [\"127.0.0.1:0\"]\ntls = true\n";

fn curl() -> bool {
    have_by("curl", "command -v curl")
}

fn installed() -> bool {
    let files = "command -v curl && ls /usr/sbin/slapd /usr/sbin/slapadd /usr/lib/ldap/back_mdb.la";
    have_by("OpenLDAP's slapd", files)
}

/// A listener that nothing may ever connect to.
fn trap() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("it can be asked");
    let at = listener.local_addr().expect("its address");
    (listener, at)
}

fn portal(slapd: &Slapd, url: &str, more: &str) -> Server {
    let (file, ca) = (slapd.password_file(), slapd.certificate());
    let lines = format!(
        "{LISTEN}ldap_url = {url:?}\nldap_base = \"ou=people,dc=example,dc=com\"\n\
         ldap_bind_dn = \"cn=reader,dc=example,dc=com\"\nldap_password_file = \"{}\"\n\
         ldap_ca = \"{}\"\n{more}\n",
        file.display(),
        ca.display()
    );
    Server::start_with(&["alice", "bob"], &lines)
}

/// Alice's RVP sign-in by curl's Digest: the status.
fn rvp(server: &Server, password: &str) -> String {
    let own = "http://im.example.com/instmsg/aliases/alice";
    let output = Command::new("curl")
        .args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--digest",
            "-u",
        ])
        .arg(format!("alice:{password}"))
        .args(["-X", "SUBSCRIBE", "-H", "RVP-Notifications-Version: 0.2"])
        .args([
            "-H",
            "Notification-Type: pragma/notify",
            "-H",
            "Subscription-Lifetime: 600",
        ])
        .args(["-H", "Call-Back: http://127.0.0.1:1025/", "-H"])
        .arg(format!("RVP-From-Principal: {own}"))
        .arg("--connect-to")
        .arg(format!("im.example.com:80:127.0.0.1:{}", server.rvp.port()))
        .arg(own)
        .output();
    said(&output.expect("curl runs"))
}

/// Alice's SIP sign-in by Digest over UDP: the status.
fn sip(server: &Server, password: &str) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(server.sip_udp).expect("connected");
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).expect("a time-out");
    let at = socket.local_addr().expect("its address");
    let uri = "sip:example.com";
    let mut client = Client::new("alice", password).with_style(Style::Plain);
    let mut credentials = String::new();
    for number in 1..=2 {
        let request = format!(
            "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKportal{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
             To: <sip:alice@example.com>\r\nCall-ID: portal-{at}\r\nCSeq: {number} REGISTER\r\n\
             Contact: <sip:alice@{at}>\r\n{credentials}Content-Length: 0\r\n\r\n"
        );
        socket.send(request.as_bytes()).expect("sent");
        let mut octets = [0; 4096];
        let count = socket.recv(&mut octets).expect("an answer");
        let answer = String::from_utf8_lossy(&octets[..count]).into_owned();
        let status = answer[8..11].parse().expect("a status");
        if number == 2 || status != 401 {
            return status;
        }
        let challenges: Vec<_> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("WWW-Authenticate: "))
            .filter_map(|value| Challenge::parse(value).ok())
            .collect();
        let ask = Ask {
            method: "REGISTER",
            uri,
            body: b"",
            cnonce: "c0ffee",
        };
        let value = client.answer(&challenges, &ask).expect("an answer");
        credentials = format!("Authorization: {value}\r\n");
    }
    0
}

/// It signs in on both stacks, and what was valid before does not.
fn counts(server: &Server, password: &str, before: &str) {
    assert_eq!(rvp(server, password), "200", "{}", server.log_tail(8));
    assert_eq!(sip(server, password), 200, "{}", server.log_tail(8));
    assert_eq!(rvp(server, before), "401");
    assert_eq!(sip(server, before), 401);
}

fn code(server: &Server) -> String {
    let mut command = server.command(&["portal", "code", "alice@example.com", "--json"]);
    let made = command.output().expect("runs");
    assert!(made.status.success(), "{}", said(&made));
    let value: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    value["code"].as_str().expect("a code").to_owned()
}

#[test]
fn a_one_time_code_gives_a_password_for_both_stacks() {
    if !curl() {
        return;
    }
    let server = Server::start_with(&["alice"], LISTEN);
    let browser = Browser::new(&server);
    assert_eq!(rvp(&server, "alice"), "200");
    let code = code(&server);
    let fields = [("address", "Alice@Example.com"), ("code", code.as_str())];
    let page = browser.send("/password", &fields);
    counts(&server, &page.password(), "alice");
    for settings in ["im.example.com", "sip:alice@example.com", "Pidgin"] {
        assert!(page.body.contains(settings), "{settings}: {}", page.body);
    }
    let again = browser.send("/password", &fields);
    assert_eq!(again.status, 403);
    // There is no directory here.
    assert!(!again.body.contains("/directory"));
    assert_eq!(browser.directory("alice@example.com", "alice").status, 403);
    assert!(
        server.log_tail(3).contains("not configured"),
        "{}",
        server.log_tail(3)
    );
}

#[test]
fn forms_cookies_methods_and_headers() {
    if !curl() {
        return;
    }
    let server = Server::start_with(&["alice"], LISTEN);
    let browser = Browser::new(&server);
    let page = browser.ask("GET", "/", &[]);
    let cookie = page.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("__Host-form="), "{cookie}");
    for flag in [
        "Path=/",
        "HttpOnly",
        "SameSite=Strict",
        "Secure",
        "Max-Age=3600",
    ] {
        assert!(
            cookie.split("; ").any(|part| part == flag),
            "{flag}: {cookie}"
        );
    }
    // The same for pages, refusals and what is not there.
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/style.css", 200),
        ("GET", "/password", 405),
        ("GET", "/directory", 405),
        ("PUT", "/password", 405),
        ("DELETE", "/", 405),
        ("POST", "/", 405),
        ("POST", "/style.css", 405),
        ("OPTIONS", "/directory", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/../portal.codes", 404),
    ] {
        let page = browser.ask(method, path, &["--path-as-is"]);
        assert_eq!(page.status, status, "{method} {path}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(page.header(name), Some(value), "{method} {path}");
        }
        let policy = page.header("content-security-policy").expect("a policy");
        for part in [
            "default-src 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    // A right code, but a form that was not shown with that cookie.
    let code = code(&server);
    let fields = [("address", "alice@example.com"), ("code", code.as_str())];
    let other = browser.ask("GET", "/", &[]);
    let (cookie, token) = (page.cookie(), page.token());
    for (with, hidden) in [
        (None, Some(&token)),
        (Some(&cookie), None),
        (Some(&cookie), Some(&other.token())),
        (Some(&other.cookie()), Some(&token)),
        (
            Some(&format!(
                "form={}",
                cookie.split_once('=').expect("a value").1
            )),
            Some(&token),
        ),
    ] {
        let with = with.map(String::as_str);
        let page = browser.send_with("/password", with, hidden.map(String::as_str), &fields);
        assert_eq!(page.status, 403);
    }
    let long = "x".repeat(5000);
    let page = browser.send_with("/password", Some(&cookie), Some(&token), &[("code", &long)]);
    assert_eq!(page.status, 413);
    let page = browser.send_with("/password", Some(&cookie), Some(&token), &fields);
    page.password();
}

#[test]
fn a_directory_password_gives_a_password_for_both_stacks() {
    if !installed() {
        return;
    }
    let (trap, elsewhere) = trap();
    let slapd = Slapd::start(true, elsewhere);
    let server = portal(
        &slapd,
        &format!("ldaps://{}", slapd.ldaps),
        "ldap_login = \"uid\"",
    );
    let browser = Browser::new(&server);
    let page = browser.directory("ALICE ", ALICES);
    counts(&server, &page.password(), "alice");
    assert!(page.body.contains("alice@example.com"), "{}", page.body);

    // Whoever fails for whatever cause is told the same, after the same time.
    let mut told = Vec::new();
    for (login, secret, cause) in [
        ("alice", "wrong", "wrong directory password"),
        ("alice", "", "empty or oversized"),
        ("nobody", "x", "not in the directory"),
        ("*", ALICES, "not in the directory"),
        ("alice)(uid=*", ALICES, "not in the directory"),
        ("dora", "doras", "none of its addresses is an account"),
    ] {
        let from = Instant::now();
        let page = browser.directory(login, secret);
        let took = from.elapsed();
        assert!(took >= Duration::from_millis(500), "{login}: {took:?}");
        assert_eq!(page.status, 403, "{login}");
        assert!(
            server.log_tail(40).contains(cause),
            "{cause}: {}",
            server.log_tail(40)
        );
        told.push(page.likeness());
    }
    assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:#?}");
    // The code's form is there, too, behind a fold.
    let code = code(&server);
    let page = browser.send(
        "/password",
        &[("address", "alice@example.com"), ("code", &code)],
    );
    page.password();

    drop(slapd);
    let page = browser.directory("alice", ALICES);
    assert_eq!(page.status, 503);
    assert!(
        server
            .log_tail(40)
            .contains("the directory is not available")
    );
    assert!(trap.accept().is_err(), "a reference was followed");
}

#[test]
fn passwords_travel_inside_tls_unless_said_otherwise() {
    if !installed() {
        return;
    }
    let (trap, elsewhere) = trap();
    let slapd = Slapd::start(true, elsewhere);
    let open = Slapd::start(false, elsewhere);
    let ldap = format!("ldap://{}", slapd.ldap);
    // StartTLS, and the address of the account as what people type.
    let server = portal(&slapd, &ldap, "");
    let browser = Browser::new(&server);
    browser.directory("alice@example.com", ALICES).password();
    let twin = browser.directory("twin@example.com", "twins");
    assert_eq!(twin.status, 403);
    assert!(
        server.log_tail(40).contains("several entries"),
        "{}",
        server.log_tail(9)
    );
    // A directory whose certificate nobody vouches for, both ways.
    for url in [
        format!("ldaps://{}", open.ldaps),
        format!("ldap://{}", open.ldap),
    ] {
        let server = portal(&slapd, &url, "");
        assert_eq!(
            Browser::new(&server)
                .directory("alice@example.com", ALICES)
                .status,
            503
        );
        assert!(
            server.log_tail(9).contains("certificate"),
            "{}",
            server.log_tail(9)
        );
    }
    // Without TLS, as explicitly asked for: where it is allowed, and where it is not.
    let server = portal(&open, &format!("ldap://{}", open.ldap), "ldap_plain = true");
    Browser::new(&server)
        .directory("alice@example.com", ALICES)
        .password();
    let server = portal(&slapd, &ldap, "ldap_plain = true");
    assert_eq!(
        Browser::new(&server)
            .directory("alice@example.com", ALICES)
            .status,
        503
    );
    assert!(trap.accept().is_err(), "a reference was followed");
}

/// Who guesses is stopped here, before the directory locks the account.
#[test]
fn guesses_are_stopped() {
    if !installed() {
        return;
    }
    let slapd = Slapd::start(true, trap().1);
    let server = portal(
        &slapd,
        &format!("ldaps://{}", slapd.ldaps),
        "ldap_login = \"uid\"",
    );
    let browser = Browser::new(&server);
    // All at once: what is under way counts already.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let guess = |number: usize| {
            let browser = &browser;
            scope.spawn(move || browser.directory("alice", &format!("guess{number}")).status)
        };
        let guesses: Vec<_> = (0..14).map(guess).collect();
        guesses
            .into_iter()
            .map(|g| g.join().expect("ends"))
            .collect()
    });
    let count = |status| statuses.iter().filter(|s| **s == status).count();
    assert_eq!((count(403), count(429)), (10, 4), "{statuses:?}");
    let page = browser.directory("alice", ALICES);
    assert_eq!(page.status, 429);
    assert!(between(&page.body, "role=\"alert\">", "<").contains("Too many failures"));
}
