//! What a conversation says in lines of text, and what it takes as commands.

use super::{Chat, FACTORY, Member};
use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::core::message::Content;

/// Told once to everybody, so that nobody needs a manual.
const HELP: &str = "What you write here reaches all of them; /who, /add ADDRESS, /leave.";

/// Addresses taken from one text.
const AT_ONCE: usize = 50;

/// A command given as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Who is here?
    Who,
    /// Ask these in; what is no address is told back.
    Add(Vec<Result<Address, String>>),
    /// I go.
    Leave,
}

/// The command that a text is, if it is one: other texts that begin with a slash are texts.
pub(super) fn order(content: &Content, domain: &str) -> Option<Order> {
    let Content::Text(text) = content else {
        return None;
    };
    let mut words = text.body.split_whitespace();
    match words.next()?.to_lowercase().as_str() {
        "/who" if words.next().is_none() => Some(Order::Who),
        "/leave" if words.next().is_none() => Some(Order::Leave),
        "/add" => {
            Some(Order::Add(addresses(&text.body, domain))).filter(|_| words.next().is_some())
        }
        _ => None,
    }
}

/// The addresses in a text, bare names being of that domain; a leading command is none.
pub(super) fn addresses(text: &str, domain: &str) -> Vec<Result<Address, String>> {
    let words = text.split([',', ';', ' ', '\t', '\r', '\n']);
    let words = words.filter(|word| !word.is_empty() && !word.starts_with('/'));
    words
        .take(AT_ONCE)
        .map(|word| {
            let bare = word.trim_matches(['<', '>']);
            let bare = bare.strip_prefix("sip:").unwrap_or(bare);
            let address = if bare.contains('@') {
                Address::parse(bare)
            } else {
                Address::new(bare, domain)
            };
            address.map_err(|_| word.to_owned())
        })
        .collect()
}

/// How to use [`FACTORY`].
pub(super) fn usage(domain: &str) -> String {
    format!(
        "Write to {FACTORY}@{domain} whom you want to talk to, for example: /add bob carol@{domain}"
    )
}

impl Chat {
    /// The name of a member, or the address where two have the same name.
    pub(super) fn name_of(&self, person: PersonId) -> String {
        match self.everybody().find(|member| member.person == person) {
            Some(member) => self.shown(member),
            None => "Somebody".to_owned(),
        }
    }

    pub(super) fn shown(&self, member: &Member) -> String {
        let same = |other: &Member| other.name == member.name && other.person != member.person;
        if self.everybody().any(same) {
            return member.address.to_string();
        }
        member.name.as_ref().to_owned()
    }

    fn names(&self, besides: PersonId) -> String {
        let others = self.record.members.iter().filter(|m| m.person != besides);
        let names: Vec<String> = others.map(|member| self.shown(member)).collect();
        names.join(", ")
    }

    /// To somebody who is asked in.
    pub(super) fn welcome(&self, by: PersonId) -> String {
        let by_name = self.name_of(by);
        let others = self.names(by);
        let with = match others.as_str() {
            "" => String::new(),
            others => format!(" with {others}"),
        };
        format!("{by_name} added you to a conversation{with}. {HELP}")
    }

    /// To all others. The first time they are told what this is.
    pub(super) fn added(&self, by: PersonId, whom: &Member, first: bool) -> String {
        let (by, whom) = (self.name_of(by), self.shown(whom));
        if !first {
            return format!("{by} added {whom}.");
        }
        let all: Vec<String> = self.record.members.iter().map(|m| self.shown(m)).collect();
        format!(
            "{by} added {whom}. Here are now: {}. {HELP}",
            all.join(", ")
        )
    }

    /// The answer to `/who`.
    pub(super) fn who(&self) -> String {
        let member = |member: &Member| format!("{} <{}>", member.name, member.address);
        let all: Vec<String> = self.record.members.iter().map(member).collect();
        format!("Here are: {}.", all.join(", "))
    }
}

/// To whoever made one on purpose.
pub(super) fn opened() -> String {
    format!("This is your conversation. {HELP}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::exercise::text;

    #[test]
    fn commands_are_whole_words_and_everything_else_is_text() {
        let order = |body: &str| order(&text(body), "example.com");
        let carol = Address::parse("carol@example.com").expect("address");
        let dave = Address::parse("dave@b.example").expect("address");
        assert_eq!(order("/who"), Some(Order::Who));
        assert_eq!(order(" /WHO \r\n"), Some(Order::Who));
        assert_eq!(order("/leave"), Some(Order::Leave));
        assert_eq!(
            order("/add carol, <sip:Dave@b.example> a@@"),
            Some(Order::Add(vec![Ok(carol), Ok(dave), Err("a@@".to_owned())]))
        );
        for no in [
            "who",
            "/whom",
            "/who is it",
            "/leave me",
            "/add",
            "/me waves",
            "",
            "/",
        ] {
            assert_eq!(order(no), None, "{no}");
        }
    }
}
