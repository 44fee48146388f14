//! What operators change about a person's devices, whether the server runs or not.

use super::accounts::{Accounts, Backend, result};
use super::wire::{DeviceRequest, RowResult, RowState};
use crate::core::command::Command;
use crate::core::devices::{DeviceChange, Policy};
use crate::core::error::Error;
use crate::core::id::{PersonId, PointId, Stack};
use crate::core::port::{Store, Write};
use crate::front::{RVP, SIP};

impl Accounts {
    /// Changes what holds for a person's devices.
    ///
    /// # Errors
    /// What is wrong with the request.
    pub async fn device(&self, request: DeviceRequest) -> Result<RowResult, String> {
        change(self, request).await
    }
}

async fn change(accounts: &Accounts, request: DeviceRequest) -> Result<RowResult, String> {
    let (address, changes) = match request {
        DeviceRequest::Set {
            address,
            delivery,
            prefer,
        } => {
            let mut changes = Vec::new();
            if let Some(text) = delivery {
                changes.push(DeviceChange::Policy(policy(&text)?));
            }
            if let Some(text) = prefer {
                changes.push(DeviceChange::Preferred(stack(&text)?));
            }
            (address, changes)
        }
        DeviceRequest::Rule {
            address,
            one,
            other,
            together,
        } => {
            let (one, other) = (PointId(one), PointId(other));
            let change = match together {
                Some(together) => DeviceChange::Rule(one, other, together),
                None => DeviceChange::Free(one, other),
            };
            (address, vec![change])
        }
    };
    let account = accounts.existing(&address)?;
    let outcome = match accounts.backend() {
        Backend::Hub(hub) => {
            let caller = super::report::internal(&account);
            let done = hub
                .call(account.person, &caller, Command::SetDevices(changes))
                .await;
            done.map(|_| ()).map_err(|error| match error {
                Error::StaleId => {
                    format!("no such sign-in; `tristack who {address}` shows their numbers")
                }
                other => other.to_string(),
            })
        }
        Backend::Store(_, store) => stored(&**store, account.person, changes).await,
    };
    Ok(result(&address, outcome.map(|()| RowState::Updated)))
}

/// The same on storage itself.
async fn stored(
    store: &impl Store,
    person: PersonId,
    changes: Vec<DeviceChange>,
) -> Result<(), String> {
    let records = store.person(person).await.map_err(|e| e.to_string())?;
    let mut devices = records.devices.unwrap_or_default();
    for change in changes {
        match change {
            DeviceChange::Policy(policy) => devices.policy = policy,
            DeviceChange::Preferred(stack) => devices.preferred = stack,
            DeviceChange::Rule(..) | DeviceChange::Free(..) => {
                return Err("nobody is signed in while no server runs".to_owned());
            }
        }
    }
    let write = Write::PutDevices(person, devices);
    store.commit(vec![write]).await.map_err(|e| e.to_string())
}

/// `default` = as the domain's.
fn policy(text: &str) -> Result<Option<Policy>, String> {
    if text == "default" {
        return Ok(None);
    }
    let policy = text.parse().map(Some);
    policy.map_err(|why| format!("{text:?}: {why} (or default)"))
}

fn stack(text: &str) -> Result<Option<Stack>, String> {
    match text {
        "default" => Ok(None),
        "rvp" => Ok(Some(RVP)),
        "sip" => Ok(Some(SIP)),
        _ => Err(format!("{text:?}: not rvp, sip or default")),
    }
}
