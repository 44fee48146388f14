//! What is done for neighbours now and then: subscriptions are taken up again after a restart, and
//! stand-ins that nobody needs any more are forgotten.

use super::{Neighbours, Order};
use crate::core::access::Scheme;
use crate::core::address::Address;
use crate::core::command::{Caller, Route};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::sleep;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(300);
/// Pause where a shard has no room for one more order.
const CROWD: Duration = Duration::from_millis(100);

impl Neighbours {
    /// After the hub has opened; until dropped.
    pub(in super::super) async fn run(self: Arc<Self>) {
        self.ask_lines().await;
        self.resume().await;
        loop {
            sleep(LOOK).await;
            self.stand_ins.forget().await;
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
            self.stand_ins.adopt(&guest);
            let standing = self.stand_ins.standing(guest.person, &guest.address).await;
            let Some(standing) = standing else { continue };
            if !standing.watches.is_empty() {
                self.stand_ins
                    .stand(&guest.address, Some(Arc::clone(&guest)));
            }
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
