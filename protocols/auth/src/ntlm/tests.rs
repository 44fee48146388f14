//! The published vectors (MS-NLMP 4.2) and the attacks that a naive acceptor lets through.

use super::crypto::{self, utf16};
use super::*;

const CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// A client, independent of the acceptor's message code: builds AUTHENTICATE by hand.
struct Client {
    user: &'static str,
    domain: &'static str,
    password: &'static str,
    integrity: bool,
    binding: Option<[u8; 16]>,
}

impl Client {
    const ALICE: Self = Self {
        user: "alice",
        domain: "EXAMPLE",
        password: "secret",
        integrity: true,
        binding: None,
    };

    fn negotiate() -> Vec<u8> {
        let flags = Flags::UNICODE
            | Flags::NTLM
            | Flags::EXTENDED_SECURITY
            | Flags::KEY_EXCHANGE
            | Flags::BITS_128
            | Flags::SIGN;
        [
            b"NTLMSSP\0".as_slice(),
            &1u32.to_le_bytes(),
            &flags.to_le_bytes(),
            &[0; 16],
        ]
        .concat()
    }

    fn v2(&self, negotiate: &[u8], challenge: &[u8]) -> Vec<u8> {
        let nonce: [u8; 8] = challenge[24..32].try_into().unwrap();
        let mut pairs = Vec::new();
        if self.integrity {
            pairs.extend([6, 0, 4, 0, 2, 0, 0, 0]);
        }
        if let Some(binding) = self.binding {
            pairs.extend([10, 0, 16, 0]);
            pairs.extend(binding);
        }
        pairs.extend([0, 0, 0, 0]);
        let blob = [
            [1u8, 1, 0, 0, 0, 0, 0, 0].as_slice(),
            &[0; 8],
            &[0xaa; 8],
            &[0; 4],
            &pairs,
            &[0; 4],
        ]
        .concat();
        let key = crypto::ntowf_v2(&nt_hash(self.password), self.user, self.domain);
        let proof = crypto::hmac_md5(&key, &[&nonce, &blob]);
        let base = crypto::hmac_md5(&key, &[&proof]);
        let session = [0x55; 16];
        let wrapped = crypto::rc4(&base, session);
        let response = [proof.as_slice(), &blob].concat();
        self.write(
            &response,
            &[0; 24],
            &wrapped,
            Some((session, negotiate, challenge)),
        )
    }

    fn write(
        &self,
        nt: &[u8],
        lm: &[u8],
        key: &[u8],
        integrity: Option<([u8; 16], &[u8], &[u8])>,
    ) -> Vec<u8> {
        let flags = Flags::answer(Flags(u32::from_le_bytes(
            Self::negotiate()[12..16].try_into().unwrap(),
        )))
        .unwrap();
        let (domain, user) = (utf16(self.domain), utf16(self.user));
        let machine = utf16("BOX");
        let parts: [&[u8]; 6] = [lm, nt, &domain, &user, &machine, key];
        let mut out = [b"NTLMSSP\0".as_slice(), &3u32.to_le_bytes()].concat();
        let mut at = 88u32;
        for part in parts {
            let length = u16::try_from(part.len()).unwrap();
            out.extend(length.to_le_bytes());
            out.extend(length.to_le_bytes());
            out.extend(at.to_le_bytes());
            at += u32::from(length);
        }
        out.extend(flags.0.to_le_bytes());
        out.extend([0; 8]);
        out.extend([0; 16]);
        for part in parts {
            out.extend(part);
        }
        if let (true, Some((session, negotiate, challenge))) = (self.integrity, integrity) {
            let code = crypto::hmac_md5(&session, &[negotiate, challenge, &out]);
            out[72..88].copy_from_slice(&code);
        }
        out
    }
}

fn acceptor(weakest: Strength) -> Acceptor {
    Acceptor::new("EXAMPLE", "im.example.com", Policy { weakest })
}

fn open() -> (Vec<u8>, Exchange) {
    let negotiate = Client::negotiate();
    let exchange = acceptor(Strength::V2)
        .challenge(&negotiate, CHALLENGE, 1)
        .unwrap();
    (negotiate, exchange)
}

#[test]
fn nlmp_4_2_hashes() {
    assert_eq!(
        hex(&nt_hash("Password")),
        "a4f49c406510bdcab6824ee7c30fd852"
    );
    let key = crypto::ntowf_v2(&nt_hash("Password"), "User", "Domain");
    assert_eq!(hex(&key), "0c868a403bfd7a93a3001ef22ef02e3f");
}

#[test]
fn nlmp_4_2_2_version_1() {
    let hash = nt_hash("Password");
    let response = crypto::des_long(&hash, CHALLENGE);
    assert_eq!(
        hex(&response),
        "67c43011f30298a2ad35ece64f16331c44bdbed927841f94"
    );
    let base = crypto::md4(&[&hash]);
    assert_eq!(hex(&base), "d87262b0cde4b1cb7499becccdf10784");
    assert_eq!(
        hex(&crypto::rc4(&base, [0x55; 16])),
        "518822b1b3f350c8958682ecbb3e3cb7"
    );
}

#[test]
fn nlmp_4_2_3_session_2() {
    let digest = crypto::md5(&[&CHALLENGE, &[0xaa; 8]]);
    let response = crypto::des_long(&nt_hash("Password"), digest[..8].try_into().unwrap());
    assert_eq!(
        hex(&response),
        "7537f803ae367128ca458204bde7caf81e97ed2683267232"
    );
}

#[test]
fn nlmp_4_2_4_version_2() {
    let key = crypto::ntowf_v2(&nt_hash("Password"), "User", "Domain");
    let pairs = [
        [2u8, 0, 12, 0].as_slice(),
        &utf16("Domain"),
        &[1, 0, 12, 0],
        &utf16("Server"),
        &[0, 0, 0, 0],
    ]
    .concat();
    let blob = [
        [1u8, 1, 0, 0, 0, 0, 0, 0].as_slice(),
        &[0; 8],
        &[0xaa; 8],
        &[0; 4],
        &pairs,
        &[0; 4],
    ]
    .concat();
    let proof = crypto::hmac_md5(&key, &[&CHALLENGE, &blob]);
    assert_eq!(hex(&proof), "68cd0ab851e51c96aabc927bebef6a1c");
    let base = crypto::hmac_md5(&key, &[&proof]);
    assert_eq!(hex(&base), "8de40ccadbc14a82f15cb0ad0de95ca3");
    assert_eq!(
        hex(&crypto::rc4(&base, [0x55; 16])),
        "c5dad2544fc9799094ce1ce90bc9d03e"
    );
}

#[test]
fn the_right_password_signs_in() {
    let (negotiate, exchange) = open();
    let answer = Client::ALICE.v2(&negotiate, exchange.message());
    let proof = exchange.authenticate(&answer, None).unwrap();
    assert_eq!(proof.identity().user, "alice");
    assert_eq!(proof.identity().workstation, "BOX");
    let verdict = proof.verify(Some(nt_hash("secret"))).unwrap();
    assert_eq!(
        (verdict.strength, verdict.session_key),
        (Strength::V2, [0x55; 16])
    );
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_alike() {
    for hash in [Some(nt_hash("guess")), None] {
        let (negotiate, exchange) = open();
        let answer = Client::ALICE.v2(&negotiate, exchange.message());
        let proof = exchange.authenticate(&answer, None).unwrap();
        assert_eq!(proof.verify(hash), Err(Refusal::BadProof));
    }
}

#[test]
fn a_random_proof_is_refused() {
    let (_, exchange) = open();
    let answer = Client::ALICE.write(&[7; 60], &[0; 24], &[1; 16], None);
    let proof = exchange.authenticate(&answer, None).unwrap();
    assert_eq!(
        proof.verify(Some(nt_hash("secret"))),
        Err(Refusal::BadProof)
    );
}

#[test]
fn the_answer_to_another_challenge_is_refused() {
    let (negotiate, exchange) = open();
    let other = acceptor(Strength::V2)
        .challenge(&negotiate, [9; 8], 1)
        .unwrap();
    let answer = Client::ALICE.v2(&negotiate, other.message());
    let proof = exchange.authenticate(&answer, None).unwrap();
    assert_eq!(
        proof.verify(Some(nt_hash("secret"))),
        Err(Refusal::BadProof)
    );
}

#[test]
fn an_announced_integrity_code_must_be_there_and_right() {
    for at in [72usize, 80] {
        let (negotiate, exchange) = open();
        let mut answer = Client::ALICE.v2(&negotiate, exchange.message());
        if at == 72 {
            answer[72..88].fill(0);
        } else {
            answer[at] ^= 1;
        }
        let proof = exchange.authenticate(&answer, None).unwrap();
        assert_eq!(
            proof.verify(Some(nt_hash("secret"))),
            Err(Refusal::BadIntegrity)
        );
    }
}

#[test]
fn an_altered_first_message_is_noticed() {
    let negotiate = Client::negotiate();
    let mut altered = negotiate.clone();
    altered[20] ^= 1;
    let exchange = acceptor(Strength::V2)
        .challenge(&altered, CHALLENGE, 1)
        .unwrap();
    let answer = Client::ALICE.v2(&negotiate, exchange.message());
    let proof = exchange.authenticate(&answer, None).unwrap();
    assert_eq!(
        proof.verify(Some(nt_hash("secret"))),
        Err(Refusal::BadIntegrity)
    );
}

#[test]
fn weak_responses_need_the_switch() {
    let hash = nt_hash("secret");
    let v1 = crypto::des_long(&hash, CHALLENGE);
    let mixed = crypto::md5(&[&CHALLENGE, &[3; 8]])[..8].try_into().unwrap();
    let session2 = crypto::des_long(&hash, mixed);
    let padded = [[3u8; 8].as_slice(), &[0; 16]].concat();
    for (nt, lm, strength) in [
        (v1, vec![0xee; 24], Strength::V1),
        (session2, padded, Strength::Session2),
    ] {
        let client = Client {
            integrity: false,
            ..Client::ALICE
        };
        let answer = client.write(&nt, &lm, &[1; 16], None);
        let negotiate = Client::negotiate();
        let strict = acceptor(Strength::V2)
            .challenge(&negotiate, CHALLENGE, 1)
            .unwrap();
        assert_eq!(
            strict.authenticate(&answer, None).err(),
            Some(Refusal::TooWeak)
        );
        let open = acceptor(Strength::V1)
            .challenge(&negotiate, CHALLENGE, 1)
            .unwrap();
        let proof = open.authenticate(&answer, None).unwrap();
        assert_eq!(proof.verify(Some(hash)).map(|v| v.strength), Ok(strength));
    }
}

#[test]
fn lm_alone_and_anonymous_are_refused() {
    let (_, exchange) = open();
    let answer = Client::ALICE.write(&[], &[1; 24], &[1; 16], None);
    assert_eq!(
        exchange.clone().authenticate(&answer, None).err(),
        Some(Refusal::TooWeak)
    );
    let nobody = Client {
        user: "",
        ..Client::ALICE
    }
    .write(&[], &[0], &[], None);
    assert_eq!(
        exchange.authenticate(&nobody, None).err(),
        Some(Refusal::Anonymous)
    );
}

#[test]
fn a_channel_binding_must_be_this_channels() {
    for (sent, good) in [
        (None, true),
        (Some([0; 16]), true),
        (Some([1; 16]), true),
        (Some([2; 16]), false),
    ] {
        let (negotiate, exchange) = open();
        let client = Client {
            binding: sent,
            ..Client::ALICE
        };
        let answer = client.v2(&negotiate, exchange.message());
        let verdict = exchange
            .authenticate(&answer, Some([1; 16]))
            .and_then(|proof| proof.verify(Some(nt_hash("secret"))));
        assert_eq!(verdict.is_ok(), good, "{sent:?}: {verdict:?}");
    }
}

#[test]
fn first_messages_of_old_clients_are_taken() {
    let acceptor = acceptor(Strength::V1);
    let oem_only = [
        b"NTLMSSP\0".as_slice(),
        &[1, 0, 0, 0],
        &(Flags::OEM | Flags::NTLM).to_le_bytes(),
    ];
    let exchange = acceptor
        .challenge(&oem_only.concat(), CHALLENGE, 0)
        .unwrap();
    assert!(
        exchange
            .message()
            .windows(7)
            .any(|window| window == b"EXAMPLE")
    );
    let nothing = [b"NTLMSSP\0".as_slice(), &[1, 0, 0, 0], &[0; 4]].concat();
    assert_eq!(
        acceptor.challenge(&nothing, CHALLENGE, 0).err(),
        Some(Refusal::NoCharset)
    );
}

#[test]
fn hostile_octets_never_panic() {
    bolero::check!()
        .with_type::<(Vec<u8>, Vec<u8>)>()
        .for_each(|(one, three)| {
            let acceptor = acceptor(Strength::V1);
            let _ = acceptor.challenge(one, CHALLENGE, 1);
            let (_, exchange) = open();
            let mut framed = [b"NTLMSSP\0".as_slice(), &3u32.to_le_bytes()].concat();
            framed.extend(three);
            if let Ok(proof) = exchange.authenticate(&framed, Some([1; 16])) {
                let _ = proof.verify(Some([0; 16]));
            }
        });
}

#[test]
fn kinds_of_messages() {
    assert_eq!(message_type(&Client::negotiate()), Some(1));
    assert_eq!(message_type(b"NTLMSSP\0\x03\0\0"), None);
    assert_eq!(message_type(b"NTLMSSX\0\x03\0\0\0"), None);
}

/// The structure written out by hand: what MD5 covers is 16 zero octets, the length, the data.
#[test]
fn channel_bindings_cover_prefix_and_hash() {
    let expected = {
        let mut octets = vec![0u8; 16];
        octets.extend([53, 0, 0, 0]);
        octets.extend(b"tls-server-end-point:");
        octets.extend([7u8; 32]);
        crypto::md5(&[&octets])
    };
    assert_eq!(end_point_binding(&[7; 32]), expected);
}

#[test]
fn our_own_client_is_let_in() {
    let binding = end_point_binding(&[9; 32]);
    for (now, bound) in [(0, None), (132_000_000_000_000_000, Some(binding))] {
        let client = super::Client::new("Alice", "EXAMPLE", "secret");
        let negotiate = client.negotiate();
        let acceptor = Acceptor::new("EXAMPLE", "im.example.com", Policy::default());
        let exchange = acceptor.challenge(&negotiate, CHALLENGE, now).unwrap();
        let with = Ingredients {
            nonce: [0xaa; 8],
            session_key: [0x55; 16],
            now: 1,
            binding: bound,
        };
        let challenge = exchange.message().to_vec();
        let answer = client.authenticate(&negotiate, &challenge, &with).unwrap();
        let wrong = exchange
            .clone()
            .authenticate(&answer.message, Some([1; 16]));
        assert_eq!(wrong.is_err(), bound.is_some(), "bound to another channel");
        let proof = exchange.authenticate(&answer.message, bound).unwrap();
        let verdict = proof.verify(Some(nt_hash("secret"))).unwrap();
        assert_eq!(verdict.session_key, answer.session_key);
        assert_eq!(verdict.strength, Strength::V2);
    }
}

#[test]
fn a_client_never_panics_at_a_challenge() {
    bolero::check!().with_type::<Vec<u8>>().for_each(|octets| {
        let octets = [b"NTLMSSP\0\x02\0\0\0".as_slice(), octets].concat();
        let with = Ingredients {
            nonce: [0; 8],
            session_key: [0; 16],
            now: 0,
            binding: None,
        };
        let _ = super::Client::new("a", "", "b").authenticate(b"", &octets, &with);
    });
}
