//! Character classes of XML 1.0 (fifth edition) and Namespaces in XML.

/// White space, XML 1.0 production 3.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A character a document may hold, literal or by reference (production 2).
pub(crate) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Name without a colon (`NCName`).
pub(crate) fn is_ncname(name: &str) -> bool {
    let bytes = name.as_bytes();
    if let [first, rest @ ..] = bytes
        && (first.is_ascii_alphabetic() || *first == b'_')
        && rest.iter().all(|b| is_ascii_name(*b))
    {
        return true;
    }
    let mut chars = name.chars();
    chars.next().is_some_and(is_name_start) && chars.all(is_name_char)
}

fn is_ascii_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Byte offset of the first forbidden character.
pub(crate) fn forbidden(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    // Nearly all documents pass here; without a branch per byte, several are looked at at once.
    let suspect = |all: u8, byte: &u8| {
        let control = *byte < 0x20 && !is_space(*byte);
        all | u8::from(control || *byte == 0xEF)
    };
    if bytes.iter().fold(0, suspect) == 0 {
        return None;
    }
    // One pass over bytes: controls are single bytes, and of the multi-byte ones only U+FFFE and
    // U+FFFF (EF BF BE/BF) are forbidden, since `str` cannot hold surrogates.
    let mut previous = (0u8, 0u8);
    for (at, &byte) in bytes.iter().enumerate() {
        if byte < 0x20 && !is_space(byte) {
            return Some(at);
        }
        if matches!(byte, 0xBE | 0xBF) && previous == (0xEF, 0xBF) {
            return Some(at.saturating_sub(2));
        }
        previous = (previous.1, byte);
    }
    None
}

fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}
