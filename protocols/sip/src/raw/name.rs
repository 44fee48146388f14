//! Interned header names (RFC 3261 7.3.1: case-insensitive; 7.3.3: compact forms).

macro_rules! headers {
    ($( $id:ident = $name:literal $(, $compact:literal)? ; )*) => {
        /// A header name this crate knows, or [`HeaderId::Other`]. The spelling on the wire stays
        /// in the message; the id only finds it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum HeaderId {
            $(
                #[doc = concat!("`", $name, "`")]
                $id,
            )*
            /// Any other name: an extension header, kept and forwarded as it came.
            Other,
        }

        const NAMES: &[(HeaderId, &str, u8)] = &[
            $( (HeaderId::$id, $name, headers!(@compact $($compact)?)), )*
        ];
    };
    (@compact $c:literal) => { $c };
    (@compact) => { 0 };
}

headers! {
    Accept = "Accept";
    AcceptContact = "Accept-Contact", b'a';
    AcceptEncoding = "Accept-Encoding";
    AcceptLanguage = "Accept-Language";
    AlertInfo = "Alert-Info";
    Allow = "Allow";
    AllowEvents = "Allow-Events", b'u';
    AuthenticationInfo = "Authentication-Info";
    Authorization = "Authorization";
    CallId = "Call-ID", b'i';
    CallInfo = "Call-Info";
    Contact = "Contact", b'm';
    ContentDisposition = "Content-Disposition";
    ContentEncoding = "Content-Encoding", b'e';
    ContentLanguage = "Content-Language";
    ContentLength = "Content-Length", b'l';
    ContentType = "Content-Type", b'c';
    CSeq = "CSeq";
    Date = "Date";
    ErrorInfo = "Error-Info";
    Event = "Event", b'o';
    Expires = "Expires";
    FlowTimer = "Flow-Timer";
    From = "From", b'f';
    InReplyTo = "In-Reply-To";
    MaxBreadth = "Max-Breadth";
    MaxForwards = "Max-Forwards";
    MimeVersion = "MIME-Version";
    MinExpires = "Min-Expires";
    MinSe = "Min-SE";
    Organization = "Organization";
    PAccessNetworkInfo = "P-Access-Network-Info";
    PAssertedIdentity = "P-Asserted-Identity";
    PPreferredIdentity = "P-Preferred-Identity";
    Path = "Path";
    Priority = "Priority";
    Privacy = "Privacy";
    ProxyAuthenticate = "Proxy-Authenticate";
    ProxyAuthenticationInfo = "Proxy-Authentication-Info";
    ProxyAuthorization = "Proxy-Authorization";
    ProxyRequire = "Proxy-Require";
    RAck = "RAck";
    RSeq = "RSeq";
    Reason = "Reason";
    RecordRoute = "Record-Route";
    ReferTo = "Refer-To", b'r';
    ReferredBy = "Referred-By", b'b';
    RejectContact = "Reject-Contact", b'j';
    Replaces = "Replaces";
    ReplyTo = "Reply-To";
    RequestDisposition = "Request-Disposition", b'd';
    Require = "Require";
    RetryAfter = "Retry-After";
    Route = "Route";
    Server = "Server";
    ServiceRoute = "Service-Route";
    SessionExpires = "Session-Expires", b'x';
    SipEtag = "SIP-ETag";
    SipIfMatch = "SIP-If-Match";
    Subject = "Subject", b's';
    SubscriptionState = "Subscription-State";
    Supported = "Supported", b'k';
    SuppressIfMatch = "Suppress-If-Match";
    Timestamp = "Timestamp";
    To = "To", b't';
    Unsupported = "Unsupported";
    UserAgent = "User-Agent";
    Via = "Via", b'v';
    Warning = "Warning";
    WwwAuthenticate = "WWW-Authenticate";
}

impl HeaderId {
    /// The id of a name in any case, long or compact; `Other` when we do not know it.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        if let [letter] = name {
            return COMPACT
                .get(usize::from(letter.to_ascii_lowercase()))
                .copied()
                .flatten()
                .unwrap_or(Self::Other);
        }
        let Some(bucket) = BY_LENGTH.get(name.len()) else {
            return Self::Other;
        };
        for &index in bucket {
            let Some((id, long, _)) = NAMES.get(usize::from(index)) else {
                break;
            };
            if name.eq_ignore_ascii_case(long.as_bytes()) {
                return *id;
            }
        }
        Self::Other
    }

    /// The long form as the RFCs write it; empty for `Other`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |entry| entry.1)
    }

    /// The compact form, where one is registered.
    #[must_use]
    pub fn compact(self) -> Option<char> {
        NAMES
            .get(self as usize)
            .filter(|entry| entry.2 != 0)
            .map(|entry| char::from(entry.2))
    }

    /// Every known name.
    pub fn known() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|entry| entry.0)
    }
}

const LONGEST: usize = 32;
const DEEPEST: usize = 16;
const NONE: u8 = u8::MAX;

/// Indices into `NAMES` by length of the name, ended by `NONE`.
static BY_LENGTH: [[u8; DEEPEST]; LONGEST] = by_length();
static COMPACT: [Option<HeaderId>; 128] = compact();

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)] // evaluated by the compiler alone
const fn by_length() -> [[u8; DEEPEST]; LONGEST] {
    let mut table = [[NONE; DEEPEST]; LONGEST];
    let mut index = 0;
    while index < NAMES.len() {
        let length = NAMES[index].1.len();
        let mut slot = 0;
        while table[length][slot] != NONE {
            slot += 1;
        }
        table[length][slot] = index as u8;
        index += 1;
    }
    table
}

#[allow(clippy::indexing_slicing)] // evaluated by the compiler alone
const fn compact() -> [Option<HeaderId>; 128] {
    let mut table = [None; 128];
    let mut index = 0;
    while index < NAMES.len() {
        if NAMES[index].2 != 0 {
            table[NAMES[index].2 as usize] = Some(NAMES[index].0);
        }
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_itself_in_any_case() {
        for id in HeaderId::known() {
            assert_eq!(HeaderId::of(id.name().as_bytes()), id);
            assert_eq!(HeaderId::of(id.name().to_uppercase().as_bytes()), id);
            if let Some(letter) = id.compact() {
                assert_eq!(HeaderId::of(letter.to_string().as_bytes()), id);
                assert_eq!(
                    HeaderId::of(letter.to_uppercase().to_string().as_bytes()),
                    id
                );
            }
        }
        assert_eq!(HeaderId::Via.compact(), Some('v'));
    }

    #[test]
    fn unknown_names_stay_other() {
        for name in [
            &b""[..],
            b"z",
            b"X-Foo",
            b"C%6Fntact",
            &[b'a'; 500],
            b"\xff",
        ] {
            assert_eq!(HeaderId::of(name), HeaderId::Other, "{name:?}");
        }
    }
}
