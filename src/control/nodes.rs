//! Nodes and targets as operators change them.

use super::accounts::{Accounts, Backend, fresh, result};
use super::wire::{NodeRequest, NodeRow, RowResult, RowState, TargetRequest, TargetRow};
use crate::core::address::Address;
use crate::core::node::Node;
use crate::core::port::{Account, BacklogRecord, Store, TargetRecord, Write};
use crate::core::target::TargetUrl;
use crate::core::time::Time;
use crate::hub::Resolution;
use crate::telemetry::utc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Members of one list.
const MEMBERS: usize = 1000;
/// Targets of one node.
const TARGETS: usize = 16;

impl Accounts {
    /// Does what is asked; the error is for the operator.
    pub async fn node(&self, request: NodeRequest) -> Result<Vec<RowResult>, String> {
        let (named, outcome) = match &request {
            NodeRequest::Add { path, owner } => (path, self.add_node(path, owner.as_deref()).await),
            NodeRequest::Remove { path } => (path, self.remove_node(path).await),
            NodeRequest::AddMember { path, address } => {
                (address, self.add_member(path, address).await)
            }
            NodeRequest::RemoveMember { path, address } => {
                (address, self.remove_member(path, address).await)
            }
            NodeRequest::List => return Err("a question, not a change".to_owned()),
        };
        Ok(vec![result(named, outcome)])
    }

    /// All nodes, by path.
    pub fn nodes(&self) -> Vec<NodeRow> {
        let all = self.directory().all();
        all.iter()
            .filter_map(|account| {
                let node = account.node.as_ref()?;
                let owner = node.owner.and_then(|id| self.directory().account(id));
                Some(NodeRow {
                    path: account.address.path().unwrap_or_default().to_owned(),
                    domain: account.address.domain().to_owned(),
                    aliases: account.aliases.iter().map(Address::to_string).collect(),
                    owner: owner.map(|owner| owner.address.to_string()),
                    members: node.members.iter().map(Address::to_string).collect(),
                })
            })
            .collect()
    }

    /// `/path` of the first domain, or `/path@domain`.
    fn node_address(&self, text: &str) -> Result<Address, String> {
        let first = self.directory().domains().first();
        let first = first.map(String::as_str).unwrap_or_default();
        let (path, domain) = text.rsplit_once('@').unwrap_or((text, first));
        let address = Address::of_path(path, domain).map_err(|_| {
            "a node is named by its path, as /groups/rec-cycling; not below /instmsg".to_owned()
        })?;
        if !self.directory().is_ours(address.domain()) {
            return Err(format!("{domain} is not a domain served here"));
        }
        Ok(address)
    }

    fn existing_node(&self, path: &str) -> Result<Account, String> {
        match self.directory().resolve(&self.node_address(path)?) {
            Resolution::Local(account) => Ok(Account::clone(&account)),
            Resolution::UnknownUser | Resolution::Foreign => {
                Err("no such node; `tristack node list` shows which there are".to_owned())
            }
        }
    }

    async fn add_node(&self, path: &str, owner: Option<&str>) -> Result<RowState, String> {
        let address = self.node_address(path)?;
        if let Resolution::Local(_) = self.directory().resolve(&address) {
            return Err("exists".to_owned());
        }
        let owner = match owner {
            Some(owner) => Some(self.existing(owner)?.person),
            None => None,
        };
        let mut account = fresh(address)?;
        account.aliases.extend(self.free_alias(&account.address));
        account.node = Some(Node {
            owner,
            members: Vec::new(),
        });
        self.keep_one(account).await.map(|()| RowState::Added)
    }

    /// `rec-cycling@domain` for `/groups/rec-cycling`, by which other protocols reach the node, if
    /// nobody has that address.
    fn free_alias(&self, address: &Address) -> Option<Address> {
        let last = address.path()?.rsplit('/').next()?;
        let alias = Address::new(&last.replace('%', "%25"), address.domain()).ok()?;
        match self.directory().resolve(&alias) {
            Resolution::UnknownUser => Some(alias),
            Resolution::Local(_) | Resolution::Foreign => None,
        }
    }

    async fn remove_node(&self, path: &str) -> Result<RowState, String> {
        let account = self.existing_node(path)?;
        self.erase(account.person).await?;
        if let Backend::Hub(hub) = self.backend() {
            hub.board().change();
        }
        Ok(RowState::Removed)
    }

    async fn add_member(&self, path: &str, member: &str) -> Result<RowState, String> {
        let mut account = self.existing_node(path)?;
        let who = self.existing(member)?;
        let node = account.node.get_or_insert_default();
        if node.members.contains(&who.address) {
            return Err("is a member already".to_owned());
        }
        if node.members.len() >= MEMBERS {
            return Err(format!("a list has at most {MEMBERS} members"));
        }
        node.members.push(who.address.clone());
        self.keep_one(account).await.map(|()| RowState::Added)
    }

    async fn remove_member(&self, path: &str, member: &str) -> Result<RowState, String> {
        let mut account = self.existing_node(path)?;
        let mut address = Address::parse(member).map_err(|why| why.to_string())?;
        if let Resolution::Local(who) = self.directory().resolve(&address) {
            address = who.address.clone();
        }
        let node = account.node.get_or_insert_default();
        let before = node.members.len();
        node.members.retain(|known| *known != address);
        if node.members.len() == before {
            return Err("is no member".to_owned());
        }
        self.keep_one(account).await.map(|()| RowState::Removed)
    }

    async fn keep_one(&self, account: Account) -> Result<(), String> {
        match self.keep(vec![(0, account)]).await.pop() {
            None => Ok(()),
            Some((_, why)) => Err(why),
        }
    }

    /// Adds or removes a target.
    pub async fn target(&self, request: TargetRequest) -> Result<Vec<RowResult>, String> {
        let (named, outcome) = match request {
            TargetRequest::Add { node, url, secret } => {
                let outcome = self.add_target(&node, &url, secret).await;
                (url, outcome)
            }
            TargetRequest::Remove { node, url } => {
                let outcome = self.remove_target(&node, &url).await;
                (url, outcome)
            }
            TargetRequest::List => return Err("a question, not a change".to_owned()),
        };
        Ok(vec![result(&named, outcome)])
    }

    /// All targets with what waits for them.
    pub async fn targets(&self) -> Result<Vec<TargetRow>, String> {
        let (targets, backlog) = self.stored_targets().await?;
        let row = |target: &TargetRecord| {
            let state = match self.backend() {
                Backend::Hub(hub) => hub.board().get(target.person, target.id),
                Backend::Store(..) => None,
            };
            let mine = |b: &&BacklogRecord| b.person == target.person && b.target == target.id;
            let waiting: Vec<_> = backlog.iter().filter(mine).collect();
            let state = state.unwrap_or_default();
            let node = self.directory().account(target.person);
            TargetRow {
                id: target.id,
                node: node.map_or_else(String::new, |node| match node.address.path() {
                    Some(path) => path.to_owned(),
                    None => node.address.to_string(),
                }),
                url: target.url.clone(),
                signed: !target.secret.0.is_empty(),
                waiting: waiting.len(),
                octets: waiting.iter().map(|b| b.content.len()).sum(),
                oldest: waiting.first().map(|b| utc(b.added.0)),
                delivered: state.delivered,
                dropped: state.dropped,
                failures: state.failures,
                last: state.last,
                next: state.next.map(|at| utc(at.0)),
            }
        };
        Ok(targets.iter().map(row).collect())
    }

    async fn stored_targets(&self) -> Result<(Vec<TargetRecord>, Vec<BacklogRecord>), String> {
        match self.backend() {
            Backend::Hub(hub) => hub.targets().await,
            Backend::Store(_, store) => match store.targets().await {
                Ok(targets) => store.backlog().await.map(|backlog| (targets, backlog)),
                Err(error) => Err(error),
            },
        }
        .map_err(|error| error.to_string())
    }

    /// A node by its path, or a person by address.
    fn watched(&self, node: &str) -> Result<Arc<Account>, String> {
        if node.starts_with('/') {
            return self.existing_node(node).map(Arc::new);
        }
        self.existing(node)
    }

    async fn add_target(&self, node: &str, url: &str, secret: String) -> Result<RowState, String> {
        let account = self.watched(node)?;
        TargetUrl::parse(url).map_err(|why| why.to_string())?;
        let (targets, _) = self.stored_targets().await?;
        let mine = || targets.iter().filter(|t| t.person == account.person);
        if mine().any(|target| target.url == url) {
            return Err("is a target of that node already".to_owned());
        }
        if mine().count() >= TARGETS {
            return Err(format!("a node has at most {TARGETS} targets"));
        }
        // Ids are not used again while others are there, so that an old outcome never counts for
        // a new target.
        let id = targets.iter().map(|t| t.id).max().unwrap_or(0) + 1;
        let person = account.person;
        let sealed = self
            .credentials()
            .seal_target(person, id, secret.as_bytes());
        let record = TargetRecord {
            person,
            id,
            url: url.to_owned(),
            secret: sealed.map_err(|why| why.to_string())?,
            sealed: true,
            added: now(),
        };
        self.commit_targets(vec![Write::PutTarget(record)]).await?;
        Ok(RowState::Added)
    }

    async fn remove_target(&self, node: &str, url: &str) -> Result<RowState, String> {
        let account = self.watched(node)?;
        let (targets, backlog) = self.stored_targets().await?;
        let target = targets
            .iter()
            .find(|t| t.person == account.person && (t.url == url || t.id.to_string() == url))
            .ok_or("no such target; `tristack target list` shows which there are")?;
        let waiting = backlog
            .iter()
            .filter(|b| b.person == target.person && b.target == target.id);
        let mut writes = vec![Write::DeleteTarget(target.person, target.id)];
        writes.extend(waiting.map(|b| Write::DeleteBacklog(b.person, b.target, b.sequence)));
        self.commit_targets(writes).await?;
        Ok(RowState::Removed)
    }

    async fn commit_targets(&self, writes: Vec<Write>) -> Result<(), String> {
        let done = match self.backend() {
            Backend::Hub(hub) => hub.commit_targets(writes).await,
            Backend::Store(_, store) => store.commit(writes).await,
        };
        done.map_err(|error| error.to_string())?;
        if let Backend::Hub(hub) = self.backend() {
            hub.board().change();
        }
        Ok(())
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}
