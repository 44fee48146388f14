//! UNSUBSCRIBE: of one's sign-ins, of one's watches, of watches on oneself.

use super::super::RVP;
use super::super::app::{Asked, Refused, Reply};
use super::subscribe::{number, register};
use crate::core::command::{Command, PointChange};
use crate::core::error::Error;
use crate::core::id::{PointId, Stack, WatchId};
use crate::core::node::INSIDE;
use rvp::request::SubscriptionId;

/// Ends the subscription. Real servers refused that for the current sign-in; taking it as sign-out
/// is friendlier (`rvp.md` 3).
pub(super) async fn run(asked: &Asked<'_>, id: &SubscriptionId) -> Result<Reply, Refused> {
    let Some(number) = number(id) else {
        return Err(Error::StaleId.into());
    };
    let stacks: &[Stack] = match (asked.is_node(), asked.is_own()) {
        (true, _) => &[RVP, INSIDE],
        (false, true) => &[RVP],
        (false, false) => &[],
    };
    for stack in stacks {
        match register(asked, *stack, PointChange::RemoveId(PointId(number))).await {
            Ok(_) => return Ok(Reply::empty()),
            Err(Error::StaleId) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let command = Command::Unwatch {
        watch: WatchId(number),
        notify: false,
    };
    asked.call(command).await?;
    Ok(Reply::empty())
}
