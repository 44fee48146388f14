//! SUBSCRIBE: sign-in, watching, renewal.

use super::super::app::{Asked, Refused, Reply};
use super::super::callback::policy::{From, Mismatch, NotDialled};
use super::super::callback::verdict::{Verdict, weigh};
use super::super::handle::Wire;
use super::super::peer::{is_peer, wire};
use super::super::{RVP, translate};
use super::{propfind, seconds, seconds_left};
use crate::core::access::Right;
use crate::core::address::Address;
use crate::core::command::{
    Caller, Command, PointChange, PointInfo, PointSpec, Reach, Register, Reply as Done, Tether,
    Topic, Via, Watch,
};
use crate::core::error::Error;
use crate::core::id::{PointId, Stack, WatchId};
use crate::core::node::INSIDE;
use crate::front::family::family;
use crate::gate::Cause;
use crate::hub::Resolution;
use rvp::document::Multistatus;
use rvp::request::{NotificationType, Subscribe, SubscriptionId};
use rvp::{CallBack, Status};
use std::net::SocketAddr;
use std::time::Duration;

/// Lease when a renewal names none; what clients usually ask for (`rvp.md` 2).
const USUAL: u32 = 14_400;

/// A new subscription.
pub(super) async fn new(asked: &Asked<'_>, wish: &Subscribe) -> Result<Reply, Refused> {
    match &wish.kind {
        NotificationType::PragmaNotify => sign_in(asked, wish).await,
        NotificationType::PropChange => watch(asked, wish).await,
        NotificationType::Other(kind) => Err(Refused::new(
            Status::PreconditionFailed,
            format!("nothing is ever notified as {kind}"),
        )),
    }
}

/// Where the notifications of a subscription go.
enum Target {
    /// To the caller's own inboxes.
    Logical,
    /// To the inboxes of somebody whom the caller subscribes.
    Other(Address),
    /// To the caller's own server.
    Server,
    /// To this checked address.
    Dial(SocketAddr),
    /// Nowhere: the address may not be dialled.
    Nowhere,
}

/// Where notifications go; a node that is hidden from the caller is not there, whatever is wrong
/// with his Call-Back.
async fn aim(asked: &Asked<'_>, call_back: &CallBack) -> Result<Target, Refused> {
    let refused = match target(asked, call_back) {
        Ok(target) => return Ok(target),
        Err(refused) => refused,
    };
    match asked.call(Command::Check(Right::List)).await {
        Err(Error::UnknownUser) => Err(Error::UnknownUser.into()),
        _ => Err(refused),
    }
}

fn target(asked: &Asked<'_>, call_back: &CallBack) -> Result<Target, Refused> {
    let front = asked.front;
    let (source, local) = (asked.ends.peer.ip(), asked.ends.local.ip());
    if is_peer(asked.caller) && front.peers.is_elsewhere(&asked.caller.address) {
        let node = call_back.node().map(rvp::Principal::Node);
        let named = node.and_then(|node| front.peers.claimed(&node, local));
        if named.as_ref() == Some(&asked.caller.address) {
            return Ok(Target::Server);
        }
        return Err(Refused::new(
            Status::Forbidden,
            "the Call-Back is not the logical URL of whom the server speaks for",
        ));
    }
    let others = match asked.caller.person {
        Some(person) => front.sightings.of(person),
        None => Vec::new(),
    };
    let from = From {
        source,
        local,
        others: &others,
    };
    match weigh(&front.names, &front.policy, call_back, &from) {
        Verdict::Logical(address) if asked.same_person(&address, asked.caller.person) => {
            Ok(Target::Logical)
        }
        Verdict::Logical(address) => Ok(Target::Other(address)),
        Verdict::Ourselves => Err(Refused::new(
            Status::BadRequest,
            "the Call-Back is this server itself",
        )),
        Verdict::Dial(endpoint) => Ok(Target::Dial(endpoint)),
        Verdict::Not(why) => not_dialled(asked, call_back, why),
    }
}

fn not_dialled(
    asked: &Asked<'_>,
    call_back: &CallBack,
    why: NotDialled,
) -> Result<Target, Refused> {
    match asked.front.policy.mismatch {
        Mismatch::Refuse => Err(Refused::new(Status::Forbidden, why.to_string())),
        Mismatch::SendOnly => {
            tracing::warn!(
                who = %asked.caller.address, %call_back, peer = %asked.ends.peer.ip(), %why,
                "send-only: notifications can't reach this client"
            );
            asked.explain(Cause::Policy(format!(
                "signed in send-only, {call_back} is not dialled: {why}"
            )));
            Ok(Target::Nowhere)
        }
    }
}

fn wire(asked: &Asked<'_>, call_back: &CallBack, target: &Target) -> Wire {
    Wire {
        endpoint: match target {
            Target::Dial(endpoint) => Some(*endpoint),
            Target::Logical | Target::Other(_) | Target::Server | Target::Nowhere => None,
        },
        host: call_back.authority().to_string(),
        target: call_back.target(),
        version: asked.request.version.as_str().to_owned(),
        spoken: asked.spoken(),
        agent: asked.request.user_agent.clone().unwrap_or_default(),
    }
}

async fn sign_in(asked: &Asked<'_>, wish: &Subscribe) -> Result<Reply, Refused> {
    if asked.is_node() {
        return subscribe_node(asked, wish).await;
    }
    if !asked.is_own() {
        // What is sent to a person is nobody else's.
        return Err(Refused::new(
            Status::Forbidden,
            "pragma/notify of another person's node",
        ));
    }
    let target = aim(asked, &wish.call_back).await?;
    let reach = match target {
        Target::Dial(_) => Reach::Full,
        Target::Nowhere => Reach::SendOnly,
        Target::Other(address) => {
            let cause = format!("the Call-Back is {address}, who did not ask");
            return Err(Refused::new(Status::Forbidden, cause));
        }
        Target::Logical | Target::Server => {
            return Err(Refused::new(
                Status::BadRequest,
                "a sign-in needs a listener of the client's own as Call-Back",
            ));
        }
    };
    let inbox = wish.call_back.to_string();
    tracing::info!(who = %asked.caller.address, call_back = %inbox, ?reach, "rvp sign-in");
    put(asked, wish, (&target, asked.caller), (RVP, inbox)).await
}

/// What is sent to a node that is no person reaches everybody who subscribes with the right
/// (`RVP 1`): at a listener, or at the subscriber's own logical URL.
async fn subscribe_node(asked: &Asked<'_>, wish: &Subscribe) -> Result<Reply, Refused> {
    let target = aim(asked, &wish.call_back).await?;
    let caller = subscriber(asked, &target).await?;
    let holder = &caller.address;
    let (stack, inbox) = match target {
        Target::Logical | Target::Other(_) | Target::Server => (INSIDE, holder.to_string()),
        // Two people behind one listener are two inboxes.
        Target::Dial(_) | Target::Nowhere => (RVP, format!("{} {holder}", wish.call_back)),
    };
    put(asked, wish, (&target, &caller), (stack, inbox)).await
}

/// In whose name a subscription is made: the caller's, or that of somebody whom he subscribes, who
/// gets no more than his own rights allow.
async fn subscriber(asked: &Asked<'_>, target: &Target) -> Result<Caller, Refused> {
    let Target::Other(address) = target else {
        return Ok(asked.caller.clone());
    };
    let refused = |why: &str| {
        let cause = format!("the Call-Back is {address}, who did not ask, and {why}");
        Refused::new(Status::Forbidden, cause)
    };
    let Resolution::Local(account) = asked.front.hub.directory().resolve(address) else {
        return Err(refused("is nobody here"));
    };
    if asked.front.peers.is_elsewhere(address) {
        return Err(refused("is held elsewhere"));
    }
    match asked.call(Command::Check(Right::SubscribeOthers)).await {
        Ok(_) => Ok(Caller {
            address: address.clone(),
            person: Some(account.person),
            ..asked.caller.clone()
        }),
        Err(Error::Denied(_)) => Err(refused("subscribe-others is not granted")),
        Err(error) => Err(error.into()),
    }
}

async fn put(
    asked: &Asked<'_>,
    wish: &Subscribe,
    (target, caller): (&Target, &Caller),
    (stack, inbox): (Stack, String),
) -> Result<Reply, Refused> {
    let wire = wire(asked, &wish.call_back, target);
    let spec = PointSpec {
        key: None,
        inbox: inbox.into(),
        lease: Duration::from_secs(wish.lifetime.into()),
        tether: Tether::Address,
        reach: match target {
            Target::Nowhere => Reach::SendOnly,
            Target::Dial(_) | Target::Logical | Target::Other(_) | Target::Server => Reach::Full,
        },
        implies: None,
        preference: 1000,
        source: Some(asked.ends.peer.ip()),
        client: wire.agent.as_str().into(),
        machine: asked.machine.clone(),
        family: family(&wire.agent),
        handle: wire.handle(),
    };
    let inbox = spec.inbox.clone();
    let change = PointChange::Put(Box::new(spec));
    let points = register_as(asked, caller, stack, change).await?;
    // Ids rise, so the newest of this inbox is the one just made.
    let point = points
        .into_iter()
        .filter(|point| point.inbox == inbox)
        .max_by_key(|point| point.id)
        .ok_or(Error::Storage)?;
    let left = seconds_left(point.expires, asked.front.hub.now());
    Ok(Reply::empty().subscription(point.id.0, left))
}

/// Changes the caller's points of a stack.
pub(super) async fn register(
    asked: &Asked<'_>,
    stack: Stack,
    change: PointChange,
) -> Result<Vec<PointInfo>, Error> {
    register_as(asked, asked.caller, stack, change).await
}

async fn register_as(
    asked: &Asked<'_>,
    caller: &Caller,
    stack: Stack,
    change: PointChange,
) -> Result<Vec<PointInfo>, Error> {
    let command = Command::Register(Register {
        stack,
        lineage: None,
        changes: vec![change],
    });
    match asked.call_as(caller, command).await? {
        Done::Points(points) => Ok(points),
        _ => Ok(Vec::new()),
    }
}

async fn watch(asked: &Asked<'_>, wish: &Subscribe) -> Result<Reply, Refused> {
    let target = aim(asked, &wish.call_back).await?;
    let caller = subscriber(asked, &target).await?;
    let via = match target {
        Target::Logical | Target::Other(_) => Via::Inboxes,
        Target::Dial(_) | Target::Server | Target::Nowhere => Via::Direct,
    };
    let command = Command::Watch(Watch {
        topic: Topic::Presence,
        stack: RVP,
        lease: Duration::from_secs(wish.lifetime.into()),
        via,
        notify: false,
        key: None,
        handle: match target {
            Target::Server => wire::handle(&asked.caller.address),
            _ => wire(asked, &wish.call_back, &target).handle(),
        },
    });
    let Done::Watching {
        watch: Some(watch),
        lease,
        view,
    } = asked.call_as(&caller, command).await?
    else {
        return Err(Error::Storage.into());
    };
    let mut properties = vec![translate::state_property(&view)];
    properties.extend(propfind::profile(asked).await);
    let body = Multistatus::watched(asked.href(), properties).to_xml();
    Ok(Reply::xml(Status::MultiStatus, body).subscription(watch.0, seconds(lease)))
}

/// Extends a sign-in or a watch.
pub(super) async fn renew(
    asked: &Asked<'_>,
    id: &SubscriptionId,
    lifetime: Option<u32>,
) -> Result<Reply, Refused> {
    let Some(number) = number(id) else {
        return Err(Error::StaleId.into());
    };
    let lease = Duration::from_secs(lifetime.unwrap_or(USUAL).into());
    if asked.is_own() || asked.is_node() {
        let point = PointId(number);
        match asked.call(Command::Renew { point, lease }).await {
            Ok(Done::Points(points)) => {
                let found = points.into_iter().find(|info| info.id == point);
                let expires = found.ok_or(Error::StaleId)?.expires;
                let left = seconds_left(expires, asked.front.hub.now());
                return Ok(Reply::empty().subscription(number, left));
            }
            Ok(_) | Err(Error::StaleId) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let command = Command::RenewWatch {
        watch: WatchId(number),
        lease,
        handle: None,
        notify: false,
    };
    match asked.call(command).await? {
        Done::Watching { lease, .. } => Ok(Reply::empty().subscription(number, seconds(lease))),
        _ => Err(Error::StaleId.into()),
    }
}

/// The number of one of our ids.
pub(super) fn number(id: &SubscriptionId) -> Option<u32> {
    id.number().and_then(|number| u32::try_from(number).ok())
}
