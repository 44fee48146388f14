//! Texts from one user to another, within SIP and across the stacks.

use super::{FIRST_RECIPIENT, Kind, Plan, SENDERS};
use crate::Failure;
use crate::agent::{Agent, Next, message_text};
use crate::http::{self, Callbacks};
use crate::meter::Meter;
use crate::report::{Compare, Goal, Row};
use crate::server::Peer;
use crate::server::tristack::Server;
use crate::sip::{self, User};
use crate::wire::Transport;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;
use tokio::task::LocalSet;

type Shared = Rc<RefCell<Meter>>;

/// MESSAGE relayed between two SIP users, Digest on each.
pub(crate) async fn relay(
    peer: &Peer,
    plan: &Plan,
    transport: Transport,
) -> Result<Vec<Row>, Failure> {
    let local = LocalSet::new();
    let name = format!("MESSAGE SIP -> SIP, {}", transport.word());
    let work = async {
        listen_sip(peer, transport).await?;
        let meter = Rc::new(RefCell::new(Meter::start(plan.seconds, &peer.process)));
        send_sip(peer, plan, transport, &meter).await?;
        Ok::<_, Failure>(meter)
    };
    let meter = local.run_until(work).await?;
    let row = finish(meter, &name, peer)?;
    let row = if transport == Transport::Udp {
        row.goal(Goal::AtLeast(10_000.0))
    } else {
        row
    };
    Ok(vec![row.against(Compare::Cpu, 1.0)])
}

/// Texts to and from RVP.
pub(crate) async fn cross(
    server: &Server,
    plan: &Plan,
    from: Kind,
    to: Kind,
) -> Result<Vec<Row>, Failure> {
    let local = LocalSet::new();
    let peer = &server.peer;
    let work = async {
        let mut kept = Vec::new();
        if to == Kind::Sip {
            listen_sip(peer, Transport::Udp).await?;
        } else {
            kept = listen_rvp(server).await?;
        }
        let meter = Rc::new(RefCell::new(Meter::start(plan.seconds, &peer.process)));
        match from {
            Kind::Sip => send_sip(peer, plan, Transport::Udp, &meter).await?,
            Kind::Rvp => send_rvp(server, plan, &meter).await?,
        }
        drop(kept);
        Ok::<_, Failure>(meter)
    };
    let meter = local.run_until(work).await?;
    let name = match (from, to) {
        (Kind::Sip, _) => "text SIP -> RVP",
        (Kind::Rvp, Kind::Sip) => "text RVP -> SIP",
        (Kind::Rvp, Kind::Rvp) => "NOTIFY RVP -> RVP",
    };
    let row = finish(meter, name, peer)?;
    Ok(vec![if from == to {
        row.goal(Goal::AtLeast(10_000.0))
    } else {
        row
    }])
}

fn finish(meter: Shared, name: &str, peer: &Peer) -> Result<Row, Failure> {
    let meter = Rc::try_unwrap(meter).map_err(|_| "still measuring")?;
    Ok(meter.into_inner().row(name, &peer.process))
}

/// The flows of users: one for all of them over UDP, one each over a stream.
async fn flows(peer: &Peer, transport: Transport, first: u64) -> Result<Vec<Agent>, Failure> {
    if transport == Transport::Udp {
        return Ok(vec![Agent::udp(peer.udp, first..first + SENDERS).await?]);
    }
    let mut all = Vec::new();
    for n in first..first + SENDERS {
        all.push(Agent::open(transport, peer.tcp, None, n..n + 1).await?);
    }
    Ok(all)
}

/// Recipients that answer everything from now on.
async fn listen_sip(peer: &Peer, transport: Transport) -> Result<(), Failure> {
    for mut agent in flows(peer, transport, FIRST_RECIPIENT).await? {
        agent.register().await?;
        tokio::task::spawn_local(agent.listen(|_| {}));
    }
    Ok(())
}

/// Recipients with callbacks; what is returned must be kept alive.
pub(crate) async fn listen_rvp(server: &Server) -> Result<Vec<http::Client>, Failure> {
    let mut clients = Vec::new();
    for n in FIRST_RECIPIENT..FIRST_RECIPIENT + SENDERS {
        let callbacks = Callbacks::listen().await?;
        clients.push(http::sign_in(server.rvp, n, callbacks.address).await?);
    }
    Ok(clients)
}

async fn send_sip(
    peer: &Peer,
    plan: &Plan,
    transport: Transport,
    meter: &Shared,
) -> Result<(), Failure> {
    let mut running = Vec::new();
    let agents = flows(peer, transport, 0).await?;
    let window = plan.window.div_ceil(agents.len());
    for (number, mut agent) in agents.into_iter().enumerate() {
        agent.register().await?;
        let meter = Rc::clone(meter);
        let task = async move {
            let mut at = 0;
            let next = |users: &mut [User], about: Next| {
                at = (at + 1) % users.len();
                let to = FIRST_RECIPIENT + (at + number) as u64;
                let text = message_text(users.get_mut(at)?, to, about);
                (!meter.borrow().over()).then_some((at, text))
            };
            let lost = agent
                .run(window, next, |answer| {
                    let good = answer.status() == 200;
                    let what = || sip::head(answer.text).to_owned();
                    // The first answer to each is the challenge.
                    if answer.status() != 407 {
                        meter.borrow_mut().add(good, answer.taken, what);
                    }
                })
                .await?;
            meter.borrow_mut().lost(lost);
            Ok::<_, Failure>(())
        };
        running.push(tokio::task::spawn_local(task));
    }
    for task in running {
        task.await.map_err(|e| e.to_string())??;
    }
    Ok(())
}

/// Texts of RVP users, each over a kept connection of its own with Digest on every request.
pub(crate) async fn send_rvp(server: &Server, plan: &Plan, meter: &Shared) -> Result<(), Failure> {
    let mut running = Vec::new();
    for n in 0..plan.window as u64 {
        let meter = Rc::clone(meter);
        let (user, to) = (n % SENDERS, FIRST_RECIPIENT + n % SENDERS);
        let mut client = http::Client::connect(server.rvp, user).await?;
        running.push(tokio::task::spawn_local(async move {
            while !meter.borrow().over() {
                let start = Instant::now();
                let answer = client.text(to).await;
                let good = answer.as_ref().is_ok_and(|a| a.status == 200);
                let taken = start.elapsed();
                let what = || answer.map_or_else(|error| error, |answer| answer.head);
                meter.borrow_mut().add(good, taken, what);
                if !good {
                    return;
                }
            }
        }));
    }
    for task in running {
        task.await.map_err(|e| e.to_string())?;
    }
    Ok(())
}
