//! Who may import whom (`ARCHITECTURE.md`), read from the sources; and that the protocol crates
//! are pure: no runtime, no clock, no ambient randomness.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Parts of `src`, and the other parts each may name by `crate::`.
const PARTS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("archive", &["core", "telemetry"]),
    ("hub", &["core", "archive"]),
    ("filter", &["core", "hub"]),
    ("config", &["core"]),
    ("net", &["config"]),
    ("winbind", &["gate"]),
    ("kerberos", &["gate"]),
    ("telemetry", &["config"]),
    ("storage", &["core", "archive"]),
    ("credentials", &["core", "config"]),
    ("gate", &["core", "hub", "config", "credentials"]),
    ("client", &["core", "net"]),
    ("admin", &["core", "hub", "config", "net"]),
    ("portal", &["core", "hub", "config", "net", "credentials"]),
    (
        "control",
        &[
            "core",
            "hub",
            "gate",
            "config",
            "net",
            "credentials",
            "storage",
            "telemetry",
            "portal",
            "archive",
            "filter",
        ],
    ),
    ("front/mapping", &["core"]),
    ("front/family", &[]),
    (
        "front/rvp",
        &[
            "core",
            "hub",
            "config",
            "net",
            "gate",
            "telemetry",
            "front/mapping",
            "front/family",
        ],
    ),
    (
        "front/sip",
        &[
            "core",
            "hub",
            "config",
            "net",
            "gate",
            "front/mapping",
            "front/family",
        ],
    ),
];

/// External crates that a part may name, among those that are restricted at all.
const CRATES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("archive", &["tokio", "rcgen"]),
    ("hub", &["tokio", "tokio_util", "getrandom"]),
    ("filter", &["regex", "tokio", "hyper", "hyper_util"]),
    ("config", &["toml", "regex"]),
    (
        "net",
        &[
            "tokio",
            "tokio_util",
            "rustls",
            "tokio_rustls",
            "rcgen",
            "hyper",
            "hyper_util",
        ],
    ),
    ("winbind", &["tokio"]),
    ("kerberos", &["tokio", "libgssapi"]),
    ("telemetry", &[]),
    ("storage", &["tokio", "sqlx"]),
    ("credentials", &["auth", "getrandom"]),
    ("gate", &["auth", "getrandom"]),
    (
        "client",
        &["tokio", "sip", "rvp", "auth", "xml", "getrandom"],
    ),
    ("admin", &["tokio", "hyper", "hyper_util", "axum"]),
    (
        "portal",
        &[
            "tokio",
            "hyper",
            "hyper_util",
            "axum",
            "getrandom",
            "ldap3",
            "rustls",
        ],
    ),
    ("control", &["tokio", "getrandom"]),
    ("front/mapping", &["toml"]),
    ("front/family", &[]),
    (
        "front/rvp",
        &[
            "tokio",
            "tokio_util",
            "hyper",
            "hyper_util",
            "rvp",
            "xml",
            "auth",
            "getrandom",
        ],
    ),
    (
        "front/sip",
        &[
            "tokio",
            "tokio_util",
            // The handshake of a WebSocket.
            "hyper",
            "hyper_util",
            "sip",
            "xcap",
            "xml",
            "auth",
            "getrandom",
        ],
    ),
];

/// Crates whose use is part of the design.
const RESTRICTED: [&str; 21] = [
    "regex",
    "tokio",
    "tokio_util",
    "hyper",
    "hyper_util",
    "axum",
    "sqlx",
    "rvp",
    "sip",
    "xcap",
    "xml",
    "auth",
    "toml",
    "getrandom",
    "clap",
    "csv",
    "rustls",
    "tokio_rustls",
    "rcgen",
    "libgssapi",
    "ldap3",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The file's code without comments, texts and what only tests compile.
fn code_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(file).expect("a readable source");
    if name == "tests.rs"
        || name.ends_with("_tests.rs")
        || file.components().any(|c| c.as_os_str() == "tests")
    {
        return String::new();
    }
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    strip(text)
}

/// Removes line comments and the insides of plain string literals.
fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut in_string = false;
        let mut escaped = false;
        let mut previous = ' ';
        for character in line.chars() {
            if in_string {
                match (escaped, character) {
                    (true, _) => escaped = false,
                    (false, '\\') => escaped = true,
                    (false, '"') => in_string = false,
                    _ => {}
                }
            } else if character == '/' && previous == '/' {
                break;
            } else {
                in_string = character == '"' && previous != '\'';
                out.push(character);
            }
            previous = character;
        }
        out.push('\n');
    }
    out
}

/// Every `crate::x` (and what follows), with `use crate::{a, b::c}` spread out.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(inside) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for character in inside.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(item.trim().to_owned());
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                item.push(character);
            }
            found.insert(item.trim().to_owned());
        } else {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(rest.len());
            found.insert(rest[..end].to_owned());
        }
    }
    found.remove("");
    found
}

/// The part that a `crate::` path leads to; `None` for names of the crate root itself.
fn target(path: &str) -> Option<String> {
    let mut names = path.split("::");
    let first = names.next()?.trim();
    if first == "front" {
        return Some(match names.next().map(str::trim) {
            Some(second @ ("rvp" | "sip" | "mapping" | "family")) => format!("front/{second}"),
            // The list of stacks.
            _ => return None,
        });
    }
    Some(first.to_owned())
}

/// Whether the code names this external crate.
fn names_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code.match_indices(&path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn part_of(file: &Path) -> Option<String> {
    let relative = file.strip_prefix(root().join("src")).ok()?;
    let mut names = relative
        .iter()
        .map(|name| name.to_string_lossy().replace(".rs", ""));
    let first = names.next()?;
    match (first.as_str(), names.next()) {
        ("front", Some(second)) if second != "mod" => Some(format!("front/{second}")),
        // The list of stacks, the crate root, and the composition root.
        ("front" | "lib" | "main" | "cli", _) => None,
        _ => Some(first),
    }
}

#[test]
fn every_part_imports_only_what_the_table_allows() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut faults = Vec::new();
    let mut checked = BTreeSet::new();
    for file in &files {
        let Some(part) = part_of(file) else { continue };
        let allowed = PARTS.iter().find(|(name, _)| *name == part);
        let crates = CRATES.iter().find(|(name, _)| *name == part);
        let (Some((_, allowed)), Some((_, crates))) = (allowed, crates) else {
            faults.push(format!(
                "{}: the part {part} is not in the table",
                file.display()
            ));
            continue;
        };
        checked.insert(part.clone());
        let code = code_of(file);
        for path in crate_paths(&code) {
            let Some(target) = target(&path) else {
                continue;
            };
            if target != part && !allowed.contains(&target.as_str()) {
                faults.push(format!("{}: {part} names crate::{path}", file.display()));
            }
        }
        for name in RESTRICTED {
            let imports = names_crate(&code, name) && !code.contains(&format!("mod {name};"));
            if imports && !crates.contains(&name) {
                faults.push(format!("{}: {part} uses {name}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(
        checked.contains("core") && checked.contains("net"),
        "{checked:?}"
    );
}

#[test]
fn the_scanner_sees_what_it_must() {
    let code = strip(
        "use crate::{core::id::PersonId, storage}; // crate::admin\nlet x = crate::front::sip::Front;\nlet s = \"crate::cli\";",
    );
    let paths = crate_paths(&code);
    let targets: BTreeSet<_> = paths.iter().filter_map(|path| target(path)).collect();
    assert_eq!(
        targets,
        ["core", "front/sip", "storage"].map(str::to_owned).into()
    );
    assert!(names_crate("use sqlx::Row;", "sqlx"));
    assert!(names_crate("f(tokio::spawn(x))", "tokio"));
    assert!(!names_crate("self::sip::x", "sip"));
}

const PROTOCOLS: [&str; 4] = ["tristack-xml", "tristack-auth", "rvp", "tristack-sip"];

#[test]
fn protocol_crates_depend_on_nothing_impure() {
    let banned = [
        "tokio",
        "sqlx",
        "rand",
        "rand_core",
        "getrandom",
        "hyper",
        "axum",
        "tristack",
        "chrono",
        "time",
    ];
    for package in PROTOCOLS {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "-p",
                package,
                "--no-default-features",
                "-e",
                "normal",
            ])
            .args(["--prefix", "none", "--format", "{p}"])
            .current_dir(root())
            .output()
            .expect("cargo tree runs");
        let tree = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && tree.contains(package),
            "{package}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        for line in tree.lines() {
            let name = line.split_whitespace().next().unwrap_or_default();
            assert!(
                !banned.contains(&name),
                "{package} depends on {name}:\n{tree}"
            );
        }
    }
}

#[test]
fn protocol_crates_never_look_at_a_clock_or_roll_dice() {
    let mut faults = Vec::new();
    for folder in ["xml", "auth", "rvp", "sip", "xcap"] {
        let mut files = Vec::new();
        rust_files(
            &root().join("protocols").join(folder).join("src"),
            &mut files,
        );
        assert!(!files.is_empty(), "{folder}");
        for file in files {
            // The library features of rvp have their own modules and their own rules.
            if file
                .components()
                .any(|c| c.as_os_str() == "client" || c.as_os_str() == "target")
            {
                continue;
            }
            let code = code_of(&file);
            for banned in [
                "Instant::now",
                "SystemTime::now",
                "tokio::",
                "getrandom",
                "std::net::Tcp",
                "std::net::Udp",
                "std::thread",
                "std::fs",
                "std::env::var",
            ] {
                if code.contains(banned) {
                    faults.push(format!("{}: {banned}", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
