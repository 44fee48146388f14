//! Conversations of more than two, for operators: who is in, where each is signed in, and when
//! something was said last.

use super::report::internal;
use super::wire::{ConversationRow, MemberRow};
use crate::core::chat::{ChatCommand, ChatInfo, Member};
use crate::core::command::{Command, Reply};
use crate::core::error::Error;
use crate::core::id::PersonId;
use crate::core::port::Account;
use crate::hub::Hub;
use crate::telemetry::{tame, utc};
use std::cmp::Reverse;

/// One of them by id or chat address, or all, the one used last first.
pub(super) async fn rows(hub: &Hub, which: Option<&str>) -> Result<Vec<ConversationRow>, String> {
    let mut found = Vec::new();
    for account in hub.directory().chats() {
        let Some(info) = ask(hub, &account).await? else {
            continue;
        };
        let named = |which: &str| {
            let id = info.record.conversation.to_string();
            which.eq_ignore_ascii_case(&id) || which == account.address.to_string()
        };
        if which.is_none_or(named) {
            found.push(info);
        }
    }
    if let (Some(which), true) = (which, found.is_empty()) {
        return Err(format!(
            "no conversation {which:?} of more than two is going on"
        ));
    }
    found.sort_by_key(|info| Reverse(info.last));
    let mut rows = Vec::new();
    for info in &found {
        rows.push(row(hub, info).await);
    }
    Ok(rows)
}

/// `None`: it has just ended.
async fn ask(hub: &Hub, account: &Account) -> Result<Option<ChatInfo>, String> {
    let show = Command::Chat(Box::new(ChatCommand::Show));
    match hub.call(account.person, &internal(account), show).await {
        Ok(Reply::Chat(info)) => Ok(Some(*info)),
        Err(Error::UnknownUser) => Ok(None),
        Ok(other) => Err(format!("{}: unexpected {other:?}", account.address)),
        Err(error) => Err(format!("{}: {error}", account.address)),
    }
}

async fn row(hub: &Hub, info: &ChatInfo) -> ConversationRow {
    let record = &info.record;
    let mut members = Vec::with_capacity(record.members.len());
    for member in &record.members {
        members.push(MemberRow {
            address: member.address.to_string(),
            name: tame(&member.name),
            since: utc(member.since.0),
            stacks: stacks(hub, member.person).await,
        });
    }
    let addresses = |of: &mut dyn Iterator<Item = &Member>| -> Vec<String> {
        of.map(|member| member.address.to_string()).collect()
    };
    ConversationRow {
        id: record.conversation.to_string(),
        address: record.address.to_string(),
        members,
        invited: addresses(&mut record.invited.iter().map(|invited| &invited.member)),
        former: addresses(&mut record.former.iter()),
        since: utc(record.since.0),
        last: utc(info.last.0),
        ends: utc(info.ends.0),
        pending: info.pending,
    }
}

async fn stacks(hub: &Hub, person: PersonId) -> Vec<String> {
    let Some(account) = hub.directory().account(person) else {
        return Vec::new();
    };
    let standing = hub
        .call(person, &internal(&account), Command::Standing)
        .await;
    let Ok(Reply::Standing(standing)) = standing else {
        return Vec::new();
    };
    let points = standing.points.iter();
    let mut stacks: Vec<String> = points.map(|point| point.stack.to_string()).collect();
    stacks.sort_unstable();
    stacks.dedup();
    stacks
}
