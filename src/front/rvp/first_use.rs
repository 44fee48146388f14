//! Nodes that come to be by their first use.

use super::app::{Front, Refused};
use crate::core::address::Address;
use crate::core::command::Caller;
use crate::core::error::Error;
use crate::core::id::PersonId;
use crate::core::node::{Node, covers};
use crate::core::port::{Account, Secret, StoreError};
use crate::hub::Resolution;
use rvp::Status;
use rvp::request::{Action, Request};
use std::sync::Arc;

impl Front {
    /// A path of a configured pattern becomes a node when somebody here uses it first; who that is
    /// owns it. Reading does not count as use.
    pub(super) async fn first_use(
        &self,
        request: &Request,
        caller: &Caller,
        address: &Address,
    ) -> Result<Option<Arc<Account>>, Refused> {
        let (Some(path), Some(owner)) = (address.path(), caller.person) else {
            return Ok(None);
        };
        let uses = matches!(
            request.action,
            Action::Subscribe(_) | Action::Proppatch | Action::Notify(_) | Action::Acl
        );
        let directory = self.hub.directory();
        let is_here = matches!(
            directory.resolve(&caller.address),
            Resolution::Local(account) if account.person == owner
        );
        if !uses || !is_here || !self.patterns.iter().any(|pattern| covers(pattern, path)) {
            return Ok(None);
        }
        if directory.owned_by(owner) >= self.nodes {
            let cause = format!("{} owns as many nodes as one may", caller.address);
            return Err(Refused::new(Status::Forbidden, cause));
        }
        let mut id = [0u8; 16];
        getrandom::fill(&mut id).map_err(|_| Refused::from(Error::Overloaded))?;
        let person = PersonId(u128::from_be_bytes(id));
        match self.hub.put_account(fresh(person, address, owner)).await {
            Ok(()) => tracing::info!(node = %address, owner = %caller.address, "node made"),
            // Somebody else was first.
            Err(StoreError::Taken(_)) => {}
            Err(_) => return Err(Error::Storage.into()),
        }
        Ok(match directory.resolve(address) {
            Resolution::Local(account) => Some(account),
            Resolution::UnknownUser | Resolution::Foreign => None,
        })
    }
}

fn fresh(person: PersonId, address: &Address, owner: PersonId) -> Account {
    Account {
        person,
        address: address.clone(),
        aliases: Vec::new(),
        display_name: String::new(),
        email: String::new(),
        secret: Secret::default(),
        suspended: false,
        node: Some(Node {
            owner: Some(owner),
            members: Vec::new(),
        }),
    }
}
