//! Status codes and the exact reason phrases that clients compare (`RVP 3`).

/// A status RVP uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// 200.
    Successful,
    /// 207.
    MultiStatus,
    /// 302, with `Location`.
    ObjectMoved,
    /// 400.
    BadRequest,
    /// 401, with one `WWW-Authenticate` per scheme.
    AccessDenied,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 408, head or body too slow.
    RequestTimeout,
    /// 412: also "nobody there to take the message".
    PreconditionFailed,
    /// 413.
    TooLarge,
    /// 424, in propstats: not done because another part failed.
    FailedDependency,
    /// 500: the inbox has left the conversation.
    InternalError,
    /// 501.
    NotImplemented,
    /// 503.
    Unavailable,
}

impl Status {
    /// All of them, ascending.
    pub const ALL: [Self; 15] = [
        Self::Successful,
        Self::MultiStatus,
        Self::ObjectMoved,
        Self::BadRequest,
        Self::AccessDenied,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::FailedDependency,
        Self::InternalError,
        Self::NotImplemented,
        Self::Unavailable,
    ];

    /// The three digits.
    pub fn code(self) -> u16 {
        match self {
            Self::Successful => 200,
            Self::MultiStatus => 207,
            Self::ObjectMoved => 302,
            Self::BadRequest => 400,
            Self::AccessDenied => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::FailedDependency => 424,
            Self::InternalError => 500,
            Self::NotImplemented => 501,
            Self::Unavailable => 503,
        }
    }

    /// The reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Successful => "Successful",
            Self::MultiStatus => "Multi-Status",
            Self::ObjectMoved => "Object moved",
            Self::BadRequest => "Bad Request",
            Self::AccessDenied => "Access Denied",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::RequestTimeout => "Request Timeout",
            Self::PreconditionFailed => "Precondition Failed",
            Self::TooLarge => "Request Entity Too Large",
            Self::FailedDependency => "Failed Dependency",
            Self::InternalError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::Unavailable => "Service Unavailable",
        }
    }

    /// The status of that code, if RVP uses it.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// `HTTP/1.1 200 Successful`, as in `d:status`.
    pub fn line(self) -> String {
        format!("HTTP/1.1 {} {}", self.code(), self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rvp_3_status_lines_are_the_literal_ones() {
        let lines = [
            "HTTP/1.1 200 Successful",
            "HTTP/1.1 207 Multi-Status",
            "HTTP/1.1 302 Object moved",
            "HTTP/1.1 400 Bad Request",
            "HTTP/1.1 401 Access Denied",
            "HTTP/1.1 403 Forbidden",
            "HTTP/1.1 404 Not Found",
            "HTTP/1.1 405 Method Not Allowed",
            "HTTP/1.1 408 Request Timeout",
            "HTTP/1.1 412 Precondition Failed",
            "HTTP/1.1 413 Request Entity Too Large",
            "HTTP/1.1 424 Failed Dependency",
            "HTTP/1.1 500 Internal Server Error",
            "HTTP/1.1 501 Not Implemented",
            "HTTP/1.1 503 Service Unavailable",
        ];
        assert_eq!(Status::ALL.map(Status::line).to_vec(), lines);
        for status in Status::ALL {
            assert_eq!(Status::from_code(status.code()), Some(status));
        }
        assert_eq!(Status::from_code(299), None);
    }
}
