//! Octets as the letters that may stand in the user part of a URI unescaped (RFC 4648 5).

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Without padding.
pub(super) fn encode(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 4 / 3 + 2);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for octet in octets {
        held = held << 8 | u32::from(*octet);
        bits += 8;
        while bits >= 6 {
            bits -= 6;
            out.push(letter(held >> bits));
        }
    }
    if bits > 0 {
        out.push(letter(held << (6 - bits)));
    }
    out
}

fn letter(value: u32) -> char {
    let at = usize::try_from(value & 63).unwrap_or(0);
    LETTERS.get(at).map_or('A', |letter| char::from(*letter))
}

/// Whether it is one of the letters.
pub(super) fn is_letter(octet: u8) -> bool {
    LETTERS.contains(&octet)
}

/// What [`encode`] wrote, and only that: every octet string has one text.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for letter in text.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter)?;
        held = held << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(held >> bits & 255).ok()?);
        }
    }
    (bits < 6 && held & ((1 << bits) - 1) == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn there_and_back(octets in proptest::collection::vec(0_u8.., 0..80)) {
            proptest::prop_assert_eq!(decode(&encode(&octets)), Some(octets));
        }

        #[test]
        fn one_text_only(text in "[A-Za-z0-9_-]{0,40}") {
            if let Some(octets) = decode(&text) {
                proptest::prop_assert_eq!(encode(&octets), text);
            }
        }
    }

    #[test]
    fn other_letters_are_refused() {
        assert_eq!(decode("AA=="), None);
        assert_eq!(decode("é"), None);
        assert_eq!(decode(""), Some(Vec::new()));
    }
}
