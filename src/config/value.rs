//! Kinds of values: how each is read from TOML and from the environment, and printed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use toml::de::DeValue;

/// One kind of value.
pub trait Value: Sized {
    /// What is expected, for errors: "an address like 127.0.0.1:80".
    fn expected() -> String;
    /// From a value in the file.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some(text) => Self::from_text(text),
            None => Err(wrong_type::<Self>(value)),
        }
    }
    /// From text (the environment, or a string in the file).
    fn from_text(text: &str) -> Result<Self, String>;
    /// As it would stand in the file.
    fn show(&self) -> String;
}

fn wrong_type<T: Value>(value: &DeValue<'_>) -> String {
    format!("expected {}, found {}", T::expected(), value.type_str())
}

impl Value for String {
    fn expected() -> String {
        "a text".into()
    }
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
    fn show(&self) -> String {
        quoted(self)
    }
}

impl Value for bool {
    fn expected() -> String {
        "true or false".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| wrong_type::<Self>(value))
    }
    fn from_text(text: &str) -> Result<Self, String> {
        match text.trim() {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            other => Err(format!("expected true or false, found {other:?}")),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for usize {
    fn expected() -> String {
        "a whole number".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        whole(value)?.ok_or_else(|| wrong_type::<Self>(value))
    }
    fn from_text(text: &str) -> Result<Self, String> {
        text.trim()
            .parse()
            .map_err(|_| format!("expected {}, found {text:?}", Self::expected()))
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

/// A whole number, if the value is an integer; an error if it does not fit.
fn whole(value: &DeValue<'_>) -> Result<Option<usize>, String> {
    let Some(integer) = value.as_integer() else {
        return Ok(None);
    };
    let digits = integer.as_str().replace('_', "");
    usize::from_str_radix(&digits, integer.radix())
        .map(Some)
        .map_err(|_| format!("{digits} is negative or too large"))
}

/// A number of octets: `65536`, `"64 KiB"`, `"4 MiB"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Octets(pub usize);

const SIZES: [(&str, usize); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("", 1),
];

impl Value for Octets {
    fn expected() -> String {
        "a size like 65536 or \"64 KiB\"".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match (whole(value)?, value.as_str()) {
            (Some(number), _) => Ok(Self(number)),
            (None, Some(text)) => Self::from_text(text),
            (None, None) => Err(wrong_type::<Self>(value)),
        }
    }
    fn from_text(text: &str) -> Result<Self, String> {
        let found = SIZES.iter().find_map(|(unit, size)| {
            let number: usize = text.trim().strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(*size)
        });
        found
            .map(Self)
            .ok_or_else(|| format!("expected {}, found {text:?}", Self::expected()))
    }
    fn show(&self) -> String {
        let unit = SIZES.iter().find(|(unit, size)| {
            !unit.is_empty() && self.0 >= *size && self.0.is_multiple_of(*size)
        });
        match unit {
            Some((unit, size)) => format!("\"{} {unit}\"", self.0 / size),
            None => self.0.to_string(),
        }
    }
}

const SPANS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

impl Value for Duration {
    fn expected() -> String {
        "a duration like \"250ms\", \"4s\", \"10m\", \"1h\" (a bare number is seconds)".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match (whole(value)?, value.as_str()) {
            (Some(number), _) => Self::from_text(&number.to_string()),
            (None, Some(text)) => Self::from_text(text),
            (None, None) => Err(wrong_type::<Self>(value)),
        }
    }
    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.get(digits.len()..) {
            None | Some("") => "s",
            Some(unit) => unit,
        };
        let millis = SPANS
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, each)| digits.trim_end().parse::<u64>().ok()?.checked_mul(*each));
        millis
            .map(Self::from_millis)
            .ok_or_else(|| format!("expected {}, found {text:?}", Self::expected()))
    }
    fn show(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let (unit, each) = SPANS
            .iter()
            .rev()
            .find(|(unit, each)| *unit != "d" && millis >= *each && millis % each == 0)
            .unwrap_or(&("ms", 1));
        format!("\"{}{unit}\"", millis / each)
    }
}

impl Value for SocketAddr {
    fn expected() -> String {
        "an address and port like \"127.0.0.1:80\" or \"[::1]:80\"".into()
    }
    fn from_text(text: &str) -> Result<Self, String> {
        text.trim()
            .parse()
            .map_err(|_| format!("expected {}, found {text:?}", Self::expected()))
    }
    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A network in CIDR form; a bare address is a network of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Length of the prefix: the larger, the narrower.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether the address lies in the network (IPv4-mapped addresses count as IPv4).
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(host)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.bits))
                    .unwrap_or_default();
                net.to_bits() & mask == host.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(host)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or_default();
                net.to_bits() & mask == host.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Value for Network {
    fn expected() -> String {
        "a network like \"192.168.0.0/16\"".into()
    }
    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected {}, found {text:?}", Self::expected());
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A closed list of words; see [`words!`].
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $crate::config::value::Value for $name {
            fn expected() -> String {
                [$(concat!("\"", $word, "\"")),+].join(" or ")
            }
            fn from_text(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($word => Ok(Self::$variant),)+
                    other => Err(format!(
                        "expected {}, found {other:?}",
                        <Self as $crate::config::value::Value>::expected()
                    )),
                }
            }
            fn show(&self) -> String {
                match self { $(Self::$variant => concat!("\"", $word, "\"").to_owned()),+ }
            }
        }
    };
}
pub(super) use words;

impl<T: Value> Value for Vec<T> {
    fn expected() -> String {
        format!("a list, each {}", T::expected())
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match (value.as_array(), value.is_str()) {
            (Some(items), _) => items
                .iter()
                .map(|item| T::from_toml(item.get_ref()))
                .collect(),
            // One value where a list may stand is a list of one.
            (None, true) => Ok(vec![T::from_toml(value)?]),
            (None, false) => Err(wrong_type::<Self>(value)),
        }
    }
    fn from_text(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(T::from_text)
            .collect()
    }
    fn show(&self) -> String {
        let items: Vec<_> = self.iter().map(T::show).collect();
        format!("[{}]", items.join(", "))
    }
}

/// A table of names: `{ "im.b.example" = "b.example" }`, in the environment `a=b,c=d`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names(pub std::collections::BTreeMap<String, String>);

impl Value for Names {
    fn expected() -> String {
        "a table of texts".into()
    }
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let table = value.as_table().ok_or_else(|| wrong_type::<Self>(value))?;
        table
            .iter()
            .map(|(key, value)| {
                let value = String::from_toml(value.get_ref())?;
                Ok((key.get_ref().to_string(), value))
            })
            .collect::<Result<_, String>>()
            .map(Self)
    }
    fn from_text(text: &str) -> Result<Self, String> {
        text.split(',')
            .filter(|pair| !pair.trim().is_empty())
            .map(|pair| {
                let (key, value) = pair
                    .split_once('=')
                    .ok_or_else(|| format!("expected NAME=VALUE, found {pair:?}"))?;
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            })
            .collect::<Result<_, String>>()
            .map(Self)
    }
    fn show(&self) -> String {
        let pairs: Vec<_> = self
            .0
            .iter()
            .map(|(key, value)| format!("{} = {}", quoted(key), quoted(value)))
            .collect();
        if pairs.is_empty() {
            "{}".into()
        } else {
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

/// A TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_and_print() {
        for (text, octets, shown) in [
            ("65536", 65536, "\"64 KiB\""),
            ("64 KiB", 65536, "\"64 KiB\""),
            ("4MiB", 4 << 20, "\"4 MiB\""),
            ("1300", 1300, "1300"),
            ("0", 0, "0"),
        ] {
            let value = Octets::from_text(text).expect(text);
            assert_eq!((value.0, value.show().as_str()), (octets, shown), "{text}");
        }
        for (text, millis, shown) in [
            ("250ms", 250, "\"250ms\""),
            ("4", 4000, "\"4s\""),
            ("90s", 90_000, "\"90s\""),
            ("10m", 600_000, "\"10m\""),
            ("1d", 86_400_000, "\"24h\""),
        ] {
            let value = Duration::from_text(text).expect(text);
            assert_eq!(value.as_millis(), millis, "{text}");
            assert_eq!(value.show(), shown);
        }
        for text in ["", "4 years", "-1s", "99999999999999999999s", "s"] {
            assert!(Duration::from_text(text).is_err(), "{text}");
            assert!(Octets::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_contain_what_they_name() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("2001:db8::/32", "2001:db8:1::9", true),
            ("::/0", "fe80::1", true),
            ("::1/128", "::2", false),
        ] {
            let net = Network::from_text(network).expect(network);
            let address: IpAddr = address.parse().expect("address");
            assert_eq!(net.contains(address), inside, "{network} {address}");
        }
        for text in ["10.0.0.0/33", "::/129", "x", "10.0.0.0/", "10/8"] {
            assert!(Network::from_text(text).is_err(), "{text}");
        }
    }
}
