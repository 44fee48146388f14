//! What people at another server let each of ours see.

use crate::house::User;
use crate::site::{HOST, HOST_B, World};
use crate::talk::{at, caught, hears, node, say, until, watch};

/// carol's access list: these are denied these rights.
async fn deny(carol: &mut User, denied: &[(&str, &str)]) {
    let aces: String = denied
        .iter()
        .map(|(who, rights)| {
            format!(
                "<a:ace><a:principal><a:rvp-principal>{}</a:rvp-principal><a:credentials><a:any/>\
                 </a:credentials></a:principal><a:grant/><a:deny>{rights}</a:deny></a:ace>",
                node(HOST, who)
            )
        })
        .collect();
    let body = format!(
        "<a:rvpacl xmlns:a=\"http://schemas.microsoft.com/rvp/acl/\"><a:acl>\
         <a:inheritance>none</a:inheritance>{aces}</a:acl></a:rvpacl>"
    );
    let own = node(HOST_B, "carol");
    let answer = carol
        .ask("ACL", &own, "Content-Type: text/xml\r\n", &body)
        .await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn section_5_each_watcher_sees_what_the_other_server_shows_him() {
    let world = World::start();
    if let Err(panic) = caught(blocked(&world)).await {
        eprintln!("{}", world.logs());
        std::panic::resume_unwind(panic);
    }
}

async fn blocked(world: &World) {
    let (mut carol, _carol_inbox) = at("carol", world.b.at, HOST_B).await;
    let (mut alice, mut alice_inbox) = at("alice", world.home1.at, HOST).await;
    let (mut dave, mut dave_inbox) = at("dave", world.home1.at, HOST).await;
    deny(&mut carol, &[("alice", "<a:presence/><a:send-to/>")]).await;

    // alice is first: what she may not see is no reason to hide it from dave, nor the reverse.
    for user in [&mut alice, &mut dave] {
        let first = watch(user, HOST_B, "carol").await;
        assert_eq!(first.status(), 207, "{}", first.body);
    }
    let carols = node(HOST_B, "carol");
    hears(&mut dave_inbox, &["<r:online/>", &carols]).await;
    assert_eq!(carol.state("busy").await.status(), 207);
    hears(&mut dave_inbox, &["<r:busy/>", &carols]).await;
    // dave's word comes after whatever carol's server told alice: had she been told, it is there.
    assert_eq!(say(&mut dave, HOST, "alice", "fence").await.status(), 200);
    loop {
        let notify = alice_inbox.next().await;
        assert!(!notify.body.contains("<r:state>"), "{}", notify.body);
        if notify.body.contains("fence") {
            break;
        }
    }
    let look = "<d:propfind xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:prop><r:state/></d:prop></d:propfind>";
    let seen = alice.ask("PROPFIND", &carols, "Depth: 0\r\n", look).await;
    assert!(seen.body.contains("<r:offline/>"), "{}", seen.body);
    let seen = dave.ask("PROPFIND", &carols, "Depth: 0\r\n", look).await;
    assert!(seen.body.contains("<r:busy/>"), "{}", seen.body);

    // The block moves: each of them is told, as if carol had come and gone.
    deny(&mut carol, &[("dave", "<a:presence/>")]).await;
    hears(&mut alice_inbox, &["<r:busy/>", &carols]).await;
    hears(&mut dave_inbox, &["<r:offline/>", &carols]).await;
    assert_eq!(say(&mut alice, HOST_B, "carol", "hi").await.status(), 200);

    // Nobody's subscription outlives his watch: she comes back to an empty list.
    let id = watch(&mut alice, HOST_B, "carol").await;
    assert!(id.body.contains("<r:busy/>"), "{}", id.body);
    let mine = watchers_at(&mut carol).await;
    assert_eq!(
        mine.iter()
            .filter(|who| **who == node(HOST, "alice"))
            .count(),
        1
    );
    let ids = [id.header("Subscription-Id").unwrap_or_default().to_owned()];
    for id in ids {
        let headers = format!("Subscription-Id: {id}\r\n");
        assert_eq!(
            alice
                .ask("UNSUBSCRIBE", &carols, &headers, "")
                .await
                .status(),
            200
        );
    }
    // Her first watch is still there, and so is the one subscription.
    let mine = watchers_at(&mut carol).await;
    assert!(mine.contains(&node(HOST, "alice")), "{mine:?}");
    until(200, async || {
        say(&mut alice, HOST_B, "carol", "again").await.status()
    })
    .await;
}

/// Who watches carol, by her own server.
async fn watchers_at(carol: &mut User) -> Vec<String> {
    let own = node(HOST_B, "carol");
    let headers = "Notification-Type: update/propchange\r\n";
    let answer = carol.ask("SUBSCRIPTIONS", &own, headers, "").await;
    assert_eq!(answer.status(), 200, "{}", answer.body);
    let parts = answer.body.split("<a:rvp-principal>").skip(1);
    parts
        .filter_map(|part| part.split_once("</a:rvp-principal>"))
        .map(|(who, _)| who.to_owned())
        .collect()
}
