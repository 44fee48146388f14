//! The fronts: one folder per protocol stack. A new protocol is a crate, a folder, a config
//! section and a line here.

use crate::core::id::Stack;

/// RVP, Exchange 2000 Instant Messaging.
pub const RVP: Stack = Stack::named("rvp");
/// SIP/SIMPLE.
pub const SIP: Stack = Stack::named("sip");

mod family;
pub mod mapping;
pub mod rvp;
pub mod sip;
