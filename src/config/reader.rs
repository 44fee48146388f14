//! Reads one section: value, origin, errors with places, unknown keys with the nearest known one.

use super::value::{Value, quoted};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The built-in default.
    Default,
    /// A line of the file.
    File {
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// The command line or the command itself (`demo`).
    Command,
}

/// One effective setting, for `tristack check`.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Section as in the file, without brackets.
    pub section: String,
    /// Key.
    pub key: String,
    /// Value as it would stand in the file.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `tristack.toml:3:7`, `TRISTACK_RVP_LISTEN`, or the key when it is a matter of defaults.
    pub place: String,
    /// What.
    pub what: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What a configuration is read from, and what was found.
pub(super) struct Source<'a> {
    /// File name as the operator wrote it.
    pub(super) file: &'a str,
    /// Its text, for line numbers.
    pub(super) text: &'a str,
    /// The environment, `TRISTACK_...` only.
    pub(super) environment: BTreeMap<String, String>,
    /// Relative paths start here.
    pub(super) base: PathBuf,
    /// Everything effective.
    pub(super) settings: Vec<Setting>,
    /// Everything wrong.
    pub(super) faults: Vec<Fault>,
    /// Environment variables that were asked for.
    pub(super) asked: Vec<String>,
}

impl Source<'_> {
    /// `file:line:column` of an offset, columns in characters.
    pub(super) fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).unwrap_or("").chars().count() + 1;
        format!("{}:{line}:{column}", self.file)
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    /// Notes something wrong.
    pub(super) fn fault(&mut self, place: String, what: String) {
        self.faults.push(Fault { place, what });
    }
}

/// The nearest known word, if it is near enough to be meant.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.len()).div_ceil(2))
        .map(|(_, candidate)| candidate)
}

/// One section under way.
pub(super) struct Reader<'s, 'a> {
    source: &'s mut Source<'a>,
    section: String,
    prefix: String,
    table: Option<&'s DeTable<'a>>,
    known: Vec<&'static str>,
    places: BTreeMap<&'static str, String>,
}

impl<'s, 'a> Reader<'s, 'a> {
    /// A reader of `section` (printed name), environment names start with `prefix`.
    pub(super) fn new(
        source: &'s mut Source<'a>,
        section: String,
        prefix: String,
        table: Option<&'s DeTable<'a>>,
    ) -> Self {
        Self {
            source,
            section,
            prefix,
            table,
            known: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// A value or its default. A value that can't be read is noted and the default returned.
    pub(super) fn get<T: Value>(&mut self, key: &'static str, default: T) -> T {
        let (found, origin) = self.find::<T>(key);
        let value = found.unwrap_or(default);
        self.record(key, value.show(), origin);
        value
    }

    /// A value that may be absent.
    pub(super) fn option<T: Value>(&mut self, key: &'static str) -> Option<T> {
        let (found, origin) = self.find::<T>(key);
        if let Some(value) = &found {
            self.record(key, value.show(), origin);
        }
        found
    }

    /// A path; relative ones start where the file is.
    pub(super) fn path(&mut self, key: &'static str, default: &Path) -> PathBuf {
        let (found, origin) = self.find::<String>(key);
        let path = found.map_or_else(|| default.to_owned(), PathBuf::from);
        let path = self.source.base.join(path);
        self.record(key, quoted(&path.display().to_string()), origin);
        path
    }

    /// A path that may be absent; relative ones start where the file is.
    pub(super) fn option_path(&mut self, key: &'static str) -> Option<PathBuf> {
        let (found, origin) = self.find::<String>(key);
        let path = self.source.base.join(found?);
        self.record(key, quoted(&path.display().to_string()), origin);
        Some(path)
    }

    /// A list of paths; relative ones start where the file is.
    pub(super) fn paths(&mut self, key: &'static str) -> Vec<PathBuf> {
        let (found, origin) = self.find::<Vec<String>>(key);
        let list = found.unwrap_or_default();
        let paths: Vec<_> = list
            .iter()
            .map(|path| self.source.base.join(path))
            .collect();
        let shown: Vec<_> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        self.record(key, shown.show(), origin);
        paths
    }

    /// Where relative paths start.
    pub(super) fn base(&self) -> &Path {
        &self.source.base
    }

    /// Notes a fault of a key that was read.
    pub(super) fn refuse(&mut self, key: &'static str, what: impl Into<String>) {
        let place = self
            .places
            .get(key)
            .cloned()
            .unwrap_or_else(|| format!("[{}] {key}", self.section));
        self.source
            .fault(place, format!("{} `{key}`: {}", self.section, what.into()));
    }

    /// The key is a table of sections that somebody else reads.
    pub(super) fn elsewhere(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Replaces what `check` shows for the key read last (secrets, derived values).
    pub(super) fn show(&mut self, value: String) {
        if let Some(last) = self.source.settings.last_mut() {
            last.value = value;
        }
    }

    /// Reports keys that nobody asked for.
    pub(super) fn end(self) {
        let Some(table) = self.table else { return };
        for (key, _) in table {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let hint = nearest(name, self.known.iter().copied())
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let place = self.source.place(key.span().start);
            let what = format!("unknown key `{name}` in [{}]{hint}", self.section);
            self.source.fault(place, what);
        }
    }

    fn record(&mut self, key: &'static str, value: String, origin: Origin) {
        self.source.settings.push(Setting {
            section: self.section.clone(),
            key: key.to_owned(),
            value,
            origin,
        });
    }

    /// The environment beats the file.
    fn find<T: Value>(&mut self, key: &'static str) -> (Option<T>, Origin) {
        self.known.push(key);
        let variable = format!("{}_{}", self.prefix, key.to_ascii_uppercase());
        let from_environment = self.source.environment.get(&variable).cloned();
        self.source.asked.push(variable.clone());
        if let Some(text) = from_environment {
            self.places.insert(key, variable.clone());
            let read = T::from_text(&text);
            return (self.sound(key, read), Origin::Environment(variable));
        }
        let Some(value) = self.table.and_then(|table| table.get(key)) else {
            return (None, Origin::Default);
        };
        let (at, line) = self.whereabouts(value);
        self.places.insert(key, at);
        let read = T::from_toml(value.get_ref());
        (self.sound(key, read), Origin::File { line })
    }

    fn whereabouts(&self, value: &Spanned<DeValue<'_>>) -> (String, usize) {
        let start = value.span().start;
        (self.source.place(start), self.source.line(start))
    }

    fn sound<T>(&mut self, key: &'static str, read: Result<T, String>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(what) => {
                self.refuse(key, what);
                None
            }
        }
    }
}
