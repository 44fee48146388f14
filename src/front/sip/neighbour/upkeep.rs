//! What is done for neighbours now and then: subscriptions are taken up again after a restart, and
//! stand-ins that nobody needs any more are forgotten.

use super::{Neighbours, Order, lock};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Command, Reply, Route, Standing};
use crate::core::id::PersonId;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(300);
/// Pause where a shard has no room for one more order.
const CROWD: Duration = Duration::from_millis(100);
/// Stand-ins looked at in one go.
const SOME: usize = 1_000;

impl Neighbours {
    /// After the hub has opened; until dropped.
    pub(in super::super) async fn run(self: Arc<Self>) {
        self.ask_lines().await;
        self.resume().await;
        loop {
            sleep(LOOK).await;
            self.forget().await;
        }
    }

    /// Every line is asked for at the telephone system, anew after each start.
    async fn ask_lines(&self) {
        let orders = self.orders.get().and_then(Weak::upgrade);
        let (Some(orders), Some(domain)) = (orders, self.routes.home()) else {
            return;
        };
        for (line, owner) in &self.asked {
            let by = match Address::new(line, domain) {
                Ok(by) => by,
                Err(error) => {
                    tracing::error!(line, %error, "a line of this name can't be asked for");
                    continue;
                }
            };
            let order = Order::line(line, owner, by);
            while !orders.order(order.clone()) {
                sleep(CROWD).await;
            }
        }
    }

    /// Whoever was watched before a restart is watched again, for each watcher.
    async fn resume(&self) {
        let guests = self.hub.directory().guests();
        let orders = self.orders.get().and_then(Weak::upgrade);
        let Some(orders) = orders else { return };
        for guest in guests {
            if self.routes.of(guest.address.domain()).is_none() {
                continue;
            }
            let Some(standing) = self.standing_of(guest.person, &guest.address).await else {
                continue;
            };
            self.stand(guest.person, &guest.address);
            for watch in standing.watches {
                let order = Order {
                    of: guest.address.clone(),
                    person: guest.person,
                    by: watch.watcher,
                    line: None,
                };
                if !self.hub.directory().is_ours(order.by.domain()) {
                    continue;
                }
                while !orders.order(order.clone()) {
                    sleep(CROWD).await;
                }
            }
        }
    }

    async fn forget(&self) {
        let now = Instant::now();
        let ended: Vec<(Address, PersonId)> = lock(&self.standing)
            .iter()
            .filter(|(_, known)| known.until < now)
            .map(|(of, known)| (of.clone(), known.person))
            .take(SOME)
            .collect();
        for (of, person) in ended {
            let standing = self.standing_of(person, &of).await;
            let needed = standing.is_some_and(|standing| {
                !standing.watches.is_empty() || standing.pending > 0 || !standing.points.is_empty()
            });
            if !needed {
                lock(&self.standing).remove(&of);
                self.hub.directory().forget_guest(&of);
            }
        }
    }

    async fn standing_of(&self, person: PersonId, address: &Address) -> Option<Box<Standing>> {
        let caller = internal(address);
        match self.hub.call(person, &caller, Command::Standing).await {
            Ok(Reply::Standing(standing)) => Some(standing),
            _ => None,
        }
    }
}

/// On whose behalf a stand-in is kept.
pub(super) fn internal(address: &Address) -> Caller {
    Caller {
        address: address.clone(),
        person: None,
        scheme: Scheme::Internal,
        route: Route::Internal,
    }
}
