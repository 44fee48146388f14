use super::*;
use proptest::prelude::*;

fn host(text: &str) -> Authority {
    Authority::parse(text).unwrap()
}

#[test]
fn rvp_1_logical_and_physical_form_name_the_same_node() {
    let logical = NodeUrl::parse("http://im.example.com/instmsg/aliases/Alice/").unwrap();
    let physical = NodeUrl::parse(
        "http://imhome1.example.com:8080/instmsg/local/IM.example.com/instmsg/aliases/alice",
    )
    .unwrap();
    assert!(logical.same_node(&physical));
    assert_eq!(logical.alias(), Some("alice"));
    assert_eq!(physical.home, Some(host("imhome1.example.com:8080")));
    assert_eq!(
        logical.href(),
        "http://im.example.com/instmsg/aliases/alice"
    );
    assert_eq!(
        logical.at_home(host("imhome1.example.com")).to_string(),
        "http://imhome1.example.com/instmsg/local/im.example.com/instmsg/aliases/alice"
    );
}

#[test]
fn rvp_1_targets_in_origin_and_absolute_form() {
    let table = [
        (
            "/instmsg/aliases/bob",
            "im.example.com",
            "/instmsg/aliases/bob",
            None,
        ),
        (
            "/INSTMSG/Aliases/B%6fB/",
            "im.example.com",
            "/instmsg/aliases/bob",
            None,
        ),
        (
            "http://IM.example.com:8080/instmsg/aliases/bob",
            "IM.example.com:8080",
            "/instmsg/aliases/bob",
            None,
        ),
        (
            "/instmsg/local/im.example.com/instmsg/aliases/bob",
            "im.example.com",
            "/instmsg/aliases/bob",
            Some("h1:81"),
        ),
        ("/groups/rec-cycling", "h1:81", "/groups/rec-cycling", None),
        ("/", "h1:81", "/", None),
    ];
    for (target, authority, path, home) in table {
        let from = if home.is_some() { "h1:81" } else { authority };
        let node = NodeUrl::from_target(target, &host(from)).expect(target);
        assert_eq!(node.authority.to_string(), authority, "{target}");
        assert_eq!(node.path(), path);
        assert_eq!(node.home, home.map(host));
    }
}

#[test]
fn targets_that_are_no_node_are_refused() {
    for (target, error) in [
        ("", UrlError::Length),
        ("*", UrlError::Scheme),
        ("instmsg", UrlError::Scheme),
        ("ftp://h/x", UrlError::Scheme),
        ("/a//b", UrlError::Path),
        ("//", UrlError::Path),
        ("/a/../b", UrlError::Path),
        ("/a/%2e%2e/b", UrlError::Path),
        ("/a%2fb", UrlError::Path),
        ("/a%5cb", UrlError::Path),
        ("/a%00", UrlError::Path),
        ("/a%", UrlError::Path),
        ("/a%4", UrlError::Path),
        ("/a%zz", UrlError::Path),
        ("/a%ff", UrlError::Path),
        ("/a b", UrlError::Path),
        ("/a?b", UrlError::Query),
        ("/a#b", UrlError::Query),
        ("/instmsg/local/", UrlError::Path),
        ("/instmsg/local/h", UrlError::Path),
        ("/instmsg/local/u@h/x", UrlError::Authority),
        ("/instmsg/local/h/instmsg/local/h/x", UrlError::Path),
        ("http:///x", UrlError::Authority),
        ("http://h:99999/x", UrlError::Authority),
    ] {
        let refused = NodeUrl::from_target(target, &host("h"));
        // `/instmsg/local` without a rest is an ordinary path of that name.
        if target == "/instmsg/local/" {
            assert_eq!(refused.unwrap().path(), "/instmsg/local");
            continue;
        }
        assert_eq!(refused, Err(error), "{target}");
    }
    assert_eq!(
        NodeUrl::from_target(&format!("/{}", "x".repeat(2048)), &host("h")),
        Err(UrlError::Length)
    );
}

#[test]
fn rvp_4_hrefs_split_by_a_line_break_are_joined() {
    let node = NodeUrl::parse(" http://im.example.com/instmsg/\r\n   aliases/alice\n").unwrap();
    assert_eq!(node.href(), "http://im.example.com/instmsg/aliases/alice");
}

#[test]
fn rvp_8_8_hrefs_keep_the_host_spelling_without_port_slash_or_space() {
    let node = NodeUrl::parse("http://IM.Example.com:8080/instmsg/aliases/alice/").unwrap();
    assert_eq!(node.href(), "http://IM.Example.com/instmsg/aliases/alice");
    let other = node.with_authority(host("10.0.0.1"));
    assert_eq!(other.href(), "http://10.0.0.1/instmsg/aliases/alice");
}

#[test]
fn principals_are_nodes_or_servers() {
    assert_eq!(
        Principal::parse(" im.example.com "),
        Ok(Principal::Server(host("im.example.com")))
    );
    assert_eq!(
        Principal::parse("http://im.example.com/"),
        Ok(Principal::Server(host("im.example.com")))
    );
    let node = Principal::parse("http://im.example.com/instmsg/aliases/alice").unwrap();
    assert_eq!(node.node().and_then(NodeUrl::alias), Some("alice"));
    assert!(Principal::parse("a b").is_err());
}

#[test]
fn aliases_are_written_encoded() {
    let node = NodeUrl::of_alias(host("h"), "Zo\u{eb} x").unwrap();
    assert_eq!(node.href(), "http://h/instmsg/aliases/zo%C3%AB%20x");
    assert_eq!(node.alias(), Some("zo\u{eb} x"));
    assert!(NodeUrl::of_alias(host("h"), "a/b").is_err());
    assert_eq!(
        NodeUrl::parse("http://h/instmsg/aliases/a/b")
            .unwrap()
            .alias(),
        None
    );
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same(url in "https?://[a-zA-Z0-9.]{1,8}(:[1-9][0-9]{0,3})?(/instmsg/local/[a-z]{1,3})?(/[ -~é]{1,6}){0,3}/?") {
        if let Ok(node) = NodeUrl::parse(&url) {
            prop_assert_eq!(NodeUrl::parse(&node.to_string()), Ok(node.clone()));
            prop_assert!(node.same_node(&NodeUrl::parse(&node.href()).unwrap()));
            let server = node.home.as_ref().unwrap_or(&node.authority);
            let again = NodeUrl::from_target(&node.target(), server).unwrap();
            prop_assert_eq!(again.path(), node.path());
        }
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,60}") {
        let _ = NodeUrl::parse(&text);
        let _ = Principal::parse(&text);
    }
}
