//! Reads people from storage beside the shards, some at a time.

use super::mailbox::Inside;
use super::shared::Shared;
use crate::core::id::PersonId;
use crate::core::port::Store;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Who is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) person: PersonId,
    pub(super) generation: u64,
}

/// Runs until all senders are gone.
pub(super) async fn run<S: Store>(
    store: Arc<S>,
    shared: Arc<Shared>,
    mut loads: mpsc::UnboundedReceiver<Load>,
) {
    let most = shared.settings.loads.max(1);
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            load = loads.recv(), if running.len() < most => {
                let Some(load) = load else { break };
                let (store, shared) = (Arc::clone(&store), Arc::clone(&shared));
                running.spawn(async move {
                    let records = Box::new(store.person(load.person).await);
                    let Load { person, generation } = load;
                    if let Some(mailbox) = shared.mailbox(person) {
                        mailbox.tell(Inside::Loaded { person, generation, records });
                    }
                });
            }
            Some(_) = running.join_next() => {}
        }
    }
    running.join_all().await;
}
