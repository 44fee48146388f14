//! Stand-ins of people at other servers: there while they are needed, and no longer.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with other test programs, each uses its part"
)]
mod support {
    pub mod records;
    pub mod stage;
}

use std::sync::Arc;
use std::time::Duration;
use support::records::address;
use support::stage::{STACK, Stage, caller, memory, one_shard, watch, within};
use tristack::core::address::Address;
use tristack::core::command::Command;
use tristack::core::event::Event;
use tristack::core::id::Handle;
use tristack::core::port::Account;
use tristack::hub::{Elsewhere, StandIns, Want};

/// Everybody of b.example has a stand-in.
#[derive(Debug)]
struct Ways(Arc<StandIns>);

impl Elsewhere for Ways {
    fn reach(
        &self,
        address: &Address,
        account: Option<Arc<Account>>,
        _want: Want<'_>,
    ) -> Option<Arc<Account>> {
        let leads = self.leads_to(address);
        leads.then(|| self.0.stand(address, account)).flatten()
    }

    fn leads_to(&self, address: &Address) -> bool {
        address.domain() == "b.example"
    }
}

fn handle(address: &Address) -> Handle {
    address.to_string().into_bytes().into()
}

#[tokio::test]
async fn whom_nobody_needs_any_more_is_forgotten() {
    let store = memory(1).await;
    let mut stage = Stage::closed(&store, one_shard()).await;
    let stand_ins = Arc::new(StandIns::new(&stage.hub, STACK, handle));
    let hub = stage.hub.clone();
    let directory = hub.directory();
    directory.add_elsewhere(Arc::new(Ways(Arc::clone(&stand_ins))));
    hub.open().await.unwrap();
    let (idle, watched) = (address("idle@b.example"), address("watched@b.example"));
    for of in [&idle, &watched] {
        directory.reach(of, Want::Send);
    }
    let known = |of: &Address| hub.directory().guests().iter().any(|g| g.address == *of);
    let person = directory.guest(&watched).unwrap().person;
    let mut watch = watch();
    if let Command::Watch(watch) = &mut watch {
        watch.lease = Duration::from_secs(7_200);
    }
    within(hub.call(person, &caller(1), watch)).await.unwrap();
    within(stand_ins.forget()).await;
    assert!(known(&idle) && known(&watched), "their points last");
    stage.clock.advance(Duration::from_secs(3_601));
    for _ in 0..2 {
        let ended = |event: &Event| matches!(event, Event::PointEnded { .. }).then_some(());
        stage.find(ended).await;
    }
    within(stand_ins.forget()).await;
    assert!(!known(&idle), "forgotten");
    assert!(known(&watched), "somebody watches him");
    // Needed again, he is there again, with his point.
    directory.reach(&idle, Want::Send);
    let person = directory.guest(&idle).unwrap().person;
    // It is registered by another way than questions take.
    within(async {
        let points = async || {
            let standing = stand_ins.standing(person, &idle).await;
            standing.expect("he is known").points.len()
        };
        while points().await != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // A front that says that a point has ended has it looked at, not lost.
    stand_ins.ended(&idle);
    within(stand_ins.forget()).await;
    assert!(known(&idle), "he has a point");
    hub.stop().await;
}
