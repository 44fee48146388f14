//! Shipment tracking over RVP, both sides: a carrier NOTIFYs events of its own XML schema
//! (`package_tracking.xsd`) to a shipment's node, followers receive them as typed values.
//!
//! ```text
//! tristack node add /shipments/1Z999AA10123456784 --owner depot@example.com
//! package_tracking follow  127.0.0.1:80 im.example.com alice@example.com PASSWORD 1Z999AA10123456784
//! package_tracking publish 127.0.0.1:80 im.example.com depot@example.com PASSWORD \
//!     1Z999AA10123456784 1 2026-11-21T09:00:00Z scanned Oslo
//! ```
//!
//! Shown here: an application's own notification, `rvp::target` with a listener, `Sink`.

use rvp::client::{Client, ClientError, Settings, Sink, SinkError, Wanted};
use rvp::target::{self, Answer, Limits, Notification, Received, Target};
use rvp::{CallBack, NodeUrl, UrlError};
use std::net::{IpAddr, SocketAddr};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use xml::{Element, Prefixes};

const SCHEMA: &str = "urn:example:shipments:1";

/// An event of the schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub(crate) number: String,
    /// Counts up per shipment, so that an event that comes twice is known.
    pub(crate) sequence: u32,
    /// `xs:dateTime`, as the carrier wrote it.
    pub(crate) at: String,
    pub(crate) what: What,
}

/// What happened to the shipment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    PickedUp(String),
    Scanned(String),
    OutForDelivery(String),
    Delivered(String),
    Delayed(String),
}

/// Why XML is no event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoEvent {
    /// Another schema.
    Root,
    /// An element or attribute is missing, unknown or ill-formed.
    Part(&'static str),
}

/// Element name, attribute name, constructor.
type Kind = (&'static str, &'static str, fn(String) -> What);
const KINDS: [Kind; 5] = [
    ("picked-up", "place", What::PickedUp),
    ("scanned", "place", What::Scanned),
    ("out-for-delivery", "place", What::OutForDelivery),
    ("delivered", "signed-by", What::Delivered),
    ("delayed", "reason", What::Delayed),
];

impl What {
    /// By the element's name, as on the command line.
    pub(crate) fn named(name: &str, value: &str) -> Option<Self> {
        let kind = KINDS.iter().find(|(known, ..)| *known == name)?;
        Some(kind.2(value.to_owned()))
    }

    fn parts(&self) -> (&'static str, &'static str, &str) {
        let (at, value) = match self {
            Self::PickedUp(value) => (0, value),
            Self::Scanned(value) => (1, value),
            Self::OutForDelivery(value) => (2, value),
            Self::Delivered(value) => (3, value),
            Self::Delayed(value) => (4, value),
        };
        (KINDS[at].0, KINDS[at].1, value)
    }
}

impl Event {
    /// The document.
    pub(crate) fn to_xml(&self) -> String {
        let leaf = |name, text: &str| Element::new(SCHEMA, name).with_text(text);
        let (name, attribute, value) = self.what.parts();
        let event = Element::new(SCHEMA, "event")
            .with(leaf("number", &self.number))
            .with(leaf("sequence", &self.sequence.to_string()))
            .with(leaf("at", &self.at))
            .with(Element::new(SCHEMA, name).with_attribute(attribute, value));
        xml::write(&event, &Prefixes::new(&[("s", SCHEMA)]))
    }

    /// Reads a document's root.
    pub(crate) fn from_xml(root: &Element) -> Result<Self, NoEvent> {
        if !root.is(SCHEMA, "event") {
            return Err(NoEvent::Root);
        }
        let text = |name: &'static str| {
            let child = root.child(SCHEMA, name).ok_or(NoEvent::Part(name))?;
            Ok(child.trimmed().into_owned())
        };
        let number: String = text("number")?;
        if !is_number(&number) {
            return Err(NoEvent::Part("number"));
        }
        let mut kinds = KINDS.iter().filter_map(|(name, attribute, make)| {
            let child = root.child(SCHEMA, name)?;
            Some(make(child.attribute(attribute)?.to_owned()))
        });
        let what = kinds.next().ok_or(NoEvent::Part("what happened"))?;
        if kinds.next().is_some() {
            return Err(NoEvent::Part("what happened"));
        }
        let sequence = text("sequence")?.parse();
        Ok(Self {
            number,
            sequence: sequence.map_err(|_| NoEvent::Part("sequence"))?,
            at: text("at")?,
            what,
        })
    }
}

/// `1Z` and 4 to 16 capital letters or digits; it goes into a path.
fn is_number(text: &str) -> bool {
    let rest = text.strip_prefix("1Z").unwrap_or_default();
    let plain = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase();
    (4..=16).contains(&rest.len()) && rest.bytes().all(plain)
}

/// The node of a shipment.
pub(crate) fn node(host: &str, number: &str) -> Result<NodeUrl, UrlError> {
    if !is_number(number) {
        return Err(UrlError::Path);
    }
    NodeUrl::parse(&format!("http://{host}/shipments/{number}"))
}

/// The carrier's side: NOTIFY to the node, our XML as the body, byte for byte to each follower.
pub(crate) async fn publish(
    client: &mut Client,
    host: &str,
    event: &Event,
) -> Result<(), ClientError> {
    let node = node(host, &event.number)?;
    let headers = [("RVP-Ack-Type", "SingleHop"), ("RVP-Hop-Count", "1")];
    let body = event.to_xml().into();
    client.ask("NOTIFY", &node, &headers, body).await.map(drop)
}

/// The follower's side: a listener for the events and the subscriptions that bring them.
pub(crate) struct Following {
    pub(crate) address: SocketAddr,
    pub(crate) sink: Option<Sink>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<target::Served>,
}

/// Why following did not begin.
#[derive(Debug)]
#[allow(dead_code)] // Read by Debug.
pub(crate) enum FollowError {
    Listen(std::io::Error),
    Number(UrlError),
    Sink(SinkError),
}

/// Listens on `ip`, hands events to `events`, and subscribes if there is a server to ask.
pub(crate) async fn follow(
    ip: IpAddr,
    server: Option<&Settings>,
    numbers: &[&str],
    events: mpsc::Sender<Event>,
) -> Result<Following, FollowError> {
    let listener = tokio::net::TcpListener::bind((ip, 0)).await;
    let listener = listener.map_err(FollowError::Listen)?;
    let address = listener.local_addr().map_err(FollowError::Listen)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let target =
        Target::new(move |received: Received| std::future::ready(receive(&received, &events)));
    let served = tokio::spawn(target::serve(listener, target, Limits::default(), stopped));
    let sink = match server {
        None => None,
        Some(settings) => {
            let nodes = numbers.iter().map(|number| node(&settings.host, number));
            let nodes = nodes.map(|node| node.map(Wanted::notifications));
            let wanted = nodes
                .collect::<Result<_, _>>()
                .map_err(FollowError::Number)?;
            let call_back = CallBack::parse(&format!("http://{address}"));
            let call_back = call_back.map_err(FollowError::Number)?;
            Some(Sink::open(settings, &call_back, wanted).map_err(FollowError::Sink)?)
        }
    };
    Ok(Following {
        address,
        sink,
        stop,
        served,
    })
}

impl Following {
    /// Unsubscribes and closes the listener.
    pub(crate) async fn end(self) {
        if let Some(sink) = self.sink {
            sink.close().await;
        }
        drop(self.stop);
        let _ = self.served.await;
    }
}

/// What is no event is refused; what has no room is to be sent again.
fn receive(received: &Received, events: &mpsc::Sender<Event>) -> Answer {
    let Notification::Other(other) = &received.notification else {
        return Answer::NotAvailable;
    };
    let Some(Ok(event)) = other.element().as_ref().map(Event::from_xml) else {
        return Answer::Denied;
    };
    match events.try_send(event) {
        Ok(()) => Answer::Accepted,
        Err(_) => Answer::Busy,
    }
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code)] // The tests use the parts above.
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let usage = "usage: package_tracking follow|publish SERVER HOST ADDRESS PASSWORD NUMBER ...";
    let [verb, server, host, address, password, rest @ ..] = &arguments[..] else {
        return Err(usage.into());
    };
    let settings = Settings::new(server.parse()?, host, address, password);
    match (*verb, rest) {
        ("follow", numbers) => {
            let (sender, mut events) = mpsc::channel(64);
            let followed = follow(settings.callback, Some(&settings), numbers, sender).await;
            let following = followed.map_err(|error| format!("{error:?}"))?;
            println!("listening on {}", following.address);
            loop {
                tokio::select! {
                    Some(event) = events.recv() => println!("{event:?}"),
                    _ = tokio::signal::ctrl_c() => break,
                }
            }
            following.end().await;
        }
        ("publish", [number, sequence, at, name, value]) => {
            let event = Event {
                number: (*number).to_owned(),
                sequence: sequence.parse()?,
                at: (*at).to_owned(),
                what: What::named(name, value).ok_or(usage)?,
            };
            let (mut client, _) = Client::sign_in(settings.clone()).await?;
            publish(&mut client, host, &event).await?;
            client.sign_out().await?;
        }
        _ => return Err(usage.into()),
    }
    Ok(())
}
