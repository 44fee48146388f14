//! REGISTER (RFC 3261 10.3).

use crate::house::{House, Sip, Ua};

async fn ask(ua: &mut Ua, headers: &str) -> Sip {
    let say = ua.say_register(headers);
    ua.ask(&say).await
}

fn contacts(answer: &Sip) -> Vec<String> {
    let mut uris: Vec<_> = answer
        .all("Contact")
        .iter()
        .map(|value| value.split('>').next().unwrap()[1..].to_owned())
        .collect();
    uris.sort();
    uris
}

#[tokio::test]
async fn bindings_are_added_fetched_and_removed() {
    let house = House::new().await;
    let mut ua = house.udp("alice").await;
    let answer = ask(
        &mut ua,
        "Contact: <sip:one@127.0.0.1:7001>;expires=300;q=0.5, <sip:two@127.0.0.1:7002>\r\nExpires: 200\r\n",
    )
    .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        contacts(&answer),
        ["sip:one@127.0.0.1:7001", "sip:two@127.0.0.1:7002"]
    );
    let one = answer
        .all("Contact")
        .into_iter()
        .find(|c| c.contains("one"));
    assert!(one.unwrap().contains(";expires=300;q=0.500"), "{one:?}");
    let fetched = ask(&mut ua, "").await;
    assert_eq!(contacts(&fetched).len(), 2);
    let answer = ask(&mut ua, "Contact: <sip:one@127.0.0.1:7001>;expires=0\r\n").await;
    assert_eq!(contacts(&answer), ["sip:two@127.0.0.1:7002"]);
    let answer = ask(&mut ua, "Contact: *\r\nExpires: 0\r\n").await;
    assert_eq!((answer.status(), contacts(&answer).len()), (200, 0));
}

#[tokio::test]
async fn a_refresh_is_no_second_binding() {
    let house = House::new().await;
    let mut ua = house.tcp("alice").await;
    for _ in 0..2 {
        let answer = ua.register().await;
        assert_eq!(contacts(&answer), [ua.contact()]);
    }
    let instance = "Contact: <sip:a@127.0.0.1:1>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n";
    ask(&mut ua, instance).await;
    let answer = ask(&mut ua, &instance.replace(":1>;", ":2>;")).await;
    let all = contacts(&answer);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.contains(&"sip:a@127.0.0.1:2".to_owned()));
}

#[tokio::test]
async fn too_brief_too_old_and_wrong_are_refused() {
    let house = House::new().await;
    let mut ua = house.udp("alice").await;
    let brief = ask(&mut ua, "Contact: <sip:a@127.0.0.1>\r\nExpires: 10\r\n").await;
    assert_eq!((brief.status(), brief.header("Min-Expires")), (423, "60"));
    let star = ask(&mut ua, "Contact: *\r\nExpires: 60\r\n").await;
    assert_eq!(star.status(), 400);
    assert_eq!(ua.register().await.status(), 200);
    ua.cseq = 0;
    assert_eq!(ua.register().await.status(), 500, "out of order");
    let mut say = ua.say_register("");
    say.to = "<sip:bob@example.com>".to_owned();
    assert_eq!(ua.ask(&say).await.status(), 403);
}

#[tokio::test]
async fn requests_go_back_where_the_client_really_is() {
    let house = House::new().await;
    let mut bob = house.udp("bob").await;
    // Behind NAT: neither Via nor Contact is where packets come from.
    let answer = ask(&mut bob, "Contact: <sip:bob@10.9.8.7:5060>\r\n").await;
    assert_eq!(contacts(&answer), ["sip:bob@10.9.8.7:5060"]);
    let mut alice = house.tcp("alice").await;
    let text = tokio::join!(alice.text("bob", "hello"), async {
        let told = bob.told("200 OK").await;
        assert_eq!(told.line, "MESSAGE sip:bob@10.9.8.7:5060 SIP/2.0");
    });
    assert_eq!(text.0.status(), 200);
}
