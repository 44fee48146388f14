//! Edits and what the usages let through (RFC 4825 sections 7 and 8, RFC 4826, RFC 5025).

use crate::edit::{self, NotDeleted};
use crate::usage::Usage;
use crate::{Conflict, NodeSelector, read};
use xml::Limits;

const DOCUMENT: &str = "<?xml version=\"1.0\"?>\n<!-- mine -->\n<r xmlns=\"urn:x\" xmlns:p='urn:p'>\n  <a id='1' p:id=\"2\"/>\n  <a id = \"2\">text<!-- kept --></a>\n  <b/><p:c><p:d/></p:c>\n</r>\n";

fn select(text: &str) -> NodeSelector {
    NodeSelector::parse(text, Some("xmlns(p=urn:p)xmlns(q=urn:q)"), "urn:x").unwrap()
}

fn put(selector: &str, body: &str) -> Result<(String, bool), Conflict> {
    let limits = Limits::with_bytes(1000);
    edit::put(
        DOCUMENT.as_bytes(),
        &select(selector),
        body.as_bytes(),
        &limits,
    )
    .map(|edited| (String::from_utf8(edited.bytes).unwrap(), edited.created))
}

fn get(selector: &str) -> Option<String> {
    let root = xml::parse(DOCUMENT.as_bytes(), &Limits::default()).unwrap();
    let value = read(DOCUMENT.as_bytes(), &root, &select(selector)).ok()?;
    Some(String::from_utf8(value.into_parts().0).unwrap())
}

#[test]
fn nodes_are_read_as_written() {
    for (selector, value) in [
        ("/r/a[1]", "<a id='1' p:id=\"2\"/>"),
        ("/r/a[@id=\"2\"]", "<a id = \"2\">text<!-- kept --></a>"),
        ("/r/a[@p:id='2']/@id", "1"),
        ("/r/a[1]/@p:id", "2"),
        ("/r/*[3]", "<b/>"),
        ("/*/*[4]/p:d", "<p:d/>"),
        ("/r/a[2][@id='2']/@id", "2"),
        (
            "/r/p:c/namespace::*",
            "<p:c xmlns=\"urn:x\" xmlns:p=\"urn:p\"/>",
        ),
    ] {
        assert_eq!(get(selector).as_deref(), Some(value), "{selector}");
    }
    for selector in [
        "/r/a",
        "/r/a[3]",
        "/r/a[1][@id='2']",
        "/r/c",
        "/r/a[1]/@p",
        "/x",
        "/r/*",
        "/r/b/@id",
        "/r/q:a",
        "/r/a[1]/@q:id",
    ] {
        assert_eq!(get(selector), None, "{selector}");
    }
}

#[test]
fn only_the_node_changes() {
    let swap = |from: &str, to: &str| DOCUMENT.replacen(from, to, 1);
    let cases = [
        ("/r/b", "<b>new</b>", swap("<b/>", "<b>new</b>"), false),
        (
            "/r/a[3]",
            "<a id='3'/>",
            swap("</a>\n", "</a><a id='3'/>\n"),
            true,
        ),
        (
            "/r/a[@id='3']",
            " <a id='3'/>\n",
            swap("</p:c>", "</p:c><a id='3'/>"),
            true,
        ),
        (
            "/r/a[2][@id='3']",
            "<a id='3'/>",
            swap("<a id = ", "<a id='3'/><a id = "),
            true,
        ),
        (
            "/r/*[1][@id='0']",
            "<z id='0'/>",
            swap("<a id='1'", "<z id='0'/><a id='1'"),
            true,
        ),
        ("/r/b/e", "<e/>", swap("<b/>", "<b><e/></b>"), true),
        ("/r/a[2]/e", "<e/>", swap(">text", "><e/>text"), true),
        ("/r/p:c/p:n", "<p:n/>", swap("<p:d/>", "<p:d/><p:n/>"), true),
        (
            "/r/a[1]/@id",
            "x&amp;y",
            swap("id='1'", "id='x&amp;y'"),
            false,
        ),
        ("/r/a[1]/@p:id", "it's", swap("\"2\"", "\"it's\""), false),
        ("/r/a[1]/@id", "it's", swap("'1'", "\"it's\""), false),
        (
            "/r/b/@n",
            "a\"b'c",
            swap("<b/>", "<b n=\"a&quot;b'c\"/>"),
            true,
        ),
        ("/r/b/@p:n", "1", swap("<b/>", "<b p:n=\"1\"/>"), true),
        (
            "/r/b/@q:n",
            "1",
            swap("<b/>", "<b xmlns:n0=\"urn:q\" n0:n=\"1\"/>"),
            true,
        ),
        (
            "/r",
            "<r xmlns='urn:x'/>",
            "<?xml version=\"1.0\"?>\n<!-- mine -->\n<r xmlns='urn:x'/>\n".to_owned(),
            false,
        ),
    ];
    for (selector, body, expected, created) in cases {
        assert_eq!(put(selector, body), Ok((expected, created)), "{selector}");
    }
}

#[test]
fn what_can_not_be_put_says_why() {
    let kind =
        |result: Result<(String, bool), Conflict>| result.unwrap_err().body(Some("http://h/a?b&c"));
    for (selector, body, element) in [
        (
            "/r/n/e",
            "<e/>",
            "<no-parent><ancestor>http://h/a?b&amp;c</ancestor></no-parent>",
        ),
        ("/r/a/@id", "1", "<no-parent>"),
        ("/x", "<x/>", "<cannot-insert "),
        ("/r/a[4]", "<a/>", "<cannot-insert "),
        ("/r/a", "<a/>", "<cannot-insert "),
        ("/r/e", "<f/>", "<cannot-insert "),
        ("/r/a[@id='3']", "<a id='4'/>", "<cannot-insert "),
        ("/r/a[@id='2']", "<a id='4'/>", "<cannot-insert "),
        ("/r/a[@id='2']/@id", "4", "<cannot-insert "),
        ("/r/b", "<a/>", "<cannot-insert "),
        ("/r/b", "<b>", "<not-xml-frag "),
        ("/r/b", "<b/><b/>", "<not-xml-frag "),
        ("/r/b", "x<b/>", "<not-xml-frag "),
        ("/r/b", "", "<not-xml-frag "),
        ("/r/b", "</w><w><b/>", "<not-xml-frag "),
        ("/r/b", "<b u:x='1'/>", "<not-xml-frag "),
        ("/r/b", "<!DOCTYPE b><b/>", "<not-xml-frag "),
        ("/r/b/@n", "a<b", "<not-xml-att-value/>"),
        ("/r/b/@n", "&nothing;", "<not-xml-att-value/>"),
        ("/r/b/namespace::*", "x", "<cannot-insert "),
    ] {
        let body = kind(put(selector, body));
        assert!(body.contains(element), "{selector}: {body}");
        xml::parse(body.as_bytes(), &Limits::default()).unwrap();
    }
    let limits = Limits::with_bytes(1000);
    let source = DOCUMENT.as_bytes();
    let not_utf8 = edit::put(source, &select("/r/b"), b"<b>\xff</b>", &limits);
    assert_eq!(not_utf8, Err(Conflict::NotUtf8));
    let not_utf8 = edit::put(source, &select("/r/b/@n"), b"\xff", &limits);
    assert_eq!(not_utf8, Err(Conflict::NotUtf8));
    let large = format!("<b>{}</b>", "x".repeat(990));
    let large = edit::put(source, &select("/r/b"), large.as_bytes(), &limits);
    assert!(matches!(large, Err(Conflict::Constraint(_))), "{large:?}");
}

#[test]
fn deleting_leaves_all_else() {
    let delete = |selector: &str| {
        edit::delete(DOCUMENT.as_bytes(), &select(selector), &Limits::default())
            .map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let without = |what: &str| Ok(DOCUMENT.replacen(what, "", 1));
    assert_eq!(delete("/r/b"), without("<b/>"));
    assert_eq!(delete("/r/a[@id='1']"), without("<a id='1' p:id=\"2\"/>"));
    assert_eq!(
        delete("/r/a[2]"),
        without("<a id = \"2\">text<!-- kept --></a>")
    );
    assert_eq!(delete("/r/a[1]/@p:id"), without(" p:id=\"2\""));
    assert_eq!(delete("/r/n"), Err(NotDeleted::Missing));
    assert_eq!(delete("/r/b/@n"), Err(NotDeleted::Missing));
    // RFC 4825 7.5: the next one would have the same URI.
    for selector in ["/r/a[1]", "/r", "/r/*[1]", "/r/b/namespace::*"] {
        let refused = delete(selector);
        assert!(
            matches!(
                refused,
                Err(NotDeleted::Conflict(Conflict::CannotDelete(_)))
            ),
            "{selector}: {refused:?}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn documents_must_follow_their_usage() {
    let lists = |inner: &str| {
        format!(
            "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'>{inner}</resource-lists>"
        )
    };
    let services = |inner: &str| {
        format!(
            "<rls-services xmlns='urn:ietf:params:xml:ns:rls-services' xmlns:l='urn:ietf:params:xml:ns:resource-lists'>{inner}</rls-services>"
        )
    };
    let rules = |inner: &str| {
        format!(
            "<c:ruleset xmlns:c='urn:ietf:params:xml:ns:common-policy' xmlns='urn:ietf:params:xml:ns:pres-rules'>{inner}</c:ruleset>"
        )
    };
    let pidf = |inner: &str| {
        format!("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@b'>{inner}</presence>")
    };
    let one = "<c:conditions><c:identity><c:one id='sip:a@b'/></c:identity></c:conditions>";
    let fine = [
        (Usage::ResourceLists, lists("")),
        (
            Usage::ResourceLists,
            lists(
                "<list name='a'><display-name>A</display-name><entry uri='sip:a@b'/><x xmlns='urn:y'/></list><list name='b'><list name='a'/><entry-ref ref='resource-lists/users/x'/><external anchor='http://h/x'/></list>",
            ),
        ),
        (
            Usage::RlsServices,
            services(
                "<service uri='sip:l@b'><list><l:entry uri='sip:a@b'/></list><packages><package>presence</package></packages></service>",
            ),
        ),
        (
            Usage::RlsServices,
            services("<service uri='sip:l@b'><resource-list>http://h/x</resource-list></service>"),
        ),
        (
            Usage::PresRules,
            rules(&format!(
                "<c:rule id='a'>{one}<c:actions><sub-handling>allow</sub-handling></c:actions><c:transformations><provide-note>true</provide-note></c:transformations></c:rule>"
            )),
        ),
        (
            Usage::PidfManipulation,
            pidf("<tuple id='t'><status><basic>open</basic></status></tuple>"),
        ),
    ];
    for (usage, text) in fine {
        let root = xml::parse(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(usage.validate(&root), Ok(()), "{text}");
    }
    let refused = [
        (
            Usage::ResourceLists,
            services(""),
            "<schema-validation-error ",
        ),
        (
            Usage::ResourceLists,
            lists("<entry uri='sip:a@b'/>"),
            "<schema-validation-error ",
        ),
        (
            Usage::ResourceLists,
            lists("<list><entry/></list>"),
            "<schema-validation-error ",
        ),
        (
            Usage::ResourceLists,
            lists("<list><entry uri='x'/></list>"),
            "<constraint-failure ",
        ),
        (
            Usage::ResourceLists,
            lists("<list><other/></list>"),
            "<schema-validation-error ",
        ),
        (
            Usage::ResourceLists,
            lists("<list><entry-ref ref='/x'/></list>"),
            "<constraint-failure ",
        ),
        (
            Usage::ResourceLists,
            lists("<list><external anchor='ftp://x'/></list>"),
            "<constraint-failure ",
        ),
        (
            Usage::ResourceLists,
            lists("<list name='a'/><list name='a'/>"),
            "<exists field=\"/resource-lists/list[2]/@name\"><alt-value>a 2</alt-value></exists>",
        ),
        (
            Usage::ResourceLists,
            lists("<list><entry uri='sip:a@b'/><entry uri='sip:a@b'/></list>"),
            "<exists field=\"/resource-lists/list[1]/entry[2]/@uri\"/>",
        ),
        (
            Usage::RlsServices,
            services("<service><list/></service>"),
            "<schema-validation-error ",
        ),
        (
            Usage::RlsServices,
            services("<service uri='sip:l@b'/>"),
            "<schema-validation-error ",
        ),
        (
            Usage::RlsServices,
            services(
                "<service uri='sip:l@b'><list/></service><service uri='sip:l@b'><list/></service>",
            ),
            "<uniqueness-failure>",
        ),
        (
            Usage::RlsServices,
            services("<service uri='sip:l@b'><resource-list>x</resource-list></service>"),
            "<constraint-failure ",
        ),
        (
            Usage::PresRules,
            rules("<c:rule/>"),
            "<schema-validation-error ",
        ),
        (
            Usage::PresRules,
            rules("<c:rule id='1'/>"),
            "<schema-validation-error ",
        ),
        (
            Usage::PresRules,
            rules("<c:rule id='a'/><c:rule id='a'/>"),
            "<alt-value>a-1</alt-value>",
        ),
        (
            Usage::PresRules,
            rules("<c:rule id='a'><c:actions/><c:conditions/></c:rule>"),
            "<schema-validation-error ",
        ),
        (
            Usage::PresRules,
            rules(
                "<c:rule id='a'><c:actions><sub-handling>perhaps</sub-handling></c:actions></c:rule>",
            ),
            "<schema-validation-error ",
        ),
        (
            Usage::PresRules,
            rules("<c:rule id='a'><c:conditions><c:identity/></c:conditions></c:rule>"),
            "<schema-validation-error ",
        ),
        (
            Usage::PresRules,
            rules(
                "<c:rule id='a'><c:conditions><c:validity><c:from>2026-01-01</c:from><c:until>x</c:until></c:validity></c:conditions></c:rule>",
            ),
            "<schema-validation-error ",
        ),
        (
            Usage::PidfManipulation,
            pidf("<tuple/>"),
            "<schema-validation-error ",
        ),
        (
            Usage::PidfManipulation,
            pidf("<tuple id='t'><status><basic>perhaps</basic></status></tuple>"),
            "<schema-validation-error ",
        ),
        (Usage::XcapCaps, lists(""), "<constraint-failure "),
    ];
    for (usage, text, element) in refused {
        let root = xml::parse(text.as_bytes(), &Limits::default()).unwrap();
        let body = usage.validate(&root).unwrap_err().body(None);
        assert!(body.contains(element), "{text}: {body}");
    }
}

#[test]
fn names_of_usages() {
    for usage in Usage::ALL {
        assert_eq!(Usage::of(usage.auid()), Some(usage));
    }
    assert_eq!(
        Usage::of("org.openmobilealliance.pres-rules"),
        Some(Usage::PresRules)
    );
    assert_eq!(Usage::PresRules.kept_as("pres-rules"), Some("index"));
    assert_eq!(Usage::PresRules.kept_as("other"), None);
    assert_eq!(Usage::of("other"), None);
}

#[test]
fn capabilities_list_every_usage() {
    let caps = crate::usage::pages::caps();
    let root = xml::parse(caps.as_bytes(), &Limits::default()).unwrap();
    assert!(root.is("urn:ietf:params:xml:ns:xcap-caps", "xcap-caps"));
    for usage in Usage::ALL {
        assert!(caps.contains(&format!("<auid>{}</auid>", usage.auid())));
        assert!(caps.contains(&format!("<namespace>{}</namespace>", usage.namespace())));
    }
}
