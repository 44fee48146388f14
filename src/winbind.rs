//! Directory passwords: NTLM proofs checked by Samba's winbind through its `ntlm_auth` helper.
//!
//! Our acceptor keeps the framing (challenge, policy, integrity code, channel binding); the helper
//! speaks `ntlm-server-1`: one question as lines of `Key: value` that a line with a dot ends, one
//! answer of the same form. Helpers are started when needed, kept, at most so many, and replaced
//! when they die or are late.

use crate::gate::{NoVerdict, Question, Verdicts};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest answer; real ones have a few hundred octets.
const ANSWER_MAX: usize = 16 * 1024;

/// Helpers of one directory.
#[derive(Debug)]
pub struct Winbind {
    command: Vec<String>,
    within: Duration,
    free: Semaphore,
    idle: Mutex<Vec<Helper>>,
}

/// One running helper.
#[derive(Debug)]
struct Helper {
    /// Killed when dropped.
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a helper answers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    /// What it says, if it has said anything yet.
    state: Option<State>,
    key: Option<[u8; 16]>,
    error: String,
}

/// See [`Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Yes,
    No,
    /// The helper did not understand.
    Confused,
}

impl Winbind {
    /// Runs `command` (program and arguments), at most `helpers` at a time; a question and the wait
    /// for a helper may take `within` each.
    pub fn new(command: Vec<String>, helpers: usize, within: Duration) -> Self {
        Self {
            command,
            within,
            free: Semaphore::new(helpers.max(1)),
            idle: Mutex::default(),
        }
    }

    async fn ask(&self, question: &Question) -> Result<[u8; 16], NoVerdict> {
        let unavailable = |why: String| {
            tracing::warn!(
                helper = self.command.first(),
                why,
                "directory not available"
            );
            NoVerdict::Unavailable(why)
        };
        let text = question_text(question);
        let permit = timeout(self.within, self.free.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(unavailable("all helpers are busy".into()));
        };
        let kept = self.lock().pop();
        let fresh = kept.is_none();
        let answer = match kept {
            Some(helper) => self.converse(helper, &text).await,
            None => self.start_and(&text).await,
        };
        // A kept helper may have died meanwhile (winbind restarted): a fresh one is asked once.
        let answer = match answer {
            Err(error) if !fresh && error.kind() != io::ErrorKind::TimedOut => {
                self.start_and(&text).await
            }
            other => other,
        };
        let answer = answer.map_err(|error| unavailable(error.to_string()))?;
        match (answer.state, answer.key) {
            (Some(State::Yes), Some(key)) => Ok(key),
            (Some(State::Yes), None) => Err(unavailable("the helper gave no session key".into())),
            (Some(State::No), _) if !is_outage(&answer.error) => {
                Err(NoVerdict::Refused(answer.error))
            }
            _ => Err(unavailable(answer.error)),
        }
    }

    async fn start_and(&self, text: &str) -> io::Result<Answer> {
        let helper = self.start()?;
        self.converse(helper, text).await
    }

    fn start(&self) -> io::Result<Helper> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| io::Error::other("no helper configured"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        let missing = || io::Error::other("helper without pipes");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Helper {
            _child: child,
            input,
            output,
        })
    }

    /// One question and its answer; a helper that answered well is kept, any other ends here.
    async fn converse(&self, mut helper: Helper, text: &str) -> io::Result<Answer> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the helper does not answer");
        let answer = timeout(self.within, exchange(&mut helper, text))
            .await
            .map_err(late)??;
        if answer.state != Some(State::Confused) {
            self.lock().push(helper);
        }
        Ok(answer)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Helper>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verdicts for Winbind {
    fn judge(
        &self,
        question: Question,
    ) -> Pin<Box<dyn Future<Output = Result<[u8; 16], NoVerdict>> + Send + '_>> {
        Box::pin(async move { self.ask(&question).await })
    }
}

async fn exchange(helper: &mut Helper, text: &str) -> io::Result<Answer> {
    helper.input.write_all(text.as_bytes()).await?;
    helper.input.flush().await?;
    let mut answer = Answer::default();
    let mut left = ANSWER_MAX;
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut helper.output).take(left as u64);
        let count = bounded.read_until(b'\n', &mut line).await?;
        left -= count;
        let Some(line) = line.strip_suffix(b"\n") else {
            return Err(io::Error::other("the helper ended, or talks too much"));
        };
        let line = String::from_utf8_lossy(line);
        if line.trim() == "." {
            // COMPAT(ntlm_auth): a second dot follows a refusal; it is no answer to what comes next.
            match answer.state {
                None => continue,
                Some(_) => return Ok(answer),
            }
        }
        answer.take(&line);
    }
}

impl Answer {
    fn take(&mut self, line: &str) {
        let (key, value) = match line.split_once(':') {
            Some((key, value)) => (key.trim(), value),
            None => return,
        };
        // `Key:: value` is base64.
        let value = match value.strip_prefix(':') {
            Some(encoded) => STANDARD.decode(encoded.trim()).unwrap_or_default(),
            None => value.trim().as_bytes().to_vec(),
        };
        let text = String::from_utf8_lossy(&value);
        match key {
            "Authenticated" if text == "Yes" => self.state = Some(State::Yes),
            "Authenticated" => self.state = Some(State::No),
            "User-Session-Key" => self.key = key_of(&text),
            "Authentication-Error" => self.error = text.chars().take(256).collect(),
            "Error" => {
                self.state = Some(State::Confused);
                self.error = text.chars().take(256).collect();
            }
            _ => {}
        }
    }
}

fn key_of(hex: &str) -> Option<[u8; 16]> {
    let whole = hex.len() == 32 && hex.bytes().all(|octet| octet.is_ascii_hexdigit());
    let value = whole
        .then(|| u128::from_str_radix(hex, 16).ok())
        .flatten()?;
    Some(value.to_be_bytes())
}

/// Winbind's own troubles, which say nothing about the person.
fn is_outage(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    [
        "winbind",
        "no logon servers",
        "no_logon_servers",
        "domain controller",
        "trust relationship",
        "timeout",
    ]
    .iter()
    .any(|sign| error.contains(sign))
}

/// Names go in base64: nothing a client sends can start a line of its own.
fn question_text(question: &Question) -> String {
    let mut text = String::with_capacity(1024);
    let named = [
        ("Username", &question.user),
        ("NT-Domain", &question.domain),
    ];
    for (key, value) in named {
        if !value.is_empty() {
            let _ = writeln!(text, "{key}:: {}", STANDARD.encode(value));
        }
    }
    let octets = [
        ("LANMAN-Challenge", question.challenge.as_slice()),
        ("NT-Response", &question.nt_response),
        // An LMv2 response of zeros is how clients leave it out; as a proof it would count.
        ("LANMAN-Response", lm_response(question)),
    ];
    for (key, value) in octets {
        if !value.is_empty() {
            let _ = write!(text, "{key}: ");
            for octet in value {
                let _ = write!(text, "{octet:02x}");
            }
            text.push('\n');
        }
    }
    text.push_str("Request-User-Session-Key: Yes\n.\n");
    text
}

fn lm_response(question: &Question) -> &[u8] {
    if question.lm_response.iter().all(|octet| *octet == 0) {
        &[]
    } else {
        &question.lm_response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            user: "alice\nAuthenticated: Yes".into(),
            domain: "EXAMPLE".into(),
            workstation: String::new(),
            challenge: [1, 2, 3, 4, 5, 6, 7, 0xab],
            nt_response: vec![9; 30],
            lm_response: vec![0; 24],
        }
    }

    /// A helper written in shell.
    fn shell(script: &str) -> Winbind {
        let command = ["sh", "-c", script].map(str::to_owned).into();
        Winbind::new(command, 1, Duration::from_secs(20))
    }

    const READ: &str = "while read -r line && [ \"$line\" != . ]; do :; done";

    #[test]
    fn no_client_can_write_a_line() {
        let text = question_text(&question());
        let keys: Vec<&str> = text
            .lines()
            .map(|l| l.split(':').next().unwrap_or(""))
            .collect();
        let expected = [
            "Username",
            "NT-Domain",
            "LANMAN-Challenge",
            "NT-Response",
            "Request-User-Session-Key",
            ".",
        ];
        assert_eq!(keys, expected);
        assert!(
            text.contains("LANMAN-Challenge: 01020304050607ab\n"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_helper_is_kept_and_replaced_when_it_dies() {
        // Answers with its process id as the key's end, twice, then dies.
        let script = format!(
            "for i in 1 2; do {READ}; \
             printf 'Authenticated: Yes\\nUser-Session-Key: %032X\\n.\\n' $$; done"
        );
        let winbind = shell(&script);
        let first = winbind.ask(&question()).await;
        assert!(first.is_ok(), "{first:?}");
        assert_eq!(winbind.ask(&question()).await, first, "the same helper");
        let third = winbind.ask(&question()).await;
        assert!(third.is_ok() && third != first, "{third:?}");
    }

    #[tokio::test]
    async fn refusals_and_outages_are_told_apart() {
        let said = |line: &str| format!("{READ}; printf 'Authenticated: No\\n{line}\\n.\\n'; cat");
        for (script, refused) in [
            (said("Authentication-Error: NT_STATUS_WRONG_PASSWORD"), true),
            (
                said("Authentication-Error:: TlRfU1RBVFVTX0FDQ09VTlRfTE9DS0VEX09VVA=="),
                true,
            ),
            (
                said("Authentication-Error: Reading winbind reply failed!"),
                false,
            ),
            (
                said("Authentication-Error: NT_STATUS_NO_LOGON_SERVERS"),
                false,
            ),
            (format!("{READ}; printf 'Authenticated: Yes\\n.\\n'"), false),
            (
                format!("{READ}; printf 'Error: what?\\n.\\nAuthenticated: Yes\\n.\\n'"),
                false,
            ),
            (format!("{READ}; yes 'Key: value'"), false),
            ("exit 1".to_owned(), false),
        ] {
            match shell(&script).ask(&question()).await {
                Err(NoVerdict::Refused(why)) => assert!(refused, "{script}: {why}"),
                Err(NoVerdict::Unavailable(why)) => assert!(!refused, "{script}: {why}"),
                Ok(key) => panic!("{script}: {key:?}"),
            }
        }
        let absent = Winbind::new(vec!["no such helper".into()], 1, Duration::from_secs(5));
        let answer = absent.ask(&question()).await;
        assert!(matches!(answer, Err(NoVerdict::Unavailable(why)) if why.contains("no such")));
    }

    /// As Samba 4.17 answers.
    #[tokio::test]
    async fn a_refusal_ends_with_two_dots() {
        let script = format!(
            "{READ}; printf 'Authenticated: No\\nAuthentication-Error: no\\n.\\n.\\n'; \
             {READ}; printf 'Authenticated: Yes\\nUser-Session-Key: {:032X}\\n.\\n'; cat",
            7
        );
        let winbind = shell(&script);
        let first = winbind.ask(&question()).await;
        assert_eq!(first, Err(NoVerdict::Refused("no".into())));
        assert_eq!(winbind.ask(&question()).await, Ok(7u128.to_be_bytes()));
    }

    #[tokio::test]
    async fn a_helper_that_does_not_answer_is_given_up() {
        let command = ["sh", "-c", "cat > /dev/null"].map(str::to_owned).into();
        let winbind = Winbind::new(command, 1, Duration::from_millis(100));
        let answer = winbind.ask(&question()).await;
        assert!(
            matches!(answer, Err(NoVerdict::Unavailable(_))),
            "{answer:?}"
        );
        assert!(winbind.lock().is_empty(), "it is not asked again");
    }
}
