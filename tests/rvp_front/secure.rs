//! `rvp::client` over https against our TLS listener, both schemes of authentication.

use crate::house::House;
use rvp::client::{Client, ClientError, Event, Scheme, Settings, Tls};
use rvp::document::State;
use std::path::PathBuf;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A house with a certificate of its own, for im.example.com, and its folder.
async fn house(name: &str) -> (House, Folder) {
    let folder = format!("tristack-rvps-{name}-{}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(folder));
    let _ = std::fs::remove_dir_all(&folder.0);
    std::fs::create_dir_all(&folder.0).unwrap();
    let text = format!(
        "tls_listen = [\"127.0.0.1:0\"]\ntls_auth = [\"ntlm\", \"digest\"]\n\
         hosts = [\"im.example.com\"]\n\
         [server]\ndomains = [\"example.com\"]\ndata_dir = {:?}\n",
        folder.0.display().to_string()
    );
    (House::with(&text).await, folder)
}

fn settings(house: &House, user: &str, tls: Option<Tls>) -> Settings {
    let address = format!("{user}@example.com");
    let server = house.tls.expect("a TLS listener");
    let mut settings = Settings::new(server, "im.example.com", &address, user);
    settings.tls = tls;
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_speaks_https_with_a_pinned_root() {
    let (house, folder) = house("pinned").await;
    let pem = std::fs::read(folder.0.join("tls-certificate.pem")).unwrap();
    let tls = Tls::trusting(&pem).unwrap();
    let mut of_bob = settings(&house, "bob", Some(tls.clone()));
    of_bob.schemes = vec![Scheme::Ntlm];
    let (mut bob, mut heard) = Client::sign_in(of_bob).await.unwrap();
    bob.publish(State::Online).await.unwrap();
    let mut of_alice = settings(&house, "alice", Some(tls));
    of_alice.schemes = vec![Scheme::Digest];
    let (mut alice, _) = Client::sign_in(of_alice).await.unwrap();
    let to = alice.node_of("bob@example.com").unwrap();
    let session = alice.new_session();
    alice.text(&to, &session, "over TLS").await.unwrap();
    let text = loop {
        if let Event::Text { text, .. } = heard.recv().await.expect("an event") {
            break text;
        }
    };
    assert_eq!(text, "over TLS");
    alice.sign_out().await.unwrap();
    bob.sign_out().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_refuses_who_does_not_prove_to_be_the_server() {
    let (house, folder) = house("unknown").await;
    let (_other, stranger) = self::house("stranger").await;
    let root = |folder: &Folder| {
        let pem = std::fs::read(folder.0.join("tls-certificate.pem")).unwrap();
        Tls::trusting(&pem).unwrap()
    };
    let sign_in = async |settings: Settings| {
        let refused = Client::sign_in(settings).await.map(drop);
        refused.expect_err("refused")
    };
    // Another authority, the right one for another name, none at all, and no TLS on our side.
    let error = sign_in(settings(&house, "alice", Some(root(&stranger)))).await;
    assert!(matches!(error, ClientError::Untrusted(_)), "{error}");
    let mut named = settings(&house, "alice", Some(root(&folder)));
    named.host = "other.example.com".to_owned();
    let error = sign_in(named).await;
    assert!(matches!(error, ClientError::Untrusted(_)), "{error}");
    let mut plain = settings(&house, "alice", Some(root(&folder)));
    plain.server = house.at;
    let error = sign_in(plain).await;
    assert!(matches!(error, ClientError::Untrusted(_)), "{error}");
    let error = sign_in(settings(&house, "alice", None)).await;
    assert!(matches!(error, ClientError::Http(_)), "{error}");
}
