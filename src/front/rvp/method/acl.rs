//! ACL: reading and replacing the access list.

use super::super::app::{Asked, Refused, Reply};
use super::super::translate;
use crate::core::access::{AccessEntry, Detail, Right, Rights, Scheme, Subject};
use crate::core::command::{Caller, Command, Reply as Done};
use crate::core::error::Error;
use rvp::document::Acl;
use rvp::{NodeUrl, ParseError, Principal, Status};

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
    let (peers, local) = (&asked.front.peers, asked.ends.local.ip());
    let known = |node: &NodeUrl| peers.claimed(&Principal::Node(node.clone()), local);
    let mut entries = Vec::with_capacity(list.aces.len());
    for ace in &list.aces {
        let entry = translate::entry(ace, known);
        entries.push(entry.ok_or(ParseError::Value("rvp-principal"))?);
    }
    let domain = asked.account.address.domain();
    if asked.front.hub.rules().confirms(domain) {
        entries.iter_mut().for_each(everybody_may_ask);
    }
    // What RVP can't say it can't have meant to remove, even if the writer may not read it.
    let server = Caller {
        scheme: Scheme::Internal,
        ..asked.caller.clone()
    };
    if let Done::Access(known) = asked.call_as(&server, Command::Access).await? {
        for entry in &mut entries {
            entry.detail = shown_before(entry, &known);
        }
        entries.extend(known.into_iter().filter_map(unsaid));
    }
    asked.call(Command::SetAccess(entries)).await?;
    Ok(Reply::empty())
}

/// What RVP can't say it can't have meant to remove: entries about domains, and questions that are
/// open.
fn unsaid(known: AccessEntry) -> Option<AccessEntry> {
    match known.subject {
        Subject::Domain(_) => Some(known),
        // Written anew with the list itself.
        Subject::Everybody => None,
        Subject::Address(_) | Subject::Server(_) => {
            let question = AccessEntry {
                grant: Rights::default(),
                deny: Rights::default(),
                ..known
            };
            (!question.is_silent()).then_some(question)
        }
    }
}

/// How much of presence an entry shows: as much as before. RVP can't say less than everything, so
/// a list that is read, changed and written back must not show anybody more.
fn shown_before(entry: &AccessEntry, known: &[AccessEntry]) -> Detail {
    let same = |known: &&AccessEntry| {
        known.subject == entry.subject
            && known.schemes == entry.schemes
            && (known.grant.has(Right::Presence) || known.ask.has(Right::Presence))
    };
    known.iter().find(same).map_or(Detail::ALL, |k| k.detail)
}

/// Where people are asked, clients that know only yes and no say "everybody may" with every list
/// they write: no answer to anybody's question.
fn everybody_may_ask(entry: &mut AccessEntry) {
    if entry.subject == Subject::Everybody && entry.grant.has(Right::Presence) {
        entry.grant = entry.grant.without(Right::Presence);
        entry.ask = entry.ask.with(Right::Presence);
    }
}

async fn current(asked: &Asked<'_>) -> Result<Vec<AccessEntry>, Error> {
    match asked.call(Command::Access).await? {
        Done::Access(entries) => Ok(entries),
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::address::Address;

    fn entry(subject: Subject, grant: Rights, ask: Rights) -> AccessEntry {
        AccessEntry {
            subject,
            schemes: Vec::new(),
            grant,
            deny: Rights::default(),
            ask,
            detail: Detail::ALL,
        }
    }

    #[test]
    fn a_rewritten_list_shows_nobody_more() {
        let presence = Rights::default().with(Right::Presence);
        let none = Rights::default();
        let bob = Subject::Address(Address::parse("bob@example.com").unwrap());
        let written = entry(bob.clone(), presence, none);
        let mut known = entry(bob.clone(), presence, none);
        known.detail = Detail::NONE;
        assert_eq!(shown_before(&written, &[known.clone()]), Detail::NONE);
        // A denial shows nothing; whoever is allowed after it is allowed as RVP knows it.
        (known.grant, known.deny) = (none, presence);
        assert_eq!(shown_before(&written, &[known]), Detail::ALL);
        assert_eq!(shown_before(&written, &[]), Detail::ALL);
    }

    #[test]
    fn a_rewritten_list_leaves_questions_open() {
        let presence = Rights::default().with(Right::Presence);
        let both = presence.with(Right::SendTo);
        let bob = Subject::Address(Address::parse("bob@example.com").unwrap());
        let asked = entry(bob.clone(), Rights::default().with(Right::SendTo), presence);
        let kept = unsaid(asked).expect("the question");
        assert_eq!(kept, entry(bob.clone(), Rights::default(), presence));
        assert_eq!(unsaid(entry(bob, both, Rights::default())), None);
        assert_eq!(unsaid(entry(Subject::Everybody, both, presence)), None);
        let domain = entry(Subject::Domain("b.example".into()), both, presence);
        assert_eq!(unsaid(domain.clone()), Some(domain));
        let mut all = entry(Subject::Everybody, both, Rights::default());
        everybody_may_ask(&mut all);
        let sends = Rights::default().with(Right::SendTo);
        assert_eq!(all, entry(Subject::Everybody, sends, presence));
    }
}
