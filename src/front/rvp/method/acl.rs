//! ACL: reading and replacing the access list.

use super::super::app::{Asked, Refused, Reply};
use super::super::translate;
use crate::core::access::{AccessEntry, Subject};
use crate::core::command::{Command, Reply as Done};
use crate::core::error::Error;
use rvp::document::Acl;
use rvp::{ParseError, Status};

/// The list as the client reads it.
pub(super) async fn read(asked: &Asked<'_>) -> Result<Reply, Refused> {
    let entries = current(asked).await?;
    let spoken = asked.spoken();
    let aces = entries
        .iter()
        .filter_map(|entry| translate::ace(entry, &asked.front.names, &spoken))
        .collect();
    Ok(Reply::xml(Status::Successful, Acl { aces }.to_xml()))
}

/// Replaces the list, all of it or nothing.
pub(super) async fn write(asked: &Asked<'_>, list: &Acl) -> Result<Reply, Refused> {
    let local = asked.ends.local.ip();
    let mut entries = Vec::with_capacity(list.aces.len());
    for ace in &list.aces {
        let entry = translate::entry(ace, &asked.front.names, local)
            .ok_or(ParseError::Value("rvp-principal"))?;
        entries.push(entry);
    }
    // What RVP can't say it can't have meant to remove.
    if let Ok(known) = current(asked).await {
        let hidden = |entry: &AccessEntry| matches!(entry.subject, Subject::Domain(_));
        entries.extend(known.into_iter().filter(hidden));
    }
    asked.call(Command::SetAccess(entries)).await?;
    Ok(Reply::empty())
}

async fn current(asked: &Asked<'_>) -> Result<Vec<AccessEntry>, Error> {
    match asked.call(Command::Access).await? {
        Done::Access(entries) => Ok(entries),
        _ => Ok(Vec::new()),
    }
}
