//! Notification targets: receive what an RVP server sends, in your own web server.
//!
//! A [`Target`] is a [`tower_service::Service`] over HTTP requests. It reads a NOTIFY with its
//! headers and document, hands a typed [`Received`] to your [`Handler`] and turns its [`Answer`]
//! into the response that RVP peers expect. Everything else (other methods, bodies that are none,
//! or are too large) is answered without the handler seeing it. It needs no Tristack server: any
//! server that speaks RVP can be told a target's address as `Call-Back`.
//!
//! ```
//! use rvp::target::{Answer, Notification, Received, Target};
//!
//! let target = Target::new(|received: Received| async move {
//!     match received.notification {
//!         Notification::Message(message) => println!("{}", message.text),
//!         Notification::PropertyChange(_) => println!("{:?} changed", received.sender.href()),
//!         // Nothing else is wanted here.
//!         _ => return Answer::NotAvailable,
//!     }
//!     Answer::Accepted
//! });
//! // In axum: `Router::new().fallback_service(target)`; with features `target` and `client`
//! // together, `rvp::target::serve` listens by itself.
//! # let _ = target;
//! ```
//!
//! # Who sent it
//! The sender of a notification is a **claim**: RVP clients and servers do not authenticate to a
//! callback. Believe it only as far as you believe whoever can reach the port: bind to loopback or
//! an inside network, use an unguessable path, or let an administrator register the target with a
//! secret and demand the [signature](Settings::signed). An unsigned target must not act on a
//! sender's name alone.
//!
//! # Once, or more than once
//! [`Answer::Accepted`] means that you have it: the sender forgets it. A notification whose answer
//! got lost comes again, so what must happen once needs a key of its own in the document.

mod answer;
mod received;
#[cfg(feature = "client")]
mod serve;
mod service;
#[cfg(all(test, feature = "client"))]
mod tests;

pub use answer::Answer;
pub use received::{Invitation, Notification, Other, Received, Refusal, Sender, Session, Text};
#[cfg(feature = "client")]
pub use serve::{Limits, Served, serve, unix_time};
pub use service::{Handler, Settings, Signed, Target, Told};
