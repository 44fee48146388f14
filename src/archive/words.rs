//! The words a row is found by. We make them ourselves, so that all storages find the same.
//!
//! A word is a run of letters and digits, in lower case, without accents (NFKD); of scripts that are
//! written without spaces each character is a word, so that a phrase finds them. Fields (who, which
//! conversation) are words that begin with a character no text can give, and hold no ASCII but
//! letters and digits: every index takes them as they are.

use super::record::Head;
use crate::core::archive::{Indexed, Row};
use unicode_normalization::UnicodeNormalization;

/// Longest word, in characters; the rest of a longer one is left out, at search as well.
const WORD: usize = 64;
/// Most words of one row.
const WORDS: usize = 16_384;
/// ASCII characters in fields that are no letters or digits stand here (private use).
const ESCAPE: u32 = 0xe000;

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The sender: whole address, local part, or domain.
    From,
    /// The recipient.
    To,
    /// Either of them, or a member.
    With,
    /// The conversation.
    Conversation,
    /// The message.
    Message,
    /// That the row is a message.
    Any,
}

/// The words of a text, in order.
pub fn of_text(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut length = 0;
    for c in text.nfkd().flat_map(char::to_lowercase) {
        if unicode_normalization::char::is_combining_mark(c) {
            continue;
        }
        let alone = is_ideograph(c);
        if (alone || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
            length = 0;
        }
        if alone {
            words.push(c.to_string());
        } else if c.is_alphanumeric() && length < WORD {
            word.push(c);
            length += 1;
        }
        if words.len() >= WORDS {
            return words;
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Scripts without spaces between words: Han, kana, Thai, Lao, Khmer, Burmese.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff
        | 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff
        | 0x2_0000..=0x3_ffff)
}

/// A field as a word.
pub fn of_field(field: Field, value: &str) -> String {
    let mark = match field {
        Field::From => 'f',
        Field::To => 't',
        Field::With => 'w',
        Field::Conversation => 'c',
        Field::Message => 'm',
        Field::Any => 'a',
    };
    let mut word = String::with_capacity(value.len() + 4);
    word.push(escaped(mark));
    for c in value.chars().flat_map(char::to_lowercase).take(512) {
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            word.push(c);
        } else {
            word.push(escaped(c));
        }
    }
    word
}

fn escaped(c: char) -> char {
    char::from_u32(ESCAPE + u32::from(c)).unwrap_or('\u{e000}')
}

/// The words of a row; none if nobody is to find it.
pub fn of_row(row: &Row) -> Option<Indexed> {
    let mut words = Vec::new();
    match super::record::head(row).ok()? {
        Head::Message(head) => {
            words = head.text_in(row).map(of_text).unwrap_or_default();
            if let Some(offer) = &head.offer {
                words.extend(of_text(&offer.file));
            }
            words.push(of_field(Field::Any, ""));
            words.push(of_field(Field::Message, &head.id));
            words.push(of_field(Field::Conversation, &head.conversation));
            person(&mut words, Field::From, &head.from);
            person(&mut words, Field::To, &head.to);
            for who in head.people() {
                person(&mut words, Field::With, who);
            }
        }
        Head::Result(head) => words.push(of_field(Field::Message, &head.id)),
        Head::Journal(_) => return None,
    }
    Some(Indexed {
        seq: row.seq,
        words,
    })
}

/// A person is found by the whole address, by the local part and by the domain.
fn person(words: &mut Vec<String>, field: Field, address: &str) {
    words.push(of_field(field, address));
    if let Some((local, domain)) = address.rsplit_once('@') {
        words.push(of_field(field, local));
        words.push(of_field(field, &format!("@{domain}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::record::tests::{ABOUT, sample};

    #[test]
    fn words_are_the_same_however_written() {
        for (text, want) in [
            ("Hello, World!", vec!["hello", "world"]),
            (
                "Gr\u{fc}\u{df}e caf\u{e9} CAFE\u{301}",
                vec!["gru\u{df}e", "cafe", "cafe"],
            ),
            ("\u{ff21}\u{ff22}\u{ff23} x2", vec!["abc", "x2"]),
            (
                "\u{6771}\u{4eac}a\u{5e02}",
                vec!["\u{6771}", "\u{4eac}", "a", "\u{5e02}"],
            ),
            ("it's 10:30", vec!["it", "s", "10", "30"]),
            (" \r\n", vec![]),
        ] {
            assert_eq!(of_text(text), want, "{text}");
        }
    }

    #[test]
    fn no_text_can_give_a_field() {
        let field = of_field(Field::From, "alice@example.com");
        assert!(of_text(&field).iter().all(|word| *word != field));
        let foreign = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric();
        assert!(!field.contains(foreign), "{field}");
    }

    #[test]
    fn a_row_is_found_by_text_people_and_conversation() {
        let entry = super::super::record::message(&sample(9, "Lunch at noon", "x"), ABOUT);
        let row = Row {
            seq: 3,
            at: entry.at,
            head: entry.head,
            body: entry.body,
            link: [0; 32],
        };
        let words = of_row(&row).unwrap().words;
        for want in [
            "lunch".to_owned(),
            of_field(Field::From, "alice"),
            of_field(Field::To, "bob@example.com"),
            of_field(Field::With, "@example.com"),
            of_field(Field::Message, &crate::core::id::MessageId(9).to_string()),
        ] {
            assert!(words.contains(&want), "{want:?}");
        }
        assert!(!words.contains(&of_field(Field::From, "bob")));
    }
}
