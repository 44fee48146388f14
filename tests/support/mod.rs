//! What the root's tests share. Each test binary uses a part of it.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::format_collect)]

pub mod actor;
pub mod baresip;
pub mod keepalive;
pub mod peer;
pub mod server;
pub mod temporary;
