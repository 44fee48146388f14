//! A crash with many leases.

use crate::support::actor::{Encoding, RvpActor};
use crate::support::server::Server;

const LEASES: usize = 300;

/// Issue 3 section 7: a restart forgets no lease. Each is renewed under its old number.
#[test]
fn a_crash_forgets_no_lease() {
    let names: Vec<String> = (0..LEASES).map(|n| format!("user{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut server = Server::start(&all);
    let mut users: Vec<(RvpActor, String)> = names
        .iter()
        .map(|name| {
            let mut user = RvpActor::new(name, server.rvp, Encoding::Characters).unwrap();
            let lease = "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 14400\r\n\
                         Call-Back: http://127.0.0.1:9999\r\n";
            let (status, head, _) = user.request("SUBSCRIBE", name, lease, "").unwrap();
            assert_eq!(status, 200, "{head}");
            (user, number(&head))
        })
        .collect();
    server.kill_and_restart();
    for ((user, id), name) in users.iter_mut().zip(&names) {
        let renewal = format!(
            "Notification-Type: pragma/notify\r\nSubscription-Lifetime: 14400\r\n\
             Subscription-Id: {id}\r\n"
        );
        let (status, head, _) = user.request("SUBSCRIBE", name, &renewal, "").unwrap();
        assert_eq!(status, 200, "{name}: {head}");
        assert_eq!(&number(&head), id, "{name}");
    }
}

fn number(head: &str) -> String {
    let line = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("Subscription-Id: "));
    line.unwrap_or_else(|| panic!("no number in {head}"))
        .to_owned()
}
