//! The help desk against the real server: customers on both stacks, an agent, a restart.

use crate::helpdesk::{Config, run};
use crate::peer::PATIENCE;
use crate::support::actor::{Actor, Encoding, Heard, RvpActor, SipActor};
use crate::support::server::Server;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The next text that somebody hears, and from whom.
fn text(actor: &impl Actor) -> (String, String) {
    loop {
        let heard = actor.heard().recv_timeout(PATIENCE).expect("a text");
        if let Heard::Text { from, text } = heard {
            return (from, text);
        }
    }
}

fn from_desk(actor: &impl Actor, wanted: &str) {
    let (from, text) = text(actor);
    assert_eq!(from, "desk");
    assert!(text.contains(wanted), "{wanted} in: {text}");
}

/// A customer database behind HTTP.
fn database() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut octet = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut octet), Ok(1)) {
                head.push(octet[0]);
            }
            let good = head.starts_with(b"GET /customer?address=carol@example.com HTTP/1.1\r\n");
            let body = if good { "contract 4711" } else { "nobody" };
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn open(config: Config) -> Running {
    let (ready, is_ready) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(async move {
        let ready = || ready.send(()).expect("somebody waits");
        run(config, ready, stopped).await.expect("the desk runs");
    });
    is_ready.await.expect("the desk opens");
    Running { stop, task }
}

impl Running {
    async fn close(self) {
        drop(self.stop);
        self.task.await.expect("the desk ends");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_of_both_stacks_reach_an_agent_through_one_name() {
    let server = Server::start(&["desk", "ann", "carol", "dave"]);
    let folder = server.scratch("desk");
    std::fs::write(folder.join("password"), "desk\n").expect("a password");
    let (folder, database, rvp) = (folder.display(), database(), server.rvp);
    let config: Config = toml::from_str(&format!(
        "server = '{rvp}'\nhost = 'localhost'\naddress = 'desk@example.com'\n\
         password_file = '{folder}/password'\nlog = '{folder}/log'\n\
         [desk.agents]\n'ann@example.com' = {{ skills = ['general'], capacity = 2 }}\n\
         [desk.canned]\nhello = 'Good day!'\n\
         [card]\nlookup = 'http://{database}/customer?address={{}}'\n\
         [card.directory.'carol@example.com']\nname = 'Carol Jones'\n"
    ))
    .expect("a configuration");
    let desk = open(config.clone()).await;
    let actor = |name: &str| RvpActor::new(name, rvp, Encoding::Characters).expect("an actor");
    let (mut ann, mut carol) = (actor("ann"), actor("carol"));
    let mut dave = SipActor::udp("dave", server.sip_udp).expect("an actor");
    carol.sign_in().expect("sign-in");
    dave.sign_in().expect("sign-in");
    // Nobody is there yet.
    let said = carol.say("desk", "My card 4111111111111111 does not work");
    assert_eq!(said, Ok(200), "{}", server.log_tail(20));
    from_desk(&carol, "You are number 1 in the queue.");
    ann.sign_in().expect("sign-in");
    let (_, offer) = text(&ann);
    let card =
        "Card: carol@example.com\n  name: Carol Jones\n  contract 4711\n[#1] carol@example.com";
    assert!(offer.starts_with(card), "{offer}");
    assert_eq!(ann.say("desk", "/take"), Ok(200));
    from_desk(&ann, "customer: My card ************1111 does not work");
    assert_eq!(ann.say("desk", "/a hello"), Ok(200));
    from_desk(&carol, "Good day!");
    // A customer on SIP, to the same name; several at once.
    let said = dave.say("desk", "hello from SIP").expect("an answer");
    assert!((200..300).contains(&said), "{said}");
    from_desk(&ann, "[#2] dave@example.com is waiting.");
    assert_eq!(ann.say("desk", "/take"), Ok(200));
    from_desk(&ann, "customer: hello from SIP");
    assert_eq!(ann.say("desk", "/c 2 welcome"), Ok(200));
    from_desk(&dave, "welcome");
    assert_eq!(ann.say("desk", "/c 1 one moment"), Ok(200));
    from_desk(&carol, "one moment");
    // The desk restarts: the cases are where they were.
    desk.close().await;
    let desk = open(config).await;
    for number in [1, 2] {
        from_desk(&ann, &format!("[#{number}]"));
    }
    assert_eq!(carol.say("desk", "are you there?"), Ok(200));
    from_desk(&ann, "[#1 carol@example.com] are you there?");
    assert_eq!(ann.say("desk", "/close 1"), Ok(200));
    from_desk(&carol, "Goodbye!");
    from_desk(&ann, "[#1] closed.");
    desk.close().await;
    let log = std::fs::read_to_string(format!("{folder}/log")).expect("a log");
    assert!(!log.contains("4111"), "{log}");
}
