//! Results on standard output, as text or JSON; failures on standard error.

use std::io::Write as _;

/// Where results go.
pub(super) struct Out {
    json: bool,
}

impl Out {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result, as one line of JSON or as the text.
    pub(super) fn value<T: serde::Serialize>(&self, value: &T, text: impl FnOnce() -> String) {
        let printed = if self.json {
            serde_json::to_string(value).unwrap_or_default() + "\n"
        } else {
            text()
        };
        print(&printed);
    }

    /// Prints why nothing came of it.
    pub(super) fn failure(&self, text: &str) {
        let printed = if self.json {
            serde_json::json!({ "error": text }).to_string()
        } else {
            format!("tristack: {text}")
        };
        let _ = writeln!(std::io::stderr().lock(), "{printed}");
    }
}

/// Writes and flushes; a reader that has gone (`| head`) is no error.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
