//! The presence alert against the real server: those online are told, the others not.

use crate::peer::PATIENCE;
use crate::presence_alert::{Alert, Outcome};
use crate::support::actor::{Actor, Encoding, Heard, RvpActor};
use crate::support::server::Server;
use rvp::client::Settings;
use tokio::time::timeout;

fn heard_text(actor: &RvpActor) -> String {
    loop {
        let heard = actor.heard().recv_timeout(PATIENCE).expect("something");
        if let Heard::Text { text, .. } = heard {
            return text;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn those_who_are_there_are_told() {
    const PEOPLE: usize = 200;
    let names: Vec<String> = (0..PEOPLE).map(|n| format!("trader{n}")).collect();
    let mut users: Vec<&str> = names.iter().map(String::as_str).collect();
    users.push("alerts");
    let server = Server::start(&users);
    let actor =
        |name: &str| RvpActor::new(name, server.rvp, Encoding::Characters).expect("an actor");
    let mut first = actor("trader0");
    first.sign_in().expect("sign-in");
    let addresses: Vec<String> = names.iter().map(|n| format!("{n}@example.com")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut settings = Settings::new(server.rvp, "localhost", "alerts@example.com", "alerts");
    settings.user = "alerts".to_owned();
    let mut alert = Alert::start(settings, &addresses).await.expect("it starts");
    assert_eq!(alert.there(), 1);
    let told = |told, away| Outcome {
        told,
        failed: 0,
        away,
    };
    assert_eq!(alert.tell("gold at 2000").await, told(1, PEOPLE - 1));
    assert_eq!(heard_text(&first), "gold at 2000");
    // The last of many comes, the first goes.
    let mut last = actor("trader199");
    last.sign_in().expect("sign-in");
    let comes = async { while alert.there() != 2 && alert.listen().await {} };
    timeout(PATIENCE, comes).await.expect("the sign-in is seen");
    first.sign_out().expect("sign-out");
    let goes = async { while alert.there() != 1 && alert.listen().await {} };
    timeout(PATIENCE, goes).await.expect("the sign-out is seen");
    assert_eq!(alert.tell("gold at 1900").await, told(1, PEOPLE - 1));
    assert_eq!(heard_text(&last), "gold at 1900");
    alert.end().await.expect("sign-out");
}
