//! The hash chain. A link covers the row's number, its head and the link before it; the body is
//! covered by its digest in the head, so that it can be erased and the chain still holds.

use crate::core::archive::Link;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Parts this use of the hash from all others; a new form of rows gets a new one.
const DOMAIN: &[u8] = b"tristack archive 1\n";

/// The link of row `seq` with that head behind `previous`.
pub fn link(previous: &Link, seq: u64, head: &str) -> Link {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(previous);
    hash.update(seq.to_be_bytes());
    hash.update(head.as_bytes());
    hash.finalize().into()
}

/// The digest of octets.
pub fn digest(octets: &[u8]) -> Link {
    Sha256::digest(octets).into()
}

/// Lower-case hexadecimal.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().fold(
        String::with_capacity(octets.len() * 2),
        |mut text, octet| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        },
    )
}

/// A link as [`hex`] writes it.
pub fn unhex(text: &str) -> Option<Link> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut link = [0; 32];
    for (at, octet) in link.iter_mut().enumerate() {
        *octet = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::archive::START;

    #[test]
    fn every_part_counts() {
        let first = link(&START, 1, "a");
        assert_ne!(first, link(&START, 2, "a"));
        assert_ne!(first, link(&START, 1, "b"));
        assert_ne!(first, link(&first, 1, "a"));
        assert_eq!(unhex(&hex(&first)), Some(first));
        assert_eq!(unhex("ab"), None);
    }

    #[test]
    fn the_form_is_the_one_that_others_can_compute() {
        // printf 'tristack archive 1\n' + 32 zero octets + 8 octets of the number + the head.
        let mut octets = DOMAIN.to_vec();
        octets.extend([0; 32]);
        octets.extend([0, 0, 0, 0, 0, 0, 0, 7]);
        octets.extend(b"{}");
        assert_eq!(link(&START, 7, "{}"), digest(&octets));
    }
}
