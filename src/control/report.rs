//! What operators see of people and messages: the true reasons, not the mapped ones.

use super::server::{CallbackLine, Callbacks, LastNotified};
use super::wire::{
    CallbackRow, DeviceRow, PersonRow, PointRow, RefusalRow, RowResult, RowState, StepRow,
    SubscriptionRow, TraceRow,
};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{
    Caller, Command, Condition, PointInfo, Reach, Reply, Route, Standing, Topic, WatchInfo,
    WatchState,
};
use crate::core::devices::{DeviceInfo, Mark, PointDetail};
use crate::core::id::MessageId;
use crate::core::port::Account;
use crate::core::presence::State;
use crate::core::time::Time;
use crate::core::trace::{Checkpoint, Step};
use crate::gate::{Gate, Refusal};
use crate::hub::{Hub, Resolution};
use crate::telemetry::{tame, utc};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::task::JoinSet;

/// People asked at once.
const AT_ONCE: usize = 64;
/// Messages shown of one user.
const NEWEST: usize = 50;

/// One person, or everybody who is signed in, by address.
pub(super) async fn who(hub: &Hub, address: Option<&str>) -> Result<Vec<PersonRow>, String> {
    let standings = standings(hub, address).await?;
    let mut rows: Vec<PersonRow> = standings
        .iter()
        .map(|(account, standing)| person_row(account, standing, hub.now()))
        .collect();
    if address.is_none() {
        rows.retain(|row| !row.points.is_empty() || row.state != "offline");
    }
    Ok(rows)
}

/// The live state of one person, or of everybody, by address.
async fn standings(
    hub: &Hub,
    address: Option<&str>,
) -> Result<Vec<(Arc<Account>, Standing)>, String> {
    if let Some(text) = address {
        let account = local(hub, text)?;
        return Ok(vec![ask(hub, account).await?]);
    }
    let mut all = Vec::new();
    let mut asked = JoinSet::new();
    for account in hub.directory().all() {
        if asked.len() >= AT_ONCE
            && let Some(Ok(one)) = asked.join_next().await
        {
            all.push(one?);
        }
        let hub = hub.clone();
        asked.spawn(async move { ask(&hub, account).await });
    }
    while let Some(Ok(one)) = asked.join_next().await {
        all.push(one?);
    }
    all.sort_by_cached_key(|(account, _)| account.address.to_string());
    Ok(all)
}

/// Who is told of whom: of one person, or of everybody.
pub(super) async fn subscriptions(
    hub: &Hub,
    address: Option<&str>,
    notified: &LastNotified,
) -> Result<Vec<SubscriptionRow>, String> {
    let standings = standings(hub, address).await?;
    let of = |(account, standing): &(Arc<Account>, Standing)| -> Vec<SubscriptionRow> {
        let watches = standing.watches.iter();
        watches
            .map(|watch| subscription_row(account, watch, notified))
            .collect()
    };
    Ok(standings.iter().flat_map(of).collect())
}

fn subscription_row(
    account: &Account,
    watch: &WatchInfo,
    notified: &LastNotified,
) -> SubscriptionRow {
    let package = match watch.topic {
        Topic::Presence => "presence",
        Topic::Watchers => "presence.winfo",
        Topic::Calls => "dialog",
        Topic::Documents => "xcap-diff",
    };
    let state = match watch.state {
        WatchState::Active => "active",
        WatchState::Pending => "pending",
        WatchState::Waiting => "waiting",
    };
    SubscriptionRow {
        watcher: watch.watcher.to_string(),
        watched: account.address.to_string(),
        package: package.to_owned(),
        stack: watch.stack.to_string(),
        state: state.to_owned(),
        expires: utc(watch.expires.0),
        last: notified(watch.id),
    }
}

/// A person's answer about one watcher, given for him by the operator.
pub(super) async fn consent(
    hub: &Hub,
    address: &str,
    watcher: &str,
    accept: bool,
) -> Result<RowResult, String> {
    let account = local(hub, address)?;
    let watcher = Address::parse(watcher).map_err(|why| format!("{watcher:?}: {why}"))?;
    let command = Command::Decide {
        watcher: watcher.clone(),
        accept,
    };
    match hub.call(account.person, &internal(&account), command).await {
        Ok(_) => Ok(RowResult {
            address: watcher.to_string(),
            result: RowState::Updated,
            why: String::new(),
        }),
        Err(error) => Err(format!("{}: {error}", account.address)),
    }
}

/// Who makes us connect where: sign-ins, and callbacks of watches behind which no sign-in stands.
pub(super) async fn callbacks(hub: &Hub, lines: &Callbacks) -> Result<Vec<CallbackRow>, String> {
    let mut points: HashMap<String, Vec<PointRow>> = HashMap::new();
    for row in who(hub, None).await? {
        points.insert(row.address, row.points);
    }
    let mut rows = Vec::new();
    for account in hub.directory().all() {
        let address = account.address.to_string();
        let mut lines = lines(account.person);
        let points = points.remove(&address).unwrap_or_default();
        for point in points.into_iter().filter(|point| point.stack == "rvp") {
            let at = endpoint(&point.inbox);
            let at = lines.iter().position(|line| Some(line.endpoint) == at);
            let line = at.map(|at| lines.swap_remove(at));
            rows.push(callback_row(&address, Some(point), line));
        }
        let rest = lines.into_iter().map(Some);
        rows.extend(rest.map(|line| callback_row(&address, None, line)));
    }
    rows.sort_by(|a, b| (&a.address, &a.callback).cmp(&(&b.address, &b.callback)));
    Ok(rows)
}

fn callback_row(address: &str, point: Option<PointRow>, line: Option<CallbackLine>) -> CallbackRow {
    let state = match (point.as_ref().map(|point| &*point.condition), &line) {
        (Some(condition @ ("send-only" | "doubted")), _) => condition,
        (_, Some(line)) if line.failures > 0 => "backing-off",
        (_, Some(line)) if line.proven => "live",
        _ => "unproven",
    };
    let state = state.to_owned();
    let place = line
        .as_ref()
        .map(|line| format!("http://{}", line.endpoint));
    let (inbox, source) = point.map_or((None, None), |point| (Some(point.inbox), point.source));
    CallbackRow {
        address: address.to_owned(),
        callback: inbox.or(place).unwrap_or_default(),
        source,
        state,
        failures: line.as_ref().map_or(0, |line| line.failures),
        last: line.and_then(|line| line.last),
    }
}

/// The address in a callback's URL.
fn endpoint(url: &str) -> Option<SocketAddr> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let bare = || authority.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let port = if scheme == "https" { 443 } else { 80 };
    let at = authority.parse().ok();
    let at: SocketAddr = at.or_else(|| bare().map(|ip| SocketAddr::new(ip, port)))?;
    Some(SocketAddr::new(at.ip().to_canonical(), at.port()))
}

/// Traces of one message, or of the newest ones of a user.
pub(super) fn traces(
    hub: &Hub,
    message: Option<&str>,
    user: Option<&str>,
) -> Result<Vec<TraceRow>, String> {
    if let Some(text) = message {
        let id: MessageId = text.parse().map_err(|why| format!("{text:?}: {why}"))?;
        let steps = hub.trace().message(id);
        if steps.is_empty() {
            return Err(format!("no message {id} (only the newest are remembered)"));
        }
        return Ok(vec![trace_row(id, &steps)]);
    }
    let text = user.ok_or("name a message or a user")?;
    let address = Address::parse(text).map_err(|why| format!("{text:?}: {why}"))?;
    let found = hub.trace().user(&address, NEWEST);
    Ok(found
        .iter()
        .map(|(id, steps)| trace_row(*id, steps))
        .collect())
}

/// The last refused sign-ins of an address, whether it exists or not.
pub(super) fn refusals(gate: &Gate, address: &str) -> Result<Vec<RefusalRow>, String> {
    let address = Address::parse(address).map_err(|why| format!("{address:?}: {why}"))?;
    let row = |refusal: &Refusal| RefusalRow {
        at: utc(refusal.at.0),
        peer: refusal.peer.to_string(),
        stack: refusal.stack.to_string(),
        cause: tame(&refusal.cause.to_string()),
    };
    Ok(gate.refusals(&address).iter().map(row).collect())
}

fn local(hub: &Hub, text: &str) -> Result<Arc<Account>, String> {
    let address = Address::parse(text).map_err(|why| format!("{text:?}: {why}"))?;
    match hub.directory().resolve(&address) {
        Resolution::Local(account) => Ok(account),
        Resolution::UnknownUser | Resolution::Foreign => Err(format!("no such user: {address}")),
    }
}

pub(super) fn internal(account: &Account) -> Caller {
    Caller {
        address: account.address.clone(),
        person: Some(account.person),
        scheme: Scheme::Internal,
        route: Route::Internal,
    }
}

async fn ask(hub: &Hub, account: Arc<Account>) -> Result<(Arc<Account>, Standing), String> {
    let caller = internal(&account);
    match hub.call(account.person, &caller, Command::Standing).await {
        Ok(Reply::Standing(standing)) => Ok((account, *standing)),
        Ok(other) => Err(format!("{}: unexpected {other:?}", account.address)),
        Err(error) => Err(format!("{}: {error}", account.address)),
    }
}

fn person_row(account: &Account, standing: &Standing, now: Time) -> PersonRow {
    PersonRow {
        address: account.address.to_string(),
        display_name: account.display_name.clone(),
        state: state_name(standing.view.state).to_owned(),
        note: standing.view.note.as_deref().map(tame),
        since: utc(standing.view.since.0),
        points: standing
            .points
            .iter()
            .map(|point| point_row(point, standing, now))
            .collect(),
        devices: standing.devices.iter().map(device_row).collect(),
        delivery: delivery(standing),
        rulings: rulings(standing),
        aliases: account.aliases.iter().map(ToString::to_string).collect(),
        away: standing.away,
        watchers: standing
            .watches
            .iter()
            .filter(|watch| watch.topic == Topic::Presence && watch.state == WatchState::Active)
            .map(|watch| format!("{} ({})", watch.watcher, watch.stack))
            .collect(),
        pending: standing.pending,
    }
}

fn device_row(device: &DeviceInfo) -> DeviceRow {
    DeviceRow {
        id: device.id.0,
        why: device.bond.map(|bond| bond.to_string()),
        points: device.points.iter().map(|point| point.id.0).collect(),
    }
}

fn delivery(standing: &Standing) -> String {
    let spread = &standing.spread;
    let own = if standing.device_rules.policy.is_some() {
        " (this person's own)"
    } else {
        ""
    };
    match spread.preferred {
        Some(stack) => format!("{}{own}, {stack} preferred", spread.policy),
        None => format!("{}{own}", spread.policy),
    }
}

fn rulings(standing: &Standing) -> Vec<String> {
    let mark = |mark: &Mark| {
        let place = match (&mark.machine, mark.source) {
            (Some(machine), _) => machine.to_string(),
            (None, Some(source)) => source.to_string(),
            (None, None) => "anywhere".to_owned(),
        };
        let family = mark.family.as_deref().unwrap_or("any client");
        tame(&format!("{} {family} at {place}", mark.stack))
    };
    let ruled = standing.device_rules.rulings.iter().map(|ruling| {
        let what = if ruling.together {
            "one device"
        } else {
            "two devices"
        };
        let (one, other) = (mark(&ruling.one), mark(&ruling.other));
        format!(
            "{what}, by an operator at {}: {one}; {other}",
            utc(ruling.at.0)
        )
    });
    let parted = standing.device_rules.splits.iter().map(|split| {
        let (one, other) = (split.one.0, split.other.0);
        format!(
            "parted at {}: {one} and {other}, {}",
            utc(split.at.0),
            split.why
        )
    });
    ruled.chain(parted).collect()
}

/// Why a point is doubted.
fn doubt(detail: &PointDetail) -> Option<String> {
    let since = utc(detail.doubted?.0);
    let failure = match detail.failure {
        None => "a notification was not taken".to_owned(),
        Some(outcome) => format!("a message was not taken: {outcome:?}").to_lowercase(),
    };
    Some(format!("{failure}, since {since}"))
}

fn point_row(point: &PointInfo, standing: &Standing, now: Time) -> PointRow {
    let mut details = standing.devices.iter().flat_map(|device| &device.points);
    let detail = details.find(|detail| detail.id == point.id);
    let condition = match (point.reach, point.condition) {
        (Reach::SendOnly, _) => "send-only",
        (Reach::Full, Condition::Live) => "live",
        (Reach::Full, Condition::Grace) => "grace",
        (Reach::Full, Condition::Suspended) => "suspended",
        (Reach::Full, Condition::Doubted) => "doubted",
    };
    PointRow {
        id: point.id.0,
        stack: point.stack.to_string(),
        inbox: tame(&point.inbox),
        client: tame(&point.client),
        source: point.source.map(|source| source.to_string()),
        condition: condition.to_owned(),
        expires: utc(point.expires.0),
        left: point.expires.since(now).as_secs(),
        since: detail.map(|detail| utc(detail.since.0)).unwrap_or_default(),
        active: utc(point.active.0),
        idle: detail.is_some_and(|detail| detail.idle),
        machine: detail.and_then(|d| d.machine.as_deref().map(tame)),
        family: detail.and_then(|d| d.family.as_deref().map(tame)),
        doubt: detail.and_then(doubt),
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Registered => "registered",
        State::Online => "online",
        State::Idle => "idle",
        State::Busy => "busy",
        State::DoNotDisturb => "do-not-disturb",
        State::OnPhone => "on-phone",
        State::AtLunch => "at-lunch",
        State::Away => "away",
        State::BackSoon => "back-soon",
        State::Invisible => "invisible",
        State::Offline => "offline",
    }
}

fn trace_row(id: MessageId, steps: &[Checkpoint]) -> TraceRow {
    TraceRow {
        message: id.to_string(),
        steps: steps.iter().map(step_row).collect(),
    }
}

fn step_row(checkpoint: &Checkpoint) -> StepRow {
    let (step, detail) = describe(&checkpoint.step);
    StepRow {
        at: utc(checkpoint.at.0),
        step: step.to_owned(),
        detail: tame(&detail),
    }
}

fn describe(step: &Step) -> (&'static str, String) {
    match step {
        Step::Accepted {
            from,
            to,
            stack,
            kind,
            conversation,
        } => (
            "accepted",
            format!("{kind:?} from {from} to {to} by {stack}, conversation {conversation}"),
        ),
        Step::Authorised => ("authorised", String::new()),
        Step::Routed(points) => {
            let points: Vec<_> = points
                .iter()
                .map(|(point, stack)| format!("{}/{stack}", point.0))
                .collect();
            ("routed", points.join(", "))
        }
        Step::Delivered(point) => ("delivered", point.0.to_string()),
        Step::AttemptFailed(point, outcome) => {
            ("attempt failed", format!("{} {outcome:?}", point.0))
        }
        Step::Kept => ("kept", "will be tried on".into()),
        Step::Receipt(fate) => ("receipt", format!("{fate:?}").to_lowercase()),
        Step::Redelivered(point) => ("redelivered", point.0.to_string()),
        Step::Duplicate => ("duplicate", String::new()),
        Step::Dropped(why) => ("dropped", (*why).to_owned()),
        Step::Failed(error) => ("failed", error.to_string()),
        Step::SenderTold => ("sender told", String::new()),
    }
}
