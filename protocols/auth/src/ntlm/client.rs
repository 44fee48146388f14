//! The client's side, NTLMv2 only: for libraries that sign in, for servers that ask each other, and
//! for tests.

use super::crypto;
use super::message::{Challenged, Flags, INTEGRITY_AT};
use super::{Refusal, nt_hash};

/// Who signs in, with what.
#[derive(Clone)]
pub struct Client {
    user: String,
    domain: String,
    nt_hash: [u8; 16],
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({}\\{})", self.domain, self.user)
    }
}

/// What an answer is made of beside the challenge; all of it fresh per answer.
#[derive(Clone, Copy, Debug)]
pub struct Ingredients {
    /// Unpredictable.
    pub nonce: [u8; 8],
    /// Unpredictable; becomes the session key.
    pub session_key: [u8; 16],
    /// Windows file time (100 ns since 1601), used if the server tells none.
    pub now: u64,
    /// The hash of the channel's binding ([`super::end_point_binding`]), over TLS.
    pub binding: Option<[u8; 16]>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The AUTHENTICATE message.
    pub message: Vec<u8>,
    /// The session key, for [`super::Session`].
    pub session_key: [u8; 16],
    /// The flags agreed on.
    pub flags: Flags,
}

impl Client {
    /// A client. `domain` may be empty, `user` may be `user@domain` then.
    pub fn new(user: &str, domain: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            domain: domain.to_owned(),
            nt_hash: nt_hash(password),
        }
    }

    /// The NEGOTIATE message.
    pub fn negotiate(&self) -> Vec<u8> {
        let flags = Flags::UNICODE
            | Flags::REQUEST_TARGET
            | Flags::NTLM
            | Flags::SIGN
            | Flags::ALWAYS_SIGN
            | Flags::EXTENDED_SECURITY
            | Flags::BITS_128
            | Flags::KEY_EXCHANGE;
        let fixed = [
            b"NTLMSSP\0".as_slice(),
            &1u32.to_le_bytes(),
            &flags.to_le_bytes(),
        ];
        [fixed.concat().as_slice(), &[0; 16]].concat()
    }

    /// Answers a CHALLENGE; `negotiate` is what was sent before. An integrity code is announced and
    /// sent.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] if the octets are no challenge.
    pub fn authenticate(
        &self,
        negotiate: &[u8],
        challenge: &[u8],
        with: &Ingredients,
    ) -> Result<Answer, Refusal> {
        let challenged = Challenged::parse(challenge)?;
        let (info, told) = Self::target_info(&challenged, with);
        let time = told.unwrap_or_else(|| with.now.to_le_bytes());
        let blob = [
            [1u8, 1, 0, 0, 0, 0, 0, 0].as_slice(),
            &time,
            &with.nonce,
            &[0; 4],
            &info,
            &[0; 4],
        ]
        .concat();
        let key = crypto::ntowf_v2(&self.nt_hash, &self.user, &self.domain);
        let proof = crypto::hmac_md5(&key, &[&challenged.nonce, &blob]);
        let base = crypto::hmac_md5(&key, &[&proof]);
        let nt_response = [proof.as_slice(), &blob].concat();
        let lm_response = match told {
            Some(_) => vec![0; 24],
            None => {
                let proof = crypto::hmac_md5(&key, &[&challenged.nonce, &with.nonce]);
                [proof.as_slice(), &with.nonce].concat()
            }
        };
        let exchanged = challenged.flags.has(Flags::KEY_EXCHANGE);
        let (session_key, wrapped) = if exchanged {
            (
                with.session_key,
                crypto::rc4(&base, with.session_key).to_vec(),
            )
        } else {
            (base, Vec::new())
        };
        let parts = [
            lm_response,
            nt_response,
            crypto::utf16(&self.domain),
            crypto::utf16(&self.user),
            Vec::new(),
            wrapped,
        ];
        let mut message = write(&parts, challenged.flags)?;
        let code = crypto::hmac_md5(&session_key, &[negotiate, challenge, &message]);
        if let Some(field) = message.get_mut(INTEGRITY_AT..INTEGRITY_AT + 16) {
            field.copy_from_slice(&code);
        }
        Ok(Answer {
            message,
            session_key,
            flags: challenged.flags,
        })
    }

    /// The session base key that goes with an NTLMv2 response of this client: what a directory tells
    /// the server that asked it.
    pub fn session_base(&self, challenge: &[u8; 8], nt_response: &[u8]) -> [u8; 16] {
        let key = crypto::ntowf_v2(&self.nt_hash, &self.user, &self.domain);
        let blob = nt_response.get(16..).unwrap_or_default();
        let proof = crypto::hmac_md5(&key, &[challenge, blob]);
        crypto::hmac_md5(&key, &[&proof])
    }

    /// The server's pairs with ours before the end, and its time.
    fn target_info(challenged: &Challenged, with: &Ingredients) -> (Vec<u8>, Option<[u8; 8]>) {
        let mut info = Vec::new();
        let mut told = None;
        for (id, value) in challenged.pairs() {
            if id == 7 {
                told = value.try_into().ok();
            }
            pair(&mut info, id, value);
        }
        // An integrity code is sent.
        pair(&mut info, 6, &2u32.to_le_bytes());
        pair(&mut info, 10, &with.binding.unwrap_or_default());
        pair(&mut info, 0, &[]);
        (info, told)
    }
}

fn pair(out: &mut Vec<u8>, id: u16, value: &[u8]) {
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(value);
}

/// Fields, flags, version, integrity code (still zero), contents.
fn write(parts: &[Vec<u8>; 6], flags: Flags) -> Result<Vec<u8>, Refusal> {
    let mut out = [b"NTLMSSP\0".as_slice(), &3u32.to_le_bytes()].concat();
    let mut at = INTEGRITY_AT + 16;
    for part in parts {
        let length = u16::try_from(part.len()).map_err(|_| Refusal::Malformed)?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        let offset = u32::try_from(at).map_err(|_| Refusal::Malformed)?;
        out.extend_from_slice(&offset.to_le_bytes());
        at += part.len();
    }
    out.extend_from_slice(&flags.0.to_le_bytes());
    out.extend_from_slice(&[0; 24]);
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(out)
}
