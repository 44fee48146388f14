//! `tristack check`: the effective configuration with origins, in the form of the file.

use super::Exit;
use super::out::Out;
use crate::config::{Config, Origin, Setting};
use std::fmt::Write as _;

pub(super) fn run(config: &Config, out: &Out) -> Exit {
    let file = config.file.as_ref().map(|file| file.display().to_string());
    let file = file.as_deref();
    let settings: Vec<_> = config
        .settings
        .iter()
        .map(|setting| {
            serde_json::json!({
                "section": setting.section,
                "key": setting.key,
                "value": setting.value,
                "origin": origin(&setting.origin, file),
            })
        })
        .collect();
    let value = serde_json::json!({ "ok": true, "file": file, "settings": settings });
    out.value(&value, || text(&config.settings, file));
    Exit::Done
}

fn text(settings: &[Setting], file: Option<&str>) -> String {
    let lines: Vec<String> = settings
        .iter()
        .map(|setting| format!("{} = {}", setting.key, setting.value))
        .collect();
    let width = lines
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0)
        .min(60);
    let mut text = String::new();
    let mut section = "";
    for (setting, line) in settings.iter().zip(&lines) {
        // Each `[[filter]]` begins with its name.
        let begins = setting.section.starts_with('[') && setting.key == "name";
        if setting.section != section || begins {
            section = &setting.section;
            let _ = writeln!(
                text,
                "{}[{section}]",
                if text.is_empty() { "" } else { "\n" }
            );
        }
        let _ = writeln!(text, "{line:width$}  # {}", origin(&setting.origin, file));
    }
    let _ = writeln!(text, "\n# The configuration is sound.");
    text
}

fn origin(origin: &Origin, file: Option<&str>) -> String {
    match origin {
        Origin::Default => "default".into(),
        Origin::File { line } => format!("{}:{line}", file.unwrap_or("file")),
        Origin::Environment(variable) => format!("environment {variable}"),
        Origin::Command => "command".into(),
    }
}
