//! Logs: one layer that writes every line, as text or JSON, with user-supplied text made harmless.
//!
//! Whatever a client sends can end up in a field. Control, bidirectional-override and ANSI
//! characters are escaped and long values cut, so that no client can forge lines, hide text from
//! an operator's terminal or fill the disk with one value.

use crate::config::{Format, Log};
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

/// Characters of one field that are written; the rest is counted.
const FIELD_MAX: usize = 512;

/// Starts logging to standard error. Once per process; a second call changes nothing.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let layer = Lines { format: log.format };
    let _ = Registry::default().with(filter).with(layer).try_init();
}

struct Lines {
    format: Format,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields {
            format: self.format,
            message: String::new(),
            rest: String::new(),
        };
        event.record(&mut fields);
        let meta = event.metadata();
        let line = line(
            self.format,
            &now(),
            meta.level().as_str(),
            meta.target(),
            &fields,
        );
        // Nobody to tell if standard error is gone.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn line(format: Format, time: &str, level: &str, target: &str, fields: &Fields) -> String {
    match format {
        Format::Text => format!(
            "{time} {level:5} {target}: {}{}\n",
            fields.message, fields.rest
        ),
        Format::Json => format!(
            "{{\"time\":\"{time}\",\"level\":\"{level}\",\"target\":\"{target}\",\"message\":{}{}}}\n",
            if fields.message.is_empty() {
                "\"\""
            } else {
                &fields.message
            },
            fields.rest
        ),
    }
}

/// The fields of one event, written as they come.
struct Fields {
    format: Format,
    message: String,
    rest: String,
}

impl Fields {
    fn put(&mut self, field: &Field, value: &str) {
        let value = tame(value);
        match (self.format, field.name()) {
            (Format::Text, "message") => self.message = value,
            (Format::Text, name) => {
                let quote = value.is_empty() || value.contains([' ', '=', '"']);
                let _ = if quote {
                    write!(self.rest, " {name}=\"{}\"", value.replace('"', "\\\""))
                } else {
                    write!(self.rest, " {name}={value}")
                };
            }
            (Format::Json, "message") => self.message = json(&value),
            (Format::Json, name) => {
                let _ = write!(self.rest, ",{}:{}", json(name), json(&value));
            }
        }
    }

    fn put_bare(&mut self, field: &Field, value: &dyn fmt::Display) {
        let _ = match self.format {
            Format::Text => write!(self.rest, " {}={value}", field.name()),
            Format::Json => write!(self.rest, ",{}:{value}", json(field.name())),
        };
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_bare(field, &value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_bare(field, &value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_bare(field, &value);
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Escapes what could deceive a reader and cuts what is too long.
pub fn tame(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(FIELD_MAX));
    for (count, character) in text.chars().enumerate() {
        if count == FIELD_MAX {
            let _ = write!(out, "...({} more)", text.chars().count() - FIELD_MAX);
            break;
        }
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if deceives(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Control characters (ANSI escapes among them), line separators, bidirectional and invisible
/// formatting.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    utc(u64::try_from(since.as_millis()).unwrap_or_default())
}

/// Milliseconds since 1970 as `2026-11-21T08:13:00.000Z` (RFC 3339).
pub fn utc(millis: u64) -> String {
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    // Civil date from days: years that begin in March, eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        rest % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(millis), text);
        }
    }

    #[test]
    fn nothing_a_client_sends_can_forge_a_line() {
        let nasty = "bob\r\n2026 ERROR \u{1b}[2Kforged \u{202e}txt\u{7}";
        let tamed = tame(nasty);
        assert_eq!(
            tamed,
            "bob\\r\\n2026 ERROR \\u{1b}[2Kforged \\u{202e}txt\\u{7}"
        );
        let long = tame(&"x".repeat(FIELD_MAX + 88));
        assert!(long.ends_with("...(88 more)"), "{long}");
        assert!(!long.contains(&"x".repeat(FIELD_MAX + 1)));
    }

    #[test]
    fn every_line_is_one_line_and_json_parses() {
        use std::sync::{Arc, Mutex};
        struct Keep(Format, Arc<Mutex<Vec<String>>>);
        impl<S: Subscriber> Layer<S> for Keep {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let mut fields = Fields {
                    format: self.0,
                    message: String::new(),
                    rest: String::new(),
                };
                event.record(&mut fields);
                let written = line(self.0, "T", "INFO", event.metadata().target(), &fields);
                self.1.lock().expect("lines").push(written);
            }
        }
        for format in [Format::Text, Format::Json] {
            let lines = Arc::new(Mutex::new(Vec::new()));
            let subscriber = Registry::default().with(Keep(format, Arc::clone(&lines)));
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(from = "a \"b\"\n", count = 3u64, odd = ?"\u{1b}", "signed\nin");
            });
            let written = lines.lock().expect("lines").join("");
            assert_eq!(written.matches('\n').count(), 1, "{written}");
            assert!(!written.contains('\u{1b}'));
            if format == Format::Json {
                let value: serde_json::Value = serde_json::from_str(&written).expect("JSON");
                assert_eq!(value["message"], "signed\\nin");
                assert_eq!(value["count"], 3);
            } else {
                assert!(written.contains(" count=3"), "{written}");
                assert!(written.contains("from=\"a \\\"b\\\"\\n\""), "{written}");
            }
        }
    }
}
