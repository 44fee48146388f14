//! Signing and sealing after the exchange (MS-NLMP 3.4), extended session security only.
//!
//! Needed for the integrity code of SPNEGO's mechanism list and for signed SIP.

use super::crypto::{hmac_md5, md5};
use super::message::Flags;
use rc4::{KeyInit as _, Rc4, StreamCipher as _};
use subtle::ConstantTimeEq;

/// Which side wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that opened the exchange.
    Client,
    /// The acceptor.
    Server,
}

/// One direction of a session.
pub struct Session {
    signing: [u8; 16],
    sealing_key: [u8; 16],
    sealing: Option<Rc4>,
    key_exchange: bool,
    sequence: u32,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session(sequence {})", self.sequence)
    }
}

impl Session {
    /// The direction in which `side` writes. `None` without extended session security: what the
    /// older scheme offers is no integrity.
    pub fn new(side: Side, session_key: &[u8; 16], flags: Flags) -> Option<Self> {
        if !flags.has(Flags::EXTENDED_SECURITY) {
            return None;
        }
        let (signing_magic, sealing_magic): (&[u8], &[u8]) = match side {
            Side::Client => (
                b"session key to client-to-server signing key magic constant\0",
                b"session key to client-to-server sealing key magic constant\0",
            ),
            Side::Server => (
                b"session key to server-to-client signing key magic constant\0",
                b"session key to server-to-client sealing key magic constant\0",
            ),
        };
        let strength = if flags.has(Flags::BITS_128) {
            16
        } else if flags.has(Flags::BITS_56) {
            7
        } else {
            5
        };
        let weakened = session_key.get(..strength).unwrap_or(session_key);
        let sealing_key = md5(&[weakened, sealing_magic]);
        Some(Self {
            signing: md5(&[session_key, signing_magic]),
            sealing_key,
            sealing: Rc4::new_from_slice(&sealing_key).ok(),
            key_exchange: flags.has(Flags::KEY_EXCHANGE),
            sequence: 0,
        })
    }

    /// The signature of the next message (connection-oriented: the number rises by itself).
    pub fn sign(&mut self, message: &[u8]) -> [u8; 16] {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.mac(sequence, message)
    }

    /// The signature under a given number, the cipher started anew for it (connectionless).
    pub fn sign_numbered(&mut self, sequence: u32, message: &[u8]) -> [u8; 16] {
        let key = md5(&[&self.sealing_key, &sequence.to_le_bytes()]);
        self.sealing = Rc4::new_from_slice(&key).ok();
        self.mac(sequence, message)
    }

    /// Whether this is the signature of the next message.
    pub fn verify(&mut self, message: &[u8], signature: &[u8]) -> bool {
        bool::from(self.sign(message).ct_eq(signature))
    }

    /// Encrypts in place and signs; the signature.
    pub fn seal(&mut self, data: &mut [u8]) -> [u8; 16] {
        let plain = data.to_vec();
        if let Some(cipher) = &mut self.sealing {
            cipher.apply_keystream(data);
        }
        self.sign(&plain)
    }

    fn mac(&mut self, sequence: u32, message: &[u8]) -> [u8; 16] {
        let number = sequence.to_le_bytes();
        let digest = hmac_md5(&self.signing, &[&number, message]);
        let mut check = [0u8; 8];
        for (to, from) in check.iter_mut().zip(digest) {
            *to = from;
        }
        if let (true, Some(cipher)) = (self.key_exchange, &mut self.sealing) {
            cipher.apply_keystream(&mut check);
        }
        let mut out = [0u8; 16];
        let octets = [1, 0, 0, 0].into_iter().chain(check).chain(number);
        for (to, from) in out.iter_mut().zip(octets) {
            *to = from;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::crypto::utf16;
    use super::*;

    const FLAGS: Flags =
        Flags(Flags::EXTENDED_SECURITY | Flags::BITS_128 | Flags::KEY_EXCHANGE | Flags::UNICODE);

    fn hex(octets: &[u8]) -> String {
        use std::fmt::Write as _;
        octets.iter().fold(String::new(), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        })
    }

    #[test]
    fn nlmp_4_2_4_4_sealed_message() {
        let mut session = Session::new(Side::Client, &[0x55; 16], FLAGS).unwrap();
        assert_eq!(
            hex(&session.sealing_key),
            "59f600973cc4960a25480a7c196e4c58"
        );
        assert_eq!(hex(&session.signing), "4788dc861b4782f35d43fd98fe1a2d39");
        let mut data = utf16("Plaintext");
        let signature = session.seal(&mut data);
        assert_eq!(hex(&data), "54e50165bf1936dc996020c1811b0f06fb5f");
        assert_eq!(hex(&signature), "010000007fb38ec5c55d497600000000");
    }

    #[test]
    fn a_signature_counts_for_its_message_its_place_and_its_side() {
        let mut ours = Session::new(Side::Server, &[7; 16], FLAGS).unwrap();
        let mut theirs = Session::new(Side::Server, &[7; 16], FLAGS).unwrap();
        let first = ours.sign(b"one");
        let second = ours.sign(b"one");
        assert_ne!(first, second);
        assert!(theirs.verify(b"one", &first));
        assert!(theirs.verify(b"one", &second));
        let mut other = Session::new(Side::Client, &[7; 16], FLAGS).unwrap();
        assert!(!other.verify(b"one", &first));
        let mut altered = Session::new(Side::Server, &[7; 16], FLAGS).unwrap();
        assert!(!altered.verify(b"two", &first));
    }

    #[test]
    fn numbered_signatures_do_not_depend_on_order() {
        let mut one = Session::new(Side::Server, &[7; 16], FLAGS).unwrap();
        let mut two = Session::new(Side::Server, &[7; 16], FLAGS).unwrap();
        let late = one.sign_numbered(5, b"late");
        let early = one.sign_numbered(1, b"early");
        assert_eq!(two.sign_numbered(1, b"early"), early);
        assert_eq!(two.sign_numbered(5, b"late"), late);
    }

    #[test]
    fn without_extended_security_there_is_none() {
        assert!(Session::new(Side::Client, &[7; 16], Flags(Flags::UNICODE)).is_none());
    }
}
