//! What operators ask of filters: what they did, and what becomes of messages they hold.

use super::wire::{Done, RowResult, RowState};
use crate::core::id::MessageId;
use crate::core::message::Content;
use crate::core::port::HeldRecord;
use crate::filter::Filter;
use crate::hub::Hub;
use crate::telemetry::utc;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Characters of a held text that are shown.
const SHOWN: usize = 200;

/// See [`super::Request::Filter`].
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum FilterRequest {
    /// All filters, in order.
    List,
    /// Messages that filters hold.
    Held,
    /// Deliver one.
    Release {
        /// Its id.
        message: String,
    },
    /// Drop one; its sender is told.
    Drop {
        /// Its id.
        message: String,
        /// What he is told; the filter's reason, if nothing is said.
        reason: Option<String>,
    },
}

/// One filter.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct FilterRow {
    /// Its name.
    pub name: String,
    /// It only logs and counts.
    pub test: bool,
    /// Messages it has looked at since the server started.
    pub seen: u64,
    /// Of these, those it acted on (or would have).
    pub hits: u64,
}

/// One held message.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// Its id.
    pub message: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// Sender.
    pub from: String,
    /// Recipient.
    pub to: String,
    /// Which filter holds it.
    pub filter: String,
    /// Why.
    pub reason: String,
    /// The beginning of its text.
    pub text: String,
}

/// Does what is asked.
pub(super) async fn answer(
    hub: &Hub,
    filters: &[Arc<Filter>],
    request: FilterRequest,
) -> Result<Done, String> {
    match request {
        FilterRequest::List => {
            let rows = filters.iter().map(|filter| filter_row(filter));
            Ok(Done::Filters(rows.collect()))
        }
        FilterRequest::Held => {
            let held = hub.held().await.map_err(|error| error.to_string())?;
            Ok(Done::Held(held.iter().map(held_row).collect()))
        }
        FilterRequest::Release { message } => {
            let record = find(hub, &message).await?;
            hub.release(&record)
                .await
                .map_err(|why| format!("it is still held: {why}"))?;
            Ok(changed(message))
        }
        FilterRequest::Drop { message, reason } => {
            let record = find(hub, &message).await?;
            let why = reason.as_deref().unwrap_or(&record.reason);
            let dropped = hub.drop_held(&record, why).await;
            dropped.map_err(|error| error.to_string())?;
            Ok(changed(message))
        }
    }
}

fn changed(message: String) -> Done {
    Done::Rows(vec![RowResult {
        address: message,
        result: RowState::Updated,
        why: String::new(),
    }])
}

async fn find(hub: &Hub, message: &str) -> Result<HeldRecord, String> {
    let id: MessageId = message
        .parse()
        .map_err(|why| format!("{message:?} is no message: {why}"))?;
    let held = hub.held().await.map_err(|error| error.to_string())?;
    let found = held.into_iter().find(|record| record.message.id == id);
    found.ok_or_else(|| format!("{message} is not held; `tristack filter held` lists what is"))
}

fn filter_row(filter: &Filter) -> FilterRow {
    FilterRow {
        name: filter.name.to_string(),
        test: filter.test,
        seen: filter.counts.seen(),
        hits: filter.counts.hits(),
    }
}

fn held_row(record: &HeldRecord) -> HeldRow {
    let message = &record.message;
    let tame = |c: char| if c.is_control() { ' ' } else { c };
    let text = match &message.content {
        Content::Text(text) => text.body.chars().map(tame).take(SHOWN).collect(),
        other => format!("{:?}", other.kind()).to_lowercase(),
    };
    HeldRow {
        message: message.id.to_string(),
        since: utc(record.since.0),
        from: message.from.to_string(),
        to: message.to.to_string(),
        filter: record.filter.clone(),
        reason: record.reason.clone(),
        text,
    }
}
