//! The header by which a registered target knows that a notification comes from its server.
//!
//! `Tristack-Signature: t=UNIX, v1=HEX`: `t` is when it was signed (seconds since 1970), `v1` the
//! HMAC-SHA256, in lower-case hexadecimal, of `t`'s digits, a full stop and the body's octets. While
//! a secret is being replaced there may be one `v1` for each. Both functions are pure: the caller
//! brings the time.
//!
//! ```
//! use rvp::signature;
//! let value = signature::sign(b"secret", 1_700_000_000, b"<x/>");
//! assert!(value.starts_with("t=1700000000, v1="));
//! let signed_at = signature::verify(b"secret", &value, b"<x/>", 1_700_000_030, 300);
//! assert_eq!(signed_at, Ok(1_700_000_000));
//! let altered = signature::verify(b"secret", &value, b"<y/>", 1_700_000_030, 300);
//! assert_eq!(altered, Err(signature::SignatureError::Mismatch));
//! ```

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt::Write as _;

/// The header's name.
pub const HEADER: &str = "Tristack-Signature";

/// Why a signature does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("not signed")]
    Missing,
    /// Not `t=UNIX, v1=HEX`.
    #[error("signature ill-formed")]
    Malformed,
    /// Signed longer ago than allowed, or by a clock that is ahead of ours by more than that.
    #[error("signature too old, or from the future")]
    Age,
    /// Other body, other time or other secret.
    #[error("signature does not match")]
    Mismatch,
}

/// Longest header value read, bytes.
const MAX: usize = 512;
/// Octets of an HMAC-SHA256.
const LENGTH: usize = 32;

/// The header value for a body that is sent at `now` (seconds since 1970).
pub fn sign(secret: &[u8], now: u64, body: &[u8]) -> String {
    let mut value = format!("t={now}, v1=");
    let digits = now.to_string();
    if let Some(mac) = mac(secret, &digits, body) {
        for octet in mac.finalize().into_bytes() {
            let _ = write!(value, "{octet:02x}");
        }
    }
    value
}

/// Checks a header value; the result is when it was signed. `max_age` (seconds) bounds how long a
/// copied request can be sent again, and how far clocks may differ.
///
/// # Errors
/// [`SignatureError`].
pub fn verify(
    secret: &[u8],
    value: &str,
    body: &[u8],
    now: u64,
    max_age: u64,
) -> Result<u64, SignatureError> {
    let (signed, codes) = parse(value)?;
    let mut holds = false;
    for code in codes {
        let mac = mac(secret, signed, body).ok_or(SignatureError::Malformed)?;
        // Compared in constant time, and all of them.
        holds |= mac.verify_slice(&code).is_ok();
    }
    if !holds {
        return Err(SignatureError::Mismatch);
    }
    let signed: u64 = signed.parse().map_err(|_| SignatureError::Malformed)?;
    if signed.abs_diff(now) > max_age {
        return Err(SignatureError::Age);
    }
    Ok(signed)
}

/// The digits of `t` as written, since they are what is signed, and each `v1`.
fn parse(value: &str) -> Result<(&str, Vec<[u8; LENGTH]>), SignatureError> {
    let bad = SignatureError::Malformed;
    if value.len() > MAX {
        return Err(bad);
    }
    let (mut signed, mut codes) = (None, Vec::new());
    for part in value.split(',') {
        let (name, text) = part.trim().split_once('=').ok_or(bad)?;
        match name {
            "t" if signed.is_some() => return Err(bad),
            "t" if (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) => {
                signed = Some(text);
            }
            "t" => return Err(bad),
            "v1" => codes.push(octets(text).ok_or(bad)?),
            // A later version stands beside the one we know.
            _ => {}
        }
    }
    match signed {
        Some(signed) if !codes.is_empty() => Ok((signed, codes)),
        _ => Err(bad),
    }
}

fn octets(hex: &str) -> Option<[u8; LENGTH]> {
    let mut out = [0; LENGTH];
    if hex.len() != 2 * LENGTH || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (octet, pair) in out.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

fn mac(secret: &[u8], digits: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(digits.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_700_000_000;

    /// Computed with OpenSSL: `printf '1700000000.<x/>' | openssl dgst -sha256 -hmac secret`.
    const KNOWN: &str = "24afdd8fded9687a17f8c6fcabe1aa9a35dc2985092808cb612709f486a28fbc";

    #[test]
    fn the_value_is_the_one_that_others_compute() {
        let value = sign(b"secret", NOW, b"<x/>");
        assert_eq!(value, format!("t=1700000000, v1={KNOWN}"));
        assert_eq!(verify(b"secret", &value, b"<x/>", NOW, 0), Ok(NOW));
    }

    #[test]
    fn age_is_limited_both_ways() {
        let value = sign(b"k", NOW, b"");
        for (now, max_age, held) in [
            (NOW + 300, 300, true),
            (NOW + 301, 300, false),
            (NOW - 300, 300, true),
            (NOW - 301, 300, false),
            (0, u64::MAX, true),
        ] {
            let wanted = if held {
                Ok(NOW)
            } else {
                Err(SignatureError::Age)
            };
            assert_eq!(verify(b"k", &value, b"", now, max_age), wanted, "{now}");
        }
    }

    #[test]
    fn either_secret_holds_while_one_is_replaced() {
        let (_, old) = sign(b"old", NOW, b"b")
            .split_once(' ')
            .map_or_else(|| unreachable!(), |(t, v)| (t.to_owned(), v.to_owned()));
        let both = format!("{}, {old}, v2=later", sign(b"new", NOW, b"b"));
        for secret in [b"old", b"new"] {
            assert_eq!(verify(secret, &both, b"b", NOW, 1), Ok(NOW));
        }
        let other = verify(b"xxx", &both, b"b", NOW, 1);
        assert_eq!(other, Err(SignatureError::Mismatch));
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let code = "0".repeat(64);
        for value in [
            String::new(),
            "t=1".into(),
            format!("v1={code}"),
            format!("t=, v1={code}"),
            format!("t=+1, v1={code}"),
            format!("t=1, t=1, v1={code}"),
            format!("t=1, v1={code}0"),
            format!("t=1, v1={}g", "0".repeat(63)),
            format!("t=1, v1=+{}", "0".repeat(63)),
            format!("t=99999999999999999999 , v1={code}"),
            format!("t=1 v1={code}"),
            format!("t=1, v1={code}, {}", "x=y,".repeat(200)),
        ] {
            let refused = verify(b"k", &value, b"", 1, 1).unwrap_err();
            assert_ne!(refused, SignatureError::Age, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_signed_holds_and_nothing_else(
            secret in prop::collection::vec(any::<u8>(), 0..100),
            body in prop::collection::vec(any::<u8>(), 0..200),
            now in any::<u64>(),
            flip in any::<prop::sample::Index>(),
        ) {
            let value = sign(&secret, now, &body);
            prop_assert_eq!(verify(&secret, &value, &body, now, 0), Ok(now));
            if !body.is_empty() {
                let mut other = body.clone();
                let at = flip.index(other.len());
                other[at] ^= 1;
                prop_assert_eq!(
                    verify(&secret, &value, &other, now, 0),
                    Err(SignatureError::Mismatch)
                );
            }
        }

        #[test]
        fn no_value_panics(value in "\\PC{0,200}") {
            let _ = verify(b"k", &value, b"", 1, 1);
        }
    }
}
