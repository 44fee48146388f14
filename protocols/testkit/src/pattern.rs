//! Line patterns: `*` stands for any run, `{name}` captures it or repeats what was captured.

use std::collections::BTreeMap;

/// What `{name}` stood for so far in a run.
pub type Captures = BTreeMap<String, String>;

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Any,
    Name(String),
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(next) = rest.chars().next() {
        let step = next.len_utf8();
        let after = rest.get(step..).unwrap_or("");
        let name = (next == '{')
            .then(|| after.split_once('}'))
            .flatten()
            .filter(|(name, _)| is_name(name));
        if let Some((name, tail)) = name {
            flush(&mut text, &mut out);
            out.push(Piece::Name(name.to_owned()));
            rest = tail;
        } else if next == '*' {
            flush(&mut text, &mut out);
            out.push(Piece::Any);
            rest = after;
        } else if next == '\\' && after.starts_with(['*', '{', '\\']) {
            // A literal star or brace.
            let quoted = after.chars().next().unwrap_or('\\');
            text.push(quoted);
            rest = after.get(quoted.len_utf8()..).unwrap_or("");
        } else {
            text.push(next);
            rest = after;
        }
    }
    flush(&mut text, &mut out);
    out
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn flush(text: &mut String, out: &mut Vec<Piece>) {
    if !text.is_empty() {
        out.push(Piece::Text(std::mem::take(text)));
    }
}

/// True if the line fits; new captures are added only then.
pub fn fits(pattern: &str, line: &str, captures: &mut Captures) -> bool {
    let pieces = pieces(pattern);
    let mut trial = captures.clone();
    // Patterns are short and written by us: plain backtracking is bounded by the line length.
    if walk(&pieces, line, &mut trial) {
        *captures = trial;
        return true;
    }
    false
}

fn walk(pieces: &[Piece], line: &str, captures: &mut Captures) -> bool {
    let Some((first, rest)) = pieces.split_first() else {
        return line.is_empty();
    };
    let known = match first {
        Piece::Text(text) => Some(text.clone()),
        Piece::Name(name) => captures.get(name).cloned(),
        Piece::Any => None,
    };
    if let Some(text) = known {
        return line
            .strip_prefix(text.as_str())
            .is_some_and(|tail| walk(rest, tail, captures));
    }
    let cuts = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    for cut in cuts {
        let (taken, tail) = line.split_at(cut);
        let mut trial = captures.clone();
        if let Piece::Name(name) = first {
            if taken.is_empty() {
                continue;
            }
            trial.insert(name.clone(), taken.to_owned());
        }
        if walk(rest, tail, &mut trial) {
            *captures = trial;
            return true;
        }
    }
    false
}

/// Puts captured values in place of `{name}`; an unknown name is the error.
pub fn fill(text: &str, captures: &Captures) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(&text),
            Piece::Any => out.push('*'),
            Piece::Name(name) => match captures.get(&name) {
                Some(value) => out.push_str(value),
                None => return Err(format!("{{{name}}} has no value yet")),
            },
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_captures() {
        let mut known = Captures::new();
        assert!(fits("Call-ID: {id}", "Call-ID: abc@h", &mut known));
        assert_eq!(known["id"], "abc@h");
        assert!(fits("x {id} *", "x abc@h tail", &mut known));
        assert!(!fits("x {id}", "x other", &mut known));
        assert!(fits(
            "NOTIFY * SIP/2.0",
            "NOTIFY sip:a@b SIP/2.0",
            &mut known
        ));
        assert!(!fits("NOTIFY *", "MESSAGE a", &mut known));
        assert!(fits("<{a}>;tag={b}", "<sip:x>;tag=9", &mut known));
        assert_eq!((known["a"].as_str(), known["b"].as_str()), ("sip:x", "9"));
    }

    #[test]
    fn literal_stars_and_foreign_braces() {
        let mut known = Captures::new();
        assert!(fits("Contact: \\*", "Contact: *", &mut known));
        assert!(!fits("Contact: \\*", "Contact: x", &mut known));
        assert!(fits("{not a name}", "{not a name}", &mut known));
        assert!(known.is_empty());
    }

    #[test]
    fn a_failed_line_leaves_no_captures() {
        let mut known = Captures::new();
        assert!(!fits("{a} end", "start middle", &mut known));
        assert!(known.is_empty());
    }

    #[test]
    fn fill_names_what_is_missing() {
        let known = Captures::from([("to".to_owned(), "bob".to_owned())]);
        assert_eq!(fill("sip:{to}", &known).unwrap(), "sip:bob");
        assert!(fill("sip:{who}", &known).unwrap_err().contains("{who}"));
    }
}
