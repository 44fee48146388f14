use super::*;
use crate::core::id::PersonId;
use crate::hub::{Clock, Settings, SystemClock};
use crate::net::{Caps, Listener, Tasks};
use crate::storage::{Database, Memory};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn portal(name: &str) -> Arc<Portal> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = Arc::new(Database::Memory(Memory::new()));
    let domains = vec!["example.com".to_owned()];
    let hub = Hub::start(store, domains, Settings::default(), clock).await;
    let hub = hub.expect("a hub");
    hub.open().await.expect("open");
    hub.put_account(Account {
        person: PersonId(7),
        address: Address::parse("alice@example.com").expect("address"),
        aliases: Vec::new(),
        display_name: String::new(),
        email: String::new(),
        secret: Secret(b"old".to_vec()),
        suspended: false,
        node: None,
    })
    .await
    .expect("kept");
    let dir = std::env::temp_dir().join(format!("tristack-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let mut config = Config::from_text("", None, std::collections::BTreeMap::new()).expect("good");
    config.server.data_dir = dir;
    let seal: Seal = Arc::new(|_, password| Ok(Secret(password.as_bytes().to_vec())));
    Arc::new(Portal::open(&config, hub, seal).expect("portal"))
}

async fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(at).await.expect("connect");
    stream.write_all(request.as_bytes()).await.expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    answer
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).expect(before);
    rest.split_once(after).expect(after).0
}

async fn send(at: SocketAddr, cookie: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST /password HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: form={cookie}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    ask(at, &request).await
}

#[tokio::test]
async fn a_code_shows_a_password_once_and_it_holds_at_once() {
    let portal = portal("flow").await;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind("[portal] listen", any, Caps::new(8, 8, true)).expect("a port");
    let (at, tasks) = (listener.local(), Tasks::new());
    tasks.spawn(serve(listener, tasks.clone(), Arc::clone(&portal)));

    let page = ask(at, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(page.contains("default-src 'none'"), "{page}");
    assert!(page.contains("HttpOnly; SameSite=Strict"), "{page}");
    let cookie = between(&page, "form=", ";").to_owned();
    let token = between(&page, "name=\"token\" value=\"", "\"").to_owned();
    let (code, _) = portal.code("Alice@example.com").expect("code");
    let body = format!("token={token}&address=alice%40example.com&code={code}");

    let forged = send(at, "00000000000000000000000000000000", &body).await;
    assert!(forged.starts_with("HTTP/1.1 403"), "{forged}");
    let wrong = send(at, &cookie, &body.replace(&code, "x")).await;
    assert!(wrong.starts_with("HTTP/1.1 403"), "{wrong}");
    let long = send(at, &cookie, &format!("{body}&x={}", "y".repeat(5000))).await;
    assert!(long.starts_with("HTTP/1.1 413"), "{long}");

    let shown = send(at, &cookie, &body).await;
    assert!(shown.starts_with("HTTP/1.1 200"), "{shown}");
    let password = between(&shown, "class=\"secret\">", "<");
    let account = portal.hub.directory().account(PersonId(7)).expect("there");
    assert_eq!(account.secret.0, password.as_bytes());

    let again = send(at, &cookie, &body).await;
    assert!(again.starts_with("HTTP/1.1 403"), "{again}");
    assert!(tasks.finish(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn failures_close_the_source_and_the_address() {
    let portal = portal("limits").await;
    let (code, _) = portal.code("alice@example.com").expect("code");
    for last in 1..=10u8 {
        let from = IpAddr::from([10, 0, 0, last]);
        let refused = portal.password(from, "alice@example.com", "x").await;
        assert_eq!(refused, Err(Refused::Code));
    }
    let other = IpAddr::from([10, 0, 1, 1]);
    let refused = portal.password(other, "alice@example.com", &code).await;
    assert_eq!(refused, Err(Refused::Address));
    for _ in 0..10 {
        let refused = portal.password(other, "nobody@example.com", "x").await;
        assert_eq!(refused, Err(Refused::UnknownUser));
    }
    let refused = portal.password(other, "nobody@example.com", "x").await;
    assert_eq!(refused, Err(Refused::Source));
    assert!(portal.code("nobody@example.com").is_err());
}

#[test]
fn fields_are_decoded_and_bad_ones_are_none() {
    let field = |body: &str| serve::field(body.as_bytes(), "a");
    assert_eq!(field("b=1&a=x%40y+z"), Some("x@y z".into()));
    for bad in ["", "a", "a=%", "a=%4", "a=%zz", "a=%ff", "aa=1"] {
        assert_eq!(field(bad), None, "{bad}");
    }
}
