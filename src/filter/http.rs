//! A filter that asks a service of the operator's: JSON by HTTP, in bounded time and number.

use super::{Filter, Verdict, one_line};
use crate::core::address::Address;
use crate::core::message::{Content, Message};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Largest answer that is read.
const ANSWER: usize = 256 << 10;

/// Where a service is, and how long and how often at once it is asked.
pub struct Service {
    /// Where to connect.
    pub address: SocketAddr,
    /// The path asked for.
    pub path: String,
    /// For one answer, waiting for a turn included.
    pub within: Duration,
    /// Messages pass when the service gives no answer.
    pub open: bool,
    /// Questions at a time.
    pub turns: Semaphore,
}

/// What a service is asked.
#[derive(Serialize)]
struct Question<'m> {
    filter: &'m str,
    message: String,
    at: u64,
    from: String,
    from_name: &'m str,
    to: String,
    conversation: String,
    stack: &'m str,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'m str>,
}

/// What it answers.
#[derive(Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
enum Answer {
    Allow,
    Modify {
        text: String,
    },
    Refuse {
        #[serde(default)]
        reason: String,
    },
    Hold {
        #[serde(default)]
        reason: String,
    },
    Route {
        to: String,
    },
    Reply {
        text: String,
    },
}

impl Service {
    /// Asks about a message. Without a readable answer it is as `open` says.
    pub(super) async fn ask(&self, filter: &Filter, message: &Message) -> Verdict {
        let asked = async {
            let _turn = self.turns.acquire().await.map_err(|e| e.to_string())?;
            let octets = self.exchange(question(filter, message)?).await?;
            let answer = serde_json::from_slice(&octets).map_err(|e| e.to_string())?;
            verdict(filter, message, answer)
        };
        let late = |_| Err(format!("no answer within {:?}", self.within));
        let answered = timeout(self.within, asked).await.unwrap_or_else(late);
        answered.unwrap_or_else(|cause| {
            let (filter, open) = (&filter.name, self.open);
            tracing::warn!(%filter, open, cause, "a filter's service gave no verdict");
            if open {
                Verdict::Allow
            } else {
                Verdict::Refuse("it can't be checked just now, try again later".to_owned())
            }
        })
    }

    /// One request on a connection of its own, driven here: no task is left behind.
    async fn exchange(&self, body: Vec<u8>) -> Result<Bytes, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let stream = TcpStream::connect(self.address).await;
        let io = TokioIo::new(stream.map_err(|e| text(&e))?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(|e| text(&e))?;
        let request = Request::post(&self.path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| text(&e))?;
        let asked = async move {
            let answer = sender.send_request(request).await.map_err(|e| text(&e))?;
            let status = answer.status();
            if !status.is_success() {
                return Err(format!("the service answered {status}"));
            }
            let body = Limited::new(answer.into_body(), ANSWER).collect().await;
            body.map(http_body_util::Collected::to_bytes)
                .map_err(|e| text(&e))
        };
        // What ends the connection ends the exchange, too.
        let (answer, _) = tokio::join!(asked, connection);
        answer
    }
}

fn question(filter: &Filter, message: &Message) -> Result<Vec<u8>, String> {
    let question = Question {
        filter: &filter.name,
        message: message.id.to_string(),
        at: message.at.0,
        from: message.from.to_string(),
        from_name: &message.from_name,
        to: message.to.to_string(),
        conversation: message.conversation.to_string(),
        stack: message.original.stack.name(),
        kind: format!("{:?}", message.content.kind()).to_lowercase(),
        text: super::text(message),
    };
    serde_json::to_vec(&question).map_err(|error| error.to_string())
}

fn verdict(filter: &Filter, message: &Message, answer: Answer) -> Result<Verdict, String> {
    let reason = |given: String| match (given.is_empty(), filter.reason.is_empty()) {
        (false, _) => one_line(&given),
        (true, false) => one_line(&filter.reason),
        (true, true) => "not allowed here".to_owned(),
    };
    Ok(match answer {
        Answer::Allow => Verdict::Allow,
        Answer::Modify { .. } if !matches!(message.content, Content::Text(_)) => {
            return Err("only texts can be modified".to_owned());
        }
        Answer::Modify { text } => Verdict::Modify(text),
        Answer::Refuse { reason: given } => Verdict::Refuse(reason(given)),
        Answer::Hold { reason: given } => Verdict::Hold(reason(given)),
        Answer::Route { to } => {
            let to = Address::parse(&to).map_err(|error| format!("{to:?}: {error}"))?;
            Verdict::Route(to)
        }
        Answer::Reply { text } => Verdict::Reply(text),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{filter, says};
    use super::super::{Action, Check};
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A service that gives each connection this answer and hands out what it was asked; an empty
    /// answer = none at all.
    async fn service(answer: &'static str, within: Duration, open: bool) -> Filter {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut waiting = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                if answer.is_empty() {
                    waiting.push(stream);
                    continue;
                }
                let mut asked = Vec::new();
                while !asked.ends_with(b"}") {
                    stream.read_buf(&mut asked).await.unwrap();
                }
                let asked = String::from_utf8(asked).unwrap();
                assert!(asked.starts_with("POST /judge HTTP/1.1\r\n"), "{asked}");
                assert!(asked.contains(r#""text":"hello""#), "{asked}");
                assert!(asked.contains(r#""from":"alice@example.com""#), "{asked}");
                let size = answer.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let service = Service {
            address,
            path: "/judge".to_owned(),
            within,
            open,
            turns: Semaphore::new(1),
        };
        filter(Check::Http(service), Action::Refuse)
    }

    async fn asked(filter: &Filter) -> Verdict {
        filter.judge_now(&says("hello")).await
    }

    #[tokio::test]
    async fn every_verdict_of_a_service_is_understood() {
        let address = Address::parse("carol@example.com").unwrap();
        for (answer, wanted) in [
            (r#"{"verdict":"allow"}"#, Verdict::Allow),
            (
                r#"{"verdict":"modify","text":"bye"}"#,
                Verdict::Modify("bye".to_owned()),
            ),
            (
                "{\"verdict\":\"refuse\",\"reason\":\"no\\r\\nway\"}",
                Verdict::Refuse("no  way".to_owned()),
            ),
            (
                r#"{"verdict":"refuse"}"#,
                Verdict::Refuse("not allowed here".to_owned()),
            ),
            (
                r#"{"verdict":"hold","reason":"see"}"#,
                Verdict::Hold("see".to_owned()),
            ),
            (
                r#"{"verdict":"route","to":"Carol@example.com"}"#,
                Verdict::Route(address.clone()),
            ),
            (
                r#"{"verdict":"reply","text":"away"}"#,
                Verdict::Reply("away".to_owned()),
            ),
        ] {
            let filter = service(answer, Duration::from_secs(60), false).await;
            assert_eq!(asked(&filter).await, wanted, "{answer}");
        }
    }

    #[tokio::test]
    async fn without_an_answer_it_is_as_the_operator_said() {
        let closed = Verdict::Refuse("it can't be checked just now, try again later".to_owned());
        for (open, wanted) in [(true, Verdict::Allow), (false, closed)] {
            for answer in ["", "{}", "nonsense", r#"{"verdict":"route","to":"x"}"#] {
                let within = match answer {
                    "" => Duration::from_millis(50),
                    _ => Duration::from_secs(60),
                };
                let filter = service(answer, within, open).await;
                assert_eq!(asked(&filter).await, wanted, "{answer:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_question_waits_for_its_turn_no_longer_than_for_the_answer() {
        let filter = Arc::new(service("", Duration::from_millis(50), true).await);
        let Check::Http(service) = &filter.check else {
            panic!("an http filter");
        };
        let turn = service.turns.acquire().await.unwrap();
        assert_eq!(asked(&filter).await, Verdict::Allow);
        drop(turn);
    }
}
