//! `X-MMS-IM-Format`: how a text looks.

use std::fmt::{self, Write as _};

/// A colour. On the wire it is hexadecimal blue, green, red without leading zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Colour {
    /// Red.
    pub red: u8,
    /// Green.
    pub green: u8,
    /// Blue.
    pub blue: u8,
}

/// Font, effects, colour, character set and pitch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    /// FN, decoded.
    pub font: String,
    /// EF: letters of `B I U S`, upper-case, each once.
    pub effects: String,
    /// CO.
    pub colour: Colour,
    /// CS: character set number as written (hexadecimal).
    pub charset: String,
    /// PF: pitch and family as written.
    pub pitch: String,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            font: "Tahoma".into(),
            effects: String::new(),
            colour: Colour::default(),
            charset: "0".into(),
            pitch: "22".into(),
        }
    }
}

impl Format {
    /// Reads a value; what is missing or odd keeps its default, since it is only decoration.
    pub fn parse(value: &str) -> Self {
        let mut format = Self::default();
        for (key, value) in value.split(';').filter_map(|part| part.split_once('=')) {
            let value = value.trim();
            match key.trim().to_ascii_uppercase().as_str() {
                "FN" => format.font = decode(value).unwrap_or(format.font),
                "EF" => {
                    let has = |c: &char| value.to_ascii_uppercase().contains(*c);
                    format.effects = ['B', 'I', 'U', 'S'].into_iter().filter(has).collect();
                }
                "CO" => format.colour = Colour::parse(value).unwrap_or_default(),
                "CS" if is_short(value) => value.clone_into(&mut format.charset),
                "PF" if is_short(value) => value.clone_into(&mut format.pitch),
                _ => {}
            }
        }
        format
    }
}

impl Colour {
    fn parse(value: &str) -> Option<Self> {
        let hex = value.bytes().all(|b| b.is_ascii_hexdigit());
        let bgr = u32::from_str_radix(value, 16)
            .ok()
            .filter(|_| hex && value.len() <= 6)?;
        let [_, blue, green, red] = bgr.to_be_bytes();
        Some(Self { red, green, blue })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FN=")?;
        for byte in self.font.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        let Colour { red, green, blue } = self.colour;
        let bgr = u32::from_be_bytes([0, blue, green, red]);
        write!(
            f,
            "; EF={}; CO={bgr:x}; CS={}; PF={}",
            self.effects, self.charset, self.pitch
        )
    }
}

fn is_short(value: &str) -> bool {
    (1..=4).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_hexdigit())
}

fn decode(value: &str) -> Option<String> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    let text = String::from_utf8(out).ok()?;
    (!text.is_empty() && text.len() <= 128 && !text.contains(char::is_control)).then_some(text)
}
