//! Servers that know each other by certificates alone.

use crate::house::User;
use crate::site::{HOST, HOST_B, Site, free};
use crate::talk::{at, caught, hears, node, say, watch};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

/// An authority, and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Files of a site: its certificate for `name`, and its key.
    fn equip(&self, site: &Site, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let files = [
            ("certificate.pem", certificate.pem()),
            ("key.pem", key.serialize_pem()),
        ];
        for (file, text) in files {
            std::fs::write(site.folder.join(file), text).expect("a file");
        }
    }

    /// The file by which a site knows this authority.
    fn known_to(&self, site: &Site, file: &str) {
        std::fs::write(site.folder.join(file), self.0.pem()).expect("a file");
    }
}

/// Who vouches for the servers of a pair.
#[derive(Clone, Copy, PartialEq)]
enum Vouching {
    /// One authority for everybody.
    Common,
    /// One for each, that the other knows for that peer alone.
    Apart,
    /// The same, but what a knows vouches for another peer than b.
    ForAnother,
}

struct Pair {
    a: Site,
    b: Site,
}

impl Drop for Pair {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for site in [&self.a, &self.b] {
                let log = site.log();
                let lines: Vec<&str> = log.lines().collect();
                eprintln!(
                    "---\n{}",
                    lines[lines.len().saturating_sub(25)..].join("\n")
                );
            }
        }
    }
}

impl Pair {
    /// `pinned`: the names that each expects of the other.
    fn start(last: u8, pinned: [&str; 2], vouching: Vouching) -> Self {
        let [high, low] = u16::try_from(std::process::id() % 30_000)
            .unwrap_or(1)
            .to_be_bytes();
        let ip = |more: u8| Ipv4Addr::new(127, 100 + high, low, 200 + last + more);
        let mut pair = Self {
            a: Site::new("secure-a", ip(0)),
            b: Site::new("secure-b", ip(1)),
        };
        let (first, second) = (Authority::new(), Authority::new());
        let of_b = match vouching {
            Vouching::Common => &first,
            Vouching::Apart | Vouching::ForAnother => &second,
        };
        first.equip(&pair.a, HOST);
        of_b.equip(&pair.b, HOST_B);
        of_b.known_to(&pair.a, "theirs.pem");
        first.known_to(&pair.b, "theirs.pem");
        for site in [&pair.a, &pair.b] {
            Authority::new().known_to(site, "another.pem");
        }
        let tls: [SocketAddr; 2] = [free(ip(0)), free(ip(1))];
        let sides = [
            (&pair.a, ("example.com", "b.example"), ["alice", "dave"]),
            (&pair.b, ("b.example", "example.com"), ["carol", "erin"]),
        ];
        for (at, (site, (domain, other), people)) in sides.into_iter().enumerate() {
            let (own, theirs, name) = (tls[at], tls[1 - at], pinned[at]);
            let (everybody, own_authority) = match vouching {
                Vouching::Common => ("theirs.pem", ""),
                Vouching::ForAnother if at == 0 => {
                    ("another.pem", "authorities = [\"another.pem\"]\n")
                }
                Vouching::Apart | Vouching::ForAnother => {
                    ("another.pem", "authorities = [\"theirs.pem\"]\n")
                }
            };
            let mut rest = String::new();
            let _ = write!(
                rest,
                "[tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n\
                 authorities = [\"{everybody}\"]\n\
                 [rvp.peers.\"{other}\"]\naddress = [\"{theirs}\"]\ntls = true\ntls_name = \"{name}\"\n\
                 {own_authority}\
                 [rvp.peers.\"d.example\"]\ntls_name = \"im.d.example\"\nauthorities = [\"theirs.pem\"]\n\
                 [domain.\"{domain}\"]\nforeign = [\"{other}\"]\n"
            );
            site.configure(domain, &format!("tls_listen = [\"{own}\"]\n"), &rest);
            site.import(domain, &people);
        }
        pair.a.launch();
        pair.b.launch();
        pair
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_servers_that_know_each_other_by_certificates_alone() {
    let pair = Pair::start(0, [HOST_B, HOST], Vouching::Common);
    let told = caught(async {
        let (mut alice, mut alices) = at("alice", pair.a.at, HOST).await;
        let (mut carol, mut carols) = at("carol", pair.b.at, HOST_B).await;
        let answer = say(&mut alice, HOST_B, "carol", "over TLS").await;
        assert_eq!(answer.status(), 200, "{}", answer.body);
        hears(&mut carols, &["over TLS"]).await;
        let answer = say(&mut carol, HOST, "alice", "and back").await;
        assert_eq!(answer.status(), 200, "{}", answer.body);
        hears(&mut alices, &["and back"]).await;
        let first = watch(&mut alice, HOST_B, "carol").await;
        assert_eq!(first.status(), 207, "{}", first.body);
        hears(&mut alices, &["<r:online/>", &node(HOST_B, "carol")]).await;
        // The same without a certificate: nobody speaks for another server by address.
        let mut forged = User::of("alice", pair.b.at, HOST);
        let body = forged.message("carol", &crate::house::text_mime("forged"));
        let headers = "RVP-Hop-Count: 2\r\nContent-Type: text/xml\r\n";
        let target = node(HOST_B, "carol");
        let answer = forged
            .exchange("NOTIFY", &target, headers, None, &body)
            .await;
        assert_eq!(answer.status(), 403, "{}", answer.body);
    });
    if let Err(panic) = told.await {
        std::panic::resume_unwind(panic);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_a_certificate_of_another_name_is_believed_on_neither_side() {
    // a expects another name of b; b expects another name of a.
    for (last, pinned) in [(10, ["im.c.example", HOST]), (20, [HOST_B, "im.c.example"])] {
        let pair = Pair::start(last, pinned, Vouching::Common);
        let (mut alice, _alices) = at("alice", pair.a.at, HOST).await;
        let (_carol, mut carols) = at("carol", pair.b.at, HOST_B).await;
        let status = say(&mut alice, HOST_B, "carol", "hello").await.status();
        let want = if last == 10 { 412 } else { 403 };
        assert_eq!(status, want, "{pinned:?}\n{}", pair.a.log());
        assert!(carols.peek().is_none());
        if last == 10 {
            assert!(pair.a.log().contains("no TLS with it"), "{}", pair.a.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_a_peers_own_authority_vouches_for_that_peer_alone() {
    let pair = Pair::start(30, [HOST_B, HOST], Vouching::Apart);
    let (mut alice, mut alices) = at("alice", pair.a.at, HOST).await;
    let (mut carol, mut carols) = at("carol", pair.b.at, HOST_B).await;
    let answer = say(&mut alice, HOST_B, "carol", "hello").await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    hears(&mut carols, &["hello"]).await;
    let answer = say(&mut carol, HOST, "alice", "and back").await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    hears(&mut alices, &["and back"]).await;
    drop(pair);
    // Its certificate has b's name, but comes from who may vouch for d.
    let pair = Pair::start(40, [HOST_B, HOST], Vouching::ForAnother);
    let (mut alice, mut alices) = at("alice", pair.a.at, HOST).await;
    let (mut carol, mut carols) = at("carol", pair.b.at, HOST_B).await;
    let status = say(&mut alice, HOST_B, "carol", "hello").await.status();
    assert_eq!(status, 412, "{}", pair.a.log());
    assert!(pair.a.log().contains("no TLS with it"), "{}", pair.a.log());
    let status = say(&mut carol, HOST, "alice", "and back").await.status();
    assert_eq!(status, 403, "{}", pair.a.log());
    assert!(alices.peek().is_none() && carols.peek().is_none());
    assert!(pair.a.log().contains("may not speak for carol@b.example"));
}
