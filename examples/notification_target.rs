//! Receives RVP notifications and prints each: `cargo run --example notification_target --
//! 127.0.0.1:8081 [SECRET]`. With a secret, takes only what a Tristack server signed (`tristack
//! target add NODE URL --secret-file F`). The same in Java and Python: `servlet`, `*_target.py`.
use rvp::target::{Handler, Limits, Notification, Received, Target, serve};

/// One line per notification; the sender is a claim.
pub(crate) fn line(received: &Received) -> String {
    let sender = received.sender.href().unwrap_or_default();
    match &received.notification {
        Notification::Message(message) => format!("message {sender}: {}", message.text),
        Notification::Typing(_) => format!("typing {sender}"),
        Notification::Join(_) => format!("join {sender}"),
        Notification::Leave(_) => format!("leave {sender}"),
        Notification::Invite(_) => format!("invite {sender}"),
        changed @ Notification::PropertyChange(_) => changed.state().map_or_else(
            || format!("properties {sender}"),
            |state| format!("state {sender}: {}", state.as_str()),
        ),
        own => own
            .name()
            .map_or_else(|| format!("other {sender}"), |name| format!("event {name}")),
    }
}

/// A target that hands each line to `print`.
pub(crate) fn target(print: impl Fn(String) + Send + Sync + 'static) -> Target<impl Handler> {
    Target::new(move |received: Received| {
        print(line(&received));
        async {}
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8081".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let target = target(|line| println!("{line}")).signed(arguments.next().as_deref());
    serve(listener, target, Limits::default(), std::future::pending()).await;
    Ok(())
}
