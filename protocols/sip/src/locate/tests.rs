//! RFC 3263 by example, and whatever name servers may say.

use super::*;
use std::collections::BTreeMap;

const ALL: Abilities = Abilities {
    udp: true,
    tcp: true,
    tls: true,
    v4: true,
    v6: true,
};

#[derive(Default)]
struct Zone(BTreeMap<Question, Answer>);

impl Zone {
    fn naptr(mut self, name: &str, records: &[(u16, u16, &str, &str)]) -> Self {
        let record = |(order, preference, service, to): &(u16, u16, &str, &str)| Naptr {
            order: *order,
            preference: *preference,
            flags: "s".to_owned(),
            service: (*service).to_owned(),
            regexp: String::new(),
            replacement: (*to).to_owned(),
        };
        let records = records.iter().map(record).collect();
        self.0
            .insert(Question::Naptr(name.into()), Answer::Naptr(records));
        self
    }

    fn srv(mut self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
            priority: *priority,
            weight: *weight,
            port: *port,
            target: (*target).to_owned(),
        };
        let records = records.iter().map(record).collect();
        self.0
            .insert(Question::Srv(name.into()), Answer::Srv(records));
        self
    }

    fn host(mut self, name: &str, addresses: &[&str]) -> Self {
        let all = addresses.iter().map(|a| a.parse().expect("an address"));
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = all.partition(IpAddr::is_ipv4);
        for (question, found) in [
            (Question::A(name.into()), v4),
            (Question::Aaaa(name.into()), v6),
        ] {
            if !found.is_empty() {
                self.0.insert(question, Answer::Addresses(found));
            }
        }
        self
    }

    fn find(&self, uri: &str, abilities: Abilities, random: u64) -> Vec<String> {
        let uri = Uri::parse(uri).expect(uri);
        let Some(target) = Target::of(&uri) else {
            return vec!["no target".to_owned()];
        };
        let mut search = Search::new(&target, abilities, random);
        for _ in 0..4 {
            let asked = search.questions().to_vec();
            let known = |q: &Question| self.0.get(q).cloned().unwrap_or(Answer::Nothing);
            if asked.is_empty() {
                break;
            }
            search.answers(asked.iter().map(known).collect());
        }
        assert!(search.questions().is_empty(), "too many rounds");
        let hops = search.hops();
        let text = |hop: &Hop| format!("{} {}", hop.transport.via_token(), hop.address);
        hops.iter().map(text).collect()
    }
}

#[test]
fn rfc_3263_4_1_addresses_ports_and_written_transports_ask_nothing_of_transport() {
    let zone = Zone::default()
        .naptr("b.example", &[(1, 1, "SIP+D2T", "_sip._tcp.b.example")])
        .srv("_sip._tcp.b.example", &[(1, 1, 5070, "h.b.example")])
        .srv("_sip._udp.b.example", &[(1, 1, 5071, "h.b.example")])
        .srv("_sips._tcp.b.example", &[(1, 1, 5073, "h.b.example")])
        .host("b.example", &["192.0.2.9"])
        .host("h.b.example", &["192.0.2.1"]);
    for (uri, want) in [
        ("sip:x@192.0.2.7", "UDP 192.0.2.7:5060"),
        ("sips:x@192.0.2.7", "TLS 192.0.2.7:5061"),
        ("sip:192.0.2.7:99;transport=TCP", "TCP 192.0.2.7:99"),
        (
            "sip:x@[2001:db8::1];transport=tls",
            "TLS [2001:db8::1]:5061",
        ),
        (
            "sips:x@[2001:db8::1]:7;transport=tcp",
            "TLS [2001:db8::1]:7",
        ),
        ("sip:x@b.example:5090", "UDP 192.0.2.9:5090"),
        ("sips:x@b.example:5090", "TLS 192.0.2.9:5090"),
        ("sip:x@b.example;transport=udp", "UDP 192.0.2.1:5071"),
        ("sips:x@b.example;transport=tcp", "TLS 192.0.2.1:5073"),
        ("sip:x@b.example;maddr=192.0.2.4", "UDP 192.0.2.4:5060"),
        ("sip:x@B.Example.", "TCP 192.0.2.1:5070"),
        // Mapped addresses are what they stand for.
        ("sip:x@[::ffff:192.0.2.7]", "UDP 192.0.2.7:5060"),
    ] {
        assert_eq!(zone.find(uri, ALL, 1), [want], "{uri}");
    }
    for uri in [
        "tel:+1",
        "sips:x@b.example;transport=udp",
        "sip:b.example;transport=sctp",
    ] {
        assert_eq!(zone.find(uri, ALL, 1), ["no target"], "{uri}");
    }
    assert!(zone.find("sip:x@b.example;transport=ws", ALL, 1).is_empty());
}

#[test]
fn rfc_3263_4_1_naptr_in_order_of_what_we_are_able_to() {
    // The example of the section.
    let zone = Zone::default()
        .naptr(
            "example.com",
            &[
                (90, 50, "SIP+D2T", "_sip._tcp.example.com"),
                (100, 50, "SIP+D2U", "_sip._udp.example.com"),
                (50, 50, "SIPS+D2T", "_sips._tcp.example.com."),
                (10, 50, "E2U+sip", "_sip._udp.evil.example"),
            ],
        )
        .srv("_sips._tcp.example.com", &[(1, 1, 5061, "s.example.com")])
        .srv("_sip._tcp.example.com", &[(1, 1, 5060, "s.example.com")])
        .srv("_sip._udp.example.com", &[(1, 1, 5060, "s.example.com")])
        .host("s.example.com", &["192.0.2.1"]);
    let all = [
        "TLS 192.0.2.1:5061",
        "TCP 192.0.2.1:5060",
        "UDP 192.0.2.1:5060",
    ];
    assert_eq!(zone.find("sip:u@example.com", ALL, 1), all);
    assert_eq!(zone.find("sips:u@example.com", ALL, 1), all[..1]);
    let plain = Abilities { tls: false, ..ALL };
    assert_eq!(zone.find("sip:u@example.com", plain, 1), all[1..]);
    assert!(zone.find("sips:u@example.com", plain, 1).is_empty());
}

#[test]
fn rfc_3263_4_1_without_naptr_the_services_are_asked_for() {
    let zone = Zone::default()
        .srv("_sip._tcp.b.example", &[(1, 1, 5070, "t.b.example")])
        .srv("_sip._udp.b.example", &[(1, 1, 5071, "u.b.example")])
        .host("t.b.example", &["192.0.2.1"])
        .host("u.b.example", &["192.0.2.2"]);
    let found = zone.find("sip:b.example", ALL, 1);
    assert_eq!(found, ["UDP 192.0.2.2:5071", "TCP 192.0.2.1:5070"]);
}

#[test]
fn rfc_3263_4_2_without_records_the_domain_itself() {
    let zone = Zone::default().host("b.example", &["192.0.2.1", "2001:db8::1"]);
    let six = "UDP [2001:db8::1]:5060";
    assert_eq!(
        zone.find("sip:b.example", ALL, 1),
        [six, "UDP 192.0.2.1:5060"]
    );
    assert_eq!(
        zone.find("sips:b.example", Abilities { v6: false, ..ALL }, 1),
        ["TLS 192.0.2.1:5061"]
    );
    let only = Abilities { v4: false, ..ALL };
    assert_eq!(zone.find("sip:b.example", only, 1), [six]);
    let streams = Abilities {
        udp: false,
        v6: false,
        ..ALL
    };
    assert_eq!(
        zone.find("sip:b.example", streams, 1),
        ["TCP 192.0.2.1:5060"]
    );
    assert!(zone.find("sip:nowhere.example", ALL, 1).is_empty());
}

#[test]
fn rfc_2782_a_root_target_says_no() {
    let zone = Zone::default()
        .srv("_sip._udp.b.example", &[(0, 0, 0, ".")])
        .host("b.example", &["192.0.2.1"]);
    assert!(zone.find("sip:b.example", ALL, 1).is_empty());
}

#[test]
fn rfc_2782_priorities_first_and_weights_as_shares() {
    let zone = Zone::default()
        .srv(
            "_sip._udp.b.example",
            &[
                (2, 100, 5060, "last.b.example"),
                (1, 30, 5060, "a.b.example"),
                (1, 10, 5060, "b.b.example"),
                (1, 0, 5060, "c.b.example"),
            ],
        )
        .host("a.b.example", &["192.0.2.1"])
        .host("b.b.example", &["192.0.2.2"])
        .host("c.b.example", &["192.0.2.3"])
        .host("last.b.example", &["192.0.2.4"]);
    let mut first = BTreeMap::new();
    for random in 0..4000 {
        let found = zone.find("sip:b.example", ALL, random);
        assert_eq!(found.len(), 4);
        assert_eq!(found[3], "UDP 192.0.2.4:5060");
        *first.entry(found[0].clone()).or_insert(0) += 1;
    }
    let share = |n: u8| first.get(&format!("UDP 192.0.2.{n}:5060")).copied();
    let (a, b, c) = (share(1).unwrap(), share(2).unwrap(), share(3).unwrap());
    assert!((2700..3200).contains(&a), "{a}");
    assert!((800..1200).contains(&b), "{b}");
    assert!((40..200).contains(&c), "{c}");
    // The same randomness, the same order.
    let again = |random| zone.find("sip:b.example", ALL, random);
    assert_eq!(again(7), again(7));
}

#[test]
fn a_silent_name_server_is_told_from_an_empty_one() {
    let target = Target::domain("B.example.");
    let run = |answer: &Answer| {
        let mut search = Search::new(&target, ALL, 1);
        while !search.questions().is_empty() {
            let count = search.questions().len();
            search.answers(vec![answer.clone(); count]);
        }
        (search.failed(), search.hops().len())
    };
    assert_eq!(run(&Answer::Failed), (true, 0));
    assert_eq!(run(&Answer::Nothing), (false, 0));
}

#[test]
fn rfc_5922_certificates_name_the_domain_not_the_host() {
    let zone = Zone::default()
        .srv("_sips._tcp.b.example", &[(1, 1, 5061, "h.hoster.example")])
        .host("h.hoster.example", &["192.0.2.1"]);
    let uri = Uri::parse("sips:x@B.example").unwrap();
    let mut search = Search::new(&Target::of(&uri).unwrap(), ALL, 1);
    while !search.questions().is_empty() {
        let known = |q: &Question| zone.0.get(q).cloned().unwrap_or(Answer::Nothing);
        let answers = search.questions().iter().map(known).collect();
        search.answers(answers);
    }
    assert_eq!(&*search.hops()[0].name, "b.example");
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(String::new()),
            Just(".".to_owned()),
            Just("_sip._udp.b.example".to_owned()),
            Just("h.b.example".to_owned()),
            "[a-z.]{0,12}",
            "\\PC{0,8}",
        ]
    }

    fn answer() -> impl Strategy<Value = Answer> {
        let naptr = (
            any::<u16>(),
            any::<u16>(),
            "[sSaAuP]?",
            0..5_usize,
            "!?",
            name(),
        );
        let naptr = naptr.prop_map(|(order, preference, flags, service, regexp, replacement)| {
            let services = ["SIP+D2U", "sip+d2t", "SIPS+D2T", "SIP+D2S", ""];
            Naptr {
                order,
                preference,
                flags,
                service: services[service].to_owned(),
                regexp,
                replacement,
            }
        });
        let srv = (0..4_u16, any::<u16>(), any::<u16>(), name());
        let srv = srv.prop_map(|(priority, weight, port, target)| Srv {
            priority,
            weight,
            port,
            target,
        });
        let v4 = any::<u32>().prop_map(|bits| IpAddr::from(bits.to_be_bytes()));
        let v6 = any::<u128>().prop_map(|bits| IpAddr::from(bits.to_be_bytes()));
        prop_oneof![
            Just(Answer::Nothing),
            Just(Answer::Failed),
            prop::collection::vec(naptr, 0..40).prop_map(Answer::Naptr),
            prop::collection::vec(srv, 0..80).prop_map(Answer::Srv),
            prop::collection::vec(prop_oneof![v4, v6], 0..40).prop_map(Answer::Addresses),
        ]
    }

    fn uri() -> impl Strategy<Value = String> {
        let scheme = prop_oneof![Just("sip"), Just("sips")];
        let host = prop_oneof![Just("b.example"), Just("192.0.2.1"), Just("[2001:db8::7]")];
        let rest = prop_oneof![
            Just(""),
            Just(":7"),
            Just(";transport=tcp"),
            Just(";transport=tls"),
            Just(":9;transport=udp"),
            Just(";maddr=m.example"),
        ];
        (scheme, host, rest).prop_map(|(scheme, host, rest)| format!("{scheme}:x@{host}{rest}"))
    }

    proptest! {
        #[test]
        fn any_answers_end_in_bounds(
            uri in uri(),
            answers in prop::collection::vec(answer(), 0..60),
            random in any::<u64>(),
            bits in 0..32_u8,
        ) {
            let abilities = Abilities {
                udp: bits & 1 == 0,
                tcp: bits & 2 == 0,
                tls: bits & 4 == 0,
                v4: bits & 8 == 0,
                v6: bits & 16 == 0,
            };
            let parsed = Uri::parse(&uri).unwrap();
            let Some(target) = Target::of(&parsed) else {
                return Ok(());
            };
            let mut search = Search::new(&target, abilities, random);
            let (mut rounds, mut given) = (0, answers.into_iter());
            while !search.questions().is_empty() {
                rounds += 1;
                prop_assert!(rounds <= 3, "{} rounds", rounds);
                let asked = search.questions();
                prop_assert!(asked.len() <= 16);
                // Whatever it is, and sometimes too few.
                let some: Vec<Answer> = given.by_ref().take(asked.len()).collect();
                search.answers(some);
            }
            let hops = search.hops();
            prop_assert!(hops.len() <= 16);
            for hop in &hops {
                prop_assert!(abilities.has(hop.transport) && abilities.speaks(hop.address.ip()));
                prop_assert!(hop.address.port() != 0);
                prop_assert!(!target.secure || hop.transport == Transport::Tls);
                if let Some(written) = target.transport {
                    prop_assert_eq!(hop.transport, written);
                }
            }
        }

        #[test]
        fn srv_order_is_a_permutation_that_keeps_priorities(
            records in prop::collection::vec((0..5_u16, any::<u16>(), 1..u16::MAX), 0..32),
            random in any::<u64>(),
        ) {
            let records: Vec<Srv> = records.into_iter().map(|(priority, weight, port)| Srv {
                priority, weight, port, target: "h".to_owned(),
            }).collect();
            let ordered = order::srv(records.clone(), &mut order::Dice(random));
            prop_assert!(ordered.is_sorted_by_key(|record| record.priority));
            let key = |r: &Srv| (r.priority, r.weight, r.port);
            let (mut one, mut other): (Vec<_>, Vec<_>) =
                (records.iter().map(key).collect(), ordered.iter().map(key).collect());
            one.sort_unstable();
            other.sort_unstable();
            prop_assert_eq!(one, other);
        }
    }
}
