//! XCAP (RFC 4825) at `/xcap` of the HTTP listeners: documents of people, read and written whole or
//! by node.
//!
//! Path of a request: [`service`] -> `request` (order of checks, `decisions.md` 7) -> `store` (what
//! is there, compare and swap) -> the core, which commits before anything is answered. What a
//! document means goes with it (`meaning`): presence rules are the access list (`rules`), resource
//! lists the contacts, services the lists that can be subscribed to (`registry`).

mod meaning;
mod members;
mod pages;
mod registry;
mod request;
mod rules;
mod store;

pub(super) use registry::{Found, Member, Registry};
pub(super) use store::etag;

use super::place::Places;
use crate::config::Config;
use crate::core::address::Address;
use crate::core::documents::DocumentId;
use crate::core::event::{Event, Outbound};
use crate::core::id::PersonId;
use crate::core::port::{Account, StoreError};
use crate::core::time::Time;
use crate::gate::Gate;
use crate::hub::{Hub, Resolution};
use crate::net::Tasks;
use crate::net::http;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use xcap::usage::Usage;
use xcap::usage::services::Service;

/// Path of the root.
pub(super) const ROOT: &str = "/xcap";

/// Everything that XCAP requests share.
pub(super) struct Xcap {
    hub: Hub,
    gate: Arc<Gate>,
    places: Places,
    /// Bounds of one document.
    limits: xml::Limits,
    /// People who may read and write everybody's documents.
    operators: Vec<Address>,
    /// Lists that can be subscribed to.
    pub(super) registry: Registry,
    /// People on one of them.
    list_entries: usize,
    /// The root as clients reach it, for bodies that no request has named it in.
    root: String,
    upkeep: Mutex<Upkeep>,
    wake: Notify,
}

/// What has to be looked at again.
#[derive(Default)]
struct Upkeep {
    /// People whose access list was changed by other means than a document.
    mirror: BTreeSet<PersonId>,
    /// When rules begin or end to hold, by person.
    due: BTreeMap<PersonId, Time>,
}

impl Xcap {
    pub(super) fn new(
        hub: &Hub,
        gate: Arc<Gate>,
        places: Places,
        root: String,
        config: &Config,
    ) -> Arc<Self> {
        Arc::new(Self {
            hub: hub.clone(),
            gate,
            places,
            limits: xml::Limits::with_bytes(config.limits.document),
            operators: config.sip.xcap_operators.clone(),
            registry: Registry::default(),
            list_entries: config.limits.list_entries,
            root,
            upkeep: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// The root as clients reach it.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Answers requests below [`ROOT`].
    pub(super) fn service(self: &Arc<Self>) -> http::Service {
        let xcap = Arc::clone(self);
        Arc::new(move |asked, ends| {
            let xcap = Arc::clone(&xcap);
            Box::pin(async move { xcap.answer(asked, &ends).await })
        })
    }

    /// Reads what is needed of all documents, and keeps access lists and rules alike until the
    /// process stops. After [`Hub::open`].
    pub(super) fn keep(self: &Arc<Self>, tasks: &Tasks) {
        let xcap = Arc::clone(self);
        tasks.spawn_until_stop(async move {
            if let Err(error) = xcap.read_all().await {
                tracing::error!(%error, "XCAP documents can't be read: lists can't be subscribed to");
            }
            xcap.upkeep().await;
        });
    }

    async fn read_all(&self) -> Result<(), StoreError> {
        for (person, _, content) in self.hub.documents(Usage::RlsServices.auid()).await? {
            if let Ok(root) = xml::parse(&content, &self.limits) {
                let services = xcap::usage::services::services(&root);
                let named = self.named(services);
                self.enter(person, named).await;
            }
        }
        for (person, info, _) in self.hub.documents(Usage::PresRules.auid()).await? {
            self.remind(person, info.due);
        }
        Ok(())
    }

    /// What somebody's services come to by now.
    async fn enter(&self, owner: PersonId, services: Vec<(Address, Service)>) {
        let members = self.members_of(owner, &services).await;
        let lists = services
            .into_iter()
            .zip(members)
            .map(|((address, service), members)| {
                let found = Found {
                    owner,
                    packages: service.packages,
                    members: members.into(),
                };
                (address, found)
            });
        self.registry.put(owner, lists.collect());
    }

    /// Somebody's resource lists have changed: his services may name them.
    async fn enter_again(&self, owner: PersonId) {
        let id = id_of(Usage::RlsServices, "index");
        if let Ok(Some((_, content))) = self.hub.document(owner, id).await
            && let Ok(root) = xml::parse(&content, &self.limits)
        {
            let services = xcap::usage::services::services(&root);
            let named = self.named(services);
            self.enter(owner, named).await;
        }
    }

    /// One task for all: who is to be looked at again, one after the other.
    async fn upkeep(self: Arc<Self>) {
        loop {
            let (person, next) = self.next();
            let Some(person) = person else {
                let woken = self.wake.notified();
                match next {
                    Some(at) => {
                        let wait = at.since(self.hub.now());
                        let _ = tokio::time::timeout(wait, woken).await;
                    }
                    None => woken.await,
                }
                continue;
            };
            if let Some(account) = self.hub.directory().account(person) {
                self.mirror(&account).await;
            }
        }
    }

    /// Somebody to be looked at now, or when the next one is due.
    fn next(&self) -> (Option<PersonId>, Option<Time>) {
        let now = self.hub.now();
        let mut upkeep = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(person) = upkeep.mirror.pop_first() {
            return (Some(person), None);
        }
        let due = upkeep.due.iter().min_by_key(|(_, at)| **at);
        match due.map(|(person, at)| (*person, *at)) {
            Some((person, at)) if at <= now => {
                upkeep.due.remove(&person);
                (Some(person), None)
            }
            Some((_, at)) => (None, Some(at)),
            None => (None, None),
        }
    }

    fn remind(&self, person: PersonId, due: Option<Time>) {
        let mut upkeep = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        match due {
            Some(at) => upkeep.due.insert(person, at),
            None => upkeep.due.remove(&person),
        };
        drop(upkeep);
        self.wake.notify_one();
    }

    /// The account of a person of ours.
    fn account(&self, address: &Address) -> Option<Arc<Account>> {
        match self.hub.directory().resolve(address) {
            Resolution::Local(account) if account.node.is_none() => Some(account),
            _ => None,
        }
    }

    /// The address that a URI (or `user@domain`) names; `None` for none.
    pub(super) fn address(&self, uri: &str) -> Option<Address> {
        let plain = ["sip:", "sips:", "pres:", "im:"]
            .into_iter()
            .find_map(|scheme| {
                let head = uri.get(..scheme.len())?;
                head.eq_ignore_ascii_case(scheme)
                    .then(|| uri.get(scheme.len()..))?
            })
            .unwrap_or(uri);
        let plain = plain.split(['?', ';']).next().unwrap_or_default();
        let address = Address::parse(plain).ok()?;
        // A name of ours that stands for a domain.
        match self.places.alias(address.domain()) {
            Some(domain) => Address::new(address.local(), domain).ok(),
            None => Some(address),
        }
    }
}

/// The key under which a usage's document is kept.
fn id_of(usage: Usage, name: &str) -> DocumentId {
    DocumentId {
        usage: usage.auid().into(),
        name: name.into(),
    }
}

/// XCAP as the hub knows it: told when an access list was changed by other means.
pub(super) struct Keeper(pub(super) std::sync::Weak<Xcap>);

impl Outbound for Keeper {
    fn take(&self, event: Event) {
        let Some(xcap) = self.0.upgrade() else {
            return;
        };
        if let Event::AccessChanged { person } = event {
            let mut upkeep = xcap.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
            upkeep.mirror.insert(person);
            drop(upkeep);
            xcap.wake.notify_one();
        }
    }
}
