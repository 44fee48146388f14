//! kill -9 with 10,000 leases: how soon the server is there again, and whether it knows them all.

use crate::Failure;
use crate::http::{self, Callbacks, Client};
use crate::report::{Goal, Row};
use crate::server::tristack::Server;

/// Leases, one of each user.
pub(crate) const LEASES: u64 = 10_000;

/// See the module.
pub(crate) async fn restart(server: &mut Server) -> Result<Vec<Row>, Failure> {
    let callbacks = Callbacks::listen().await?;
    let mut leases = Vec::new();
    for n in 0..LEASES {
        let (_, id) = http::sign_in_with_lease(server.rvp, n, callbacks.address).await?;
        leases.push(id);
    }
    let taken = server.crash_and_restart()?;
    let mut forgotten = 0;
    for (n, id) in leases.into_iter().enumerate() {
        let mut client = Client::connect(server.rvp, n as u64).await?;
        if let Err(error) = client.renew(n as u64, id).await {
            if forgotten == 0 {
                eprintln!("load: first lease forgotten: {error}");
            }
            forgotten += 1;
        }
    }
    let row = Row {
        failures: forgotten,
        ..Row::figure(
            "ready after kill -9, 10000 leases",
            taken.as_secs_f64(),
            "s",
        )
    };
    Ok(vec![row.goal(Goal::AtMost(2.0))])
}
