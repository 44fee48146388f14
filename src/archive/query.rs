//! The query language: words, "phrases", `from:`, `to:`, `with:`, `before:`, `after:`,
//! `conversation:`. All of it must hold.

use super::words::{Field, of_field, of_text};
use crate::core::archive::Find;
use crate::core::time::Time;

/// The fields, for messages to people.
pub const FIELDS: [&str; 6] = ["from", "to", "with", "before", "after", "conversation"];
/// Longest query, in octets.
const LENGTH: usize = 2_000;

/// A query that was understood.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Phrases, fields among them.
    pub phrases: Vec<Vec<String>>,
    /// From this time on.
    pub since: Option<Time>,
    /// Before this time.
    pub until: Option<Time>,
}

/// Why a query was not understood, in words for the person who wrote it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadQuery {
    /// A quote is not closed.
    #[error("the quote at character {0} is not closed: write \"like this\"")]
    OpenQuote(usize),
    /// Nobody knows the field.
    #[error(
        "there is no field `{name}:`{hint}; fields are {}; put the words into quotes to search for them",
        listed()
    )]
    UnknownField {
        /// As it was written.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// A field without a value.
    #[error("`{0}:` needs a value, without a space behind the colon: {0}:{example}", example = example(.0))]
    NoValue(String),
    /// No date.
    #[error(
        "`{field}:{value}` is no date: write {field}:2026-11-29 or {field}:2026-11-29T14:30 (UTC)"
    )]
    Date {
        /// Which field.
        field: String,
        /// What stood there.
        value: String,
    },
    /// No conversation.
    #[error(
        "`conversation:{0}` is no conversation's id (32 hexadecimal digits, as `tristack archive search` prints them)"
    )]
    Conversation(String),
    /// Only signs.
    #[error("`{0}` has no letters or digits to search for")]
    NoWords(String),
    /// The times exclude each other.
    #[error(
        "nothing can be before `before:` and after `after:`: the dates are the wrong way round"
    )]
    Never,
    /// Too long.
    #[error("the query is longer than {LENGTH} octets")]
    Long,
}

fn listed() -> String {
    FIELDS.map(|field| format!("{field}:")).join(" ")
}

fn example(field: &str) -> &'static str {
    match field {
        "before" | "after" => "2026-11-29",
        "conversation" => "0193a1c2d3e4f5061728394a5b6c7d8e",
        _ => "alice@example.com",
    }
}

/// Reads a query. An empty one finds everything.
pub fn parse(text: &str) -> Result<Query, BadQuery> {
    if text.len() > LENGTH {
        return Err(BadQuery::Long);
    }
    let mut query = Query::default();
    let mut rest = Rest { text, at: 0 };
    while let Some(item) = rest.item()? {
        query.add(item)?;
    }
    match (query.since, query.until) {
        (Some(since), Some(until)) if since >= until => Err(BadQuery::Never),
        _ => Ok(query),
    }
}

/// One thing that was written.
#[derive(Clone, Copy)]
struct Item<'t> {
    field: Option<&'t str>,
    value: &'t str,
    quoted: bool,
}

/// What is not read yet.
struct Rest<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Rest<'t> {
    fn item(&mut self) -> Result<Option<Item<'t>>, BadQuery> {
        let left = self.text.get(self.at..).unwrap_or_default();
        let trimmed = left.trim_start();
        self.at += left.len() - trimmed.len();
        if trimmed.is_empty() {
            return Ok(None);
        }
        if trimmed.starts_with('"') {
            let value = self.quoted(trimmed)?;
            return Ok(Some(Item {
                field: None,
                value,
                quoted: true,
            }));
        }
        let end = trimmed
            .find(|c: char| c.is_whitespace() || c == '"')
            .unwrap_or(trimmed.len());
        let word = trimmed.get(..end).unwrap_or_default();
        let Some((name, value)) = word.split_once(':').filter(|(name, _)| is_name(name)) else {
            self.at += end;
            return Ok(Some(Item {
                field: None,
                value: word,
                quoted: false,
            }));
        };
        // A link is no field.
        if value.starts_with("//") {
            self.at += end;
            return Ok(Some(Item {
                field: None,
                value: word,
                quoted: false,
            }));
        }
        self.at += end;
        if value.is_empty() {
            let behind = self.text.get(self.at..).unwrap_or_default();
            if behind.starts_with('"') {
                let value = self.quoted(behind)?;
                return Ok(Some(Item {
                    field: Some(name),
                    value,
                    quoted: true,
                }));
            }
        }
        Ok(Some(Item {
            field: Some(name),
            value,
            quoted: false,
        }))
    }

    /// What stands between the quote that `left` begins with and the next one.
    fn quoted(&mut self, left: &'t str) -> Result<&'t str, BadQuery> {
        let inner = left.get(1..).unwrap_or_default();
        let Some(end) = inner.find('"') else {
            let before = self.text.get(..self.at).unwrap_or_default();
            return Err(BadQuery::OpenQuote(before.chars().count() + 1));
        };
        self.at += end + 2;
        Ok(inner.get(..end).unwrap_or_default())
    }
}

/// Whether something before a colon looks like a field.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic())
}

impl Query {
    fn add(&mut self, item: Item<'_>) -> Result<(), BadQuery> {
        let Some(name) = item.field else {
            return self.add_words(item.value, item.quoted);
        };
        let name = name.to_ascii_lowercase();
        if !FIELDS.contains(&name.as_str()) {
            return Err(unknown(name));
        }
        if item.value.trim().is_empty() {
            return Err(BadQuery::NoValue(name));
        }
        let value = item.value.trim();
        match name.as_str() {
            "from" => self.field(Field::From, value),
            "to" => self.field(Field::To, value),
            "with" => self.field(Field::With, value),
            "conversation" => {
                if value.parse::<crate::core::id::ConversationId>().is_err() {
                    return Err(BadQuery::Conversation(value.to_owned()));
                }
                self.field(Field::Conversation, value);
            }
            _ => {
                let Some(at) = date(value) else {
                    return Err(BadQuery::Date {
                        field: name,
                        value: value.to_owned(),
                    });
                };
                if name == "before" {
                    self.until = Some(self.until.map_or(at, |other| other.min(at)));
                } else {
                    self.since = Some(self.since.map_or(at, |other| other.max(at)));
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: Field, value: &str) {
        self.phrases.push(vec![of_field(field, value)]);
    }

    /// Quoted or not: a word with signs in it (`e-mail`) is a phrase.
    fn add_words(&mut self, value: &str, quoted: bool) -> Result<(), BadQuery> {
        let words = of_text(value);
        if words.is_empty() {
            let shown = if quoted {
                format!("\"{value}\"")
            } else {
                value.to_owned()
            };
            return Err(BadQuery::NoWords(shown));
        }
        self.phrases.push(words);
        Ok(())
    }

    /// What storage is asked for. Without any phrase all messages are meant.
    pub fn find(&self) -> Find {
        let mut phrases = self.phrases.clone();
        if phrases.is_empty() {
            phrases.push(vec![of_field(Field::Any, "")]);
        }
        Find {
            phrases,
            since: self.since,
            until: self.until,
            ..Find::default()
        }
    }
}

fn unknown(name: String) -> BadQuery {
    let near = FIELDS
        .iter()
        .map(|field| (strsim::damerau_levenshtein(&name, field), field))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    let hint = near.map_or_else(String::new, |(_, field)| {
        format!("; did you mean `{field}:`?")
    });
    BadQuery::UnknownField { name, hint }
}

/// `2026-11-29`, `2026-11-29T14:30`, `2026-11-29T14:30:05`, with or without `Z`; UTC.
pub fn date(text: &str) -> Option<Time> {
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let (day, clock) = match text.split_once(['T', 't']) {
        Some((day, clock)) => (day, Some(clock)),
        None => (text, None),
    };
    let numbers = |text: &str, sign: char| -> Option<Vec<u64>> {
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && part.len() <= 4;
        let parts = text.split(sign);
        parts
            .map(|part| part.parse().ok().filter(|_| digits(part)))
            .collect()
    };
    let [year, month, day] = numbers(day, '-')?.try_into().ok()?;
    let seconds = match clock {
        None => 0,
        Some(clock) => match numbers(clock, ':')?.as_slice() {
            [hour @ 0..=23, minute @ 0..=59] => hour * 3600 + minute * 60,
            [hour @ 0..=23, minute @ 0..=59, second @ 0..=59] => hour * 3600 + minute * 60 + second,
            _ => return None,
        },
    };
    let days = days(year, month, day)?;
    Some(Time((days * 86_400 + seconds) * 1000))
}

/// Days from 1970-01-01 to a date of the years 1970 to 9999.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March: leap days come last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_years = y * 365 + y / 4 - y / 100 + y / 400;
    let of_months = (153 * m + 2) / 5;
    (of_years + of_months + day - 1).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::utc;

    #[test]
    fn all_of_the_language() {
        let conversation = "0193a1c2d3e4f5061728394a5b6c7d8e";
        let text = format!(
            "lunch \"at  the Caf\u{e9}\" from:Alice to:bob@example.com with:\"carol@x.y\" \
             after:2026-01-02 before:2026-02-03T04:05 conversation:{conversation} e-mail \
             http://example.com/x 10:30"
        );
        let query = parse(&text).unwrap();
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            query.phrases,
            [
                words(&["lunch"]),
                words(&["at", "the", "cafe"]),
                vec![of_field(Field::From, "alice")],
                vec![of_field(Field::To, "bob@example.com")],
                vec![of_field(Field::With, "carol@x.y")],
                vec![of_field(Field::Conversation, conversation)],
                words(&["e", "mail"]),
                words(&["http", "example", "com", "x"]),
                words(&["10", "30"]),
            ]
        );
        let at = |time: Option<Time>| utc(time.unwrap().0);
        assert_eq!(at(query.since), "2026-01-02T00:00:00.000Z");
        assert_eq!(at(query.until), "2026-02-03T04:05:00.000Z");
        assert_eq!(parse("  ").unwrap(), Query::default());
        assert_eq!(Query::default().find().phrases.len(), 1);
    }

    #[test]
    fn dates_are_the_days_they_name() {
        for (text, want) in [
            ("1970-01-01", "1970-01-01T00:00:00.000Z"),
            ("2000-02-29T23:59:59Z", "2000-02-29T23:59:59.000Z"),
            ("2026-11-29T14:30", "2026-11-29T14:30:00.000Z"),
            ("2100-03-01", "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(date(text).unwrap().0), want);
        }
        for wrong in [
            "2026-02-29",
            "2026-13-01",
            "1969-12-31",
            "29.11.2026",
            "2026-1",
            "x",
            "",
        ] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, want) in [
            ("lunch \"at noon", "character 7"),
            ("form:alice", "did you mean `from:`?"),
            ("subject:x", "fields are from: to: with:"),
            ("from: alice", "without a space"),
            ("before:yesterday", "before:2026-11-29"),
            ("conversation:12", "32 hexadecimal digits"),
            ("!!!", "no letters or digits"),
            ("after:2026-02-01 before:2026-01-01", "wrong way round"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert_eq!(parse(&"x".repeat(3000)), Err(BadQuery::Long));
    }

    #[test]
    fn no_text_panics() {
        for text in [
            "\"",
            ":",
            "::",
            "from:\"",
            "\u{e9}\":\"",
            "a:\u{e9}",
            "from:\"\"",
        ] {
            let _ = parse(text);
        }
    }
}
