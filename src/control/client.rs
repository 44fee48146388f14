//! The CLI's end of the control socket.

use super::wire::{Answer, Done, Request};
use std::io;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// A connection to the running server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no server is running on this data directory (tried {path}: {cause}); start one with `tristack serve`"
    )]
    NotRunning {
        /// The socket.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The connection broke.
    #[error("the server went away: {0}")]
    Gone(#[from] io::Error),
    /// The answer is no answer.
    #[error("the server answered something this program does not understand: {0}")]
    Answer(#[from] serde_json::Error),
    /// The server refused.
    #[error("{0}")]
    Refused(String),
}

impl Client {
    /// Connects to the server of that socket.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`].
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        match UnixStream::connect(path).await {
            Ok(stream) => Ok(Self {
                stream: BufReader::new(stream),
            }),
            Err(cause) => Err(ClientError::NotRunning {
                path: path.display().to_string(),
                cause,
            }),
        }
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask(&mut self, request: &Request) -> Result<Done, ClientError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await?;
        let mut answer = String::new();
        if self.stream.read_line(&mut answer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match serde_json::from_str(&answer)? {
            Answer::Ok(done) => Ok(done),
            Answer::Error(why) => Err(ClientError::Refused(why)),
        }
    }
}
