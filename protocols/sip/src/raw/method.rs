//! Request methods: an open set (RFC 3261 7.1), case-sensitive.

use std::fmt;

macro_rules! methods {
    ($( $id:ident = $name:literal; )*) => {
        /// A method. Known ones cost nothing to copy; an extension method keeps its own spelling.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Method {
            $(
                #[doc = concat!("`", $name, "`")]
                $id,
            )*
            /// A method this crate has no name for.
            Other(Box<str>),
        }

        impl Method {
            /// The method a token spells; `None` when it is no token (RFC 3261 25.1).
            #[must_use]
            pub fn parse(token: &[u8]) -> Option<Self> {
                match token {
                    $( _ if token == $name.as_bytes() => Some(Self::$id), )*
                    _ if crate::raw::parse::is_token(token) => {
                        std::str::from_utf8(token).ok().map(|text| Self::Other(text.into()))
                    }
                    _ => None,
                }
            }

            /// The token as written on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$id => $name, )*
                    Self::Other(text) => text,
                }
            }
        }
    };
}

methods! {
    Register = "REGISTER";
    Message = "MESSAGE";
    Subscribe = "SUBSCRIBE";
    Notify = "NOTIFY";
    Publish = "PUBLISH";
    Options = "OPTIONS";
    Invite = "INVITE";
    Ack = "ACK";
    Bye = "BYE";
    Cancel = "CANCEL";
    Prack = "PRACK";
    Update = "UPDATE";
    Info = "INFO";
    Refer = "REFER";
    Service = "SERVICE";
}

impl Method {
    /// Whether the name is one this crate knows (RFC 3261 21.5.2: 501 for the others).
    #[must_use]
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive_and_open() {
        assert_eq!(Method::parse(b"MESSAGE"), Some(Method::Message));
        assert_eq!(
            Method::parse(b"message"),
            Some(Method::Other("message".into()))
        );
        assert_eq!(
            Method::parse(b"RE%47IST%45R").map(|m| m.is_known()),
            Some(false)
        );
        for bad in [&b""[..], b"A B", b"A,B", b"\xc3\xa9", b"A\0"] {
            assert_eq!(Method::parse(bad), None);
        }
    }
}
