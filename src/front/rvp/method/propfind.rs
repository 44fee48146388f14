//! PROPFIND, and the profile that a watcher gets along with the state.

use super::super::app::{Asked, Refused, Reply};
use super::super::translate;
use crate::core::command::{Command, PropertyName, PropertyValue, Reply as Done};
use crate::core::error::Error;
use rvp::Status;
use rvp::document::{Multistatus, Property, PropertyName as WireName, Propfind, Propstat};

/// Properties that every person has.
const ALWAYS: [WireName; 3] = [WireName::State, WireName::DisplayName, WireName::Email];

/// Reads properties.
pub(super) async fn run(asked: &Asked<'_>, wish: &Propfind) -> Result<Reply, Refused> {
    let propstats = match wish {
        Propfind::Properties(names) => chosen(asked, names).await?,
        Propfind::All => {
            let mut found = vec![look(asked).await?];
            found.extend(stored(asked).await?);
            vec![Propstat::new(Status::Successful, found)]
        }
        Propfind::Names => {
            let found = stored(asked).await?;
            let mut names = vec![Property::Name(WireName::State)];
            names.extend(found.iter().map(|property| Property::Name(property.name())));
            vec![Propstat::new(Status::Successful, names)]
        }
    };
    let body = Multistatus::one(asked.href(), propstats).to_xml();
    Ok(Reply::xml(Status::MultiStatus, body))
}

async fn chosen(asked: &Asked<'_>, names: &[WireName]) -> Result<Vec<Propstat>, Refused> {
    let (mut found, mut missing, mut denied) = (Vec::new(), Vec::new(), Vec::new());
    let rest: Vec<&WireName> = names
        .iter()
        .filter(|name| **name != WireName::State)
        .collect();
    if rest.len() < names.len() {
        found.push(look(asked).await?);
    }
    if !rest.is_empty() {
        let wanted = rest.iter().map(|name| translate::name(name)).collect();
        match read(asked, Some(wanted)).await {
            Ok(values) => {
                for name in rest {
                    match one(asked, name, &values) {
                        Some(property) => found.push(property),
                        None => missing.push(Property::Name(name.clone())),
                    }
                }
            }
            Err(Error::Denied(_)) => {
                denied.extend(rest.into_iter().map(|name| Property::Name(name.clone())));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(vec![
        Propstat::new(Status::Successful, found),
        Propstat::new(Status::NotFound, missing),
        Propstat::new(Status::Forbidden, denied),
    ])
}

/// Name, mail address and mobile properties: one propstat may hold only what exists, so absent
/// ones are left out (`rvp.md` 8.7).
pub(super) async fn profile(asked: &Asked<'_>) -> Vec<Property> {
    let names = [
        WireName::DisplayName,
        WireName::Email,
        WireName::MobileState,
        WireName::MobileDescription,
    ];
    let wanted = names.iter().map(translate::name).collect();
    match read(asked, Some(wanted)).await {
        Ok(values) => names
            .iter()
            .filter_map(|name| one(asked, name, &values))
            .collect(),
        // Who may not read still watches: with the names that the address itself tells.
        Err(_) => vec![
            Property::DisplayName(asked.address.local().to_owned()),
            Property::Email(asked.address.to_string()),
        ],
    }
}

/// All properties but the state.
async fn stored(asked: &Asked<'_>) -> Result<Vec<Property>, Refused> {
    let values = read(asked, None).await?;
    let mut names: Vec<WireName> = values
        .iter()
        .filter_map(|(name, _)| translate::wire_name(name))
        .collect();
    for name in ALWAYS {
        if name != WireName::State && !names.contains(&name) {
            names.insert(0, name);
        }
    }
    Ok(names
        .iter()
        .filter_map(|name| one(asked, name, &values))
        .collect())
}

type Values = Vec<(PropertyName, Option<PropertyValue>)>;

async fn read(asked: &Asked<'_>, names: Option<Vec<PropertyName>>) -> Result<Values, Error> {
    match asked.call(Command::Properties(names)).await? {
        Done::Properties(values) => Ok(values),
        _ => Ok(Vec::new()),
    }
}

fn one(asked: &Asked<'_>, name: &WireName, values: &Values) -> Option<Property> {
    let key = translate::name(name);
    let value = values
        .iter()
        .find(|(known, _)| *known == key)
        .and_then(|(_, value)| value.as_ref());
    match (value, name) {
        (Some(value), _) => translate::property(name, value),
        (None, WireName::DisplayName) => Some(Property::DisplayName(translate::display_name(
            asked.account,
        ))),
        (None, WireName::Email) => Some(Property::Email(translate::email(asked.account))),
        (None, _) => None,
    }
}

async fn look(asked: &Asked<'_>) -> Result<Property, Refused> {
    match asked.call(Command::Look).await? {
        Done::Watching { view, .. } => Ok(translate::state_property(&view)),
        _ => Err(Error::Storage.into()),
    }
}
