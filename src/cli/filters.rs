//! From `[[filter]]` to the hub's admission hooks.

use super::{Exit, Failure};
use crate::config::{self, Config, FilterAction, FilterKind, FilterStack, HostList};
use crate::filter::{Action, Check, Counts, Filter, FilterHook, Hosts, Rate, Scope};
use crate::front::{RVP, SIP};
use crate::hub::{Clock, Hub};
use std::sync::Arc;

/// Makes the filters and gives them to a hub that is not open yet.
pub(super) fn attach(
    config: &Config,
    hub: &Hub,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Arc<Filter>>, Failure> {
    let filters = config
        .filters
        .iter()
        .map(|wanted| filter(wanted).map(Arc::new));
    let filters: Vec<_> = filters.collect::<Result<_, _>>()?;
    for filter in &filters {
        let hook = FilterHook::new(Arc::clone(filter), Arc::clone(clock));
        hub.admit_with(Arc::new(hook));
    }
    Ok(filters)
}

fn filter(wanted: &config::Filter) -> Result<Filter, Failure> {
    let check = match wanted.kind {
        FilterKind::Size => Check::Size(wanted.most.0),
        FilterKind::Rate => Check::Rate(Rate::new(wanted.messages, wanted.per)),
        FilterKind::Pattern => Check::Patterns(wanted.patterns.clone()),
        FilterKind::Urls => {
            let only = wanted.list == HostList::Allow;
            let hosts = Hosts::new(&wanted.hosts, only);
            Check::Hosts(hosts.map_err(|why| {
                let text = format!("[[filter]] {:?} hosts: {why}", wanted.name);
                Failure::new(Exit::Configuration, text)
            })?)
        }
    };
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
        check,
        action: match wanted.action {
            FilterAction::Refuse => Action::Refuse,
            FilterAction::Modify => Action::Replace(wanted.replace.clone()),
        },
        reason: wanted.reason.clone(),
        test: wanted.test,
        counts: Counts::default(),
    })
}
