//! Wire state of points and watches that stand for another server.

use crate::core::address::Address;
use crate::core::id::Handle;
use std::sync::Arc;

const VERSION: &str = "rvp-peer1";

/// Somebody at another server: where exactly is looked up when something is sent.
pub(in super::super) fn handle(address: &Address) -> Handle {
    Arc::from(format!("{VERSION}\n{address}\n").into_bytes())
}

/// Reads it again; `None` for all other handles.
pub(in super::super) fn read(handle: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(handle).ok()?;
    let rest = text.strip_prefix(VERSION)?.strip_prefix('\n')?;
    Address::from_normal(rest.strip_suffix('\n')?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let carol = Address::parse("carol%25@b.example").expect("address");
        assert_eq!(read(&handle(&carol)), Some(carol));
        for other in [
            &b"rvp1\n\n\n"[..],
            b"rvp-peer1\n",
            b"rvp-peer1\nx\n",
            b"\xff",
        ] {
            assert_eq!(read(other), None);
        }
    }
}
