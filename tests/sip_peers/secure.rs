//! Neighbours over TLS that know each other by certificates alone (RFC 5922), and over IPv6.

use crate::actor::{Actor, sip_status};
use crate::calls::{connect, hang_up, offer_again};
use crate::phone::Phone;
use crate::resolver::Resolver;
use crate::scene::{hears, ip, place, says, sees, sip, tail};
use crate::server::{Plan, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const A: &str = "a.example";
const B: &str = "b.example";

/// Certificates of both servers, each by an authority of its own.
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Files {
    fn make() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tristack-sips-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let write = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).expect("a file");
        };
        for domain in [A, B] {
            let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().expect("a key");
            let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![domain.to_owned()]).expect("parameters");
            let own = params.signed_by(&key, &authority).expect("a certificate");
            write(&format!("{domain}.pem"), own.pem());
            write(&format!("{domain}.key"), key.serialize_pem());
            write(&format!("{domain}-ca.pem"), authority.pem());
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        Path::new(&self.0).join(name).display().to_string()
    }
}

/// Two servers that know each other by TLS; `vouches` is the file that a takes for b's authority.
fn pair(files: &Files, vouches: &str) -> (Server, Server, Resolver) {
    let dns = Resolver::start(Ipv4Addr::LOCALHOST);
    let server = |domain: &str, here, other: &str, authority: &str| {
        let rest = format!(
            "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\nauthorities = [\"{}\"]\n\
             [sip.peers.\"{other}\"]\ntrust = \"tls\"\nauthorities = [\"{}\"]\n\
             [domain.\"{domain}\"]\nforeign = [\"{other}\"]\n",
            files.path(&format!("{domain}.pem")),
            files.path(&format!("{domain}.key")),
            // Who vouches for everybody has nothing to do with either.
            files.path(&format!("{domain}-ca.pem")),
            files.path(authority),
        );
        let sip = format!(
            "nameservers = [\"{}\"]\npeer_check = \"500ms\"\ntls = [\"{here}:0\"]\n\
             client_certificates = \"ask\"\n",
            dns.at
        );
        Server::planned(&Plan {
            domain,
            ip: ip(here),
            users: &["alice", "bob"],
            rvp: crate::scene::NEAR,
            sip: &sip,
            rest: &rest,
        })
    };
    let (here, there) = (place(), place());
    let a = server(A, here, B, vouches);
    let b = server(B, there, A, "a.example-ca.pem");
    for (domain, at, server) in [(A, here, &a), (B, there, &b)] {
        let (host, name) = (format!("sip.{domain}"), format!("_sips._tcp.{domain}"));
        dns.host(&host, at);
        dns.pointer(domain, 1, "SIPS+D2T", &name);
        let port = server.sip_tls.expect("TLS").port();
        dns.sip_service(&name, 1, 1, &host, port);
    }
    (a, b, dns)
}

#[test]
fn rfc_5922_calls_between_servers_that_know_each_other_by_certificates() {
    let files = Files::make();
    let (a, b, _dns) = pair(&files, "b.example-ca.pem");
    let mut alice = Phone::of("alice", A, a.sip_udp);
    let mut bob = Phone::of("bob", B, b.sip_udp);
    let (call, theirs) = connect(&mut alice, &mut bob, "bob@b.example");
    offer_again(&mut bob, &theirs, &alice);
    hang_up(&mut alice, &call, &bob);
    let (call, theirs) = connect(&mut bob, &mut alice, "alice@a.example");
    offer_again(&mut bob, &call, &alice);
    hang_up(&mut alice, &theirs, &bob);
    // And what came between the two, came over TLS.
    let asks = std::thread::spawn(move || alice.request("OPTIONS", "bob@b.example"));
    let asked = bob.gets("OPTIONS");
    assert!(asked.contains("Via: SIP/2.0/TLS "), "{asked}");
    bob.says(&asked, "200 OK");
    assert_eq!(sip_status(&asks.join().unwrap()), 200);
}

#[test]
fn rfc_5922_a_certificate_by_a_foreign_authority_is_believed_on_neither_side() {
    let files = Files::make();
    // b's certificate has the right name, and nobody whom a knows for b vouches for it.
    let (a, b, _dns) = pair(&files, "a.example-ca.pem");
    let mut alice = Phone::of("alice", A, a.sip_udp);
    let mut bob = Phone::of("bob", B, b.sip_udp);
    let answer = alice.call_in_vain("bob@b.example");
    assert!(sip_status(&answer) >= 480, "{answer}");
    assert_ne!(alice.text("bob@b.example", "hello"), 200);
    let answer = bob.call_in_vain("alice@a.example");
    assert!(sip_status(&answer) >= 400, "{answer}");
    for phone in [&alice, &bob] {
        let told = phone.listen(std::time::Duration::from_millis(300), |text| {
            text.starts_with("INVITE") || text.starts_with("MESSAGE")
        });
        assert!(told.is_err(), "{told:?}\n{}", tail(&a));
    }
}

/// A text, presence and a call between two servers that have nothing but IPv6.
#[test]
fn neighbours_talk_over_ipv6() {
    let here = IpAddr::from(Ipv6Addr::LOCALHOST);
    let dns = Resolver::start(Ipv4Addr::LOCALHOST);
    let lines = format!("nameservers = [\"{}\"]\npeer_check = \"500ms\"\n", dns.at);
    let server = |domain: &str, other: &str| {
        let rest = format!(
            "[sip.peers.\"{other}\"]\ntrust = \"address\"\naddresses = [\"::1\"]\n\
             [domain.\"{domain}\"]\nforeign = [\"{other}\"]\n"
        );
        Server::planned(&Plan {
            domain,
            ip: here,
            users: &["alice", "bob", "carol", "dave"],
            rvp: "",
            sip: &lines,
            rest: &rest,
        })
    };
    let (a, b) = (server(A, B), server(B, A));
    for (domain, server) in [(A, &a), (B, &b)] {
        let host = format!("sip.{domain}");
        dns.host6(&host, Ipv6Addr::LOCALHOST);
        let name = format!("_sip._tcp.{domain}");
        dns.sip_service(&name, 1, 1, &host, server.sip_tcp.port());
    }
    let mut carol = sip("carol", &a, A);
    let mut dave = sip("dave", &b, B);
    says(&mut carol, "dave@b.example", "over IPv6");
    hears(&dave, "carol", "over IPv6");
    says(&mut dave, "carol@a.example", "and back");
    hears(&carol, "dave", "and back");
    carol.watch("dave@b.example").expect("a subscription");
    sees(&carol, "dave", "online");
    dave.set_state("busy").expect("published");
    sees(&carol, "dave", "busy");

    let mut alice = Phone::of("alice", A, a.sip_udp);
    let mut bob = Phone::of("bob", B, b.sip_udp);
    let (call, theirs) = connect(&mut alice, &mut bob, "bob@b.example");
    offer_again(&mut bob, &theirs, &alice);
    hang_up(&mut alice, &call, &bob);
}
