//! The runner against a name server on loopback.

use super::*;
use std::net::Ipv4Addr;

#[path = "../../../tests/support/resolver.rs"]
#[allow(dead_code, unreachable_pub, clippy::expect_used)]
mod resolver;

use resolver::Resolver;

fn locator(resolver: &Resolver) -> Arc<Locator> {
    let locator = Arc::new(Locator::new(&[resolver.at], Abilities::default()));
    tokio::spawn(Arc::clone(&locator).run());
    locator
}

async fn find(locator: &Locator, uri: &str) -> Located {
    let uri = sip::header::Uri::parse(uri).unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    let target = Target::of(&uri).unwrap();
    locator.find(&target, Box::new(move |located| drop(tell.send(located))));
    told.await.unwrap()
}

fn places(located: &Located) -> Vec<String> {
    let Located::Hops(hops) = located else {
        return vec![format!("{located:?}")];
    };
    let text = |hop: &Hop| format!("{} {}", hop.transport.via_token(), hop.address);
    hops.iter().map(text).collect()
}

#[tokio::test]
async fn rfc_3263_4_naptr_srv_and_both_families_from_a_name_server_once() {
    let dns = Resolver::start(Ipv4Addr::LOCALHOST);
    dns.pointer("b.example", 20, "SIP+D2U", "_sip._udp.b.example");
    dns.pointer("b.example", 10, "SIP+D2T", "_sip._tcp.b.example");
    dns.sip_service("_sip._tcp.b.example", 1, 1, "h.b.example", 5070);
    dns.sip_service("_sip._udp.b.example", 1, 1, "h.b.example", 5071);
    dns.host("h.b.example", Ipv4Addr::new(192, 0, 2, 1));
    dns.host6("h.b.example", "2001:db8::1".parse().unwrap());
    let locator = locator(&dns);
    let want = [
        "TCP [2001:db8::1]:5070",
        "TCP 192.0.2.1:5070",
        "UDP [2001:db8::1]:5071",
        "UDP 192.0.2.1:5071",
    ];
    assert_eq!(places(&find(&locator, "sip:x@b.example").await), want);
    let asked = dns.asked();
    assert_eq!(places(&find(&locator, "sip:y@b.example").await), want);
    assert_eq!(dns.asked(), asked, "remembered");
}

#[tokio::test]
async fn rfc_3263_4_3_a_place_that_failed_is_tried_last_until_it_works() {
    let dns = Resolver::start(Ipv4Addr::LOCALHOST);
    dns.sip_service("_sip._udp.b.example", 1, 0, "one.b.example", 5060);
    dns.sip_service("_sip._udp.b.example", 2, 0, "two.b.example", 5060);
    dns.host("one.b.example", Ipv4Addr::new(192, 0, 2, 1));
    dns.host("two.b.example", Ipv4Addr::new(192, 0, 2, 2));
    let locator = locator(&dns);
    let (one, two) = ("UDP 192.0.2.1:5060", "UDP 192.0.2.2:5060");
    let found = find(&locator, "sip:b.example").await;
    assert_eq!(places(&found), [one, two]);
    let Located::Hops(hops) = found else {
        panic!("hops");
    };
    locator.failed(&hops[0]);
    assert_eq!(places(&find(&locator, "sip:b.example").await), [two, one]);
    locator.failed(&hops[1]);
    assert_eq!(places(&find(&locator, "sip:b.example").await), [one, two]);
    locator.worked(&hops[1]);
    assert_eq!(places(&find(&locator, "sip:b.example").await), [two, one]);
}

#[tokio::test]
async fn nothing_there_is_told_from_nobody_answers() {
    let dns = Resolver::start(Ipv4Addr::LOCALHOST);
    let known = locator(&dns);
    assert_eq!(find(&known, "sip:nowhere.example").await, Located::Nowhere);
    let asked = dns.asked();
    assert_eq!(find(&known, "sip:nowhere.example").await, Located::Nowhere);
    assert_eq!(dns.asked(), asked, "that nothing is there is remembered");
    // A name server that never answers: a socket that nobody reads.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let locator = Arc::new(Locator::new(&[at], Abilities::default()));
    tokio::spawn(Arc::clone(&locator).run());
    assert_eq!(find(&locator, "sip:b.example").await, Located::Unknown);
    // An address needs none.
    let found = find(&locator, "sip:x@192.0.2.1;transport=tcp").await;
    assert_eq!(places(&found), ["TCP 192.0.2.1:5060"]);
}

#[tokio::test]
async fn who_waits_is_bounded() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let locator = Locator::new(&[at], Abilities::default());
    let refused = Arc::new(AtomicU64::new(0));
    for _ in 0..WAITING + 10 {
        let refused = Arc::clone(&refused);
        let done = Box::new(move |located| {
            assert_eq!(located, Located::Unknown);
            refused.fetch_add(1, Ordering::Relaxed);
        });
        locator.find(&Target::domain("b.example"), done);
    }
    assert_eq!(refused.load(Ordering::Relaxed), 10);
}
