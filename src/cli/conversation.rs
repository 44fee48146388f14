//! `tristack conversation`: conversations of more than two.

use super::args::ConversationCommand;
use super::out::Out;
use super::table::Table;
use super::user::connect;
use super::{Exit, Failure};
use crate::config::Config;
use crate::control::{ConversationRow, Done, Request};
use std::fmt::Write as _;

pub(super) async fn run(
    config: Config,
    command: &ConversationCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    let which = match command {
        ConversationCommand::List => None,
        ConversationCommand::Show { id } => Some(id.clone()),
    };
    let one = which.is_some();
    let request = Request::Conversations { which };
    let done = connect(&config).await?.ask(&request).await?;
    let Done::Conversations(rows) = done else {
        return Err(Failure::new(Exit::Failed, format!("unexpected: {done:?}")));
    };
    out.value(&rows, || match rows.as_slice() {
        [row] if one => one_text(row),
        rows => all_text(rows),
    });
    Ok(Exit::Done)
}

fn all_text(rows: &[ConversationRow]) -> String {
    if rows.is_empty() {
        return "No conversation of more than two is going on.\n".into();
    }
    let mut table = Table::new(&["ADDRESS", "MEMBERS", "LAST", "WHO"]);
    for row in rows {
        let who: Vec<&str> = row.members.iter().map(|m| m.address.as_str()).collect();
        table.row([
            row.address.clone(),
            row.members.len().to_string(),
            row.last.clone(),
            who.join(" "),
        ]);
    }
    table.print()
}

fn one_text(row: &ConversationRow) -> String {
    let mut text = format!(
        "{}\nconversation {}\nsince {}, last activity {}, ends {} if nothing more is said\n{} copies under way\n\n",
        row.address, row.id, row.since, row.last, row.ends, row.pending
    );
    let mut table = Table::new(&["MEMBER", "STACKS", "SINCE", "NAME"]);
    for member in &row.members {
        let stacks = match member.stacks.as_slice() {
            [] => "-".to_owned(),
            stacks => stacks.join("+"),
        };
        table.row([
            member.address.clone(),
            stacks,
            member.since.clone(),
            member.name.clone(),
        ]);
    }
    text.push_str(&table.print());
    for (what, who) in [("asked in", &row.invited), ("left", &row.former)] {
        if !who.is_empty() {
            let _ = writeln!(text, "{what}: {}", who.join(" "));
        }
    }
    text
}
