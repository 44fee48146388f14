//! Admission hooks: filters and archives between accept and commit (`decisions.md` 17).

use crate::core::error::Error;
use crate::core::message::Message;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What a hook says.
pub type Admission = Result<Arc<Message>, Error>;

/// One hook. Hooks run in order, each on what the one before it let through; messages of one
/// conversation pass in order, others do not wait for them. With no hook there is no cost.
pub trait AdmissionHook: Send + Sync + 'static {
    /// Name for logs and traces.
    fn name(&self) -> &'static str;
    /// Lets the message pass (as it is, or changed), or refuses it with the error that the sender
    /// is told.
    fn admit(&self, message: Arc<Message>) -> Pin<Box<dyn Future<Output = Admission> + Send + '_>>;
}
