//! Keyed marks on what we hand out and want back unchanged: branches, route tokens.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The mark of some parts under a key. The purpose keeps marks of one use from passing as
/// another's; lengths keep parts from running into one another.
#[must_use]
pub fn mark(key: &[u8; 32], purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether a mark that came back is this one's beginning; takes the same time for all of equal
/// length.
#[must_use]
pub fn holds(mark: &[u8; 32], shown: &[u8]) -> bool {
    mark.get(..shown.len())
        .is_some_and(|own| !shown.is_empty() && bool::from(own.ct_eq(shown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts_and_lengths_do() {
        let key = [7; 32];
        let base = mark(&key, "p", &[b"ab", b"c"]);
        assert_eq!(base, mark(&key, "p", &[b"ab", b"c"]));
        for other in [
            mark(&key, "p", &[b"a", b"bc"]),
            mark(&key, "p", &[b"ab", b"c", b""]),
            mark(&key, "q", &[b"ab", b"c"]),
            mark(&[8; 32], "p", &[b"ab", b"c"]),
        ] {
            assert_ne!(base, other);
        }
        assert!(holds(&base, &base[..10]) && holds(&base, &base));
        assert!(!holds(&base, &[]) && !holds(&base, &[0; 10]) && !holds(&base, &[0; 33]));
    }
}
