//! The simple model, and the check of the house against it after every deed.

use crate::clients::{Heard, MESH, PAGER, number};
use crate::house::{House, PEOPLE, plain, stacks};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tristack::core::error::Error;
use tristack::core::id::Stack;
use tristack::core::message::Content;

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The first asks the second in.
    Add(usize, usize),
    /// Says something to all others.
    Tell(usize),
    /// All members who write to the chat address do so at once.
    Burst,
    /// Leaves politely.
    Leave(usize),
    /// The mesh client has forgotten the conversation: it answers "has left".
    Hang(usize),
    /// Signs out everywhere.
    Away(usize),
    /// Signs in again.
    Back(usize),
    /// The first blocks the second.
    Block(usize, usize),
    /// The first blocks nobody any more.
    Unblock(usize),
    /// kill -9.
    Crash,
}

pub(crate) fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let who = || 0..PEOPLE;
    let one = prop_oneof![
        4 => (who(), who()).prop_map(|(a, b)| Deed::Add(a, b)),
        6 => who().prop_map(Deed::Tell),
        2 => Just(Deed::Burst),
        2 => who().prop_map(Deed::Leave),
        1 => who().prop_map(Deed::Hang),
        2 => who().prop_map(Deed::Away),
        2 => who().prop_map(Deed::Back),
        1 => (who(), who()).prop_map(|(a, b)| Deed::Block(a, b)),
        1 => who().prop_map(Deed::Unblock),
        1 => Just(Deed::Crash),
    ];
    let rest = proptest::collection::vec(one, 4..30);
    (2..PEOPLE, rest).prop_map(|(third, mut deeds)| {
        deeds.insert(0, Deed::Add(0, third));
        deeds
    })
}

/// What should be so.
#[derive(Default)]
struct Model {
    /// Who is in; fewer than three at the start are a pair and no conversation of many.
    members: BTreeSet<usize>,
    /// Who has left politely and may come back by speaking.
    former: BTreeSet<usize>,
    away: BTreeSet<usize>,
    /// Who blocks whom.
    blocks: BTreeMap<usize, usize>,
    hanging: BTreeSet<usize>,
    /// Whose client may have missed a change of the roster.
    missed: BTreeSet<usize>,
    /// Texts that each client should have got, in order.
    heard: BTreeMap<(usize, Stack), Vec<String>>,
}

impl Model {
    fn grown(&self) -> bool {
        !self.members.is_empty()
    }

    /// Whether a copy from one to the other arrives.
    fn reaches(&self, from: usize, to: usize) -> bool {
        !self.away.contains(&to) && self.blocks.get(&to) != Some(&from)
    }

    /// On which stacks the other gets it; nowhere if his only client has forgotten all.
    fn clients(&self, to: usize) -> Vec<Stack> {
        let forgets = |stack: &Stack| *stack == MESH && self.hanging.contains(&to);
        let all = stacks(to).iter();
        all.filter(|stack| !forgets(stack)).copied().collect()
    }

    fn expect(&mut self, from: usize, to: usize, text: &str) {
        if !self.reaches(from, to) {
            return;
        }
        let clients = self.clients(to);
        if clients.is_empty() {
            self.members.remove(&to);
        }
        for stack in clients {
            let heard = self.heard.entry((to, stack)).or_default();
            heard.push(text.to_owned());
        }
    }

    /// Whoever hears of a change and has forgotten the conversation is found out.
    fn announce(&mut self, from: usize) {
        loop {
            let gone =
                self.members.iter().copied().find(|to| {
                    *to != from && self.reaches(from, *to) && self.clients(*to).is_empty()
                });
            let Some(gone) = gone else {
                return;
            };
            self.members.remove(&gone);
            // His going is announced in his name.
            self.announce(gone);
        }
    }
}

/// Does it all, checking after every deed; tells how many of them could be done.
pub(crate) fn play(deeds: &[Deed]) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut play = Play {
            house: House::new().await,
            model: Model::default(),
            done: 0,
        };
        play.begin().await;
        for deed in deeds {
            play.run(*deed).await;
            play.house.settle().await;
            play.check(*deed).await;
        }
        play.done
    })
}

struct Play {
    house: House,
    model: Model,
    /// Deeds that could be done.
    done: usize,
}

impl Play {
    /// Persons 0 and 1 talk.
    async fn begin(&mut self) {
        let text = self.house.text();
        let sent = self.house.copy(0, 1, plain(&text)).await;
        sent.expect("a text of a pair");
        self.model.expect(0, 1, &text);
        self.house.state().mesh.entry(0).or_default().insert(1);
        self.house.settle().await;
        assert!(
            self.house.chat().await.is_none(),
            "a pair is no conversation of many"
        );
    }

    async fn run(&mut self, deed: Deed) {
        match deed {
            Deed::Add(by, whom) => self.add(by, whom).await,
            Deed::Tell(who) => self.tell(who).await,
            Deed::Burst => self.burst().await,
            Deed::Leave(who) => self.leave(who).await,
            Deed::Hang(who) if is_mesh(who) => {
                self.done += 1;
                self.model.hanging.insert(who);
                self.model.missed.insert(who);
                self.house.state().hanging.insert(who);
            }
            Deed::Away(who) => {
                self.done += 1;
                self.house.sign_out(who).await;
                self.model.away.insert(who);
                self.model.missed.insert(who);
            }
            Deed::Back(who) => {
                self.done += 1;
                self.house.sign_in(who).await;
                self.model.away.remove(&who);
            }
            Deed::Block(who, whom) if who != whom => {
                self.house.block(who, whom, true).await;
                self.model.blocks.insert(who, whom);
                self.model.missed.extend([who, whom]);
            }
            Deed::Hang(_) | Deed::Block(..) => {}
            Deed::Unblock(who) => {
                self.house.block(who, who, false).await;
                self.model.blocks.remove(&who);
            }
            Deed::Crash => {
                self.done += 1;
                self.house.crash().await;
            }
        }
    }

    /// A client that takes part: signed in, and it has not forgotten the conversation.
    fn takes_part(&self, who: usize) -> bool {
        let model = &self.model;
        let forgets = stacks(who) == [MESH] && model.hanging.contains(&who);
        !model.away.contains(&who) && !forgets
    }

    async fn add(&mut self, by: usize, whom: usize) {
        let first = !self.model.grown();
        // The first to be added is added by the mesh client of the pair, while both are there and
        // no block stands between them.
        let opener = by == 0 && whom > 1;
        let pair = self.takes_part(0) && self.takes_part(1);
        let open = self.model.blocks.is_empty() && self.model.hanging.is_empty();
        if first && !(opener && pair && open) {
            return;
        }
        let may = first || self.model.members.contains(&by);
        if by == whom || !may || !self.takes_part(by) || self.model.members.contains(&whom) {
            return;
        }
        self.done += 1;
        let reached = self.model.reaches(by, whom) && !self.model.clients(whom).is_empty();
        if is_mesh(by) && !self.model.hanging.contains(&by) {
            let told = self.house.copy(by, whom, Content::Join).await;
            assert_eq!(told.is_ok(), reached, "{by} adds {whom}: {told:?}");
            if reached {
                self.house.state().mesh.entry(by).or_default().insert(whom);
            }
        } else {
            let chat = self.chat_address();
            let order = format!("/add p{whom}");
            let told = self.house.write(by, PAGER, &chat, &order).await;
            told.expect("the order is taken");
        }
        if !reached {
            return;
        }
        if first {
            self.model.members.extend([0, 1]);
        }
        self.model.members.insert(whom);
        self.model.former.remove(&whom);
        self.model.announce(whom);
        // All members are introduced to him.
        if self.model.hanging.contains(&whom) && stacks(whom) == [MESH] {
            self.model.members.remove(&whom);
        }
    }

    fn chat_address(&self) -> String {
        let chats = self.house.hub.directory().chats();
        let chat = chats.first().map(|account| account.address.to_string());
        chat.unwrap_or_else(|| "conv-none@example.com".to_owned())
    }

    async fn tell(&mut self, who: usize) {
        let returns = self.model.former.contains(&who) && stacks(who) == [PAGER];
        let here = self.model.members.contains(&who) || (returns && self.model.grown());
        if !here || !self.takes_part(who) {
            return;
        }
        self.done += 1;
        if returns {
            self.model.former.remove(&who);
            self.model.members.insert(who);
            self.model.announce(who);
        }
        let text = self.house.text();
        let before = self.model.members.clone();
        let others: Vec<usize> = self
            .model
            .members
            .iter()
            .copied()
            .filter(|o| *o != who)
            .collect();
        if is_mesh(who) && !self.model.hanging.contains(&who) {
            // Its own idea of who is in: that this is true is checked elsewhere.
            let known = self
                .house
                .state()
                .mesh
                .get(&who)
                .cloned()
                .unwrap_or_default();
            for to in known {
                let told = self.house.copy(who, to, plain(&text)).await;
                let has_left = matches!(told, Err(Error::HasLeft));
                let left = self.model.former.contains(&to);
                assert!(
                    has_left || !left,
                    "a client that missed a leave is told of it"
                );
                if has_left {
                    let mut state = self.house.state();
                    state.mesh.entry(who).or_default().remove(&to);
                }
                if others.contains(&to) {
                    self.model.expect(who, to, &text);
                }
            }
        } else {
            let chat = self.chat_address();
            let _ = self.house.write(who, PAGER, &chat, &text).await;
            for to in others {
                self.model.expect(who, to, &text);
            }
        }
        // Whoever was found out was announced as gone.
        for gone in before.difference(&self.model.members.clone()) {
            self.model.announce(*gone);
        }
    }

    /// Everybody at once: the order is the conversation's, and the same for all.
    async fn burst(&mut self) {
        let model = &self.model;
        if !model.blocks.is_empty() || !model.hanging.is_empty() || model.members.len() < 3 {
            return;
        }
        self.done += 1;
        let model = &self.model;
        let members: Vec<usize> = model.members.iter().copied().collect();
        let chat = self.chat_address();
        let mut texts = BTreeMap::new();
        for who in members.iter().filter(|who| stacks(**who).contains(&PAGER)) {
            if !self.model.away.contains(who) {
                texts.insert(*who, self.house.text());
            }
        }
        let writes = texts
            .iter()
            .map(|(who, text)| self.house.write(*who, PAGER, &chat, text));
        for told in futures_of(writes).await {
            drop(told);
        }
        self.house.settle().await;
        let mut order: Option<Vec<String>> = None;
        for to in members.iter().filter(|to| !self.model.away.contains(to)) {
            for stack in stacks(*to) {
                let all = self.seen(*to, *stack);
                let is_of_burst = |text: &&String| texts.values().any(|other| other == *text);
                let mine: Vec<String> = all.iter().filter(is_of_burst).cloned().collect();
                let wanted: BTreeSet<&String> = texts
                    .iter()
                    .filter(|(who, _)| *who != to)
                    .map(|(_, text)| text)
                    .collect();
                assert_eq!(
                    mine.iter().collect::<BTreeSet<_>>(),
                    wanted,
                    "{to} in a burst"
                );
                assert_eq!(mine.len(), wanted.len(), "a double at {to}");
                // Whoever wrote has no copy of his own: compare what both have.
                if let Some(order) = &order {
                    let common: Vec<&String> = order.iter().filter(|t| mine.contains(t)).collect();
                    let same: Vec<&String> = mine.iter().filter(|t| order.contains(t)).collect();
                    assert_eq!(common, same, "two orders");
                }
                order.get_or_insert(mine.clone());
                self.model
                    .heard
                    .entry((*to, *stack))
                    .or_default()
                    .extend(mine);
            }
        }
    }

    async fn leave(&mut self, who: usize) {
        if !self.model.members.contains(&who) || !self.takes_part(who) {
            return;
        }
        self.done += 1;
        if is_mesh(who) && !self.model.hanging.contains(&who) {
            let known = self.house.state().mesh.remove(&who).unwrap_or_default();
            let some = !known.is_empty();
            for to in known {
                let _ = self.house.copy(who, to, Content::Leave).await;
            }
            if !some {
                return;
            }
        } else {
            let chat = self.chat_address();
            let _ = self.house.write(who, PAGER, &chat, "/leave").await;
        }
        self.model.members.remove(&who);
        self.model.former.insert(who);
        self.model.announce(who);
    }

    /// Texts that a client was shown, without the lines of the conversation itself.
    fn seen(&self, who: usize, stack: Stack) -> Vec<String> {
        let state = self.house.state();
        let heard: &Heard = match state.heard.get(&(who, stack)) {
            Some(heard) => heard,
            None => return Vec::new(),
        };
        let text = |(_, shown): &(String, String)| {
            let at = shown.find("text ")?;
            let prefix = &shown[..at];
            let named = prefix.is_empty() || (prefix.starts_with('p') && prefix.ends_with(": "));
            named.then(|| shown[at..].to_owned())
        };
        heard.iter().filter_map(text).collect()
    }

    async fn check(&mut self, deed: Deed) {
        let chat = self.house.chat().await;
        if let (true, None) = (self.model.grown(), &chat) {
            assert!(
                self.model.members.len() < 2,
                "{deed:?}: it has ended too early"
            );
        }
        if self.model.members.len() < 2 {
            assert!(chat.is_none(), "{deed:?}: nobody is left to talk to");
            self.model.members.clear();
            self.model.former.clear();
            self.house.state().mesh.clear();
            self.model.heard.clear();
            self.house.state().heard.clear();
            // The pair begins anew, as at the start.
            return self.again().await;
        }
        let roster: BTreeSet<usize> = chat
            .iter()
            .flat_map(|chat| &chat.record.members)
            .map(|member| number(member.person))
            .collect();
        assert_eq!(roster, self.model.members, "{deed:?}: the roster");
        for who in 0..PEOPLE {
            for stack in stacks(who) {
                let wanted = self
                    .model
                    .heard
                    .get(&(who, *stack))
                    .cloned()
                    .unwrap_or_default();
                assert_eq!(
                    self.seen(who, *stack),
                    wanted,
                    "{deed:?}: p{who} on {stack}"
                );
            }
        }
        self.check_mesh(deed, &roster);
    }

    /// Every mesh client that was there all the time knows exactly who is in.
    fn check_mesh(&self, deed: Deed, roster: &BTreeSet<usize>) {
        let state = self.house.state();
        for who in roster.iter().filter(|who| is_mesh(**who)) {
            if self.model.missed.contains(who) {
                continue;
            }
            let mut wanted = roster.clone();
            wanted.remove(who);
            let known = state.mesh.get(who).cloned().unwrap_or_default();
            assert_eq!(known, wanted, "{deed:?}: whom p{who} takes for members");
        }
    }

    /// The pair talks again, after the conversation of many has ended.
    async fn again(&mut self) {
        self.model.missed.clone_from(&self.model.away);
        let (hanging, blocks) = (&self.model.hanging, &self.model.blocks);
        self.model
            .missed
            .extend(hanging.iter().chain(blocks.keys()).chain(blocks.values()));
        if self.takes_part(0) && self.takes_part(1) {
            let text = self.house.text();
            let _ = self.house.copy(0, 1, plain(&text)).await;
            self.model.expect(0, 1, &text);
            self.house.state().mesh.entry(0).or_default().insert(1);
            self.house.settle().await;
        }
    }
}

fn is_mesh(who: usize) -> bool {
    stacks(who).contains(&MESH)
}

/// All of them at once.
async fn futures_of<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    // Polled in turn: the commands are out before the first answer is waited for.
    std::future::poll_fn(|cx| {
        let mut at = 0;
        while at < waiting.len() {
            match waiting[at].as_mut().poll(cx) {
                std::task::Poll::Ready(output) => {
                    done.push(output);
                    drop(waiting.swap_remove(at));
                }
                std::task::Poll::Pending => at += 1,
            }
        }
        if waiting.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done
}
