//! Steps about conversations of more than two.
//!
//! ```text
//! alice adds carol
//! alice opens with bob carol
//! carol is in with alice bob
//! bob hears that carol joined
//! alice tells all: hello
//! bob hears in the conversation from alice: hello
//! bob leaves
//! server lists alice carol
//! ```

use super::support::actor::Heard;
use super::{PATIENCE, Stage, account, spoken};

impl Stage {
    pub(super) fn converse(
        &mut self,
        actor: &str,
        words: &[&str],
        text: &str,
    ) -> Result<(), String> {
        match words {
            ["adds", whom] => {
                self.told = self.actor(actor)?.add(account(whom))?;
                Ok(())
            }
            ["opens", "with", whom @ ..] => {
                self.told = self.actor(actor)?.open(&whom.join(" "))?;
                Ok(())
            }
            ["tells", "all"] => {
                self.told = self.actor(actor)?.tell(&spoken(text))?;
                Ok(())
            }
            ["types", "to", "all"] => {
                self.told = self.actor(actor)?.type_to_all()?;
                Ok(())
            }
            ["hears", "typing", "in", "the", "conversation", "from", whom] => {
                let wanted = self.actor(actor)?.typing_in_conversation(account(whom));
                self.hears(actor, &wanted)
            }
            ["leaves"] => {
                self.told = self.actor(actor)?.leave()?;
                Ok(())
            }
            ["offers", "a", "file", "to", whom] => {
                self.told = self.actor(actor)?.offer(account(whom))?;
                Ok(())
            }
            ["hears", "in", "the", "conversation", "from", whom] => {
                let wanted = self
                    .actor(actor)?
                    .in_conversation(account(whom), &spoken(text));
                self.hears(actor, &wanted)
            }
            ["hears", "that", whom, "joined"] => self.news(actor, account(whom), true),
            ["hears", "that", whom, "left"] => self.news(actor, account(whom), false),
            ["is", "in", "with", others @ ..] => self.is_in(actor, others),
            ["hears", "verbatim"] => {
                let wanted = Heard::Other(text.to_owned());
                self.hears(actor, &wanted)
            }
            _ => Err(format!("no such step: {actor} {}", words.join(" "))),
        }
    }

    fn news(&mut self, actor: &str, of: &str, joined: bool) -> Result<(), String> {
        let who = self.actor(actor)?;
        let heard = who.next_kind(false, PATIENCE);
        match heard {
            Some(heard) if who.is_news(&heard, of, joined) => Ok(()),
            other => Err(format!(
                "{actor} should hear of {of} (joined: {joined}), heard {other:?}"
            )),
        }
    }

    /// The client was brought into a conversation: it is told of all others, each once on a stack
    /// that has the word, by one line on another.
    fn is_in(&mut self, actor: &str, others: &[&str]) -> Result<(), String> {
        let mut others: Vec<&str> = others.iter().map(|other| account(other)).collect();
        others.sort_unstable();
        let who = self.actor(actor)?;
        let mut left = others.clone();
        while !left.is_empty() {
            match who.next_kind(false, PATIENCE) {
                Some(Heard::Membership { from, joined: true }) if left.contains(&&*from) => {
                    left.retain(|other| *other != from);
                }
                Some(Heard::Text { text, .. }) if text.contains(" added you to ") => break,
                other => return Err(format!("{actor} should be brought in, heard {other:?}")),
            }
        }
        let roster = who.roster()?;
        if roster == others {
            return Ok(());
        }
        Err(format!(
            "{actor} should be in with {others:?}, is with {roster:?}"
        ))
    }

    /// The operator's view: one conversation with these members, and where each is signed in.
    pub(super) fn lists(&mut self, members: &[&str]) -> Result<(), String> {
        let rows = self.asked(&["conversation", "list", "--json"])?;
        let rows = rows.as_array().ok_or("no list")?;
        let [row] = rows.as_slice() else {
            return Err(format!("one conversation expected: {rows:?}"));
        };
        let address = row["address"].as_str().unwrap_or_default().to_owned();
        let shown = self.asked(&["conversation", "show", &address, "--json"])?;
        let named = |row: &serde_json::Value| {
            let stacks = row["stacks"].as_array().map_or(0, Vec::len);
            let who = row["address"].as_str().unwrap_or_default();
            let name = who.split('@').next().unwrap_or_default().to_owned();
            if stacks == 0 {
                format!("{name} nowhere")
            } else {
                name
            }
        };
        let all = shown[0]["members"].as_array().cloned().unwrap_or_default();
        let mut found: Vec<String> = all.iter().map(named).collect();
        found.sort();
        if found == members {
            return Ok(());
        }
        Err(format!("{members:?} expected, {found:?} listed"))
    }

    fn asked(&self, arguments: &[&str]) -> Result<serde_json::Value, String> {
        let output = self.server.command(arguments).output();
        let output = output.map_err(|error| error.to_string())?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
