//! Receives RVP notifications and prints each as a line. The smallest target there is.
//!
//! `cargo run --example notification_target -- 127.0.0.1:8081 [SECRET]`
//!
//! With a secret it takes only what a Tristack server signed (`tristack target add NODE
//! http://127.0.0.1:8081/ --secret-file F`). The same in Java: `servlet/NotifyServlet.java`, in
//! Python: `notification_target.py`.

use rvp::target::{self, Answer, Limits, Notification, Other, Received, Settings, Signed, Target};
use std::sync::Arc;

/// One line per notification; the sender is a claim.
pub(crate) fn line(received: &Received) -> String {
    let sender = received.sender.href().unwrap_or_default();
    match &received.notification {
        Notification::Message(message) => format!("message {sender}: {}", message.text),
        Notification::Typing(_) => format!("typing {sender}"),
        Notification::Join(_) => format!("join {sender}"),
        Notification::Leave(_) => format!("leave {sender}"),
        Notification::Invite(_) => format!("invite {sender}"),
        Notification::PropertyChange(_) => match received.notification.state() {
            Some(state) => format!("state {sender}: {}", state.as_str()),
            None => format!("properties {sender}"),
        },
        Notification::Other(other @ Other::Xml(_)) => {
            let name = other.element().map(|element| element.name);
            let name =
                name.map(|name| format!("{{{}}}{}", name.namespace().as_str(), name.local()));
            format!("event {}", name.unwrap_or_default())
        }
        _ => format!("other {sender}"),
    }
}

/// A target that hands each line to `print`.
pub(crate) fn target(
    secret: Option<&str>,
    print: impl Fn(String) + Send + Sync + 'static,
) -> Target<impl target::Handler> {
    let signed = secret.map(|secret| Signed {
        secret: Arc::from(secret.as_bytes()),
        max_age: 300,
        clock: target::unix_time,
    });
    let settings = Settings {
        signed,
        ..Settings::default()
    };
    let print = Arc::new(print);
    let handler = move |received: Received| {
        print(line(&received));
        std::future::ready(Answer::Accepted)
    };
    Target::with(handler, settings)
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code)] // The tests use the parts above.
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8081".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let target = target(arguments.next().as_deref(), |line| println!("{line}"));
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    target::serve(listener, target, Limits::default(), stop).await;
    Ok(())
}
