//! The `tls-server-end-point` channel binding (RFC 5929 4): a hash of our certificate, by the hash
//! function of its own signature.

use super::der::value;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Hash functions a certificate may be signed with, as far as the binding tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Sha256,
    Sha384,
    Sha512,
}

/// Object identifiers of signature algorithms (RFC 8017, RFC 5758, RFC 3279) and, for RSA-PSS, of
/// the hash named in its parameters.
const KNOWN: [(&[u8], Function); 14] = [
    // MD5 and SHA-1 count as SHA-256 (RFC 5929 4.1).
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4],
        Function::Sha256,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5],
        Function::Sha256,
    ),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], Function::Sha256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3], Function::Sha256),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11],
        Function::Sha256,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12],
        Function::Sha384,
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13],
        Function::Sha512,
    ),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], Function::Sha256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], Function::Sha384),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], Function::Sha512),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 2], Function::Sha256),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], Function::Sha256),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2], Function::Sha384),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3], Function::Sha512),
];
/// RSASSA-PSS: the hash is in the parameters.
const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];

/// The binding of a certificate in DER form; `None` where RFC 5929 leaves it undefined (Ed25519)
/// or the octets are no certificate.
pub(super) fn hash(certificate: &[u8]) -> Option<Vec<u8>> {
    Some(match function(certificate)? {
        Function::Sha256 => Sha256::digest(certificate).to_vec(),
        Function::Sha384 => Sha384::digest(certificate).to_vec(),
        Function::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

/// Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature } (RFC 5280 4.1).
fn function(certificate: &[u8]) -> Option<Function> {
    let (_, mut fields) = value(&mut &*certificate)?;
    value(&mut fields)?;
    let (_, mut algorithm) = value(&mut fields)?;
    let (_, identifier) = value(&mut algorithm)?;
    if identifier == PSS {
        // RSASSA-PSS-params ::= SEQUENCE { [0] { SEQUENCE { hash OID .. } } .. }; SHA-1 if absent.
        let (_, mut parameters) = value(&mut algorithm)?;
        let Some((0xa0, mut tagged)) = value(&mut parameters) else {
            return Some(Function::Sha256);
        };
        let (_, mut named) = value(&mut tagged)?;
        return known(value(&mut named)?.1);
    }
    known(identifier)
}

fn known(identifier: &[u8]) -> Option<Function> {
    let found = KNOWN.iter().find(|(known, _)| *known == identifier);
    found.map(|(_, function)| *function)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        if content.len() < 0x80 {
            out.push(u8::try_from(content.len()).expect("short"));
        } else {
            out.push(0x82);
            out.extend(
                u16::try_from(content.len())
                    .expect("not long")
                    .to_be_bytes(),
            );
        }
        out.extend(content);
        out
    }

    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        let tbs = der(0x30, &[0; 300]);
        der(
            0x30,
            &[tbs, der(0x30, algorithm), der(3, &[0; 64])].concat(),
        )
    }

    #[test]
    fn the_signature_names_the_function() {
        for (identifier, length) in [
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5][..], 32),
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], 32),
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], 48),
            (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], 64),
        ] {
            let whole = certificate(&[der(6, identifier), vec![5, 0]].concat());
            assert_eq!(hash(&whole).map(|hash| hash.len()), Some(length));
        }
        let ed25519 = certificate(&der(6, &[0x2b, 0x65, 0x70]));
        assert_eq!(hash(&ed25519), None);
        let named = der(0x30, &der(6, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2]));
        let parameters = der(0x30, &der(0xa0, &named));
        let pss = certificate(&[der(6, PSS), parameters].concat());
        assert_eq!(hash(&pss).map(|hash| hash.len()), Some(48));
    }

    #[test]
    fn hostile_octets_never_panic() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|octets| {
            let _ = hash(octets);
        });
    }
}
