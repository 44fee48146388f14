//! RVP-Ack-Type where some of the inboxes are at another server.

use crate::actor::{Actor, SipActor};
use crate::house::{Inbox, User, text_mime};
use crate::site::{HOST, Site, World};
use crate::talk::{at, caught, node};

const LEFT: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

async fn send(user: &mut User, target: &str, ack: &str) -> u16 {
    let body = user.message("all", &text_mime(ack));
    let headers = format!("RVP-Ack-Type: {ack}\r\nRVP-Hop-Count: 1\r\nContent-Type: text/xml\r\n");
    user.ask("NOTIFY", target, &headers, &body).await.status()
}

/// What each type is answered: SingleHop, DeepOr, DeepAnd.
async fn all(user: &mut User, target: &str) -> [u16; 3] {
    [
        send(user, target, "SingleHop").await,
        send(user, target, "DeepOr").await,
        send(user, target, "DeepAnd").await,
    ]
}

fn tool(site: &Site, arguments: &[&str]) {
    let output = site.command(arguments).output().expect("the tool runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn section_3_ack_types_over_rvp_sip_and_other_servers() {
    let mut world = World::start();
    if let Err(panic) = caught(acks(&mut world)).await {
        eprintln!("{}", world.logs());
        std::panic::resume_unwind(panic);
    }
}

async fn acks(world: &mut World) {
    let list = "/groups/all";
    let home = &world.home1;
    tool(home, &["node", "add", list, "--owner", "alice@example.com"]);
    for who in ["dave@example.com", "bob@example.com"] {
        tool(home, &["node", "members", list, "add", who]);
    }
    let (mut alice, _own) = at("alice", home.at, HOST).await;
    let mut dave = SipActor::udp("dave", home.sip).expect("an actor");
    dave.sign_in().expect("sign-in");
    let target = format!("http://{HOST}{list}");

    // A SIP point here, nobody at the other home; then there is.
    assert_eq!(all(&mut alice, &target).await, [200, 200, 412]);
    let (mut bob, mut inbox) = at("bob", world.home2.at, HOST).await;
    assert_eq!(all(&mut alice, &target).await, [200, 200, 200]);
    for _ in 0..3 {
        assert!(inbox.next().await.line.starts_with("NOTIFY / "));
    }
    // The SIP point says no: the other server's yes is enough for one type only.
    dave.answer_with(480);
    assert_eq!(all(&mut alice, &target).await, [200, 200, 412]);

    // The type goes along: the other server answers for both inboxes there.
    let bobs = node(HOST, "bob");
    let second = Inbox::answering(LEFT).await;
    let id = bob.sign_in(second.at).await.id();
    assert_eq!(all(&mut alice, &bobs).await, [200, 200, 500]);
    dave.answer_with(200);
    assert_eq!(all(&mut alice, &target).await, [200, 200, 500]);
    let headers = format!("Subscription-Id: {id}\r\n");
    let own = bob.node();
    assert_eq!(
        bob.ask("UNSUBSCRIBE", &own, &headers, "").await.status(),
        200
    );
    assert_eq!(all(&mut alice, &bobs).await, [200, 200, 200]);

    // The other server is dead: what is here decides, and nothing is promised for the rest.
    world.home2.kill();
    assert_eq!(all(&mut alice, &target).await, [200, 200, 412]);
}
