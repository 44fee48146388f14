//! Calls and other requests between people (RFC 3261 13-16), octet for octet.

use crate::house::{House, Say, Sip, Ua, address, person};
use std::fmt::Write as _;
use tristack::core::access::{AccessEntry, Detail, Right, Rights, Scheme, Subject};
use tristack::core::command::{
    Caller, Command, PointChange, PointSpec, Reach, Register, Route, Tether,
};
use tristack::core::id::PersonId;
use tristack::front::{RVP, SIP};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns= \r\nm=audio 9 RTP/AVP 0\r\na=x:\u{e4}  odd\r\n";

/// An INVITE with media, and what no server knows.
pub fn offer(ua: &mut Ua, to: &str) -> Say {
    let mut say = ua.say("INVITE", to);
    let contact = ua.contact();
    say.headers = format!(
        "Contact: <{contact}>\r\nX-Odd:   kept \t as is\r\nSession-Expires: 1800;refresher=uac\r\n\
         Supported: timer, 100rel\r\nContent-Type: application/sdp\r\n"
    );
    SDP.clone_into(&mut say.body);
    say
}

/// Sends it, and again with credentials; nothing has been heard since. The branch of the second.
pub async fn start(ua: &mut Ua, say: &Say) -> String {
    let text = ua.write(say, "");
    ua.send(&text).await;
    let challenge = ua.response().await;
    assert_eq!(challenge.status(), 407, "{}", challenge.line);
    let credentials = ua.credentials(&challenge, say);
    let text = ua.write(say, &credentials);
    ua.send(&text).await;
    let branch = text.split("branch=").nth(1).unwrap();
    branch.split(';').next().unwrap().to_owned()
}

/// The next response but 100.
pub async fn hears(ua: &mut Ua) -> Sip {
    loop {
        let sip = ua.response().await;
        if sip.status() != 100 {
            return sip;
        }
    }
}

/// The next request; what is repeated is taken once.
pub async fn gets(ua: &mut Ua, method: &str) -> Sip {
    loop {
        let sip = ua.receive().await;
        if sip.method() == method {
            return sip;
        }
        assert!(
            matches!(sip.method(), "INVITE" | "ACK"),
            "{} for {method}",
            sip.line
        );
    }
}

/// A phone's answer, with what makes a dialog.
pub async fn says(ua: &mut Ua, request: &Sip, status: &str, more: &str) {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for (name, value) in &request.headers {
        if ["Via", "From", "Call-ID", "CSeq", "Record-Route"].contains(&name.as_str()) {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if name == "To" {
            let tag = if value.contains("tag=") {
                String::new()
            } else {
                format!(";tag={}", ua.local.port())
            };
            let _ = write!(text, "To: {value}{tag}\r\n");
        }
    }
    let contact = ua.contact();
    let _ = write!(
        text,
        "Contact: <{contact}>\r\n{more}Content-Length: 0\r\n\r\n"
    );
    ua.send(&text).await;
}

fn target(sip: &Sip) -> String {
    sip.header("Contact").trim_matches(['<', '>']).to_owned()
}

fn routes(sip: &Sip) -> Vec<String> {
    let lines = sip.all("Record-Route");
    let values = lines.iter().flat_map(|line| line.split(','));
    values.map(|value| value.trim().to_owned()).collect()
}

/// A request within the dialog, as the caller sees it.
pub fn within(ua: &mut Ua, invite: &Say, ok: &Sip, method: &'static str) -> Say {
    let mut say = ua.say(method, &target(ok));
    say.from.clone_from(&invite.from);
    ok.header("To").clone_into(&mut say.to);
    say.call_id.clone_from(&invite.call_id);
    for route in routes(ok).iter().rev() {
        let _ = write!(say.headers, "Route: {route}\r\n");
    }
    say
}

/// The same, as the callee sees it.
pub fn back(ua: &mut Ua, invite: &Sip, method: &'static str) -> Say {
    let mut say = ua.say(method, &target(invite));
    let tag = ua.local.port();
    say.from = format!("{};tag={tag}", invite.header("To"));
    invite.header("From").clone_into(&mut say.to);
    invite.header("Call-ID").clone_into(&mut say.call_id);
    for route in routes(invite) {
        let _ = write!(say.headers, "Route: {route}\r\n");
    }
    say
}

pub async fn acknowledge(ua: &mut Ua, invite: &Say, ok: &Sip) {
    let ack = within(ua, invite, ok, "ACK");
    let text = ua.write_as(&ack, "", &format!("z9hG4bKack{}", ua.local.port()));
    ua.send(&text).await;
}

#[tokio::test]
async fn both_phones_ring_one_answers_and_the_call_runs_through_us() {
    let house = House::new().await;
    let (mut alice, mut desk, mut cell) = (
        house.udp("alice").await,
        house.udp("bob").await,
        house.tcp("bob").await,
    );
    for ua in [&mut alice, &mut desk, &mut cell] {
        assert_eq!(ua.register().await.status(), 200);
    }
    let say = offer(&mut alice, "bob");
    start(&mut alice, &say).await;
    let (at_desk, at_cell) = (
        gets(&mut desk, "INVITE").await,
        gets(&mut cell, "INVITE").await,
    );
    for (ua, invite) in [(&desk, &at_desk), (&cell, &at_cell)] {
        assert_eq!(invite.line, format!("INVITE {} SIP/2.0", ua.contact()));
        assert_eq!(invite.header("X-Odd"), "kept \t as is");
        assert_eq!(invite.header("Session-Expires"), "1800;refresher=uac");
        assert_eq!(invite.header("Max-Forwards"), "69");
        assert_eq!(invite.header("Max-Breadth"), "30");
        assert_eq!(invite.body, SDP);
        assert!(invite.all("Proxy-Authorization").is_empty(), "for us alone");
    }
    let (one, two) = (routes(&at_desk), routes(&at_cell));
    assert_eq!(one.len(), 1, "the same on both sides");
    assert_eq!(two.len(), 2, "RFC 5658: another transport on each side");
    assert!(
        two[0].contains(";transport=tcp;lr>") && !two[1].contains("transport="),
        "{two:?}"
    );
    says(&mut desk, &at_desk, "180 Ringing", "").await;
    says(&mut cell, &at_cell, "180 Ringing", "").await;
    assert_eq!(hears(&mut alice).await.status(), 180);
    assert_eq!(hears(&mut alice).await.status(), 180);
    says(&mut cell, &at_cell, "200 OK", "X-Answer: yes\r\n").await;
    let ok = hears(&mut alice).await;
    assert_eq!((ok.status(), ok.header("X-Answer")), (200, "yes"));
    assert_eq!(ok.all("Via").len(), 1);
    let cancel = gets(&mut desk, "CANCEL").await;
    says(&mut desk, &cancel, "200 OK", "").await;
    says(&mut desk, &at_desk, "487 Request Terminated", "").await;
    gets(&mut desk, "ACK").await;

    acknowledge(&mut alice, &say, &ok).await;
    let ack = gets(&mut cell, "ACK").await;
    assert!(ack.all("Route").is_empty() && ack.all("Via").len() == 2);
    // From either side, of any method, without credentials, whatever it carries.
    for method in [
        "INFO",
        "UPDATE",
        "MESSAGE",
        "REFER",
        "NOTIFY",
        "X-NEW",
        "SUBSCRIBE",
        "OPTIONS",
    ] {
        let mut forth = within(&mut alice, &say, &ok, method);
        forth
            .headers
            .push_str("Content-Type: a/b\r\nEvent: refer\r\nRefer-To: <sip:x@y>\r\n");
        "within".clone_into(&mut forth.body);
        let text = alice.write(&forth, "");
        alice.send(&text).await;
        let got = gets(&mut cell, method).await;
        assert_eq!(got.body, "within");
        says(&mut cell, &got, "200 OK", "").await;
        assert_eq!(hears(&mut alice).await.status(), 200, "{method}");
        let reply = back(&mut cell, &at_cell, method);
        let text = cell.write(&reply, "");
        cell.send(&text).await;
        let got = gets(&mut alice, method).await;
        says(&mut alice, &got, "202 Accepted", "").await;
        assert_eq!(hears(&mut cell).await.status(), 202, "{method}");
    }
    let bye = back(&mut cell, &at_cell, "BYE");
    let text = cell.write(&bye, "");
    cell.send(&text).await;
    let got = gets(&mut alice, "BYE").await;
    says(&mut alice, &got, "200 OK", "").await;
    assert_eq!(hears(&mut cell).await.status(), 200);
}

#[tokio::test]
async fn a_new_offer_within_the_call_is_passed_on() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.tcp("alice").await, house.udp("bob").await);
    bob.register().await;
    let say = offer(&mut alice, "bob");
    start(&mut alice, &say).await;
    let invite = gets(&mut bob, "INVITE").await;
    says(&mut bob, &invite, "200 OK", "").await;
    let ok = hears(&mut alice).await;
    acknowledge(&mut alice, &say, &ok).await;
    gets(&mut bob, "ACK").await;
    let mut again = within(&mut alice, &say, &ok, "INVITE");
    again.headers.push_str("Content-Type: application/sdp\r\n");
    SDP.clone_into(&mut again.body);
    let text = alice.write(&again, "");
    alice.send(&text).await;
    let invite = gets(&mut bob, "INVITE").await;
    says(
        &mut bob,
        &invite,
        "422 Session Interval Too Small",
        "Min-SE: 3600\r\n",
    )
    .await;
    let refused = hears(&mut alice).await;
    assert_eq!(
        (refused.status(), refused.header("Min-SE")),
        (422, "3600"),
        "RFC 4028"
    );
}

#[tokio::test]
async fn a_caller_who_gives_up_stops_the_ringing() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.udp("alice").await, house.udp("bob").await);
    bob.register().await;
    let say = offer(&mut alice, "bob");
    let branch = start(&mut alice, &say).await;
    let invite = gets(&mut bob, "INVITE").await;
    says(&mut bob, &invite, "180 Ringing", "").await;
    assert_eq!(hears(&mut alice).await.status(), 180);
    let cancel = Say {
        method: "CANCEL",
        headers: String::new(),
        body: String::new(),
        ..say.clone()
    };
    let text = alice.write_as(&cancel, "", &branch);
    alice.send(&text).await;
    let ok = hears(&mut alice).await;
    assert_eq!(ok.status(), 200);
    assert!(ok.header("CSeq").ends_with("CANCEL"));
    let cancel = gets(&mut bob, "CANCEL").await;
    says(&mut bob, &cancel, "200 OK", "").await;
    says(&mut bob, &invite, "487 Request Terminated", "").await;
    assert_eq!(hears(&mut alice).await.status(), 487);
    // RFC 3261 9.2: it matches all the same.
    alice.send(&text.replace("CSeq", "X-Late: 1\r\nCSeq")).await;
    assert_eq!(hears(&mut alice).await.status(), 200);
}

#[tokio::test]
async fn refusals_come_back_as_the_phones_said() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.udp("alice").await, house.udp("bob").await);
    bob.register().await;
    for (said, heard) in [
        ("486 Busy Here", 486),
        ("603 Decline", 603),
        ("302 Moved Temporarily", 302),
        ("503 Service Unavailable", 500),
        ("606 Not Acceptable", 606),
    ] {
        let say = offer(&mut alice, "bob");
        start(&mut alice, &say).await;
        let invite = gets(&mut bob, "INVITE").await;
        says(&mut bob, &invite, said, "X-Why: so\r\n").await;
        let answer = hears(&mut alice).await;
        assert_eq!(answer.status(), heard, "{said}");
        assert_eq!(answer.header("X-Why"), if heard == 500 { "" } else { "so" });
        gets(&mut bob, "ACK").await;
    }
}

async fn block(house: &House, owner: &str, whom: &str) {
    let caller = caller(owner);
    let entry = AccessEntry {
        subject: Subject::Address(address(whom)),
        schemes: Vec::new(),
        grant: Rights::default(),
        deny: Rights::default().with(Right::SendTo),
        ask: Rights::default(),
        detail: Detail::ALL,
    };
    let command = Command::SetAccess(vec![entry]);
    house
        .hub
        .call(person(owner), &caller, command)
        .await
        .unwrap();
}

fn caller(name: &str) -> Caller {
    let person: PersonId = person(name);
    Caller {
        address: address(name),
        person: Some(person),
        scheme: Scheme::Digest,
        route: Route::Point(SIP),
    }
}

/// All but what is different in every answer.
fn shape(sip: &Sip) -> (String, Vec<String>) {
    let names = sip.headers.iter().map(|(name, _)| name.clone());
    (sip.line.clone(), names.collect())
}

#[tokio::test]
async fn a_block_looks_exactly_like_absence() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.udp("alice").await, house.udp("bob").await);
    bob.register().await;
    block(&house, "bob", "alice").await;
    for method in ["INVITE", "OPTIONS", "INFO", "REFER", "X-NEW"] {
        let blocked = alice.say(method, "bob");
        let blocked = alice.ask(&blocked).await;
        let absent = alice.say(method, "carol");
        let absent = alice.ask(&absent).await;
        assert_eq!(blocked.status(), 480, "{method}");
        assert_eq!(shape(&blocked), shape(&absent), "{method}");
        let nobody = alice.say(method, "nobody");
        assert_eq!(alice.ask(&nobody).await.status(), 404);
        let elsewhere = alice.say(method, "sip:bob@elsewhere.example");
        assert_eq!(alice.ask(&elsewhere).await.status(), 404, "no relay");
        let number = alice.say(method, "sip:bob@192.0.2.77");
        let status = alice.ask(&number).await.status();
        assert!(matches!(status, 404 | 405 | 501), "no relay: {status}");
    }
    // Others get through: nothing came before.
    let mut carol = house.udp("carol").await;
    let say = offer(&mut carol, "bob");
    start(&mut carol, &say).await;
    assert!(
        gets(&mut bob, "INVITE")
            .await
            .header("From")
            .contains("carol")
    );
}

#[tokio::test]
async fn who_has_rvp_clients_only_takes_texts_only() {
    let house = House::new().await;
    let mut alice = house.udp("alice").await;
    let spec = PointSpec {
        key: None,
        inbox: "http://127.0.0.1:9/".into(),
        lease: std::time::Duration::from_secs(600),
        tether: Tether::Address,
        reach: Reach::Full,
        implies: None,
        preference: 1000,
        source: None,
        client: "".into(),
        machine: None,
        family: None,
        handle: Vec::new().into(),
    };
    let command = Command::Register(Register {
        stack: RVP,
        lineage: None,
        changes: vec![PointChange::Put(Box::new(spec))],
    });
    house
        .hub
        .call(person("bob"), &caller("bob"), command)
        .await
        .unwrap();
    for media in [
        "m=message 5060 sip null\r\n",
        "m=x-ms-message 5060 sip null\r\n",
        "m=audio 9 RTP/AVP 0\r\n",
    ] {
        let mut say = offer(&mut alice, "bob");
        say.body = format!("v=0\r\n{media}");
        let answer = alice.ask(&say).await;
        assert_eq!(answer.status(), 488, "{media}");
        assert!(
            answer.header("Warning").starts_with("304 "),
            "{}",
            answer.header("Warning")
        );
    }
    let options = alice.say("OPTIONS", "bob");
    let answer = alice.ask(&options).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.header("Accept").contains("text/plain"));
    let refer = alice.say("REFER", "bob");
    assert_eq!(alice.ask(&refer).await.status(), 405);
}

#[tokio::test]
async fn a_token_is_good_for_its_own_call_only() {
    let house = House::new().await;
    let (mut alice, mut bob, mut carol) = (
        house.udp("alice").await,
        house.udp("bob").await,
        house.udp("carol").await,
    );
    bob.register().await;
    let say = offer(&mut alice, "bob");
    start(&mut alice, &say).await;
    let invite = gets(&mut bob, "INVITE").await;
    says(&mut bob, &invite, "200 OK", "").await;
    let ok = hears(&mut alice).await;
    acknowledge(&mut alice, &say, &ok).await;
    gets(&mut bob, "ACK").await;
    let good = within(&mut alice, &say, &ok, "INFO");
    let other_call = Say {
        call_id: "other".to_owned(),
        ..good.clone()
    };
    let other_tags = Say {
        from: "<sip:carol@example.com>;tag=x".to_owned(),
        to: "<sip:bob@example.com>;tag=y".to_owned(),
        ..good.clone()
    };
    let forged = Say {
        headers: good.headers.replacen("<sip:", "<sip:A", 1),
        ..good.clone()
    };
    let bare = Say {
        headers: String::new(),
        uri: "sip:bob@example.com".to_owned(),
        ..good.clone()
    };
    let end = Say {
        method: "BYE",
        ..forged.clone()
    };
    for (say, want) in [
        (other_call, 481),
        (other_tags, 481),
        (forged, 481),
        (end, 481),
        (bare, 407),
    ] {
        let text = carol.write(&say, "");
        carol.send(&text).await;
        assert_eq!(carol.response().await.status(), want, "{text}");
        let ack = Say {
            method: "ACK",
            ..say
        };
        let text = carol.write(&ack, "");
        carol.send(&text).await;
    }
    let text = alice.write(&good, "");
    alice.send(&text).await;
    let got = bob.receive().await;
    assert_eq!(got.method(), "INFO", "nothing of carol's came before");
    says(&mut bob, &got, "200 OK", "").await;
    assert_eq!(hears(&mut alice).await.status(), 200);
}

#[tokio::test]
async fn what_a_proxy_must_refuse_it_refuses() {
    let house = House::new().await;
    let (mut alice, mut bob) = (house.udp("alice").await, house.udp("bob").await);
    bob.register().await;
    for (headers, status) in [
        ("Proxy-Require: sec-agree\r\n", 420),
        ("Route: <sip:192.0.2.9;lr>\r\n", 403),
        ("Max-Breadth: 0\r\n", 440),
    ] {
        let mut say = offer(&mut alice, "bob");
        say.headers.push_str(headers);
        let answer = alice.ask(&say).await;
        assert_eq!(answer.status(), status, "{headers}");
        if status == 420 {
            assert_eq!(answer.header("Unsupported"), "sec-agree");
        }
    }
    let say = offer(&mut alice, "bob");
    let text = alice
        .write(&say, "")
        .replace("Max-Forwards: 70", "Max-Forwards: 0");
    alice.send(&text).await;
    assert_eq!(alice.response().await.status(), 483);
    // An outbound proxy that a client was given by hand, and an extension that is the phone's.
    let mut say = offer(&mut alice, "bob");
    let _ = write!(
        say.headers,
        "Route: <sip:{};lr>\r\nRequire: 100rel\r\n",
        house.udp
    );
    start(&mut alice, &say).await;
    let invite = gets(&mut bob, "INVITE").await;
    assert!(invite.all("Route").is_empty());
    assert_eq!(invite.header("Require"), "100rel");
    // The phone sends it back to us, unchanged: a loop.
    let mut around = String::new();
    for (name, value) in &invite.headers {
        let _ = write!(around, "{name}: {value}\r\n");
    }
    let around = format!("{}\r\n{around}\r\n{}", invite.line, invite.body);
    let around = around.replace(&bob.contact(), "sip:bob@example.com");
    let mut stranger = house.udp("carol").await;
    let via = format!(
        "Via: SIP/2.0/UDP {};branch=z9hG4bKround\r\nVia:",
        stranger.local
    );
    stranger.send(&around.replacen("Via:", &via, 1)).await;
    let status = stranger.response().await.status();
    assert!(matches!(status, 482 | 407), "{status}");
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused() {
    let house = House::with("[limits]\ncalls = 1\n").await;
    let (mut alice, mut bob) = (house.udp("alice").await, house.udp("bob").await);
    bob.register().await;
    let first = offer(&mut alice, "bob");
    start(&mut alice, &first).await;
    let ringing = gets(&mut bob, "INVITE").await;
    let second = offer(&mut alice, "bob");
    start(&mut alice, &second).await;
    let refused = hears(&mut alice).await;
    assert_eq!(refused.status(), 503);
    assert!(!refused.header("Retry-After").is_empty());
    says(&mut bob, &ringing, "486 Busy Here", "").await;
    while hears(&mut alice).await.status() != 486 {}
    let third = offer(&mut alice, "bob");
    start(&mut alice, &third).await;
    assert_eq!(
        gets(&mut bob, "INVITE").await.header("Call-ID"),
        third.call_id
    );
}
