//! What archiving costs: the same messages with the archive off, on and required. Every measurement
//! has a server of its own: sign-ins of one stack would get the other's messages.

use super::{Kind, Plan, message};
use crate::report::{Goal, Row};
use crate::server::Setup;
use crate::server::tristack::Server;
use crate::wire::Transport;
use crate::{Failure, Options};

/// The policies and how much of the throughput each may cost, in percent.
const POLICIES: [(&str, f64); 2] = [("on", 30.0), ("required", 50.0)];

/// SIP messages on a server that archives nothing.
pub(crate) async fn without(server: &Server, plan: &Plan) -> Result<Vec<Row>, Failure> {
    measure(server, plan, Kind::Sip, "off").await
}

/// The same on servers that archive, and what that costs against `base`; then RVP.
pub(crate) async fn cost(
    options: &Options,
    setup: Setup,
    plan: &Plan,
    base: &[Row],
) -> Result<Vec<Row>, Failure> {
    let mut rows = policies(options, setup, plan, Kind::Sip, base).await?;
    let server = Server::start(options, setup)?;
    let base = measure(&server, plan, Kind::Rvp, "off").await?;
    server.stop();
    rows.extend_from_slice(&base);
    rows.extend(policies(options, setup, plan, Kind::Rvp, &base).await?);
    Ok(rows)
}

async fn policies(
    options: &Options,
    setup: Setup,
    plan: &Plan,
    kind: Kind,
    base: &[Row],
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (policy, most) in POLICIES {
        let setup = Setup {
            archive: Some(policy),
            ..setup
        };
        let server = Server::start(options, setup)?;
        let measured = measure(&server, plan, kind, policy).await?;
        server.stop();
        for (row, base) in measured.into_iter().zip(base) {
            let percent = 100.0 - 100.0 * row.value / base.value.max(1.0);
            let name = format!("cost of {}", row.name);
            let cost = Row::figure(name, percent, "%").goal(Goal::AtMost(most));
            rows.extend([row, cost]);
        }
    }
    Ok(rows)
}

async fn measure(
    server: &Server,
    plan: &Plan,
    kind: Kind,
    policy: &str,
) -> Result<Vec<Row>, Failure> {
    let rows = match kind {
        Kind::Sip => message::relay(&server.peer, plan, Transport::Udp).await?,
        Kind::Rvp => message::cross(server, plan, Kind::Rvp, Kind::Rvp).await?,
    };
    let named = |row: Row| Row {
        name: format!("{}, archive {policy}", row.name),
        compare: None,
        goals: Vec::new(),
        ..row
    };
    Ok(rows.into_iter().map(named).collect())
}
