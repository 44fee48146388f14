//! The primitives of MS-NLMP 3.3 and 3.4, over RustCrypto.

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit as _};
use hmac::{Hmac, Mac};
use md4::Md4;
use md5::{Digest, Md5};

/// The NT hash of a password: MD4 over its UTF-16LE form (MS-NLMP 3.3.1 NTOWFv1). A password
/// equivalent: keep it sealed.
pub fn nt_hash(password: &str) -> [u8; 16] {
    md4(&[&utf16(password)])
}

/// UTF-16LE octets.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// MS-NLMP 3.3.2 NTOWFv2: the user name in upper case, the domain as sent.
pub(super) fn ntowf_v2(nt_hash: &[u8; 16], user: &str, domain: &str) -> [u8; 16] {
    hmac_md5(nt_hash, &[&utf16(&user.to_uppercase()), &utf16(domain)])
}

/// MD4 over the parts.
pub(super) fn md4(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md4::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// MD5 over the parts.
pub(super) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC-MD5 over the parts.
pub(super) fn hmac_md5(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut padded = [0u8; 64];
    for (to, from) in padded.iter_mut().zip(key) {
        *to = *from;
    }
    // A key of exactly one block is taken as it is, and is the same as the shorter one padded.
    let mut mac = <Hmac<Md5> as hmac::KeyInit>::new(&padded.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// MS-NLMP 6 DESL: three DES encryptions of 8 octets under the hash's 7-octet thirds.
pub(super) fn des_long(hash: &[u8; 16], data: [u8; 8]) -> [u8; 24] {
    let mut keys = [0u8; 21];
    for (to, from) in keys.iter_mut().zip(hash) {
        *to = *from;
    }
    let mut out = [0u8; 24];
    for (third, into) in keys.chunks_exact(7).zip(out.chunks_exact_mut(8)) {
        let mut block = data.into();
        Des::new(&spread(third).into()).encrypt_block(&mut block);
        into.copy_from_slice(&block);
    }
    out
}

/// 56 key bits to 64 with (unused) parity bits.
fn spread(seven: &[u8]) -> [u8; 8] {
    let mut bits = seven
        .iter()
        .fold(0u64, |bits, octet| bits << 8 | u64::from(*octet))
        << 8;
    let mut key = [0u8; 8];
    for octet in &mut key {
        *octet = (bits >> 57 << 1).to_le_bytes()[0];
        bits <<= 7;
    }
    key
}

/// RC4 of one 16-octet block.
pub(super) fn rc4(key: &[u8; 16], mut data: [u8; 16]) -> [u8; 16] {
    use rc4::{KeyInit as _, StreamCipher as _};
    // Sixteen octets are always a valid key length.
    if let Ok(mut cipher) = rc4::Rc4::new_from_slice(key) {
        cipher.apply_keystream(&mut data);
    }
    data
}
