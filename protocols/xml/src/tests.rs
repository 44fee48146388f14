use super::*;
use proptest::prelude::*;

fn read(source: &str) -> Result<Element, Error> {
    parse(source.as_bytes(), &Limits::default())
}

#[test]
#[allow(clippy::too_many_lines)]
fn rvp_4_ill_formed_input_is_refused_with_its_cause_and_place() {
    use ErrorKind as K;
    let table: &[(&str, K, usize)] = &[
        ("", K::Empty, 0),
        (" \n ", K::Empty, 3),
        ("<?xml version='1.0'?>", K::Empty, 21),
        ("<a>", K::Unmatched, 3),
        ("<a><b></a></b>", K::Unmatched, 6),
        ("<a></b>", K::Unmatched, 3),
        ("</a>", K::Unmatched, 0),
        ("<a/></a>", K::Unmatched, 4),
        ("<a", K::Syntax, 0),
        ("<a/><b/>", K::SecondRoot, 4),
        ("<a/>x", K::OutsideRoot, 4),
        ("x<a/>", K::OutsideRoot, 0),
        ("<a/>&#32;", K::OutsideRoot, 4),
        ("<a/><![CDATA[ ]]>", K::OutsideRoot, 4),
        ("\u{FEFF}\u{FEFF}<a/>", K::OutsideRoot, 3),
        ("<!DOCTYPE a><a/>", K::Doctype, 0),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", K::Doctype, 0),
        ("<!DOCTYPE a [", K::Doctype, 0),
        ("<!ENTITY x 'y'><a/>", K::Doctype, 0),
        ("<a><?php echo 1 ?></a>", K::ProcessingInstruction, 3),
        (
            "<?xml-stylesheet href='x'?><a/>",
            K::ProcessingInstruction,
            0,
        ),
        ("<a/><?x?>", K::ProcessingInstruction, 4),
        (" <?xml version='1.0'?><a/>", K::Declaration, 1),
        ("<a><?xml version='1.0'?></a>", K::Declaration, 3),
        ("<?xml version='1.1'?><a/>", K::Declaration, 0),
        ("<?xml encoding='UTF-8'?><a/>", K::Declaration, 0),
        (
            "<?xml version='1.0' standalone='yes' encoding='UTF-8'?><a/>",
            K::Declaration,
            0,
        ),
        ("<?xml version='1.0' version='1.0'?><a/>", K::Declaration, 0),
        ("<?xml version=1.0?><a/>", K::Declaration, 0),
        (
            "<?xml version='1.0' encoding='UTF-16'?><a/>",
            K::Encoding,
            20,
        ),
        ("<a>\u{0}</a>", K::Character, 3),
        ("<a>\u{1b}</a>", K::Character, 3),
        ("<a b='\u{8}'/>", K::Character, 6),
        ("<a>\u{FFFE}</a>", K::Character, 3),
        ("<a>\u{FFFF}</a>", K::Character, 3),
        ("<a>&#0;</a>", K::Character, 3),
        ("<a>&#x1F;</a>", K::Character, 3),
        ("<a>&#xD800;</a>", K::Character, 3),
        ("<a>&#xFFFFFFFFFF;</a>", K::Character, 3),
        ("<a b='x&#0;'/>", K::Character, 7),
        ("<a>&#;</a>", K::Reference, 3),
        ("<a>&#x;</a>", K::Reference, 3),
        ("<a>&#+5;</a>", K::Reference, 3),
        ("<a>&#X41;</a>", K::Reference, 3),
        ("<a>&nbsp;</a>", K::Reference, 3),
        ("<a>&;</a>", K::Reference, 3),
        ("<a>a & b</a>", K::Reference, 5),
        ("<a>&lt</a>", K::Reference, 3),
        ("<a b='&x;'/>", K::Reference, 6),
        ("<a b='&lt'/>", K::Reference, 6),
        ("<1a/>", K::Name, 1),
        ("< a/>", K::Name, 1),
        ("<a/b/>", K::Name, 1),
        ("<a:b:c xmlns:a='urn:x'/>", K::Name, 1),
        ("<:a/>", K::Name, 1),
        ("<a:/>", K::Name, 1),
        ("<xmlns:a/>", K::Name, 1),
        ("<a 1='x'/>", K::Name, 3),
        ("<a xmlns:='x'/>", K::Name, 3),
        ("<x:a/>", K::Prefix, 1),
        ("<a><b xmlns:x='urn:x'/><x:c/></a>", K::Prefix, 24),
        ("<a x:b='1'/>", K::Prefix, 3),
        ("<a xmlns:x=''/>", K::NamespaceDeclaration, 3),
        ("<a xmlns:xml='urn:x'/>", K::NamespaceDeclaration, 3),
        ("<a xmlns:xmlns='urn:x'/>", K::NamespaceDeclaration, 3),
        (
            "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
            K::NamespaceDeclaration,
            3,
        ),
        (
            "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
            K::NamespaceDeclaration,
            3,
        ),
        ("<a b='1' b='2'/>", K::DuplicateAttribute, 9),
        (
            "<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>",
            K::DuplicateAttribute,
            35,
        ),
        ("<a xmlns:x='u' xmlns:x='v'/>", K::DuplicateAttribute, 15),
        ("<a xmlns='u' xmlns='v'/>", K::DuplicateAttribute, 13),
        ("<a b='<'/>", K::Attribute, 6),
        ("<a b=1/>", K::Attribute, 3),
        ("<a b/>", K::Attribute, 3),
        ("<a b='1'c='2'/>", K::Attribute, 8),
        ("<a b 'x'/>", K::Attribute, 3),
        ("<a>]]></a>", K::CDataEnd, 3),
        ("<a>x]]>y</a>", K::CDataEnd, 4),
        ("<a><!-- -- --></a>", K::Syntax, 3),
        ("<a><!-- </a>", K::Syntax, 3),
        ("<a><![CDATA[ </a>", K::Syntax, 3),
        ("<a b='x></a>", K::Syntax, 0),
    ];
    for (source, kind, at) in table {
        let error = read(source).expect_err(source);
        assert_eq!((error.kind, error.at), (*kind, *at), "{source}");
    }
    assert_eq!(
        parse(b"<a>\xff</a>", &Limits::default()),
        Err(ErrorKind::Encoding.at(3))
    );
    assert_eq!(
        parse(b"<\0a\0", &Limits::default()),
        Err(ErrorKind::Character.at(1))
    );
}

#[test]
fn well_formed_input_is_accepted() {
    for source in [
        "\u{FEFF}<a/>",
        "<?xml version=\"1.0\"?><a/>",
        "<?xml version='1.0' encoding='utf-8' standalone='no' ?>\r\n<!-- c --><a/><!-- d -->\n",
        "\n<a></a >",
        "<a b = 'x' c=\"'\"/>",
        "<a xml:lang='de'/>",
        "<a>]] ></a>",
        "<a xmlns='u'><b xmlns=''/></a>",
        "<a b='>'/>",
        "<é/>",
        "<a>]]&gt;</a>",
        "<a><![CDATA[<x>&y;]]></a>",
    ] {
        assert!(read(source).is_ok(), "{source}: {:?}", read(source));
    }
}

#[test]
fn limits_hold_and_say_so() {
    let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
    assert!(read(&nested(32)).is_ok());
    assert_eq!(read(&nested(33)), Err(ErrorKind::TooDeep.at(96)));
    let wide = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n));
    assert!(read(&wide(9_999)).is_ok());
    assert_eq!(
        read(&wide(10_000)),
        Err(ErrorKind::TooManyElements.at(3 + 4 * 9_999))
    );
    let attributes = |n: usize| {
        let list: Vec<_> = (0..n).map(|i| format!(" a{i}=''")).collect();
        format!("<a{}/>", list.concat())
    };
    assert!(read(&attributes(64)).is_ok());
    assert_eq!(
        read(&attributes(65)).unwrap_err().kind,
        ErrorKind::TooManyAttributes
    );
    let long = format!("<a b='{}'/>", "x".repeat(16_384));
    assert_eq!(read(&long), Err(ErrorKind::AttributesTooLarge.at(1)));
    let big = format!("<a>{}</a>", "x".repeat(65_529));
    assert!(read(&big).is_ok());
    assert_eq!(
        read(&format!("{big} ")),
        Err(ErrorKind::TooLarge.at(65_536))
    );
    assert!(ErrorKind::TooLarge.is_limit() && !ErrorKind::Doctype.is_limit());
}

#[test]
fn text_is_decoded_once_and_cdata_is_kept_as_it_is() {
    let root =
        read("<a> &amp;lt;\r\n&#x1F600;&#13;<!--c-->x<b/><![CDATA[&amp;\r\n]]><![CDATA[y]]></a>")
            .unwrap();
    assert_eq!(
        root.children,
        vec![
            Node::Text(" &lt;\n\u{1F600}\rx".into()),
            Node::Element(Element::new("", "b")),
            Node::CData("&amp;\r\ny".into()),
        ]
    );
    assert_eq!(root.trimmed(), "&lt;\n\u{1F600}\rx&amp;\r\ny");
    let root = read("<a b='&#10;\t&quot;&apos; \r\n'/>").unwrap();
    assert_eq!(root.attribute("b"), Some("\n \"'  "));
}

#[test]
fn namespaces_are_resolved_by_scope() {
    let root =
        read("<x:a xmlns:x='u1' xmlns='u2' b='1' x:b='2'><a xmlns:x='u3'><x:c/></a><x:d/></x:a>")
            .unwrap();
    assert!(root.is("u1", "a"));
    assert_eq!(root.attribute("b"), Some("1"));
    assert!(root.attributes[1].name.is("u1", "b"));
    let inner = root.child("u2", "a").unwrap();
    assert!(inner.child("u3", "c").is_some() && root.child("u1", "d").is_some());
}

#[test]
fn spans_name_the_bytes_of_an_element() {
    let source = "\u{FEFF}<a> <b c='>'>x</b ><d/></a>";
    let root = read(source).unwrap();
    let text = |e: &Element| source[e.span.clone()].to_owned();
    assert_eq!(text(&root), "<a> <b c='>'>x</b ><d/></a>");
    let inner: Vec<_> = root.elements().map(text).collect();
    assert_eq!(inner, ["<b c='>'>x</b >", "<d/>"]);
}

#[test]
fn rvp_4_the_writer_declares_wanted_prefixes_on_the_root_and_adds_what_is_missing() {
    let tree = Element::new("DAV:", "prop")
        .with(Element::new("urn:opaque", "p").with_attribute("k", "a\"<\n"))
        .with(Element::new("DAV:", "t").with_text("1 < 2 ]]> \r"));
    let wanted = Prefixes::new(&[("d", "DAV:"), ("r", "urn:r")]);
    assert_eq!(
        write(&tree, &wanted),
        "<d:prop xmlns:d=\"DAV:\" xmlns:r=\"urn:r\" xmlns:n2=\"urn:opaque\">\
         <n2:p k=\"a&quot;&lt;&#10;\"/><d:t>1 &lt; 2 ]]&gt; &#13;</d:t></d:prop>"
    );
    assert!(
        write_document(&tree, &wanted)
            .starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<d:")
    );
}

#[test]
fn the_writer_takes_a_default_namespace_unless_the_tree_forbids_it() {
    let wanted = Prefixes::new(&[("", "urn:pidf"), ("rpid", "urn:rpid")]);
    let tree = Element::new("urn:pidf", "presence").with(Element::new("urn:rpid", "busy"));
    assert_eq!(
        write(&tree, &wanted),
        "<presence xmlns=\"urn:pidf\" xmlns:rpid=\"urn:rpid\"><rpid:busy/></presence>"
    );
    let bare = tree.with(Element::new("", "x"));
    assert_eq!(read(&write(&bare, &wanted)).unwrap(), bare);
    let mut qualified = Element::new("urn:pidf", "a");
    let name = Name::new("urn:pidf", "b");
    qualified.attributes.push(Attribute {
        name,
        value: "1".into(),
    });
    assert_eq!(read(&write(&qualified, &wanted)).unwrap(), qualified);
}

#[test]
fn cdata_end_is_split_and_joins_again() {
    let tree = Element::new("", "a").with_cdata("x]]>y]]>");
    let written = write(&tree, &Prefixes::NONE);
    assert_eq!(
        written,
        "<a><![CDATA[x]]]]><![CDATA[>y]]]]><![CDATA[>]]></a>"
    );
    assert_eq!(read(&written).unwrap(), tree);
}

#[test]
fn what_xml_cannot_carry_becomes_the_replacement_character() {
    let tree = Element::new("", "a")
        .with_text("\u{0}\u{FFFE}")
        .with_cdata("\u{1}");
    assert_eq!(
        write(&tree, &Prefixes::NONE),
        "<a>\u{FFFD}\u{FFFD}<![CDATA[\u{FFFD}]]></a>"
    );
}

#[test]
fn hostile_documents_take_linear_time_and_flat_memory() {
    // Half a megabyte of each shape that is quadratic in naive readers; a slow reader shows as a
    // test that never ends rather than as a flaky limit.
    let limits = Limits {
        bytes: 1 << 20,
        elements: 1 << 20,
        attribute_bytes: 1 << 20,
        ..Limits::default()
    };
    let n = 60_000;
    for source in [
        format!("<a>{}</a>", "&amp;".repeat(n)),
        format!("<a>{}</a>", "<![CDATA[]]>".repeat(n)),
        format!("<a>{}</a>", "<!---->".repeat(n)),
        format!("<a>{}</a>", "<b/>x".repeat(n)),
        format!("<a b='{}'/>", "&lt;".repeat(n)),
        format!("<a>{}</a>", "]]".repeat(n)),
    ] {
        assert!(parse(source.as_bytes(), &limits).is_ok());
    }
}

fn tree() -> impl Strategy<Value = Element> {
    let name = (
        "(|urn:a|urn:b|DAV:|http://x/y\\?a=1&b)",
        "[a-zA-Zé_][a-z0-9.\\-]{0,4}",
    )
        .prop_map(|(ns, local)| Name::parse(ns, &local).unwrap());
    let content = "[ -~\t\r\n\\]>é\u{10000}]{1,12}";
    let leaf = (
        name.clone(),
        proptest::collection::vec((name.clone(), content), 0..3),
    )
        .prop_map(|(name, attributes)| {
            let mut element = Element::named(name);
            for (name, value) in attributes {
                if !element.attributes.iter().any(|a| a.name == name) {
                    element.attributes.push(Attribute { name, value });
                }
            }
            element
        });
    leaf.prop_recursive(6, 40, 5, move |inner| {
        let node = prop_oneof![
            inner.clone().prop_map(Node::Element),
            content.prop_map(Node::Text),
            content.prop_map(Node::CData),
        ];
        (inner, proptest::collection::vec(node, 0..5)).prop_map(|(mut element, nodes)| {
            for node in nodes {
                // Neighbours of a kind are one node after reading.
                let same = matches!(
                    (element.children.last(), &node),
                    (Some(Node::Text(_)), Node::Text(_)) | (Some(Node::CData(_)), Node::CData(_))
                );
                if !same {
                    element.children.push(node);
                }
            }
            element
        })
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same_tree(tree in tree()) {
        for wanted in [&[][..], &[("d", "DAV:"), ("", "urn:a")], &[("n1", "urn:b"), ("n1", "DAV:")]] {
            let written = write(&tree, &Prefixes::new(wanted));
            let again = parse(written.as_bytes(), &Limits::default());
            prop_assert_eq!(again.as_ref(), Ok(&tree), "{}", written);
        }
    }

    #[test]
    fn mutated_documents_never_panic(tree in tree(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = write(&tree, &Prefixes::NONE).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = with;
        fuzz::gate(&bytes);
        fuzz::gate(&bytes[..at]);
    }

    #[test]
    fn markup_soup_never_panics(soup in "([<>/&;'\"=?!\\[\\] ax:\u{0}é-]|<!--|-->|<!\\[CDATA\\[|\\]\\]>|xmlns|&#|<\\?xml){0,40}") {
        fuzz::gate(soup.as_bytes());
    }
}

#[test]
fn any_bytes_never_panic() {
    bolero::check!().for_each(fuzz::gate);
}
