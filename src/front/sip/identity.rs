//! Who a request says it is from, besides From: P-Preferred-Identity and P-Asserted-Identity
//! (RFC 3325). A client may prefer one of its own names and assert nothing; what it asserts all the
//! same goes no further.

use super::front::Front;
use crate::core::command::Caller;
use crate::core::error::Error;
use sip::edit::Edit;
use sip::header::NameAddr;
use sip::{HeaderId, RawMessage};
use std::net::IpAddr;

/// Every identity that a client prefers must be one of its own (RFC 3325 5, 9.2).
///
/// # Errors
/// [`Error::Spoofed`].
pub(super) fn bind_preferred(
    front: &Front,
    caller: &Caller,
    message: &RawMessage,
    local: IpAddr,
) -> Result<(), Error> {
    for value in message.values(HeaderId::PPreferredIdentity) {
        let own = NameAddr::parse(value).is_ok_and(|name| {
            let super::place::Named::Person(address) = front.places.named(&name.uri, local) else {
                return false;
            };
            front.gate.bind(caller, Some(&address)).is_ok()
        });
        if !own {
            return Err(Error::Spoofed);
        }
    }
    Ok(())
}

/// What leaves us for a client says who it is from by From alone, which was bound: identities that
/// a client wrote are taken out (RFC 3325 5: they count between trusted servers only).
pub(super) fn strip(edit: &mut Edit<'_>) {
    edit.remove_all(HeaderId::PPreferredIdentity)
        .remove_all(HeaderId::PAssertedIdentity);
}
