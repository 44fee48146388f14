//! Who checks an NTLM proof: the passwords kept here, or a directory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Who checks NTLM proofs (`[auth] ntlm`).
#[derive(Clone, Default)]
pub enum Judge {
    /// The secrets of the accounts.
    #[default]
    Local,
    /// A directory; accounts need no secret.
    Directory(Arc<dyn Verdicts>),
}

/// A directory that checks proofs.
pub trait Verdicts: Send + Sync + 'static {
    /// Checks one; the result is the session base key (MS-NLMP 3.3).
    fn judge(
        &self,
        question: Question,
    ) -> Pin<Box<dyn Future<Output = Result<[u8; 16], NoVerdict>> + Send + '_>>;
}

/// What a directory is asked: names and responses as the client sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// User name.
    pub user: String,
    /// Domain, may be empty.
    pub domain: String,
    /// Machine, may be empty.
    pub workstation: String,
    /// Our challenge.
    pub challenge: [u8; 8],
    /// NT response.
    pub nt_response: Vec<u8>,
    /// LM response.
    pub lm_response: Vec<u8>,
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVerdict {
    /// The directory says no.
    #[error("{0}")]
    Refused(String),
    /// It can't be asked.
    #[error("{0}")]
    Unavailable(String),
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Local => "Local",
            Self::Directory(_) => "Directory",
        })
    }
}
