//! `demo --script`: a conversation between the built-in clients, over real sockets, as a ladder.

use super::super::out::print;
use super::super::peer::{Heard, Peer, SignIn, StackChoice};
use super::super::serve::Server;
use super::super::{Exit, Failure};
use std::net::SocketAddr;
use std::time::Duration;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// Width between the two lines of the ladder.
const WIDTH: usize = 58;

/// Plays it; fails if anything does not arrive.
pub(super) async fn play(server: &Server) -> Result<Exit, Failure> {
    let addresses = server.addresses();
    let (Some(rvp), Some(tcp)) = (addresses.rvp.first(), addresses.tcp.first()) else {
        return Err(Failure::new(Exit::Failed, "both stacks are needed"));
    };
    match scenes(*rvp, *tcp).await {
        Ok(()) => Ok(Exit::Done),
        Err(why) => Err(Failure::new(Exit::Failed, why)),
    }
}

async fn scenes(rvp: SocketAddr, tcp: SocketAddr) -> Result<(), String> {
    print(&format!(
        "alice (RVP){:width$}bob (SIP)\n",
        "",
        width = WIDTH - 9
    ));
    let mut alice = sign_in(StackChoice::Rvp, ALICE, rvp).await?;
    note("alice signs in with SUBSCRIBE, shows online");
    let mut bob = sign_in(StackChoice::Sip, BOB, tcp).await?;
    note("bob signs in with REGISTER, shows online");

    if let Some(Heard::Presence { state, .. }) = alice.watch(BOB).await? {
        to_alice(&format!("bob is {state}"));
    }
    bob.watch(ALICE).await?;
    to_bob(&format!(
        "alice is {}",
        state_of(&mut bob, ALICE, "online").await?
    ));

    bob.show("busy").await?;
    to_alice(&format!(
        "bob is {}",
        state_of(&mut alice, BOB, "busy").await?
    ));

    alice.typing(BOB).await?;
    typing(&mut bob, ALICE).await?;
    to_bob("alice is typing");
    say(
        &mut alice,
        BOB,
        &mut bob,
        ALICE,
        "Hello bob, I sit at Exchange 2000.",
    )
    .await?;
    to_bob("\"Hello bob, I sit at Exchange 2000.\"");
    bob.typing(ALICE).await?;
    typing(&mut alice, BOB).await?;
    to_alice("bob is typing");
    say(
        &mut bob,
        ALICE,
        &mut alice,
        BOB,
        "And I at a SIP phone. \u{20ac}\u{e9}<&>",
    )
    .await?;
    to_alice("\"And I at a SIP phone. \u{20ac}\u{e9}<&>\"");

    alice.show("at-lunch").await?;
    to_bob(&format!(
        "alice is {}",
        state_of(&mut bob, ALICE, "at-lunch").await?
    ));
    bob.sign_out().await?;
    to_alice(&format!(
        "bob is {}",
        state_of(&mut alice, BOB, "offline").await?
    ));
    alice.sign_out().await?;
    note("both have signed out; everything arrived");
    Ok(())
}

async fn sign_in(stack: StackChoice, address: &str, server: SocketAddr) -> Result<Peer, String> {
    let who = SignIn {
        address,
        password: address.split('@').next().unwrap_or_default(),
        server,
        host: "im.example.com",
    };
    Peer::sign_in(stack, &who)
        .await
        .map_err(|why| format!("{address} can't sign in: {why}"))
}

/// Sends a text and waits until it is there, word for word.
async fn say(
    from: &mut Peer,
    to: &str,
    receiver: &mut Peer,
    sender: &str,
    text: &str,
) -> Result<(), String> {
    let expected = text.to_owned();
    let hear = until(receiver, move |heard| match heard {
        Heard::Text { from, text } => (from == sender && text == expected).then(String::new),
        _ => None,
    });
    let (sent, heard) = tokio::join!(from.text(to, text), hear);
    sent?;
    heard.map(drop).map_err(|why| format!("{text:?}: {why}"))
}

/// Waits until the watched person is shown in that state.
async fn state_of(peer: &mut Peer, of: &str, wanted: &str) -> Result<String, String> {
    until(peer, |heard| match heard {
        Heard::Presence { who, state } if who == of && state == wanted => Some(state),
        _ => None,
    })
    .await
    .map_err(|why| format!("{of} is {wanted}: {why}"))
}

async fn typing(peer: &mut Peer, of: &str) -> Result<(), String> {
    let found = until(peer, |heard| match heard {
        Heard::Typing { from, active: true } if from == of => Some(String::new()),
        _ => None,
    });
    found
        .await
        .map(drop)
        .map_err(|why| format!("{of} is typing: {why}"))
}

async fn until(
    peer: &mut Peer,
    mut wanted: impl FnMut(Heard) -> Option<String>,
) -> Result<String, String> {
    let search = async {
        loop {
            match peer.hear().await {
                Some(heard) => {
                    if let Some(found) = wanted(heard) {
                        return Ok(found);
                    }
                }
                None => return Err("the connection is gone".to_owned()),
            }
        }
    };
    match tokio::time::timeout(PATIENCE, search).await {
        Ok(found) => found,
        Err(_) => Err("did not arrive".into()),
    }
}

fn note(text: &str) {
    print(&format!("  | {text:width$} |\n", width = WIDTH - 4));
}

fn to_bob(text: &str) {
    print(&format!("  |{}>|\n", bar(text)));
}

fn to_alice(text: &str) {
    print(&format!("  |<{}|\n", bar(text)));
}

/// The text in the middle of a line of dashes.
fn bar(text: &str) -> String {
    let room = (WIDTH - 5).saturating_sub(text.chars().count());
    format!(
        "{} {text} {}",
        "-".repeat(room / 2),
        "-".repeat(room - room / 2)
    )
}
