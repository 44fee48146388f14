//! NOTIFY.

use super::super::app::{Asked, Refused, Reply};
use bytes::Bytes;
use rvp::Status;
use rvp::document::Notification;
use rvp::request::Notify;

pub(super) async fn run(
    _asked: &Asked<'_>,
    _head: &Notify,
    _body: &Notification,
    _octets: &Bytes,
) -> Result<Reply, Refused> {
    Err(Refused::new(Status::NotImplemented, "not yet"))
}
