//! `[log]`

use super::reader::Reader;
use super::value::words;

words! {
    /// Form of log lines.
    Format {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct Log {
    /// Form of the lines.
    pub format: Format,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter like `info,tristack::net=debug`.
    pub level: String,
}

impl Log {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Self {
        let log = Self {
            format: r.get("format", Format::Text),
            level: r.get("level", "info".to_owned()),
        };
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        let sound = log.level.split(',').all(|part| {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            levels.contains(&level.trim().to_ascii_lowercase().as_str())
        });
        if !sound {
            r.refuse(
                "level",
                format!("{:?}: use error, warn, info, debug or trace", log.level),
            );
        }
        log
    }
}
