//! SPNEGO (RFC 4178) as the acceptor: what `Negotiate` wraps round NTLM or Kerberos.
//!
//! Only as much of it as HTTP clients use: read the first token and its continuations, choose a
//! mechanism the client offers, write the answers, and the integrity code over the offered list
//! where a mechanism other than the client's first choice was taken (RFC 4178 5).

const SPNEGO: &[u8] = &[0x2b, 6, 1, 5, 5, 2];
const NTLMSSP: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10];
const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];
/// The Kerberos identifier that Windows 2000 sends by mistake.
const KERBEROS_MS: &[u8] = &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2];
/// Larger tokens are nobody's (a Kerberos ticket with many groups is below 48 KiB).
const LARGEST: usize = 64 * 1024;

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// NTLM.
    Ntlm,
    /// Kerberos 5.
    Kerberos,
    /// Kerberos 5 under the identifier of Windows 2000.
    WindowsKerberos,
}

impl Mechanism {
    /// Whether it is Kerberos, under either identifier.
    pub fn is_kerberos(self) -> bool {
        self != Self::Ntlm
    }

    fn of(identifier: &[u8]) -> Option<Self> {
        [Self::Ntlm, Self::Kerberos, Self::WindowsKerberos]
            .into_iter()
            .find(|mechanism| mechanism.identifier() == identifier)
    }

    fn identifier(self) -> &'static [u8] {
        match self {
            Self::Ntlm => NTLMSSP,
            Self::Kerberos => KERBEROS,
            Self::WindowsKerberos => KERBEROS_MS,
        }
    }
}

/// What a client sent in `Authorization: Negotiate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A mechanism's own token without any wrapping (COMPAT(IE): NTLM sent bare).
    Bare(Mechanism, Vec<u8>),
    /// The first token: what the client offers, in its order.
    Init(Init),
    /// A further token.
    Continue(Continue),
}

/// The first token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// Mechanisms we know, in the client's order, each with its place in the list.
    pub offered: Vec<(usize, Mechanism)>,
    /// The token of the first mechanism, if the client was optimistic.
    pub token: Option<Vec<u8>>,
    /// The list as encoded: what the integrity code covers.
    pub list: Vec<u8>,
}

/// A further token.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Continue {
    /// The mechanism's token.
    pub token: Option<Vec<u8>>,
    /// The client's integrity code over the list.
    pub integrity: Option<Vec<u8>>,
}

/// The state an answer names (RFC 4178 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Done.
    Completed = 0,
    /// Another token is expected.
    Incomplete = 1,
    /// Refused.
    Rejected = 2,
    /// Done but for the integrity codes.
    RequestIntegrity = 3,
}

/// The octets are no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed SPNEGO token")]
pub struct Malformed;

/// Reads what a client sent.
pub fn parse(octets: &[u8]) -> Result<Token, Malformed> {
    if octets.len() > LARGEST {
        return Err(Malformed);
    }
    if octets.starts_with(b"NTLMSSP\0") {
        return Ok(Token::Bare(Mechanism::Ntlm, octets.to_vec()));
    }
    let mut rest = octets;
    match read(&mut rest)? {
        (0x60, body) => initial(octets, body),
        (0xa1, body) => further(body).map(Token::Continue),
        _ => Err(Malformed),
    }
}

fn initial(whole: &[u8], mut body: &[u8]) -> Result<Token, Malformed> {
    let (tag, identifier) = read(&mut body)?;
    if tag != 6 {
        return Err(Malformed);
    }
    if identifier == KERBEROS {
        return Ok(Token::Bare(Mechanism::Kerberos, whole.to_vec()));
    }
    if identifier != SPNEGO {
        return Err(Malformed);
    }
    let mut sequence = inside(&mut body, 0xa0).and_then(|mut b| inside(&mut b, 0x30))?;
    let mut init = Init {
        offered: Vec::new(),
        token: None,
        list: Vec::new(),
    };
    while !sequence.is_empty() {
        let (tag, mut value) = read(&mut sequence)?;
        match tag {
            0xa0 => {
                init.list = value.to_vec();
                init.offered = mechanisms(inside(&mut value, 0x30)?)?;
            }
            0xa2 => init.token = Some(inside(&mut value, 4)?.to_vec()),
            // Flags and the list's own integrity code or Microsoft's hints: nothing to us here.
            _ => {}
        }
    }
    Ok(Token::Init(init))
}

fn mechanisms(mut list: &[u8]) -> Result<Vec<(usize, Mechanism)>, Malformed> {
    let mut offered = Vec::new();
    let mut place = 0usize;
    while !list.is_empty() && place < 32 {
        let identifier = inside(&mut list, 6)?;
        let known = Mechanism::of(identifier);
        offered.extend(known.map(|mechanism| (place, mechanism)));
        place += 1;
    }
    Ok(offered)
}

fn further(mut body: &[u8]) -> Result<Continue, Malformed> {
    let mut sequence = inside(&mut body, 0x30)?;
    let mut token = Continue::default();
    while !sequence.is_empty() {
        let (tag, mut value) = read(&mut sequence)?;
        match tag {
            0xa2 => token.token = Some(inside(&mut value, 4)?.to_vec()),
            0xa3 => token.integrity = Some(inside(&mut value, 4)?.to_vec()),
            _ => {}
        }
    }
    Ok(token)
}

/// An answer. `mechanism` is named in the first one only.
pub fn answer(
    state: State,
    mechanism: Option<Mechanism>,
    token: Option<&[u8]>,
    integrity: Option<&[u8]>,
) -> Vec<u8> {
    let mut fields = write(0xa0, &write(0x0a, &[state as u8]));
    if let Some(mechanism) = mechanism {
        fields.extend(write(0xa1, &write(6, mechanism.identifier())));
    }
    if let Some(token) = token {
        fields.extend(write(0xa2, &write(4, token)));
    }
    if let Some(integrity) = integrity {
        fields.extend(write(0xa3, &write(4, integrity)));
    }
    write(0xa1, &write(0x30, &fields))
}

/// One DER value: tag and content; moves `rest` behind it.
fn read<'a>(rest: &mut &'a [u8]) -> Result<(u8, &'a [u8]), Malformed> {
    let (&tag, after) = rest.split_first().ok_or(Malformed)?;
    let (&first, after) = after.split_first().ok_or(Malformed)?;
    let (length, after) = if first < 0x80 {
        (usize::from(first), after)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 3 {
            return Err(Malformed);
        }
        let (octets, after) = after.split_at_checked(count).ok_or(Malformed)?;
        (
            octets
                .iter()
                .fold(0, |length, octet| length << 8 | usize::from(*octet)),
            after,
        )
    };
    let (value, after) = after.split_at_checked(length).ok_or(Malformed)?;
    *rest = after;
    Ok((tag, value))
}

fn inside<'a>(rest: &mut &'a [u8], wanted: u8) -> Result<&'a [u8], Malformed> {
    match read(rest)? {
        (tag, value) if tag == wanted => Ok(value),
        _ => Err(Malformed),
    }
}

fn write(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = value.len().to_be_bytes();
    let significant = length
        .iter()
        .position(|octet| *octet != 0)
        .unwrap_or(length.len() - 1);
    let digits = length.get(significant..).unwrap_or(&[0]);
    match digits {
        [short] if *short < 0x80 => out.push(*short),
        _ => {
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A first token as a client would write it.
    fn init(mechanisms: &[&[u8]], token: Option<&[u8]>) -> Vec<u8> {
        let list: Vec<u8> = mechanisms.iter().flat_map(|oid| write(6, oid)).collect();
        let mut fields = write(0xa0, &write(0x30, &list));
        if let Some(token) = token {
            fields.extend(write(0xa2, &write(4, token)));
        }
        let body = [write(6, SPNEGO), write(0xa0, &write(0x30, &fields))].concat();
        write(0x60, &body)
    }

    #[test]
    fn the_first_token_names_mechanisms_in_order() {
        let token = init(&[KERBEROS_MS, KERBEROS, NTLMSSP, &[1, 2]], Some(&[9; 300]));
        let Ok(Token::Init(read)) = parse(&token) else {
            panic!("an init token")
        };
        let expected = vec![
            (0, Mechanism::WindowsKerberos),
            (1, Mechanism::Kerberos),
            (2, Mechanism::Ntlm),
        ];
        assert_eq!(read.offered, expected);
        assert_eq!(read.token, Some(vec![9; 300]));
        assert_eq!(
            read.list[0], 0x30,
            "the integrity code covers the encoded sequence"
        );
    }

    #[test]
    fn bare_tokens_are_told_apart() {
        let ntlm = b"NTLMSSP\0\x01\0\0\0".to_vec();
        assert_eq!(parse(&ntlm), Ok(Token::Bare(Mechanism::Ntlm, ntlm)));
        let ticket = write(0x60, &[write(6, KERBEROS), vec![1, 0, 0x6e, 0]].concat());
        assert_eq!(parse(&ticket), Ok(Token::Bare(Mechanism::Kerberos, ticket)));
    }

    #[test]
    fn what_we_answer_a_client_can_read() {
        for token in [vec![1u8; 5], vec![2; 200], vec![3; 40_000]] {
            let answer = answer(
                State::Incomplete,
                Some(Mechanism::Ntlm),
                Some(&token),
                Some(&[4]),
            );
            let read = parse(&answer);
            let expected = Continue {
                token: Some(token),
                integrity: Some(vec![4]),
            };
            assert_eq!(read, Ok(Token::Continue(expected)));
        }
        let rejected = answer(State::Rejected, None, None, None);
        assert_eq!(rejected, [0xa1, 7, 0x30, 5, 0xa0, 3, 0x0a, 1, 2]);
    }

    #[test]
    fn broken_tokens_are_refused() {
        let whole = init(&[NTLMSSP], Some(&[1; 20]));
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "{end}");
        }
        assert!(parse(&[0x60, 0x84, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(parse(&vec![0x60; LARGEST + 1]).is_err());
    }

    #[test]
    fn hostile_octets_never_panic() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|octets| {
            let _ = parse(octets);
        });
    }
}
