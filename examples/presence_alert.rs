//! Tells everybody who is there, and nobody else, when something happens: a bank's traders, a
//! hospital's shift. Watches hundreds of people through one ordinary account.
//!
//! ```text
//! tail -f orders.log | presence_alert 127.0.0.1:80 im.example.com alerts@example.com PASSWORD \
//!     alice@example.com bob@example.com ...
//! ```
//!
//! Each line on standard input is an event. Shown here: many watches with `rvp::client`, presence
//! kept in a table, texts to those online, honest counts.

use rvp::NodeUrl;
use rvp::client::{Client, ClientError, Event, Events, Settings};
use rvp::document::{Property, State};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// What came of one alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    /// Took it.
    pub(crate) told: usize,
    /// Were shown as there but did not take it.
    pub(crate) failed: usize,
    /// Were not there, or not to be disturbed.
    pub(crate) away: usize,
}

struct Person {
    node: NodeUrl,
    state: State,
}

/// The watcher.
pub(crate) struct Alert {
    client: Client,
    events: Events,
    people: BTreeMap<String, Person>,
    session: String,
}

impl Alert {
    /// Signs in and watches everybody; who cannot be watched is named by the error.
    pub(crate) async fn start(
        settings: Settings,
        people: &[&str],
    ) -> Result<Self, (String, ClientError)> {
        let me = settings.address.clone();
        let own = |error| (me.clone(), error);
        let (mut client, events) = Client::sign_in(settings).await.map_err(own)?;
        client.publish(State::Online).await.map_err(own)?;
        let mut watched = BTreeMap::new();
        for address in people {
            let named = |error| ((*address).to_owned(), error);
            let node = client.node_of(address).map_err(named)?;
            let properties = client.watch(&node).await.map_err(named)?;
            let mut states = properties.iter().filter_map(|property| match property {
                Property::State(value) => Some(value.state.clone()),
                _ => None,
            });
            let state = states.next_back().unwrap_or(State::Offline);
            watched.insert(node.href(), Person { node, state });
        }
        let session = client.new_session();
        Ok(Self {
            client,
            events,
            people: watched,
            session,
        })
    }

    /// Takes one presence change; answers texts that people send back. `false` at the end.
    pub(crate) async fn listen(&mut self) -> bool {
        match self.events.recv().await {
            None => false,
            Some(event) => {
                self.learn(event);
                true
            }
        }
    }

    fn learn(&mut self, event: Event) {
        if let Event::Presence { from, state } = event
            && let Ok(node) = NodeUrl::parse(&from.href)
            && let Some(person) = self.people.get_mut(&node.href())
        {
            person.state = state;
        }
    }

    /// How many are there now.
    pub(crate) fn there(&self) -> usize {
        self.people.values().filter(|p| is_there(&p.state)).count()
    }

    /// Sends the text to everybody who is there.
    pub(crate) async fn tell(&mut self, text: &str) -> Outcome {
        // Everything that is known by now counts.
        while let Ok(event) = self.events.try_recv() {
            self.learn(event);
        }
        let mut outcome = Outcome::default();
        for person in self.people.values() {
            if !is_there(&person.state) {
                outcome.away += 1;
            } else if let Err(error) = self.client.text(&person.node, &self.session, text).await {
                eprintln!("{}: {error}", person.node);
                outcome.failed += 1;
            } else {
                outcome.told += 1;
            }
        }
        outcome
    }

    /// Signs out.
    pub(crate) async fn end(self) -> Result<(), ClientError> {
        self.client.sign_out().await
    }
}

/// An alert may interrupt who is online or busy at the desk, nobody who is away from it.
fn is_there(state: &State) -> bool {
    matches!(state, State::Online | State::Busy | State::OnPhone)
}

/// Runs until the lines end.
pub(crate) async fn run(
    alert: &mut Alert,
    mut lines: mpsc::Receiver<String>,
    report: impl Fn(&str, Outcome),
) {
    loop {
        tokio::select! {
            biased;
            more = alert.listen() => if !more { return },
            line = lines.recv() => match line {
                None => return,
                Some(line) => report(&line, alert.tell(&line).await),
            },
        }
    }
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code)] // The tests use the parts above.
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [server, host, address, password, people @ ..] = &arguments[..] else {
        return Err("usage: presence_alert SERVER HOST ADDRESS PASSWORD PERSON...".into());
    };
    let settings = Settings::new(server.parse()?, host, address, password);
    let started = Alert::start(settings, people).await;
    let mut alert = started.map_err(|(who, error)| format!("{who}: {error}"))?;
    println!("{} are there", alert.there());
    let (sender, lines) = mpsc::channel(16);
    // Reading a terminal blocks, so it has a thread of its own.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    run(&mut alert, lines, |line, outcome| {
        println!("{line}: {outcome:?}");
    })
    .await;
    alert.end().await?;
    Ok(())
}
