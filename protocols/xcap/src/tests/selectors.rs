//! URIs and selectors (RFC 4825 section 6).

use crate::{BadSelector, BadUri, DocumentSelector, NodeSelector, Target, Terminal, Tree};

fn target(path: &str) -> Result<Target, BadUri> {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    Target::parse(path, query, "/xcap")
}

#[test]
fn users_are_written_in_many_ways() {
    for path in [
        "/xcap/resource-lists/users/sip:bill@example.com/index",
        "/xcap/resource-lists/users/sip%3Abill%40example.com/index",
        "/xcap/resource-lists/users/sip%3abill@example.com/index?query=ignored",
    ] {
        let found = target(path).unwrap();
        assert_eq!(
            found.document.tree,
            Tree::User("sip:bill@example.com".to_owned())
        );
        assert_eq!((found.document.name.as_str(), found.node), ("index", None));
    }
    let plain = target("/xcap/resource-lists/users/bill@example.com/friends/work").unwrap();
    assert_eq!(
        plain.document.tree,
        Tree::User("bill@example.com".to_owned())
    );
    assert_eq!(plain.document.name, "friends/work");
    let global = target("/xcap/rls-services/global/index").unwrap();
    assert_eq!(global.document.tree, Tree::Global);
}

#[test]
fn what_is_no_document_selector() {
    for (path, why) in [
        ("/other/resource-lists/users/a@b/index", BadUri::Root),
        ("/xcapx/resource-lists/users/a@b/index", BadUri::Root),
        ("/xcap", BadUri::Root),
        ("/xcap/", BadUri::Document),
        ("/xcap/resource-lists", BadUri::Document),
        ("/xcap/resource-lists/users/a@b", BadUri::Document),
        ("/xcap/resource-lists/users/a@b/", BadUri::Document),
        ("/xcap/resource-lists/users//index", BadUri::Document),
        ("/xcap/resource-lists/users/../index", BadUri::Document),
        ("/xcap/resource-lists/users/a@b/%2e%2e/x", BadUri::Document),
        ("/xcap/resource-lists/users/a@b/x%2Fy", BadUri::Document),
        ("/xcap/resource-lists/users/a@b/x%00", BadUri::Document),
        ("/xcap/resource-lists/friends/a@b/x", BadUri::Document),
        ("/xcap/resource-lists/users/a@b/1/2/3/4/5", BadUri::Document),
        ("/xcap/resource-lists/users/a@b/x%zz", BadUri::Encoding),
        ("/xcap/resource-lists/users/a@b/x%ff", BadUri::Encoding),
    ] {
        assert_eq!(target(path), Err(why), "{path}");
    }
    let long = format!("/xcap/resource-lists/users/a@b/{}", "x".repeat(5000));
    assert_eq!(target(&long), Err(BadUri::TooLong));
}

#[test]
fn a_selector_is_written_back_escaped() {
    let selector = DocumentSelector::parse("resource-lists/users/sip%3Abill%40x/a%20b%25").unwrap();
    assert_eq!(
        selector.to_string(),
        "resource-lists/users/sip:bill@x/a%20b%25"
    );
    assert_eq!(DocumentSelector::parse(&selector.to_string()), Ok(selector));
}

#[test]
fn the_node_part_is_decoded_once() {
    let found =
        target("/xcap/x/users/a@b/index/~~/r/e%5b@uri=%22sip:a/b%2525%22%5d/@n?xmlns(a=urn%3Aa)")
            .unwrap();
    assert_eq!(found.node.as_deref(), Some("/r/e[@uri=\"sip:a/b%25\"]/@n"));
    assert_eq!(found.query.as_deref(), Some("xmlns(a=urn:a)"));
    let escaped = target("/xcap/x/users/a@b/index/%7E%7E/r").unwrap();
    assert_eq!(escaped.node.as_deref(), Some("/r"));
}

#[test]
fn steps_terminals_and_bindings() {
    let parse = |text: &str, query: Option<&str>| NodeSelector::parse(text, query, "urn:x");
    let all = parse(
        "/r/*[2][@a:id='1&amp;/[2]\"']/a:b/@a:c",
        Some("xmlns(a=urn:a)"),
    )
    .unwrap();
    assert_eq!(all.steps.len(), 3);
    assert_eq!(
        (all.steps[1].name.clone(), all.steps[1].position),
        (None, Some(2))
    );
    let (name, value) = all.steps[1].attribute.clone().unwrap();
    assert!(name.is("urn:a", "id") && value == "1&/[2]\"");
    assert!(all.steps[0].name.as_ref().unwrap().is("urn:x", "r"));
    assert!(matches!(all.terminal, Terminal::Attribute(name) if name.is("urn:a", "c")));
    let bare = parse("/r/@id", None).unwrap();
    assert!(matches!(bare.terminal, Terminal::Attribute(name) if name.is("", "id")));
    let namespaces = parse("/r/b/namespace::*", None).unwrap();
    assert_eq!(namespaces.terminal, Terminal::Namespaces);
    // XPointer: several parts, escapes, other schemes.
    let query = "xmlns(a=urn:1)element(/1(2)) xmlns(b=urn:^(x^)^^)xmlns(a=urn:2)";
    let bound = parse("/a:r/b:s", Some(query)).unwrap();
    assert!(bound.steps[0].name.as_ref().unwrap().is("urn:2", "r"));
    assert!(bound.steps[1].name.as_ref().unwrap().is("urn:(x)^", "s"));
}

#[test]
fn what_is_no_selector() {
    let parse = |text: &str, query: Option<&str>| NodeSelector::parse(text, query, "urn:x");
    for bad in [
        "",
        "/",
        "r",
        "/r/",
        "//r",
        "/@id",
        "/r/@id/b",
        "/r[0]",
        "/r[-1]",
        "/r[1",
        "/r[@id]",
        "/r[@id=1]",
        "/r[@id='1]",
        "/r[@id='<']",
        "/r[1]x",
        "/r[@a='1'][1]",
        "/r/text()",
        "/1r",
        "/r[99999999999999999999999]",
        "/r[@a='&x;']",
    ] {
        assert_eq!(parse(bad, None), Err(BadSelector::Grammar), "{bad}");
    }
    for bad in ["/p:r", "/namespace::*", "/r/namespace::a"] {
        assert_eq!(parse(bad, None), Err(BadSelector::Prefix), "{bad}");
    }
    for query in [
        "xmlns",
        "xmlns(a)",
        "xmlns(a=b",
        "xmlns(=b)",
        "xmlns(a=^b)",
        "a=b",
    ] {
        assert_eq!(parse("/r", Some(query)), Err(BadSelector::Query), "{query}");
    }
    let long = "/r".repeat(65);
    assert_eq!(parse(&long, None), Err(BadSelector::TooLong));
}
