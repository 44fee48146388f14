use super::*;
use crate::error::ParseError;
use crate::request::SubscriptionId;
use crate::status::Status;
use proptest::prelude::*;

const NS: &str = r#"xmlns:d="DAV:" xmlns:r="http://schemas.microsoft.com/rvp/""#;
const NSA: &str = r#"xmlns:d="DAV:" xmlns:r="http://schemas.microsoft.com/rvp/" xmlns:a="http://schemas.microsoft.com/rvp/acl/""#;
const ALICE: &str = "http://im.example.com/instmsg/aliases/alice";
const BOB: &str = "http://im.example.com/instmsg/aliases/bob";

fn leased(state: State, seconds: Option<u32>, view: Option<&str>) -> Property {
    let lease = Some(Lease {
        default: State::Offline,
        seconds,
    });
    Property::State(StateValue {
        state,
        lease,
        view: view.map(Into::into),
    })
}

#[test]
fn rvp_5_subscribe_the_answer_to_watching_is_literal() {
    let answer = Multistatus::watched(
        ALICE,
        vec![
            Property::State(StateValue::bare(State::Online)),
            Property::DisplayName("Alice & Co".into()),
            Property::Email("alice@example.com".into()),
            Property::MobileState(String::new()),
        ],
    );
    let expected = format!(
        "<?xml version=\"1.0\"?><d:multistatus {NS}><d:response><d:href>{ALICE}</d:href>\
         <d:propstat><d:prop><r:state><r:online/></r:state><d:displayname>Alice &amp; Co</d:displayname>\
         <r:email>alice@example.com</r:email><r:mobile-state/></d:prop>\
         <d:status>HTTP/1.1 200 Successful</d:status></d:propstat></d:response></d:multistatus>"
    );
    assert_eq!(answer.to_xml(), expected);
    let read = Multistatus::parse(expected.as_bytes(), MAX_BODY).unwrap();
    assert_eq!(
        read.properties().next(),
        Some(&Property::State(StateValue::bare(State::Online)))
    );
}

#[test]
fn rvp_5_propfind_answers_per_status() {
    let other = xml::Name::new("urn:x", "missing");
    let answer = Multistatus::one(
        ALICE,
        vec![
            Propstat::new(Status::Successful, vec![]),
            Propstat::new(
                Status::NotFound,
                vec![Property::Name(PropertyName::Other(other))],
            ),
            Propstat::new(Status::Forbidden, vec![Property::Name(PropertyName::State)]),
        ],
    );
    let xml = answer.to_xml();
    assert!(!xml.contains("200 Successful"), "{xml}");
    assert!(
        xml.contains(
            "<d:propstat><d:prop><n2:missing/></d:prop><d:status>HTTP/1.1 404 Not Found</d:status>"
        ),
        "{xml}"
    );
    assert!(
        xml.contains("<d:prop><r:state/></d:prop><d:status>HTTP/1.1 403 Forbidden</d:status>"),
        "{xml}"
    );
    let read = Multistatus::parse(xml.as_bytes(), MAX_BODY).unwrap();
    assert_eq!(
        read.responses[0].propstats[..],
        answer.responses[0].propstats[1..]
    );
    let nothing = Multistatus::watched(ALICE, vec![]).to_xml();
    assert!(
        nothing.contains("<d:propstat><d:prop/><d:status>HTTP/1.1 200 Successful"),
        "{nothing}"
    );
}

#[test]
fn rvp_5_propfind_reads_its_three_forms_and_refuses_nothing() {
    let parse = |body: &str| Propfind::parse(body.as_bytes(), MAX_BODY);
    let body = format!(
        "\u{FEFF}<?xml version='1.0' encoding='utf-8'?><D:propfind xmlns:D='DAV:' xmlns:q='{}'><D:prop><D:displayname/><q:state/><q:state/><x xmlns='urn:x'/></D:prop></D:propfind>",
        crate::namespace::RVP
    );
    let other = PropertyName::Other(xml::Name::new("urn:x", "x"));
    assert_eq!(
        parse(&body),
        Ok(Propfind::Properties(vec![
            PropertyName::DisplayName,
            PropertyName::State,
            other
        ]))
    );
    assert_eq!(
        parse("<propfind xmlns='DAV:'><allprop/></propfind>"),
        Ok(Propfind::All)
    );
    assert_eq!(
        parse("<propfind xmlns='DAV:'><propname/></propfind>"),
        Ok(Propfind::Names)
    );
    assert_eq!(parse(""), Err(ParseError::NoBody));
    assert_eq!(parse(" \r\n"), Err(ParseError::NoBody));
    assert_eq!(
        parse("<propfind xmlns='DAV:'/>"),
        Err(ParseError::Element("prop"))
    );
    assert_eq!(
        parse("<propfind xmlns='DAV:'><allprop/><propname/></propfind>"),
        Err(ParseError::Element("prop"))
    );
    assert_eq!(parse("<propfind/>"), Err(ParseError::Root));
    for form in [
        Propfind::All,
        Propfind::Names,
        Propfind::Properties(vec![PropertyName::Email]),
    ] {
        assert_eq!(parse(&form.to_xml()), Ok(form));
    }
}

#[test]
fn rvp_5_proppatch_leases_presence_with_a_view() {
    let body = "<d:propertyupdate xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"><d:set><d:prop><r:state>
 <r:leased-value><r:value><r:online/></r:value><r:default-value><r:offline/></r:default-value><d:timeout>1200</d:timeout></r:leased-value>
 <r:view-id>3577</r:view-id></r:state></d:prop></d:set></d:propertyupdate>";
    let update = PropertyUpdate::parse(body.as_bytes(), MAX_BODY).unwrap();
    let expected = leased(State::Online, Some(1200), Some("3577"));
    assert_eq!(update, PropertyUpdate::set([expected.clone()]));
    let answer = Multistatus::watched(ALICE, vec![expected]).to_xml();
    assert!(answer.contains(
        "<r:state><r:leased-value><r:value><r:online/></r:value><r:default-value><r:offline/></r:default-value>\
         <d:timeout>1200</d:timeout></r:leased-value><r:view-id>3577</r:view-id></r:state>"), "{answer}");
}

#[test]
fn rvp_8_10_leases_in_either_namespace_and_without_view() {
    for (timeout, seconds) in [
        ("<d:timeout>1200</d:timeout>", Some(1200)),
        ("<r:timeout> 14400 </r:timeout>", Some(14400)),
        ("<d:timeout>Second-600</d:timeout>", Some(600)),
        ("<d:timeout>Infinite</d:timeout>", Some(u32::MAX)),
        ("", None),
    ] {
        let body = format!(
            "<d:propupdate {NS}><d:set><d:prop><r:state><r:leased-value><r:value><r:back-soon/></r:value>{timeout}</r:leased-value></r:state></d:prop></d:set></d:propupdate>"
        );
        let update = PropertyUpdate::parse(body.as_bytes(), MAX_BODY).unwrap();
        assert_eq!(
            update,
            PropertyUpdate::set([leased(State::BackSoon, seconds, None)]),
            "{timeout}"
        );
    }
}

#[test]
fn ill_formed_states_are_refused() {
    for (state, error) in [
        ("", ParseError::Element("state")),
        ("online", ParseError::Element("state")),
        ("<r:online/><r:busy/>", ParseError::Element("state")),
        ("<r:leased-value/>", ParseError::Element("value")),
        (
            "<r:leased-value><r:value/></r:leased-value>",
            ParseError::Element("value"),
        ),
        (
            "<r:leased-value><r:value><r:online/></r:value></r:leased-value><r:online/>",
            ParseError::Element("state"),
        ),
        (
            "<r:leased-value><r:value><r:online/></r:value><d:timeout>-1</d:timeout></r:leased-value>",
            ParseError::Value("timeout"),
        ),
        (
            "<r:online/><r:view-id>a b</r:view-id>",
            ParseError::Value("view-id"),
        ),
    ] {
        let body = format!(
            "<d:propertyupdate {NS}><d:set><d:prop><r:state>{state}</r:state></d:prop></d:set></d:propertyupdate>"
        );
        assert_eq!(
            PropertyUpdate::parse(body.as_bytes(), MAX_BODY),
            Err(error),
            "{state}"
        );
    }
    let nothing = format!("<d:propertyupdate {NS}><d:set/></d:propertyupdate>");
    assert_eq!(
        PropertyUpdate::parse(nothing.as_bytes(), MAX_BODY),
        Err(ParseError::Element("prop"))
    );
}

#[test]
fn rvp_5_unknown_states_are_kept_for_echo() {
    let state = State::parse("gone-fishing").unwrap();
    assert_eq!(state.as_str(), "gone-fishing");
    let xml = PropertyUpdate::set([Property::State(StateValue::bare(state))]).to_xml();
    assert!(
        xml.contains("<r:state><r:gone-fishing/></r:state>"),
        "{xml}"
    );
    for known in [
        "online",
        "offline",
        "away",
        "busy",
        "back-soon",
        "on-phone",
        "at-lunch",
        "idle",
        "invisible",
    ] {
        let state = State::parse(known).unwrap();
        assert!(!matches!(state, State::Other(_)) && state.as_str() == known);
    }
    assert_eq!(State::parse("a b"), None);
}

#[test]
fn rvp_5_opaque_properties_are_kept_and_set_and_remove_keep_their_order() {
    let body = format!(
        "<d:propertyupdate {NS}><d:set><d:prop><c:contacts xmlns:c='urn:c' c:v='1'><c:c>bob</c:c><![CDATA[<]]></c:contacts></d:prop></d:set><d:remove><d:prop><r:email/></d:prop></d:remove><d:set><d:prop><d:displayname> A </d:displayname></d:prop></d:set></d:propertyupdate>"
    );
    let update = PropertyUpdate::parse(body.as_bytes(), MAX_BODY).unwrap();
    let [
        Change::Set(Property::Opaque(contacts)),
        Change::Remove(PropertyName::Email),
        Change::Set(Property::DisplayName(name)),
    ] = &update.changes[..]
    else {
        panic!("{update:?}")
    };
    assert_eq!(name, "A");
    let stored = Property::to_stored(contacts);
    assert_eq!(
        stored,
        "<n0:contacts xmlns:n0=\"urn:c\" n0:v=\"1\"><n0:c>bob</n0:c><![CDATA[<]]></n0:contacts>"
    );
    assert_eq!(
        Property::from_stored(&stored),
        Ok(Property::Opaque(contacts.clone()))
    );
    assert_eq!(
        PropertyUpdate::parse(update.to_xml().as_bytes(), MAX_BODY),
        Ok(update)
    );
}

#[test]
fn rvp_5_notify_a_message_is_written_literally() {
    let message = Notification::Message(Message {
        from: Contact::named(ALICE, "Alice"),
        to: vec![Contact::new(BOB)],
        mime: "MIME-Version: 1.0\r\n\r\na ]]> b & <c>".into(),
    });
    let expected = format!(
        "<?xml version=\"1.0\"?><r:notification {NS}><r:message>\
         <r:notification-from><r:contact><d:href>{ALICE}</d:href><r:description>Alice</r:description></r:contact></r:notification-from>\
         <r:notification-to><r:contact><d:href>{BOB}</d:href><r:description/></r:contact></r:notification-to>\
         <r:msgbody><r:mime-data><![CDATA[MIME-Version: 1.0\r\n\r\na ]]]]><![CDATA[> b & <c>]]></r:mime-data></r:msgbody>\
         </r:message></r:notification>"
    ).replace(NS, "xmlns:d=\"DAV:\" xmlns:r=\"http://schemas.microsoft.com/rvp/\"");
    assert_eq!(message.to_xml(), expected.as_bytes());
    assert_eq!(
        Notification::parse(expected.as_bytes(), MAX_BODY),
        Ok(message)
    );
}

#[test]
fn rvp_5_notify_reads_tolerantly() {
    // notification in DAV:, default namespaces, white space, several recipients, text for CDATA.
    let body = "<notification xmlns='dav:'><message xmlns='HTTP://schemas.Microsoft.com/rvp'>
      <notification-from><contact><href xmlns='DAV:'> http://im.example.com/instmsg/
        aliases/alice </href></contact></notification-from>
      <notification-to><contact><d:href xmlns:d='DAV:'>b</d:href><description> B </description></contact>
        <contact><d:href xmlns:d='DAV:'>c</d:href></contact></notification-to>
      <notification-to><contact><d:href xmlns:d='DAV:'>e</d:href></contact></notification-to>
      <msgbody><mime-data>
        A: b &amp; c&#13;
</mime-data></msgbody><extra/></message></notification>";
    let Ok(Notification::Message(message)) = Notification::parse(body.as_bytes(), MAX_BODY) else {
        panic!()
    };
    assert_eq!(message.from, Contact::new(ALICE));
    assert_eq!(
        message.to,
        [
            Contact::named("b", "B"),
            Contact::new("c"),
            Contact::new("e")
        ]
    );
    assert_eq!(message.mime, "A: b & c\r\n");
}

#[test]
fn layout_round_the_cdata_section_is_no_content() {
    let body = format!(
        "<r:notification {NS}><r:message><r:notification-from><r:contact><d:href>a</d:href></r:contact></r:notification-from><r:msgbody><r:mime-data>\n <![CDATA[ X: y\r\n\r\n z\n]]>\n</r:mime-data></r:msgbody></r:message></r:notification>"
    );
    let Ok(Notification::Message(message)) = Notification::parse(body.as_bytes(), MAX_BODY) else {
        panic!()
    };
    assert_eq!(message.mime, " X: y\r\n\r\n z\n");
}

#[test]
fn rvp_8_11_an_unescaped_cdata_end_is_refused_not_guessed() {
    let body = format!(
        "<r:notification {NS}><r:message><r:notification-from><r:contact><d:href>a</d:href></r:contact></r:notification-from><r:msgbody><r:mime-data><![CDATA[A: b\r\n\r\nx ]]> y]]></r:mime-data></r:msgbody></r:message></r:notification>"
    );
    let error = Notification::parse(body.as_bytes(), MAX_BODY).unwrap_err();
    assert!(
        matches!(&error, ParseError::Xml(e) if e.kind == xml::ErrorKind::CDataEnd),
        "{error}"
    );
    assert_eq!(error.status(), Status::BadRequest);
}

#[test]
fn rvp_5_notify_holds_exactly_one_thing() {
    let parse = |inner: &str| {
        Notification::parse(
            format!("<r:notification {NS}>{inner}</r:notification>").as_bytes(),
            MAX_BODY,
        )
    };
    assert_eq!(parse(""), Err(ParseError::Element("notification")));
    assert_eq!(
        parse("<r:message/><r:message/>"),
        Err(ParseError::Element("notification"))
    );
    assert_eq!(
        parse("<x/><r:propnotification/>"),
        Err(ParseError::Element("notification"))
    );
    assert_eq!(
        parse("<r:message/>"),
        Err(ParseError::Element("notification-from"))
    );
    for own in [
        "<s:shipment xmlns:s='urn:s'>\r\n<s:id>1</s:id></s:shipment>",
        "<x/><y/>",
    ] {
        let body = format!("<r:notification {NS}>{own}</r:notification>");
        let Ok(Notification::Other(raw)) = Notification::parse(body.as_bytes(), MAX_BODY) else {
            panic!("{own}")
        };
        assert_eq!(raw, body.as_bytes(), "byte for byte");
    }
    assert!(matches!(
        Notification::parse(b"<event/>", MAX_BODY),
        Ok(Notification::Other(_))
    ));
    assert_eq!(
        Notification::parse(b"<e></f>", MAX_BODY)
            .unwrap_err()
            .status(),
        Status::BadRequest
    );
}

#[test]
fn rvp_5_property_notifications_hold_the_bare_state() {
    let notification = Notification::Properties(PropNotification {
        from: Contact::named(ALICE, ""),
        to: vec![Contact::new(BOB)],
        update: PropertyUpdate::set([Property::State(StateValue::bare(State::Away))]),
    });
    let xml = notification.to_xml();
    let text = std::str::from_utf8(&xml).unwrap();
    assert!(text.contains("<d:propertyupdate><d:set><d:prop><r:state><r:away/></r:state></d:prop></d:set></d:propertyupdate></r:propnotification></r:notification>"), "{text}");
    assert_eq!(Notification::parse(&xml, MAX_BODY), Ok(notification));
}

#[test]
fn rvp_4_limits_are_413_for_size_and_400_for_shape() {
    let long = format!(
        "<r:notification {NS}><x>{}</x></r:notification>",
        "y".repeat(MAX_BODY)
    );
    assert_eq!(
        Notification::parse(long.as_bytes(), MAX_BODY)
            .unwrap_err()
            .status(),
        Status::TooLarge
    );
    let deep = "<a>".repeat(40) + &"</a>".repeat(40);
    let dtd = "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>";
    for body in [deep.as_str(), dtd, "<a", "\u{0}"] {
        assert_eq!(
            Notification::parse(body.as_bytes(), MAX_BODY)
                .unwrap_err()
                .status(),
            Status::BadRequest
        );
    }
}

#[test]
fn rvp_5_subscriptions_are_written_literally() {
    let list = Subscriptions {
        list: vec![Subscription {
            id: SubscriptionId::from(98210),
            href: "http://198.51.100.7:1234".into(),
            principal: ALICE.into(),
            seconds: Some(14000),
        }],
    };
    let expected = format!(
        "<?xml version=\"1.0\"?><r:subscriptions {NSA}><r:subscription><r:subscription-id>98210</r:subscription-id>\
         <d:href>http://198.51.100.7:1234</d:href><a:principal><a:rvp-principal>{ALICE}</a:rvp-principal></a:principal>\
         <d:timeout>14000</d:timeout></r:subscription></r:subscriptions>"
    );
    assert_eq!(list.to_xml(), expected);
    assert_eq!(
        Subscriptions::parse(expected.as_bytes(), MAX_BODY),
        Ok(list)
    );
}

#[test]
fn rvp_5_acl_is_written_literally_and_read_in_variants() {
    let list = Acl {
        aces: vec![
            Ace {
                principal: AcePrincipal::One(BOB.into()),
                credentials: Credentials::Any,
                grant: Rights::NONE,
                deny: [Right::SendTo, Right::Presence].into_iter().collect(),
            },
            Ace {
                principal: AcePrincipal::All,
                credentials: Credentials::Only(Schemes {
                    ntlm: true,
                    digest: true,
                    ..Schemes::default()
                }),
                grant: Rights::NONE.with(Right::Read),
                deny: Rights::NONE,
            },
        ],
    };
    let expected = format!(
        "<?xml version=\"1.0\"?><a:rvpacl {NSA}><a:acl><a:inheritance>none</a:inheritance>\
         <a:ace><a:principal><a:rvp-principal>{BOB}</a:rvp-principal><a:credentials><a:any/></a:credentials></a:principal><a:grant/><a:deny><a:send-to/><a:presence/></a:deny></a:ace>\
         <a:ace><a:principal><a:allprincipals/><a:credentials><a:ntlm/><a:digest/></a:credentials></a:principal><a:grant><a:read/></a:grant><a:deny/></a:ace></a:acl></a:rvpacl>"
    );
    assert_eq!(list.to_xml(), expected);
    let variant = expected
        .replace("/rvp/acl/", "/RVP/ACL")
        .replace(BOB, &format!("\n {BOB}\r\n"));
    assert_eq!(Acl::parse(variant.as_bytes(), MAX_BODY), Ok(list));
    let none = expected.replace("<a:any/>", "");
    let error = Acl::parse(none.as_bytes(), MAX_BODY).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.status()),
        ("credentials not specified", Status::BadRequest)
    );
    let absent = expected.replace("<a:credentials><a:any/></a:credentials>", "");
    assert_eq!(
        Acl::parse(absent.as_bytes(), MAX_BODY),
        Err(ParseError::Credentials)
    );
}

/// `RVP 8.7`: readers that match literal strings find them, and only the root declares prefixes.
#[test]
fn rvp_8_7_every_document_declares_prefixes_on_its_root_only() {
    let properties = vec![
        Property::State(StateValue::bare(State::Idle)),
        Property::DisplayName("x".into()),
    ];
    let documents = [
        Multistatus::watched(ALICE, properties.clone()).to_xml(),
        PropertyUpdate::set(properties).to_xml(),
        Acl::default().to_xml(),
        Subscriptions::default().to_xml(),
        Propfind::All.to_xml(),
    ];
    for xml in documents {
        let root_end = xml
            .find('>')
            .and_then(|d| xml[d + 1..].find('>').map(|r| d + 1 + r))
            .unwrap();
        assert!(!xml[root_end..].contains("xmlns"), "{xml}");
        assert!(!xml.contains("xmlns="), "{xml}");
        let tags = xml[21..]
            .split('<')
            .skip(1)
            .map(|tag| tag.trim_start_matches('/'));
        for tag in tags {
            assert!(
                ["d:", "r:", "a:"]
                    .iter()
                    .any(|prefix| tag.starts_with(prefix)),
                "{tag} in {xml}"
            );
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    "[ -~é\u{10000}\\]>]{0,12}".prop_map(|text: String| text.trim_matches(' ').to_owned())
}

fn property() -> impl Strategy<Value = Property> {
    let state = "[a-z][a-z-]{0,8}".prop_map(|token| State::parse(&token).unwrap());
    let lease = (state.clone(), proptest::option::of(any::<u32>()))
        .prop_map(|(default, seconds)| Lease { default, seconds });
    let view = proptest::option::of("[0-9a-f]{1,8}");
    let value =
        (state, proptest::option::of((lease, view))).prop_map(|(state, leased)| match leased {
            Some((lease, view)) => StateValue {
                state,
                lease: Some(lease),
                view,
            },
            None => StateValue::bare(state),
        });
    prop_oneof![
        // A token that names an element of the grammar itself is none.
        value
            .prop_filter("grammar", |v| !["value", "leased-value", "view-id"]
                .contains(&v.state.as_str()))
            .prop_map(Property::State),
        text().prop_map(Property::DisplayName),
        text().prop_map(Property::Email),
        text().prop_map(|t| Property::Opaque(xml::Element::new("urn:c", "c").with_cdata(t))),
    ]
}

proptest! {
    #[test]
    fn what_is_written_reads_as_the_same(properties in proptest::collection::vec(property(), 1..5), from in text(), mime in "[ -~é\u{85}\r\n\u{10000}\\]>]{1,40}", to in 1usize..3) {
        let update = PropertyUpdate::set(properties);
        prop_assert_eq!(PropertyUpdate::parse(update.to_xml().as_bytes(), MAX_BODY), Ok(update.clone()));
        let from = Contact::named(ALICE, from);
        let to = vec![Contact::new(BOB); to];
        let notification = Notification::Properties(PropNotification { from: from.clone(), to: to.clone(), update });
        prop_assert_eq!(Notification::parse(&notification.to_xml(), MAX_BODY), Ok(notification));
        let message = Notification::Message(Message { from, to, mime });
        prop_assert_eq!(Notification::parse(&message.to_xml(), MAX_BODY), Ok(message));
    }

    #[test]
    fn mutated_documents_never_panic(properties in proptest::collection::vec(property(), 1..3), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = Multistatus::watched(ALICE, properties).to_xml().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = with;
        crate::fuzz::documents(&bytes);
    }
}

#[test]
fn any_bytes_never_panic() {
    bolero::check!().for_each(crate::fuzz::documents);
}
