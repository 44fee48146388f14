//! From `[[filter]]` to the hub's admission hooks; `tristack filter`.

use super::args::FilterCommand;
use super::out::Out;
use super::table::Table;
use super::user::connect;
use super::{Exit, Failure};
use crate::config::{self, Config, FilterAction, FilterKind, FilterStack, HostList};
use crate::control::{Done, FilterRequest, FilterRow, HeldRow, Request};
use crate::filter::{
    Action, Check, Counts, Filter, FilterHook, Hosts, Hours, Rate, Scope, Service,
};
use crate::front::{RVP, SIP};
use crate::hub::{Clock, Hub};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Makes the filters and gives them to a hub that is not open yet.
pub(super) fn attach(
    config: &Config,
    hub: &Hub,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Arc<Filter>>, Failure> {
    let filters = make(config)?;
    for filter in &filters {
        let hook = FilterHook::new(Arc::clone(filter), Arc::clone(clock));
        hub.admit_with(Arc::new(hook));
    }
    Ok(filters)
}

/// The filters of a configuration.
pub(super) fn make(config: &Config) -> Result<Vec<Arc<Filter>>, Failure> {
    let filters = config.filters.iter();
    filters.map(|wanted| filter(wanted).map(Arc::new)).collect()
}

fn filter(wanted: &config::Filter) -> Result<Filter, Failure> {
    let check = match wanted.kind {
        FilterKind::Size => Check::Size(wanted.most.0),
        FilterKind::Rate => Check::Rate(Rate::new(wanted.messages, wanted.per)),
        FilterKind::Pattern => Check::Patterns(wanted.patterns.clone()),
        FilterKind::Rule => Check::Any,
        FilterKind::Http => {
            let (address, path) = wanted.service().unwrap_or_else(|| {
                // Refused when the configuration was read.
                (([127, 0, 0, 1], 0).into(), "/".to_owned())
            });
            Check::Http(Service {
                address,
                path,
                within: wanted.timeout,
                open: wanted.fail_open,
                turns: Semaphore::new(wanted.at_once.min(Semaphore::MAX_PERMITS)),
            })
        }
        FilterKind::Urls => {
            let only = wanted.list == HostList::Allow;
            let hosts = Hosts::new(&wanted.hosts, only);
            Check::Hosts(hosts.map_err(|why| {
                let text = format!("[[filter]] {:?} hosts: {why}", wanted.name);
                Failure::new(Exit::Configuration, text)
            })?)
        }
    };
    let wrong = |what: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Configuration,
            format!("[[filter]] {:?}: {what}", wanted.name),
        )
    };
    let timed = !(wanted.hours.is_empty() && wanted.days.is_empty());
    let hours = Hours::parse(&wanted.hours, &wanted.days).map_err(|error| wrong(&error))?;
    let stack = |stack: &FilterStack| match stack {
        FilterStack::Rvp => RVP,
        FilterStack::Sip => SIP,
    };
    Ok(Filter {
        name: wanted.name.as_str().into(),
        scope: Scope {
            from: wanted.from.clone(),
            to: wanted.to.clone(),
            domains: wanted.domains.clone(),
            stacks: wanted.stacks.iter().map(stack).collect(),
            kinds: wanted.kinds.iter().map(|kind| kind.kind()).collect(),
        },
        hours: timed.then_some(hours),
        check,
        action: match wanted.action {
            FilterAction::Refuse => Action::Refuse,
            FilterAction::Hold => Action::Hold,
            FilterAction::Route => wanted.route.clone().map_or(Action::Refuse, Action::Route),
            FilterAction::Reply => Action::Reply(wanted.reply.clone()),
            FilterAction::Modify => Action::Replace(wanted.replace.clone()),
        },
        reason: wanted.reason.clone(),
        test: wanted.test,
        counts: Counts::default(),
    })
}

/// Asks the running server.
pub(super) async fn run(
    config: Config,
    command: FilterCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    let request = match command {
        FilterCommand::List => FilterRequest::List,
        FilterCommand::Held => FilterRequest::Held,
        FilterCommand::Release { message } => FilterRequest::Release { message },
        FilterCommand::Drop { message, reason } => FilterRequest::Drop { message, reason },
    };
    let done = connect(&config)
        .await?
        .ask(&Request::Filter(request))
        .await?;
    match &done {
        Done::Filters(rows) => out.value(rows, || filters_text(rows)),
        Done::Held(rows) => out.value(rows, || held_text(rows)),
        Done::Rows(rows) => out.value(rows, || "Done.\n".to_owned()),
        _ => return Err(Failure::new(Exit::Failed, format!("unexpected: {done:?}"))),
    }
    Ok(Exit::Done)
}

fn filters_text(rows: &[FilterRow]) -> String {
    if rows.is_empty() {
        return "There are no filters; [[filter]] in the configuration adds one.\n".into();
    }
    let mut table = Table::new(&["FILTER", "MODE", "SEEN", "HITS"]);
    for row in rows {
        let mode = if row.test { "test" } else { "on" };
        let (seen, hits) = (row.seen.to_string(), row.hits.to_string());
        table.row([row.name.clone(), mode.to_owned(), seen, hits]);
    }
    table.print()
}

fn held_text(rows: &[HeldRow]) -> String {
    if rows.is_empty() {
        return "Nothing is held.\n".into();
    }
    let mut table = Table::new(&["MESSAGE", "SINCE", "FROM", "TO", "FILTER", "WHY", "TEXT"]);
    for row in rows {
        let row = row.clone();
        table.row([
            row.message,
            row.since,
            row.from,
            row.to,
            row.filter,
            row.reason,
            row.text,
        ]);
    }
    table.print()
}
