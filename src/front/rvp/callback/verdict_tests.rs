//! One row per spelling of a Call-Back (`decisions.md` 28).

use super::super::policy::Mismatch;
use super::*;
use crate::config::{Network, Value as _};
use std::net::IpAddr;

/// What a row expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// Delivered inside.
    Logical,
    /// 400: no grammar, or this server itself.
    Bad,
    /// Signed in, never dialled.
    Not(NotDialled),
    /// Dialled, at this address.
    Dial(&'static str),
}
use NotDialled::{LinkLocal, Loopback, Name, NoHost, OtherAddress, Port};
use Want::{Bad, Dial, Logical, Not};

const SOURCE: &str = "198.51.100.7";
const LOCAL: &str = "192.0.2.1";
/// Another connection of the same principal.
const OTHER: &str = "2001:db8::7";

/// Spellings from [`SOURCE`] on [`LOCAL`].
const ROWS: &[(&str, Want)] = &[
    // The ordinary ones.
    ("http://198.51.100.7:1234", Dial("198.51.100.7:1234")),
    ("http://198.51.100.7:1234/", Dial("198.51.100.7:1234")),
    ("HTTP://198.51.100.7:1234", Dial("198.51.100.7:1234")),
    ("http://198.51.100.7", Dial("198.51.100.7:80")),
    ("https://198.51.100.7", Dial("198.51.100.7:443")),
    ("http://198.51.100.7:1234/a?b=c", Dial("198.51.100.7:1234")),
    // Ports.
    ("http://198.51.100.7:0", Bad),
    ("http://198.51.100.7:22", Not(Port)),
    ("http://198.51.100.7:25", Not(Port)),
    ("http://198.51.100.7:80", Dial("198.51.100.7:80")),
    ("http://198.51.100.7:443", Dial("198.51.100.7:443")),
    ("http://198.51.100.7:1023", Not(Port)),
    ("http://198.51.100.7:1024", Dial("198.51.100.7:1024")),
    ("http://198.51.100.7:65535", Dial("198.51.100.7:65535")),
    ("http://198.51.100.7:65536", Bad),
    ("http://198.51.100.7:-1", Bad),
    ("http://198.51.100.7:+1234", Bad),
    ("http://198.51.100.7:1234x", Bad),
    // Grammar.
    ("", Bad),
    ("198.51.100.7:1234", Bad),
    ("//198.51.100.7:1234", Bad),
    ("ftp://198.51.100.7:1234", Bad),
    ("file:///etc/passwd", Bad),
    ("gopher://198.51.100.7:1234", Bad),
    ("http://", Bad),
    ("http://:1234", Bad),
    ("http://alice@198.51.100.7:1234", Bad),
    ("http://alice:pw@198.51.100.7:1234", Bad),
    ("http://198.51.100.7:1234@127.0.0.1/", Bad),
    ("http://198.51.100.7:1234/#x", Bad),
    ("http://198.51.100.7:1234/a b", Bad),
    ("http://198.51.100.7:1234/\r\nX: y", Bad),
    ("http://198.51.100.7\\@127.0.0.1", Bad),
    ("http://198.51.100.7%00:1234", Bad),
    // An odd spelling of an address is a name, and names are not resolved.
    ("http://0306.063.0144.07:1234", Not(Name)),
    ("http://3325256711:1234", Not(Name)),
    ("http://0xc6336407:1234", Not(Name)),
    ("http://0xc6.0x33.0x64.0x7:1234", Not(Name)),
    ("http://198.51.25607:1234", Not(Name)),
    ("http://127.1:1234", Not(Name)),
    ("http://2130706433:1234", Not(Name)),
    ("http://0177.0.0.1:1234", Not(Name)),
    ("http://198.51.100.7.:1234", Not(Name)),
    ("http://localhost:1234", Not(Name)),
    ("http://desk.example.org:1234", Not(Name)),
    ("http://198.51.100.7.example.org:1234", Not(Name)),
    // IPv6 spellings.
    (
        "http://[::ffff:198.51.100.7]:1234",
        Dial("198.51.100.7:1234"),
    ),
    ("http://[::ffff:c633:6407]:1234", Dial("198.51.100.7:1234")),
    ("http://[::198.51.100.7]:1234", Not(OtherAddress)),
    ("http://[2002:c633:6407::1]:1234", Not(OtherAddress)),
    ("http://[64:ff9b::198.51.100.7]:1234", Not(OtherAddress)),
    ("http://[::ffff:127.0.0.1]:1234", Not(Loopback)),
    ("http://[::127.0.0.1]:1234", Not(Loopback)),
    ("http://[2002:7f00:1::]:1234", Not(Loopback)),
    ("http://[64:ff9b::7f00:1]:1234", Not(Loopback)),
    ("http://[64:ff9b:1::7f00:1]:1234", Not(Loopback)),
    ("http://[2002:a9fe:a9fe::]:80", Not(LinkLocal)),
    ("http://[64:ff9b::192.0.2.1]:5060", Bad),
    ("http://[fe80::1%25eth0]:1234", Bad),
    ("http://[fe80::1%eth0]:1234", Bad),
    ("http://[::1", Bad),
    ("http://[198.51.100.7]:1234", Bad),
    ("http://::1:1234", Bad),
    // Another live connection of the same principal.
    ("http://[2001:db8::7]:1234", Dial("[2001:db8::7]:1234")),
    ("http://[2001:DB8:0:0::7]:1234", Dial("[2001:db8::7]:1234")),
    ("http://[2001:db8::7]:25", Not(Port)),
    ("http://[2001:db8::8]:1234", Not(OtherAddress)),
    // Other people's addresses.
    ("http://198.51.100.8:1234", Not(OtherAddress)),
    ("http://10.2.0.1:1234", Not(OtherAddress)),
    ("http://172.16.0.1:1234", Not(OtherAddress)),
    ("http://192.168.1.17:1234", Not(OtherAddress)),
    ("http://100.64.0.1:1234", Not(OtherAddress)),
    ("http://[fd00::1]:1234", Not(OtherAddress)),
    // `callback_networks`: any port, too.
    ("http://10.1.2.3:1234", Dial("10.1.2.3:1234")),
    ("http://10.1.2.3:25", Dial("10.1.2.3:25")),
    ("http://[::ffff:10.1.2.3]:1234", Dial("10.1.2.3:1234")),
    // Never.
    ("http://0.0.0.0:1234", Not(NoHost)),
    ("http://0.1.2.3:1234", Not(NoHost)),
    ("http://[::]:1234", Not(NoHost)),
    ("http://224.0.0.1:1234", Not(NoHost)),
    ("http://239.255.255.250:1900", Not(NoHost)),
    ("http://[ff02::1]:1234", Not(NoHost)),
    ("http://255.255.255.255:1234", Not(NoHost)),
    ("http://169.254.169.254", Not(LinkLocal)),
    ("http://[fe80::1]:1234", Not(LinkLocal)),
    ("http://127.0.0.1:1234", Not(Loopback)),
    ("http://127.8.9.1:1234", Not(Loopback)),
    ("http://[::1]:1234", Not(Loopback)),
    // Ourselves: RVP, SIP and administration.
    ("http://192.0.2.1", Bad),
    ("http://192.0.2.1:80/", Bad),
    ("http://[::ffff:192.0.2.1]", Bad),
    ("http://im.example.com", Bad),
    ("http://im.example.com/instmsg", Bad),
    ("http://192.0.2.1:5060", Bad),
    ("http://192.0.2.1:8090/ready", Bad),
    ("http://192.0.2.1:1234", Not(OtherAddress)),
    // Our nodes.
    ("http://im.example.com/instmsg/aliases/alice", Logical),
    ("http://IM.EXAMPLE.COM:80/instmsg/aliases/Alice", Logical),
    ("http://192.0.2.1/instmsg/aliases/alice", Logical),
    (
        "http://im.example.com:1234/instmsg/aliases/alice",
        Not(Name),
    ),
    ("http://im.example.org/instmsg/aliases/alice", Not(Name)),
];

fn policy() -> Policy {
    let ours = ["192.0.2.1:80", "192.0.2.1:5060", "192.0.2.1:8090"];
    let ours = ours.map(|at| at.parse().expect("address"));
    Policy {
        networks: vec![Network::from_text("10.1.0.0/16").expect("network")],
        ports: vec![],
        ours: ours.into(),
        mismatch: Mismatch::SendOnly,
    }
}

fn verdict(policy: &Policy, text: &str, source: &str, local: &str) -> Verdict {
    let domains = ["example.com".to_owned()];
    let names = Names::new(&domains, ["im.example.com"], [], vec![80]);
    let Ok(call_back) = CallBack::parse(text) else {
        return Verdict::Ourselves;
    };
    let others: [IpAddr; 1] = [OTHER.parse().expect("address")];
    let from = From {
        source: source.parse().expect("source"),
        local: local.parse().expect("local"),
        others: &others,
    };
    weigh(&names, policy, &call_back, &from)
}

fn want(got: &Verdict, want: Want) -> bool {
    match (got, want) {
        (Verdict::Logical(address), Logical) => address.to_string() == "alice@example.com",
        (Verdict::Ourselves, Bad) => true,
        (Verdict::Not(why), Not(wanted)) => *why == wanted,
        (Verdict::Dial(at), Dial(wanted)) => at.to_string() == wanted,
        _ => false,
    }
}

#[test]
fn decision_28_every_spelling() {
    assert!(ROWS.len() >= 60);
    let policy = policy();
    for (text, wanted) in ROWS {
        let got = verdict(&policy, text, SOURCE, LOCAL);
        assert!(want(&got, *wanted), "{text:?}: {got:?}, not {wanted:?}");
    }
    for (length, wanted) in [(512, Dial("198.51.100.7:1234")), (513, Bad)] {
        let mut text = "http://198.51.100.7:1234/".to_owned();
        text.extend(std::iter::repeat_n('x', length - text.len()));
        let got = verdict(&policy, &text, SOURCE, LOCAL);
        assert!(want(&got, wanted), "{length} octets: {got:?}");
    }
}

#[test]
fn decision_28_other_sources_and_listeners() {
    let policy = policy();
    for (text, source, local, wanted) in [
        ("http://127.0.0.1:99", "127.0.0.1", "127.0.0.1", Not(Port)),
        (
            "http://127.0.0.1:1234",
            "127.0.0.1",
            "127.0.0.1",
            Dial("127.0.0.1:1234"),
        ),
        ("http://[::1]:1234", "::1", "::1", Dial("[::1]:1234")),
        ("http://127.0.0.1:1234", "127.0.0.1", LOCAL, Not(Loopback)),
        ("http://127.0.0.1:1234", SOURCE, "127.0.0.1", Not(Loopback)),
        (
            "http://127.0.0.2:1234",
            "127.0.0.1",
            "127.0.0.1",
            Not(OtherAddress),
        ),
        (
            "http://198.51.100.7:1234",
            "::ffff:198.51.100.7",
            LOCAL,
            Dial("198.51.100.7:1234"),
        ),
        (
            "http://[2002:c633:6407::1]:1234",
            "2002:c633:6407::1",
            LOCAL,
            Dial("[2002:c633:6407::1]:1234"),
        ),
        ("http://[fe80::5]:1234", "fe80::5", LOCAL, Not(LinkLocal)),
        ("http://192.0.2.1:5060", LOCAL, LOCAL, Bad),
        (
            "http://192.0.2.1:1234",
            LOCAL,
            LOCAL,
            Dial("192.0.2.1:1234"),
        ),
    ] {
        let got = verdict(&policy, text, source, local);
        assert!(
            want(&got, wanted),
            "{text} from {source} on {local}: {got:?}"
        );
    }
}

#[test]
fn decision_28_a_listener_on_all_addresses_stands_on_each() {
    let mut policy = policy();
    policy.ours = vec!["0.0.0.0:5060".parse().expect("address")].into();
    policy.networks = vec![Network::from_text("127.0.0.0/8").expect("network")];
    for (text, source, local) in [
        ("http://192.0.2.1:5060", LOCAL, LOCAL),
        ("http://127.0.0.1:5060", "127.0.0.1", "127.0.0.1"),
        // Not our end of this connection, but this machine's nevertheless.
        ("http://127.0.0.5:5060", "127.0.0.1", "127.0.0.1"),
    ] {
        let got = verdict(&policy, text, source, local);
        assert_eq!(got, Verdict::Ourselves, "{text} from {source}");
    }
}
