//! User names as clients send them (`decisions.md` 2).

use crate::core::address::Address;
use std::collections::HashMap;

/// The address behind a user name: `user`, `DOMAIN\user`, `DOMAIN/user`, `user@domain`, each with
/// or without `sip:` before it. `domain` is that of the realm; a NetBIOS name that the table does
/// not know stands for it too.
pub(super) fn address(
    user: &str,
    domain: &str,
    netbios: &HashMap<String, String>,
) -> Option<Address> {
    let user = user.trim();
    let user = match user.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sip") => rest,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sips") => rest,
        _ => user,
    };
    if let Some((name, local)) = user.split_once(['\\', '/']) {
        let known = netbios.get(&name.to_uppercase());
        return Address::new(local, known.map_or(domain, String::as_str)).ok();
    }
    match user.rsplit_once('@') {
        // COMPAT(sipsak 0.9.8): cuts an address behind the `@`.
        Some((local, "")) => Address::new(local, domain).ok(),
        Some((local, domain)) => Address::new(local, domain).ok(),
        None => Address::new(user, domain).ok(),
    }
}
