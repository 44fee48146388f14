//! A signed-in user on either stack, for `chat` and `demo --script`.

use crate::client::sip::{Account, Activity, Event as SipEvent, SipClient, Status};
use rvp::client::{Client as RvpClient, Event as RvpEvent, Events as RvpEvents, Settings};
use rvp::document::{Property, State};
use sip::flow::Transport;
use std::net::{IpAddr, SocketAddr};
use tokio::sync::mpsc;

/// Which stack a user signs in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum StackChoice {
    /// RVP, Exchange 2000 Instant Messaging.
    Rvp,
    /// SIP/SIMPLE.
    Sip,
}

/// What reaches a user; people by `user@domain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Presence {
        who: String,
        state: String,
    },
    Text {
        from: String,
        text: String,
    },
    Typing {
        from: String,
        active: bool,
    },
    /// Something else worth a line.
    Note(String),
}

/// Who signs in where.
pub(super) struct SignIn<'a> {
    pub(super) address: &'a str,
    pub(super) password: &'a str,
    pub(super) server: SocketAddr,
    /// Host in logical URLs (RVP).
    pub(super) host: &'a str,
}

/// A signed-in user.
pub(super) enum Peer {
    Rvp {
        client: Box<RvpClient>,
        events: RvpEvents,
        session: String,
    },
    Sip {
        client: SipClient,
        events: mpsc::Receiver<SipEvent>,
    },
}

impl Peer {
    /// Signs in and shows "online".
    pub(super) async fn sign_in(stack: StackChoice, who: &SignIn<'_>) -> Result<Self, String> {
        match stack {
            StackChoice::Rvp => rvp_sign_in(who).await,
            StackChoice::Sip => sip_sign_in(who).await,
        }
    }

    /// Publishes a state by its RVP name.
    pub(super) async fn show(&mut self, word: &str) -> Result<(), String> {
        match self {
            Self::Rvp { client, .. } => {
                let state = State::parse(word).ok_or_else(|| no_state(word))?;
                client.publish(state).await.map_err(|e| e.to_string())
            }
            Self::Sip { client, .. } => {
                client
                    .publish(sip_status(word).ok_or_else(|| no_state(word))?)
                    .await;
                Ok(())
            }
        }
    }

    /// Watches somebody; the state now comes as an event, or as the result.
    pub(super) async fn watch(&mut self, who: &str) -> Result<Option<Heard>, String> {
        match self {
            Self::Rvp { client, .. } => {
                let node = client.node_of(who).map_err(|e| e.to_string())?;
                let found = client.watch(&node).await.map_err(|e| e.to_string())?;
                let state = found.iter().find_map(|property| match property {
                    Property::State(value) => Some(value.state.as_str().to_owned()),
                    _ => None,
                });
                Ok(state.map(|state| Heard::Presence {
                    who: who.to_owned(),
                    state,
                }))
            }
            Self::Sip { client, .. } => {
                client.watch(who).await;
                Ok(None)
            }
        }
    }

    /// Sends a text; what became of it.
    pub(super) async fn text(&mut self, to: &str, text: &str) -> Result<&'static str, String> {
        match self {
            Self::Rvp {
                client, session, ..
            } => {
                let node = client.node_of(to).map_err(|e| e.to_string())?;
                client
                    .text(&node, session, text)
                    .await
                    .map_err(|e| e.to_string())?;
                Ok("delivered")
            }
            Self::Sip { client, .. } => match client.text(to, text).await {
                Ok(202) => Ok("kept for later"),
                Ok(_) => Ok("delivered"),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// Tells that we type.
    pub(super) async fn typing(&mut self, to: &str) -> Result<(), String> {
        match self {
            Self::Rvp {
                client, session, ..
            } => {
                let node = client.node_of(to).map_err(|e| e.to_string())?;
                client
                    .typing(&node, session)
                    .await
                    .map_err(|e| e.to_string())
            }
            Self::Sip { client, .. } => {
                client.typing(to, true).await;
                Ok(())
            }
        }
    }

    /// The next thing that reaches the user; `None` when the connection is gone for good.
    pub(super) async fn hear(&mut self) -> Option<Heard> {
        loop {
            let heard = match self {
                Self::Rvp { client, events, .. } => rvp_heard(client, events.recv().await?),
                Self::Sip { events, .. } => sip_heard(events.recv().await?),
            };
            if heard.is_some() {
                return heard;
            }
        }
    }

    /// Signs out the polite way.
    pub(super) async fn sign_out(self) -> Result<(), String> {
        match self {
            Self::Rvp { client, .. } => client.sign_out().await.map_err(|e| e.to_string()),
            Self::Sip { client, .. } => client
                .unregister()
                .await
                .map(drop)
                .map_err(|e| e.to_string()),
        }
    }
}

async fn rvp_sign_in(who: &SignIn<'_>) -> Result<Peer, String> {
    let mut settings = Settings::new(who.server, who.host, who.address, who.password);
    settings.callback = own_address(who.server);
    let signed_in = RvpClient::sign_in(settings).await;
    let (mut client, events) = signed_in.map_err(|e| e.to_string())?;
    client
        .publish(State::Online)
        .await
        .map_err(|e| e.to_string())?;
    let session = client.new_session();
    Ok(Peer::Rvp {
        client: Box::new(client),
        events,
        session,
    })
}

async fn sip_sign_in(who: &SignIn<'_>) -> Result<Peer, String> {
    let account = Account::new(who.address, who.password);
    let connected = SipClient::connect(account, who.server, Transport::Tcp).await;
    let (client, events) = connected.map_err(|e| e.to_string())?;
    client.register().await.map_err(|e| e.to_string())?;
    client.publish(Status::online()).await;
    Ok(Peer::Sip { client, events })
}

/// The address this machine reaches the server from: callbacks go there.
fn own_address(server: SocketAddr) -> IpAddr {
    let any: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let found = std::net::UdpSocket::bind(any).and_then(|socket| {
        socket.connect(server)?;
        socket.local_addr()
    });
    found.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip())
}

fn rvp_heard(client: &RvpClient, event: RvpEvent) -> Option<Heard> {
    Some(match event {
        RvpEvent::Presence { from, state } => Heard::Presence {
            who: client.address_of(&from),
            state: state.as_str().to_owned(),
        },
        RvpEvent::Text { from, text, .. } => Heard::Text {
            from: client.address_of(&from),
            text,
        },
        RvpEvent::Typing { from, .. } => Heard::Typing {
            from: client.address_of(&from),
            active: true,
        },
        RvpEvent::Leave { from, .. } => {
            Heard::Note(format!("{} has left", client.address_of(&from)))
        }
        RvpEvent::Join { .. }
        | RvpEvent::Properties { .. }
        | RvpEvent::Other { .. }
        | RvpEvent::Application(_) => return None,
        RvpEvent::Interrupted { why } => Heard::Note(format!("the server is gone: {why}")),
        RvpEvent::Resumed => Heard::Note("the server is back".into()),
    })
}

fn sip_heard(event: SipEvent) -> Option<Heard> {
    Some(match event {
        SipEvent::Presence { who, status } => Heard::Presence {
            who,
            state: sip_word(&status).to_owned(),
        },
        SipEvent::Text { from, text } => Heard::Text { from, text },
        SipEvent::Typing { from, active } => Heard::Typing { from, active },
        SipEvent::WatchEnded { who, why } => {
            Heard::Note(format!("no longer watching {who}: {why}"))
        }
        SipEvent::Failed {
            method,
            status,
            reason,
            ..
        } => Heard::Note(format!("{method}: {status} {reason}")),
        SipEvent::Disconnected => Heard::Note("the connection to the server is gone".into()),
        _ => return None,
    })
}

/// States by their RVP names, as far as PIDF of our agent can say them.
const SIP_STATES: [(&str, Option<Activity>); 5] = [
    ("online", None),
    ("busy", Some(Activity::Busy)),
    ("away", Some(Activity::Away)),
    ("on-phone", Some(Activity::OnThePhone)),
    ("at-lunch", Some(Activity::Meal)),
];

fn sip_status(word: &str) -> Option<Status> {
    if word == "offline" {
        return Some(Status::offline());
    }
    let (_, activity) = SIP_STATES.iter().find(|(name, _)| *name == word)?;
    Some(activity.map_or_else(Status::online, Status::doing))
}

fn sip_word(status: &Status) -> &'static str {
    if !status.open {
        return "offline";
    }
    let found = SIP_STATES
        .iter()
        .find(|(_, activity)| *activity == status.activity);
    found.map_or("online", |(name, _)| name)
}

fn no_state(word: &str) -> String {
    let words: Vec<_> = SIP_STATES.iter().map(|(name, _)| *name).collect();
    format!("no state {word:?}; use {}, offline", words.join(", "))
}
