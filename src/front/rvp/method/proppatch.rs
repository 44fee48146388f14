//! PROPPATCH: presence as a leased view, and stored properties; all or nothing.

use super::super::app::{Asked, Refused, Reply};
use super::super::{RVP, status, translate};
use super::seconds;
use crate::core::command::{
    Command, PointHint, PropertyName, PropertyValue, Publish, Reply as Done,
};
use crate::core::error::Error;
use crate::core::id::PublicationId;
use crate::core::time::Time;
use rvp::Status;
use rvp::document::{
    Change, Lease, Multistatus, Property, PropertyName as WireName, PropertyUpdate, Propstat,
    State, StateValue,
};
use std::time::Duration;

/// Lease of a state that names none (`rvp.md` 5: what clients use).
const USUAL: u32 = 1200;

/// Changes properties.
pub(super) async fn run(asked: &Asked<'_>, update: &PropertyUpdate) -> Result<Reply, Refused> {
    let plan = Plan::of(update, asked.front.hub.now());
    if !asked.is_own() && plan.state.is_some() {
        return Err(Refused::new(
            Status::Forbidden,
            "the state of another person's node",
        ));
    }
    // Kept so that a state that fails can take the properties back (all or nothing).
    let before = match &plan.state {
        Some(_) if !plan.changes.is_empty() => present(asked, &plan).await,
        _ => Vec::new(),
    };
    if !plan.changes.is_empty() {
        let changes = plan.changes.clone();
        if let Err(error) = asked.call(Command::SetProperties { changes }).await {
            return failed(asked, &plan, &error, Part::Properties);
        }
    }
    let Some(wanted) = &plan.state else {
        return Ok(done(asked, &plan, None));
    };
    match publish(asked, wanted).await {
        Ok(granted) => Ok(done(asked, &plan, Some(granted))),
        Err(error) => {
            if !before.is_empty() {
                let changes = before;
                let _ = asked.call(Command::SetProperties { changes }).await;
            }
            failed(asked, &plan, &error, Part::State)
        }
    }
}

/// The values of what is about to be changed.
async fn present(asked: &Asked<'_>, plan: &Plan) -> Vec<(PropertyName, Option<PropertyValue>)> {
    let names = plan.changes.iter().map(|(name, _)| name.clone()).collect();
    match asked.call(Command::Properties(Some(names))).await {
        Ok(Done::Properties(values)) => values,
        _ => Vec::new(),
    }
}

/// What is to be done.
struct Plan {
    state: Option<StateValue>,
    changes: Vec<(PropertyName, Option<PropertyValue>)>,
    names: Vec<WireName>,
}

impl Plan {
    fn of(update: &PropertyUpdate, now: Time) -> Self {
        let mut plan = Self {
            state: None,
            changes: Vec::new(),
            names: Vec::new(),
        };
        for change in &update.changes {
            let name = match change {
                Change::Set(Property::State(value)) => {
                    plan.state = Some(value.clone());
                    continue;
                }
                // A state that is taken away is the default again.
                Change::Remove(WireName::State) => {
                    plan.state = Some(StateValue::bare(State::Offline));
                    continue;
                }
                Change::Set(property) => {
                    let name = property.name();
                    plan.put(&name, translate::leased(property, now));
                    name
                }
                Change::Remove(name) => {
                    plan.put(name, None);
                    name.clone()
                }
            };
            if !plan.names.contains(&name) {
                plan.names.push(name);
            }
        }
        plan
    }

    /// In order: a later change of the same property wins.
    fn put(&mut self, name: &WireName, value: Option<PropertyValue>) {
        let name = translate::name(name);
        match self.changes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.changes.push((name, value)),
        }
    }

    fn name_properties(&self) -> Vec<Property> {
        self.names.iter().cloned().map(Property::Name).collect()
    }
}

async fn publish(asked: &Asked<'_>, wanted: &StateValue) -> Result<StateValue, Error> {
    let asked_for = wanted.lease.as_ref().and_then(|lease| lease.seconds);
    let lease = Duration::from_secs(asked_for.unwrap_or(USUAL).into());
    let view = wanted
        .view
        .as_deref()
        .and_then(|view| view.parse().ok())
        .map(PublicationId);
    let publish = Publish {
        stack: RVP,
        target: view.map(|view| (view, None)),
        // Without a view-id: that of the same source (`decisions.md` 11).
        adopt: wanted.view.is_none(),
        hint: PointHint {
            inbox: None,
            source: Some(asked.ends.peer.ip()),
            client: asked.request.user_agent.as_deref().map(Into::into),
        },
        key: None,
        presence: Some(translate::presence(&wanted.state)),
        calls: None,
        lease: Some(lease),
    };
    let answer = match asked.call(Command::Publish(publish.clone())).await {
        // The view ended while the client was away: it gets a fresh one.
        Err(Error::StaleId) => {
            let fresh = Publish {
                target: None,
                adopt: true,
                ..publish
            };
            asked.call(Command::Publish(fresh)).await?
        }
        other => other?,
    };
    let Done::Published {
        publication, lease, ..
    } = answer
    else {
        return Err(Error::Storage);
    };
    let granted = lease.map(|lease| u32::try_from(seconds(lease)).unwrap_or(u32::MAX));
    let default = wanted.lease.as_ref().map(|lease| lease.default.clone());
    Ok(StateValue {
        state: wanted.state.clone(),
        lease: Some(Lease {
            default: default.unwrap_or(State::Offline),
            seconds: granted,
        }),
        view: Some(publication.0.to_string()),
    })
}

fn done(asked: &Asked<'_>, plan: &Plan, state: Option<StateValue>) -> Reply {
    let mut properties: Vec<Property> = state.into_iter().map(Property::State).collect();
    properties.extend(plan.name_properties());
    multistatus(asked, vec![Propstat::new(Status::Successful, properties)])
}

fn multistatus(asked: &Asked<'_>, propstats: Vec<Propstat>) -> Reply {
    let body = Multistatus::one(asked.href(), propstats).to_xml();
    Reply::xml(Status::MultiStatus, body)
}

/// Which part of the request could not be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    State,
    Properties,
}

/// One part failed: 424 on the other one. If there is no other, the request itself fails.
fn failed(asked: &Asked<'_>, plan: &Plan, error: &Error, part: Part) -> Result<Reply, Refused> {
    let status = status::of_error(error);
    let both = plan.state.is_some() && !plan.names.is_empty();
    if !both {
        return Err(Refused::new(status, error.to_string()));
    }
    tracing::info!(who = %asked.caller.address, %error, "rvp properties refused");
    let state = vec![Property::Name(WireName::State)];
    let (guilty, innocent) = match part {
        Part::State => (state, plan.name_properties()),
        Part::Properties => (plan.name_properties(), state),
    };
    Ok(multistatus(
        asked,
        vec![
            Propstat::new(status, guilty),
            Propstat::new(Status::FailedDependency, innocent),
        ],
    ))
}
