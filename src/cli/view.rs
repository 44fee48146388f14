//! `tristack explain`, `tristack trace` and others: what the running server knows.

use super::out::Out;
use super::table::Table;
use super::user::connect;
use super::{Exit, Failure};
use crate::config::Config;
use crate::control::{CallbackRow, Done, PeerRow, RefusalRow, Request, SubscriptionRow, TraceRow};
use std::fmt::Write as _;

pub(super) async fn subscriptions(
    config: Config,
    address: Option<String>,
    out: &Out,
) -> Result<Exit, Failure> {
    let request = Request::Subscriptions { address };
    let done = connect(&config).await?.ask(&request).await?;
    let Done::Subscriptions(rows) = done else {
        return Err(Failure::new(Exit::Failed, format!("unexpected: {done:?}")));
    };
    out.value(&rows, || subscriptions_text(&rows));
    Ok(Exit::Done)
}

fn subscriptions_text(rows: &[SubscriptionRow]) -> String {
    if rows.is_empty() {
        return "Nobody watches anybody.\n".into();
    }
    let mut table = Table::new(&[
        "WATCHER", "WATCHED", "PACKAGE", "STACK", "STATE", "UNTIL", "LAST",
    ]);
    for row in rows {
        table.row([
            row.watcher.clone(),
            row.watched.clone(),
            row.package.clone(),
            row.stack.clone(),
            row.state.clone(),
            row.expires.clone(),
            row.last.clone().unwrap_or_else(|| "-".into()),
        ]);
    }
    table.print()
}

pub(super) async fn consent(
    config: Config,
    (address, watcher, accept): (String, String, bool),
    out: &Out,
) -> Result<Exit, Failure> {
    let request = Request::Consent {
        address,
        watcher,
        accept,
    };
    let done = connect(&config).await?.ask(&request).await?;
    let Done::Rows(rows) = done else {
        return Err(Failure::new(Exit::Failed, format!("unexpected: {done:?}")));
    };
    out.value(&rows, || super::user::rows_text(&rows));
    Ok(Exit::Done)
}

pub(super) async fn callbacks(config: Config, out: &Out) -> Result<Exit, Failure> {
    let done = connect(&config).await?.ask(&Request::Callbacks).await?;
    let Done::Callbacks(rows) = done else {
        return Err(Failure::new(Exit::Failed, format!("unexpected: {done:?}")));
    };
    out.value(&rows, || callbacks_text(&rows));
    Ok(Exit::Done)
}

fn callbacks_text(rows: &[CallbackRow]) -> String {
    if rows.is_empty() {
        return "Nobody makes the server connect anywhere.\n".into();
    }
    let mut table = Table::new(&["WHO", "CALLBACK", "FROM", "STATE", "FAILED", "LAST"]);
    for row in rows {
        table.row([
            row.address.clone(),
            row.callback.clone(),
            row.source.clone().unwrap_or_else(|| "-".into()),
            row.state.clone(),
            row.failures.to_string(),
            row.last.clone().unwrap_or_else(|| "-".into()),
        ]);
    }
    table.print()
}

pub(super) async fn peers(config: Config, out: &Out) -> Result<Exit, Failure> {
    let done = connect(&config).await?.ask(&Request::Peers).await?;
    let Done::Peers(rows) = done else {
        return Err(Failure::new(Exit::Failed, format!("unexpected: {done:?}")));
    };
    out.value(&rows, || peers_text(&rows));
    Ok(Exit::Done)
}

fn peers_text(rows: &[PeerRow]) -> String {
    if rows.is_empty() {
        return "No other domain's server is configured or was asked.\n".into();
    }
    let mut table = Table::new(&[
        "STACK", "PEER", "WHERE", "TRUST", "STATE", "SENT", "FAILED", "IN A ROW", "LAST",
    ]);
    for row in rows {
        let last = match (&row.last, row.ago) {
            (Some(what), Some(ago)) => format!("{what} ({ago} s ago)"),
            (Some(what), None) => what.clone(),
            (None, _) => "-".into(),
        };
        table.row([
            row.stack.clone(),
            row.name.clone(),
            row.route.clone().unwrap_or_else(|| "looked up".into()),
            row.trust.clone(),
            row.state.clone(),
            row.sent.to_string(),
            row.failed.to_string(),
            row.failures.to_string(),
            last,
        ]);
    }
    table.print()
}

pub(super) async fn explain(config: Config, address: String, out: &Out) -> Result<Exit, Failure> {
    let done = connect(&config)
        .await?
        .ask(&Request::Explain {
            address: address.clone(),
        })
        .await?;
    let Done::Refusals(refusals) = done else {
        return Err(Failure::new(Exit::Failed, format!("unexpected: {done:?}")));
    };
    out.value(&refusals, || refusals_text(&address, &refusals));
    Ok(Exit::Done)
}

fn refusals_text(address: &str, refusals: &[RefusalRow]) -> String {
    if refusals.is_empty() {
        return format!("No sign-in of {address} was refused since the server started.\n");
    }
    let mut table = Table::new(&["WHEN", "FROM", "STACK", "CAUSE"]);
    for refusal in refusals {
        table.row([
            refusal.at.clone(),
            refusal.peer.clone(),
            refusal.stack.clone(),
            refusal.cause.clone(),
        ]);
    }
    table.print()
}

pub(super) async fn trace(
    config: Config,
    message: Option<String>,
    user: Option<String>,
    out: &Out,
) -> Result<Exit, Failure> {
    let done = connect(&config)
        .await?
        .ask(&Request::Trace { message, user })
        .await?;
    let Done::Traces(traces) = done else {
        return Err(Failure::new(Exit::Failed, format!("unexpected: {done:?}")));
    };
    out.value(&traces, || traces_text(&traces));
    Ok(Exit::Done)
}

fn traces_text(traces: &[TraceRow]) -> String {
    if traces.is_empty() {
        return "No messages (only the newest are remembered).\n".into();
    }
    let mut text = String::new();
    for trace in traces {
        let _ = writeln!(text, "message {}", trace.message);
        let mut table = Table::new(&["  WHEN", "STEP", "DETAIL"]);
        for step in &trace.steps {
            table.row([
                format!("  {}", step.at),
                step.step.clone(),
                step.detail.clone(),
            ]);
        }
        text.push_str(&table.print());
    }
    text
}

pub(super) async fn portal_code(
    config: Config,
    address: String,
    out: &Out,
) -> Result<Exit, Failure> {
    let done = connect(&config)
        .await?
        .ask(&Request::PortalCode { address })
        .await?;
    let Done::Code { code, seconds } = done else {
        return Err(Failure::new(Exit::Failed, "unexpected answer"));
    };
    let value = serde_json::json!({ "code": code, "seconds": seconds });
    out.value(&value, || {
        format!("{code}\nvalid once, for {} minutes\n", seconds / 60)
    });
    Ok(Exit::Done)
}
