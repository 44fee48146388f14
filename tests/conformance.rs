//! Checks `tests/conformance/`, one file per standard: every normative section that applies has a
//! row, every row names tests that exist or a reason why there are none.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// One standard: its normative sections as far as this server's roles go, and a row for each.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Standard {
    name: String,
    /// Roles or scope that were taken, in a sentence.
    scope: String,
    /// Every section that states a requirement for that scope.
    sections: Vec<String>,
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    section: String,
    what: String,
    /// `path/to/file.rs::function`, or `path/to/transcript.txt`.
    #[serde(default)]
    tests: Vec<String>,
    /// Why there is no test (not implemented, belongs to a later issue, not testable).
    #[serde(default)]
    reason: Option<String>,
}

#[test]
fn every_section_has_its_test_or_its_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(root.join("tests/conformance"))
        .expect("the folder of standards")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no standard is listed");
    let mut faults = Vec::new();
    let mut sources = BTreeMap::new();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a readable file");
        match toml::from_str(&text) {
            Ok(standard) => check(root, &standard, &mut sources, &mut faults),
            Err(error) => faults.push(format!("{}: {error}", file.display())),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn check(
    root: &Path,
    standard: &Standard,
    sources: &mut BTreeMap<String, Option<String>>,
    faults: &mut Vec<String>,
) {
    let name = &standard.name;
    if standard.scope.trim().is_empty() {
        faults.push(format!("{name}: no scope"));
    }
    for section in &standard.sections {
        if !standard.row.iter().any(|row| row.section == *section) {
            faults.push(format!("{name} {section}: no row"));
        }
    }
    for row in &standard.row {
        let at = format!("{name} {} ({})", row.section, row.what);
        if !standard.sections.contains(&row.section) {
            faults.push(format!("{at}: section not in the list of sections"));
        }
        match (row.tests.is_empty(), &row.reason) {
            (true, None) => faults.push(format!("{at}: neither test nor reason")),
            (false, Some(_)) => faults.push(format!("{at}: tests and a reason why there are none")),
            _ => {}
        }
        for test in &row.tests {
            if !exists(root, test, sources) {
                faults.push(format!("{at}: no such test: {test}"));
            }
        }
    }
}

fn exists(root: &Path, test: &str, sources: &mut BTreeMap<String, Option<String>>) -> bool {
    let (file, function) = test.split_once("::").unwrap_or((test, ""));
    let source = sources
        .entry(file.to_owned())
        .or_insert_with(|| std::fs::read_to_string(root.join(file)).ok());
    let Some(source) = source else { return false };
    function.is_empty() || source.contains(&format!("fn {function}("))
}
