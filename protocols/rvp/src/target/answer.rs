//! What a handler may answer, and how that looks on the wire.

use crate::status::Status;
use crate::version::Version;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::ext::ReasonPhrase;

/// A handler's answer: the closed set that senders understand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Answer {
    /// 200: taken over; the sender will not send it again.
    #[default]
    Accepted,
    /// 500: this inbox has left the conversation; the sender is shown "has left" (`RVP 3`).
    HasLeft,
    /// 412: nobody here to take it now.
    NotAvailable,
    /// 403: not from this sender.
    Denied,
    /// 413: more than is taken here.
    TooLarge,
    /// 503: not now; a sender that retries will.
    Busy,
}

impl Answer {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Accepted,
        Self::HasLeft,
        Self::NotAvailable,
        Self::Denied,
        Self::TooLarge,
        Self::Busy,
    ];

    /// Its status.
    pub fn status(self) -> Status {
        match self {
            Self::Accepted => Status::Successful,
            Self::HasLeft => Status::InternalError,
            Self::NotAvailable => Status::PreconditionFailed,
            Self::Denied => Status::Forbidden,
            Self::TooLarge => Status::TooLarge,
            Self::Busy => Status::Unavailable,
        }
    }
}

/// A handler without a result accepts all it gets.
impl From<()> for Answer {
    fn from((): ()) -> Self {
        Self::Accepted
    }
}

/// For handlers that use `?`: `Ok` accepts, an error is the answer.
impl From<Result<(), Self>> for Answer {
    fn from(result: Result<(), Self>) -> Self {
        result.err().unwrap_or(Self::Accepted)
    }
}

/// Whether the connection outlives the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum After {
    Keep,
    Close,
}

/// `HTTP/1.1 200 Successful` and the like: version echoed, never a body, never chunked
/// (`RVP 3, 8.3`).
pub(super) fn response(status: Status, version: &Version, after: After) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() =
        StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = ReasonPhrase::try_from(status.reason().as_bytes());
    if let Ok(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    let version = HeaderValue::from_str(version.as_str());
    headers.insert(
        HeaderName::from_static("rvp-notifications-version"),
        version.unwrap_or(HeaderValue::from_static("0.2")),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    if after == After::Close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
