//! The two forms of text in `mime-data` (`RVP 8.13`, `decisions.md` 25).
//!
//! Libraries put characters into the XML. Microsoft-style clients put the MIME block's *octets*
//! in, one character U+0000..U+00FF each, so that non-ASCII text is UTF-8 encoded twice on the
//! wire; beyond the BMP they write CESU-8 (two surrogates of three octets).

/// How a peer writes text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Form {
    /// One character per octet.
    Octets,
    /// Characters once.
    Characters,
}

/// What one decoded `mime-data` shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// ASCII alone: both forms are the same.
    Either,
    /// All below U+0100, and as octets valid UTF-8 with multi-byte sequences.
    Octets,
    /// Anything else.
    Characters,
}

/// Which form a block is in.
pub fn detect(mime: &str) -> Seen {
    if mime.is_ascii() {
        return Seen::Either;
    }
    if from_octets(mime).is_some() {
        Seen::Octets
    } else {
        Seen::Characters
    }
}

/// The characters that a block in octet form stands for; `None` if it is not in that form.
pub fn from_octets(mime: &str) -> Option<String> {
    let octets: Vec<u8> = mime
        .chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect::<Option<_>>()?;
    let mut out = String::with_capacity(octets.len());
    let mut rest = octets.as_slice();
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(text) => {
                out.push_str(text);
                break;
            }
            Err(error) => {
                let (valid, tail) = rest.split_at_checked(error.valid_up_to())?;
                out.push_str(std::str::from_utf8(valid).ok()?);
                let (pair, after) = tail.split_at_checked(6)?;
                out.push(surrogates(pair)?);
                rest = after;
            }
        }
    }
    Some(out)
}

/// A block in octet form, CESU-8 beyond the BMP.
pub fn to_octets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units = [0u16; 2];
    for c in text.chars() {
        if u32::from(c) < 0x1_0000 {
            let mut bytes = [0u8; 4];
            out.extend(c.encode_utf8(&mut bytes).bytes().map(char::from));
            continue;
        }
        for &mut unit in c.encode_utf16(&mut units) {
            let six = |shift: u16| u8::try_from(unit >> shift & 0x3F).unwrap_or(0) | 0x80;
            out.extend([0xED, six(6), six(0)].map(char::from));
        }
    }
    out
}

/// One character from two surrogates of three octets each.
fn surrogates(pair: &[u8]) -> Option<char> {
    let &[
        0xED,
        a @ 0xA0..=0xAF,
        b @ 0x80..=0xBF,
        0xED,
        c @ 0xB0..=0xBF,
        d @ 0x80..=0xBF,
    ] = pair
    else {
        return None;
    };
    let bits = |x: u8, mask: u8, shift: u32| u32::from(x & mask) << shift;
    let value = bits(a, 0x0F, 16) | bits(b, 0x3F, 10) | bits(c, 0x0F, 6) | bits(d, 0x3F, 0);
    char::from_u32(value + 0x1_0000)
}

/// What is known of an inbox's form; sticky (`decisions.md` 25).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Habit {
    /// Nothing but ASCII seen so far.
    #[default]
    Unknown,
    /// Wrote octets.
    Octets,
    /// Wrote what is no octet form: never tested again.
    Characters,
}

impl Habit {
    /// A habit that is set by configuration rather than seen.
    pub fn fixed(form: Form) -> Self {
        match form {
            Form::Octets => Self::Octets,
            Form::Characters => Self::Characters,
        }
    }

    /// Reads a block from that client, learning from it.
    pub fn read(&mut self, mime: &str) -> String {
        if *self == Self::Characters || mime.is_ascii() {
            return mime.to_owned();
        }
        match from_octets(mime) {
            Some(text) => {
                *self = Self::Octets;
                text
            }
            None => {
                *self = Self::Characters;
                mime.to_owned()
            }
        }
    }

    /// The form to send to that client: what it was seen to send, else octets to the vendor's
    /// clients, else characters.
    pub fn form(self, user_agent: Option<&str>) -> Form {
        let vendor = user_agent.and_then(|agent| agent.get(..8));
        match self {
            Self::Octets => Form::Octets,
            // COMPAT(msmsgs): `User-Agent: msmsgs/...`
            Self::Unknown
                if vendor.is_some_and(|v| v.to_ascii_lowercase().starts_with("msmsgs/")) =>
            {
                Form::Octets
            }
            Self::Characters | Self::Unknown => Form::Characters,
        }
    }
}

impl Form {
    /// A block in this form.
    pub fn write(self, text: &str) -> String {
        match self {
            Self::Octets => to_octets(text),
            Self::Characters => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rvp_8_13_the_sign_of_octet_form() {
        assert_eq!(detect("abc"), Seen::Either);
        assert_eq!(detect("\u{c3}\u{a9}"), Seen::Octets);
        assert_eq!(from_octets("\u{c3}\u{a9}").as_deref(), Some("é"));
        assert_eq!(detect("é"), Seen::Characters);
        assert_eq!(detect("\u{20ac}"), Seen::Characters);
        assert_eq!(to_octets("é\u{20ac}"), "\u{c3}\u{a9}\u{e2}\u{82}\u{ac}");
    }

    #[test]
    fn rvp_8_13_beyond_the_bmp_is_cesu_8() {
        let cesu = "\u{ed}\u{a0}\u{bd}\u{ed}\u{b8}\u{80}";
        assert_eq!(to_octets("\u{1F600}"), cesu);
        assert_eq!(from_octets(cesu).as_deref(), Some("\u{1F600}"));
        assert_eq!(
            from_octets("\u{f0}\u{9f}\u{98}\u{80}").as_deref(),
            Some("\u{1F600}")
        );
        assert_eq!(from_octets("\u{ed}\u{a0}\u{bd}"), None, "half a pair");
    }

    #[test]
    fn decision_25_the_habit_is_sticky() {
        let mut habit = Habit::default();
        assert_eq!(habit.form(None), Form::Characters);
        assert_eq!(habit.form(Some("MSMSGS/4.7.3001")), Form::Octets);
        assert_eq!((habit.read("abc").as_str(), habit), ("abc", Habit::Unknown));
        assert_eq!(
            (habit.read("\u{c3}\u{a9}").as_str(), habit),
            ("é", Habit::Octets)
        );
        assert_eq!(habit.form(None), Form::Octets);
        assert_eq!((habit.read("é").as_str(), habit), ("é", Habit::Characters));
        assert_eq!(
            habit.read("\u{c3}\u{a9}"),
            "\u{c3}\u{a9}",
            "not tested again"
        );
        assert_eq!(habit.form(Some("msmsgs/4.6")), Form::Characters);
    }

    proptest! {
        #[test]
        fn octet_form_round_trips(text in any::<String>()) {
            let octets = to_octets(&text);
            prop_assert!(octets.chars().all(|c| u32::from(c) < 0x100));
            prop_assert_eq!(from_octets(&octets), Some(text));
        }

        #[test]
        fn any_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mime: String = octets.iter().copied().map(char::from).collect();
            if let Some(text) = from_octets(&mime) {
                prop_assert_eq!(from_octets(&to_octets(&text)), Some(text));
            }
        }
    }
}
