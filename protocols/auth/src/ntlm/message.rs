//! The three messages (MS-NLMP 2.2.1), read tolerantly and written exactly.

use super::{Refusal, Strength};
use crate::ntlm::crypto::utf16;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
/// Where AUTHENTICATE holds its integrity code (after signature, six fields, flags, version).
pub(super) const INTEGRITY_AT: usize = 72;
/// Larger messages are nobody's.
const LARGEST: usize = 16 * 1024;

/// Negotiation flags (MS-NLMP 2.2.2.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// Strings are UTF-16LE.
    pub const UNICODE: u32 = 0x0000_0001;
    /// Strings are in the OEM code page.
    pub const OEM: u32 = 0x0000_0002;
    /// The server says what it is.
    pub const REQUEST_TARGET: u32 = 0x0000_0004;
    /// Session signing.
    pub const SIGN: u32 = 0x0000_0010;
    /// Session sealing.
    pub const SEAL: u32 = 0x0000_0020;
    /// Connectionless.
    pub const DATAGRAM: u32 = 0x0000_0040;
    /// NTLM.
    pub const NTLM: u32 = 0x0000_0200;
    /// Sign always.
    pub const ALWAYS_SIGN: u32 = 0x0000_8000;
    /// The target is a domain.
    pub const TARGET_DOMAIN: u32 = 0x0001_0000;
    /// "NTLM2 session security".
    pub const EXTENDED_SECURITY: u32 = 0x0008_0000;
    /// The challenge carries target information.
    pub const TARGET_INFO: u32 = 0x0080_0000;
    /// Messages carry a version.
    pub const VERSION: u32 = 0x0200_0000;
    /// 128-bit keys.
    pub const BITS_128: u32 = 0x2000_0000;
    /// The client chooses the session key.
    pub const KEY_EXCHANGE: u32 = 0x4000_0000;
    /// 56-bit keys.
    pub const BITS_56: u32 = 0x8000_0000;

    /// Whether a flag is set.
    pub fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    /// What we answer to an offer. A missing REQUEST_TARGET is accepted (COMPAT(ntlm-auth)).
    pub(super) fn answer(offered: Self) -> Result<Self, Refusal> {
        let charset = match (offered.has(Self::UNICODE), offered.has(Self::OEM)) {
            (true, _) => Self::UNICODE,
            (false, true) => Self::OEM,
            (false, false) => return Err(Refusal::NoCharset),
        };
        let taken = Self::SIGN
            | Self::SEAL
            | Self::ALWAYS_SIGN
            | Self::EXTENDED_SECURITY
            | Self::BITS_128
            | Self::BITS_56
            | Self::KEY_EXCHANGE
            | Self::DATAGRAM
            | Self::VERSION;
        let always = Self::NTLM | Self::TARGET_INFO | Self::TARGET_DOMAIN | Self::REQUEST_TARGET;
        Ok(Self(charset | always | offered.0 & taken))
    }
}

/// NEGOTIATE.
#[derive(Debug)]
pub(super) struct Negotiate {
    pub(super) flags: Flags,
}

impl Negotiate {
    pub(super) fn parse(octets: &[u8]) -> Result<Self, Refusal> {
        check_type(octets, 1)?;
        Ok(Self {
            flags: Flags(u32_at(octets, 12)?),
        })
    }
}

/// CHALLENGE, ready to send.
pub(super) fn challenge(flags: Flags, nonce: [u8; 8], target: &str, info: &[u8]) -> Vec<u8> {
    let name = if flags.has(Flags::UNICODE) {
        utf16(target)
    } else {
        oem(target)
    };
    let header = 56usize;
    let mut out = Vec::with_capacity(header + name.len() + info.len());
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&2u32.to_le_bytes());
    field(&mut out, name.len(), header);
    out.extend_from_slice(&flags.0.to_le_bytes());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&[0; 8]);
    field(&mut out, info.len(), header + name.len());
    // Version 5.2, build 3790, NTLM revision 15: what servers of the time said.
    out.extend_from_slice(&[5, 2, 0xce, 0x0e, 0, 0, 0, 15]);
    out.extend_from_slice(&name);
    out.extend_from_slice(info);
    out
}

/// CHALLENGE, as a client reads it.
#[derive(Debug)]
pub(super) struct Challenged {
    pub(super) flags: Flags,
    pub(super) nonce: [u8; 8],
    info: Vec<u8>,
}

impl Challenged {
    pub(super) fn parse(octets: &[u8]) -> Result<Self, Refusal> {
        check_type(octets, 2)?;
        let nonce = octets.get(24..32).and_then(|nonce| nonce.try_into().ok());
        Ok(Self {
            flags: Flags(u32_at(octets, 20)?),
            nonce: nonce.ok_or(Refusal::Malformed)?,
            info: bytes_of(octets, 40)?.to_vec(),
        })
    }

    /// The pairs of the target information, without its end.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut rest = self.info.as_slice();
        std::iter::from_fn(move || {
            let id = u16_at(rest, 0).ok().filter(|id| *id != 0)?;
            let length = usize::from(u16_at(rest, 2).ok()?);
            let value = rest.get(4..4 + length)?;
            rest = rest.get(4 + length..)?;
            Some((id, value))
        })
    }
}

/// The target information (MS-NLMP 2.2.2.1): who we are and, if known, our time.
pub(super) fn target_info(domain: &str, host: &str, now: u64) -> Vec<u8> {
    let computer = host.split('.').next().unwrap_or(host).to_uppercase();
    let computer: String = computer.chars().take(15).collect();
    let dns_domain = host.split_once('.').map_or(host, |(_, domain)| domain);
    let mut out = Vec::new();
    for (id, text) in [(2u16, domain), (1, &computer), (4, dns_domain), (3, host)] {
        pair(&mut out, id, &utf16(text));
    }
    if now != 0 {
        pair(&mut out, 7, &now.to_le_bytes());
    }
    pair(&mut out, 0, &[]);
    out
}

/// Who a client says it is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Identity {
    /// User name as sent (may be `user@domain`).
    pub user: String,
    /// Domain as sent, may be empty.
    pub domain: String,
    /// Machine name as sent, may be empty.
    pub workstation: String,
}

/// AUTHENTICATE.
#[derive(Clone, Debug)]
pub(super) struct Authenticate {
    pub(super) identity: Identity,
    pub(super) lm_response: Vec<u8>,
    pub(super) nt_response: Vec<u8>,
    pub(super) session_key: Vec<u8>,
    pub(super) flags: Flags,
    pub(super) integrity: Option<[u8; 16]>,
}

impl Authenticate {
    pub(super) fn parse(octets: &[u8]) -> Result<Self, Refusal> {
        check_type(octets, 3)?;
        // The oldest clients end the header before session key and flags.
        let header_end = [12, 20, 28, 36, 44]
            .iter()
            .try_fold(octets.len(), |least, at| {
                let length = u16_at(octets, *at)?;
                let offset = u32_at(octets, at + 4)? as usize;
                Ok::<_, Refusal>(if length == 0 {
                    least
                } else {
                    least.min(offset)
                })
            })?;
        let (session_key, flags) = if header_end >= 64 {
            (bytes_of(octets, 52)?.to_vec(), Flags(u32_at(octets, 60)?))
        } else {
            (Vec::new(), Flags(Flags::UNICODE))
        };
        let integrity = (header_end >= INTEGRITY_AT + 16)
            .then(|| octets.get(INTEGRITY_AT..INTEGRITY_AT + 16)?.try_into().ok())
            .flatten();
        let text = |at| text_of(bytes_of(octets, at)?, flags);
        Ok(Self {
            identity: Identity {
                domain: text(28)?,
                user: text(36)?,
                workstation: text(44)?,
            },
            lm_response: bytes_of(octets, 12)?.to_vec(),
            nt_response: bytes_of(octets, 20)?.to_vec(),
            session_key,
            flags,
            integrity,
        })
    }

    /// The kind of response; `None` for LM alone or a length that is none of theirs.
    pub(super) fn strength(&self) -> Option<Strength> {
        match self.nt_response.len() {
            24 => {
                let padded = self.lm_response.len() == 24
                    && self.lm_response.iter().skip(8).all(|octet| *octet == 0)
                    && self.flags.has(Flags::EXTENDED_SECURITY);
                Some(if padded {
                    Strength::Session2
                } else {
                    Strength::V1
                })
            }
            44.. => Some(Strength::V2),
            _ => None,
        }
    }

    /// Whether the (proof-covered) client pairs announce an integrity code.
    pub(super) fn announces_integrity(&self) -> bool {
        self.pair(6)
            .and_then(|value| value.try_into().ok().map(u32::from_le_bytes))
            .is_some_and(|flags| flags & 2 != 0)
    }

    /// The channel binding hash the client sent.
    pub(super) fn channel_binding(&self) -> Option<[u8; 16]> {
        self.pair(10)?.try_into().ok()
    }

    /// A pair of the NTLMv2 client challenge (MS-NLMP 2.2.2.7: 16 of proof, 28 before the pairs).
    fn pair(&self, wanted: u16) -> Option<&[u8]> {
        if self.strength()? != Strength::V2 {
            return None;
        }
        let mut rest = self.nt_response.get(44..)?;
        loop {
            let id = u16_at(rest, 0).ok()?;
            let length = usize::from(u16_at(rest, 2).ok()?);
            let value = rest.get(4..4 + length)?;
            if id == wanted {
                return Some(value);
            }
            if id == 0 {
                return None;
            }
            rest = rest.get(4 + length..)?;
        }
    }
}

fn check_type(octets: &[u8], wanted: u32) -> Result<(), Refusal> {
    let good = octets.len() <= LARGEST
        && octets.get(..8) == Some(SIGNATURE)
        && u32_at(octets, 8)? == wanted;
    if good {
        Ok(())
    } else {
        Err(Refusal::Malformed)
    }
}

fn u16_at(octets: &[u8], at: usize) -> Result<u16, Refusal> {
    let field = octets.get(at..at + 2).and_then(|two| two.try_into().ok());
    field.map(u16::from_le_bytes).ok_or(Refusal::Malformed)
}

fn u32_at(octets: &[u8], at: usize) -> Result<u32, Refusal> {
    let field = octets.get(at..at + 4).and_then(|four| four.try_into().ok());
    field.map(u32::from_le_bytes).ok_or(Refusal::Malformed)
}

/// The octets that a length-offset field at `at` points to.
fn bytes_of(octets: &[u8], at: usize) -> Result<&[u8], Refusal> {
    let length = usize::from(u16_at(octets, at)?);
    let offset = u32_at(octets, at + 4)? as usize;
    if length == 0 {
        return Ok(&[]);
    }
    octets
        .get(offset..offset.saturating_add(length))
        .ok_or(Refusal::Malformed)
}

fn text_of(octets: &[u8], flags: Flags) -> Result<String, Refusal> {
    if !flags.has(Flags::UNICODE) {
        // OEM code pages agree on ASCII only; other octets could be anybody's.
        let ascii = std::str::from_utf8(octets)
            .ok()
            .filter(|text| text.is_ascii());
        return ascii.map(str::to_owned).ok_or(Refusal::Malformed);
    }
    if !octets.len().is_multiple_of(2) {
        return Err(Refusal::Malformed);
    }
    let units = octets
        .chunks_exact(2)
        .map(|two| u16_at(two, 0).unwrap_or(0));
    char::decode_utf16(units)
        .collect::<Result<String, _>>()
        .map_err(|_| Refusal::Malformed)
}

fn oem(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| if c.is_ascii() { c as u8 } else { b'?' })
        .collect()
}

fn field(out: &mut Vec<u8>, length: usize, offset: usize) {
    let length = u16::try_from(length).unwrap_or(0);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&u32::try_from(offset).unwrap_or(0).to_le_bytes());
}

fn pair(out: &mut Vec<u8>, id: u16, value: &[u8]) {
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(value);
}
