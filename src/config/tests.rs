//! What operators rely on: defaults, origins, faults with places.

use super::*;
use std::time::Duration;

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::from_text(text, Some(Path::new("tristack.toml")), BTreeMap::new())
}

fn faults(text: &str) -> Vec<String> {
    match parse(text) {
        Err(ConfigError::Faults(faults)) => faults.iter().map(ToString::to_string).collect(),
        other => panic!("accepted: {other:?}"),
    }
}

#[test]
fn nothing_at_all_gives_the_printed_defaults() {
    let config = parse("").expect("defaults");
    assert_eq!(config.server.data_dir, Path::new("tristack-data"));
    assert_eq!(config.server.domains, ["example.com"]);
    assert_eq!(
        config.rvp.listen,
        ["127.0.0.1:80".parse().expect("address")]
    );
    assert_eq!(
        config.rvp.hosts,
        ["im.example.com", "localhost", "127.0.0.1"]
    );
    assert_eq!(config.sip.udp, ["127.0.0.1:5060".parse().expect("address")]);
    assert_eq!(config.sip.tcp, config.sip.udp);
    assert_eq!(config.sip.udp_max, 16_384);
    assert_eq!(
        config.admin.listen,
        "127.0.0.1:8090".parse().expect("address")
    );
    assert_eq!(config.storage.url, "sqlite:tristack-data/tristack.db");
    assert_eq!(
        (config.log.format, config.log.level.as_str()),
        (Format::Text, "info")
    );
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.realm("example.com"), "example.com");
    assert!(config.settings.iter().all(|s| s.origin == Origin::Default));
}

#[test]
fn every_value_remembers_where_it_came_from() {
    let text = "[rvp]\nhosts = [\"im.a.example\"]\n[server]\ndomains = [\"A.example\"]\n";
    let environment = environment(&[
        ("TRISTACK_RVP_LISTEN", "127.0.0.1:0, [::1]:0"),
        ("TRISTACK_TEST_REQUIRE_PEERS", "1"),
        ("TRISTACK_DOMAIN_A_EXAMPLE_REALM", "Old Realm"),
        ("HOME", "/nowhere"),
    ]);
    let config =
        Config::from_text(text, Some(Path::new("etc/t.toml")), environment).expect("sound");
    let origin = |section: &str, key: &str| {
        let found = config
            .settings
            .iter()
            .find(|s| s.section == section && s.key == key);
        found.map(|s| s.origin.clone())
    };
    assert_eq!(origin("rvp", "hosts"), Some(Origin::File { line: 2 }));
    let variable = Origin::Environment("TRISTACK_RVP_LISTEN".into());
    assert_eq!(origin("rvp", "listen"), Some(variable));
    assert_eq!(origin("sip", "udp"), Some(Origin::Default));
    assert_eq!(config.rvp.listen.len(), 2);
    assert_eq!(config.realm("a.example"), "Old Realm");
    assert_eq!(config.server.data_dir, Path::new("etc/tristack-data"));
    assert_eq!(config.storage.url, "sqlite:etc/tristack-data/tristack.db");
}

#[test]
fn faults_name_place_and_nearest_key() {
    let found = faults(
        "[rvp]\nlisten = [\"127.0.0.1:80\"]\n  listne = 1\n[sipp]\n[log]\nformat = \"xml\"\n",
    );
    assert_eq!(
        found,
        [
            "tristack.toml:3:3: unknown key `listne` in [rvp]; did you mean `listen`?",
            "tristack.toml:6:10: log `format`: expected \"text\" or \"json\", found \"xml\"",
            "tristack.toml:4:2: unknown section or key `sipp`; did you mean [sip]?",
        ]
    );
    for (text, part) in [
        (
            "[server]\ndata_dir = 3",
            "tristack.toml:2:12: server `data_dir`: expected a text, found integer",
        ),
        ("[server]\ndomains = []", "at least one domain"),
        ("[server]\ndomains = [\"bad domain\"]", "not a domain name"),
        ("[server\n", "tristack.toml:1:"),
        ("server = 1", "write [server] on a line of its own"),
        ("[sip]\nudp = \"here\"", "an address and port like"),
        ("[sip]\nudp_max = 70000", "between 1300 and 65000"),
        ("[limits]\nbody = 0", "at least 1"),
        ("[limits]\nbody = -1", "negative or too large"),
        ("[limits]\nanswer = \"0s\"", "more than 0"),
        ("[storage]\nurl = \"mysql://x\"", "sqlite: or postgres://"),
        ("[log]\nlevel = \"loud\"", "use error, warn"),
        (
            "[domain.\"other.example\"]\nrealm = \"x\"",
            "one of [server] domains",
        ),
        (
            "[domain.\"example.com\"]\narchive = \"maybe\"",
            "expected \"off\" or \"on\" or \"required\"",
        ),
        ("[archive]\nretention_days = 99999", "at most 36525"),
        (
            "[archive.people]\n\"alice\" = \"on\"",
            "archive `people`: \"alice\" = \"on\"",
        ),
        (
            "[archive.groups]\n\"traders\" = \"required\"",
            "write its path, like /groups/traders",
        ),
        (
            "[rvp.host_domains]\n\"im.b\" = \"b.example\"",
            "not one of [server] domains",
        ),
    ] {
        let found = faults(text);
        assert!(
            found.iter().any(|fault| fault.contains(part)),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn unknown_variables_are_faults_too() {
    let environment = environment(&[("TRISTACK_RVP_LISTNE", "x")]);
    let error = Config::from_text("", None, environment).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "TRISTACK_RVP_LISTNE: this environment variable names no setting; did you mean TRISTACK_RVP_LISTEN?"
    );
}

#[test]
fn hosts_stand_for_domains_whatever_port_and_case() {
    let config = parse(
        "[server]\ndomains = [\"a.example\", \"b.example\"]\n\
         [rvp.host_domains]\n\"IM.B.example\" = \"b.example\"\n[rvp.netbios]\ncorp = \"b.example\"\n",
    )
    .expect("sound");
    for (host, domain) in [
        ("im.a.example", Some("a.example")),
        ("IM.a.Example:8080", Some("a.example")),
        ("im.b.example:80", Some("b.example")),
        ("127.0.0.1:1", Some("a.example")),
        ("im.c.example", None),
        ("", None),
    ] {
        assert_eq!(
            config.rvp.domain_of_host(host, "a.example"),
            domain,
            "{host}"
        );
    }
    assert_eq!(
        config.rvp.netbios.get("CORP").map(String::as_str),
        Some("b.example")
    );
}

#[test]
fn passwords_are_never_shown() {
    let text = "[storage]\nurl = \"postgres://me:s3c@ret@db.example/t?sslmode=disable\"\n";
    let config = parse(text).expect("sound");
    assert_eq!(
        config.storage.shown(),
        "postgres://me:***@db.example/t?sslmode=disable"
    );
    assert!(!format!("{config:?}").contains("s3c"));
    assert!(config.storage.url.contains("s3c@ret"));
}

/// Any text either gives a configuration or faults; nothing panics.
#[test]
fn any_file_is_answered() {
    bolero::check!().for_each(|octets: &[u8]| {
        if let Ok(text) = std::str::from_utf8(octets) {
            let _ = parse(text);
        }
    });
    for seed in [
        "[limits]\nbody = 0x7fff_ffff_ffff_ffff_ff",
        "[rvp]\nlisten = [[]]",
        "[domain]\nx=1",
        "[[rvp]]",
        "rvp.listen.x = 1",
    ] {
        assert!(parse(seed).is_err(), "{seed}");
    }
}

#[test]
fn schemes_depend_on_listener_and_network() {
    let config = parse(
        "[rvp]\nauth = [\"digest\"]\ntls_auth = [\"negotiate\", \"ntlm\"]\n\
         auth_networks = { \"10.0.0.0/8\" = \"ntlm digest\", \"10.1.0.0/16\" = \"digest\" }\n",
    )
    .expect("sound");
    let schemes = |peer: &str, encrypted| {
        let peer = peer.parse().expect("address");
        config.rvp.schemes(peer, encrypted).to_vec()
    };
    assert_eq!(schemes("192.0.2.1", false), [Scheme::Digest]);
    assert_eq!(
        schemes("192.0.2.1", true),
        [Scheme::Negotiate, Scheme::Ntlm]
    );
    assert_eq!(schemes("10.2.0.1", true), [Scheme::Ntlm, Scheme::Digest]);
    assert_eq!(schemes("10.1.0.1", true), [Scheme::Digest]);
    for (text, expected) in [
        (
            "auth_networks = { \"10.0.0.0/99\" = \"ntlm\" }",
            "10.0.0.0/99",
        ),
        ("auth_networks = { \"10.0.0.0/8\" = \"basic\" }", "basic"),
        ("auth_networks = { \"10.0.0.0/8\" = \"\" }", "at least one"),
        ("tls_auth = []", "at least one"),
    ] {
        let found = faults(&format!("[rvp]\n{text}\n"));
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn certificate_and_key_go_together() {
    let config = parse("[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n").expect("sound");
    assert_eq!(config.tls.key.as_deref(), Some(Path::new("k.pem")));
    let found = faults("[tls]\nkey = \"k.pem\"\n");
    assert!(found[0].contains("`certificate` as well"), "{found:?}");
}

#[test]
fn neighbours_are_read_with_what_follows_from_their_names() {
    let config = parse(
        r#"
        [server]
        domains = ["a.example"]
        [sip]
        outbound_domains = ["C.example", "*"]
        [sip.peers."B.example"]
        route = ["sip:192.0.2.1:5070;transport=tcp", "sips:[2001:db8::1]"]
        trust = "address"
        [sip.peers."hoster"]
        domains = ["x.example", "y.example"]
        trust = "tls"
        user = "gate"
        password_file = "gate.password"
        "#,
    )
    .expect("sound");
    let peers = &config.sip.peers;
    assert_eq!(peers.outbound, ["c.example", "*"]);
    let [b, hoster] = peers.known.as_slice() else {
        panic!("{:?}", peers.known);
    };
    assert_eq!(b.domains, ["b.example"]);
    let networks: Vec<String> = b.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["192.0.2.1/32", "2001:db8::1/128"]);
    assert_eq!(b.trust, Trust::Address);
    assert_eq!(hoster.tls_names, ["x.example", "y.example"]);
    assert_eq!(
        hoster.password_file.as_deref(),
        Some(Path::new("gate.password"))
    );
    let shown = |key: &str| config.settings.iter().any(|setting| setting.key == key);
    for key in [
        "route",
        "trust",
        "addresses",
        "tls_names",
        "user",
        "peer_check",
    ] {
        assert!(shown(key), "{key}");
    }
}

#[test]
fn neighbours_that_would_be_dangerous_or_unclear_are_refused() {
    let refused = |section: &str, what: &str| {
        let text = format!("[server]\ndomains = [\"a.example\"]\n{section}");
        let faults = faults(&text);
        assert!(
            faults.iter().any(|fault| fault.contains(what)),
            "{section}: {faults:?}"
        );
    };
    refused(
        "[sip.peers.\"b.example\"]\ntrust = \"address\"",
        "needs addresses",
    );
    refused(
        "[sip.peers.\"b.example\"]\naddresses = [\"0.0.0.0/0\"]",
        "anybody be anybody",
    );
    refused(
        "[sip.peers.\"b.example\"]\nroute = \"b.example:5060\"",
        "write a place as sip:",
    );
    refused("[sip.peers.\"b.example\"]\nuser = \"x\"", "go together");
    refused("[sip.peers.\"a.example\"]", "is ours");
    refused(
        "[sip.peers.\"b.example\"]\n[rvp.peers.\"b.example\"]",
        "one way must be chosen",
    );
    refused(
        "[sip.peers.\"one\"]\ndomains = [\"b.example\"]\n[sip.peers.\"two\"]\ndomains = [\"b.example\"]",
        "two [sip.peers]",
    );
    refused(
        "[sip.peers.\"b.example\"]\ntrsut = \"tls\"",
        "did you mean `trust`",
    );
    refused(
        "[rvp.peers.\"b.example\"]\nauthorities = [\"b.pem\"]",
        "vouch for nobody without tls",
    );
}

#[test]
fn a_peer_may_have_authorities_of_its_own() {
    let config = parse(
        "[rvp.peers.\"b.example\"]\ntls = true\nauthorities = [\"b.pem\"]\n\
         [rvp.peers.\"c.example\"]\ntls = true\n[sip.peers.\"d.example\"]\nauthorities = [\"d.pem\"]",
    )
    .expect("sound");
    let rvp = &config.rvp.peers.known;
    let own = rvp.iter().map(|peer| peer.own_authorities());
    assert_eq!(own.collect::<Vec<_>>(), [Some("b.example"), None]);
    assert_eq!(rvp[0].authorities, [Path::new("b.pem")]);
    let [sip] = config.sip.peers.known.as_slice() else {
        panic!("one");
    };
    assert_eq!(sip.own_authorities(), Some("d.example"));
}

#[test]
fn kerberos_needs_its_feature_and_its_keytab() {
    let told = faults("[auth]\nkerberos_keytab = \"/nowhere/at/all\"\n").join("\n");
    if cfg!(feature = "gssapi") {
        assert!(told.contains("/nowhere/at/all: "), "{told}");
    } else {
        assert!(told.contains("built without Kerberos"), "{told}");
        assert!(told.contains("--features gssapi"), "{told}");
    }
    let config = parse("[server]\ndomains = [\"a.example\"]\n").expect("sound");
    assert!(
        config.auth.kerberos.is_none(),
        "nothing is spoken unless a keytab is named"
    );
    let shown = |key: &str| {
        let setting = config.settings.iter().find(|s| s.key == key);
        setting.map(|s| s.value.clone()).unwrap_or_default()
    };
    assert_eq!(shown("kerberos_services"), "[\"HTTP\"]");
    assert!(shown("kerberos_realms").contains("a.example"));
    let foreign = faults("[auth]\nkerberos_realms = { R = \"b.example\" }\n");
    assert!(
        foreign[0].contains("not one of [server] domains"),
        "{foreign:?}"
    );
}

#[test]
fn ldap_is_tls_and_whole_or_refused() {
    let with = |lines: &str| format!("[portal]\nldap_url = \"ldaps://dc1\"\n{lines}");
    let ldap = parse(&with("ldap_base = \"dc=x\"\n"))
        .expect("sound")
        .portal
        .ldap;
    let ldap = ldap.expect("a directory");
    assert!(!ldap.plain, "TLS unless said otherwise");
    assert!(parse("").expect("sound").portal.ldap.is_none());
    for (lines, fault) in [
        ("", "below what are people"),
        ("ldap_base = \"dc=x\"\nldap_plain = true\n", "contradicts"),
        (
            "ldap_base = \"dc=x\"\nldap_bind_dn = \"cn=x\"\n",
            "needs `ldap_password_file`",
        ),
        (
            "ldap_base = \"dc=x\"\nldap_password_file = \"x\"\n",
            "needs `ldap_bind_dn`",
        ),
        (
            "ldap_base = \"dc=x\"\nldap_filter = \"a=b\"\n",
            "in parentheses",
        ),
        (
            "ldap_base = \"dc=x\"\nldap_login = \"a)(b\"\n",
            "no name of an attribute",
        ),
    ] {
        let told = faults(&with(lines)).join("\n");
        assert!(told.contains(fault), "{fault}: {told}");
    }
    for url in [
        "dc1",
        "http://dc1",
        "ldaps://",
        "ldap:///dc=x",
        "ldaps://u@dc1",
        "ldapi://x",
    ] {
        let text = format!("[portal]\nldap_url = {url:?}\nldap_base = \"dc=x\"\n");
        assert!(faults(&text)[0].contains("ldaps://HOST"), "{url}");
    }
}

#[test]
fn delivery_and_kept_texts_are_chosen_everywhere_and_per_domain() {
    let config = parse("").expect("defaults");
    assert_eq!(config.delivery.policy, Policy::All);
    assert_eq!(config.delivery.pair_within, Duration::from_secs(30));
    assert_eq!(config.delivery.idle_after, Duration::from_mins(30));
    assert_eq!(config.messages.offline, Offline::Refuse);
    assert_eq!(config.messages.keep_for, Duration::from_hours(168));
    let text = "[delivery]\npolicy = \"most_active\"\nidle_after = \"0s\"\n\
                [messages]\noffline = \"keep\"\n\
                [domain.\"example.com\"]\ndelivery = \"preferred\"\nprefer = \"sip\"\noffline = \"refuse\"";
    let config = parse(text).expect("sound");
    let own = &config.domains["example.com"];
    assert_eq!(config.delivery.policy, Policy::MostActive);
    assert!(config.delivery.idle_after.is_zero());
    assert_eq!(own.delivery, Some(Policy::Preferred));
    assert_eq!(own.prefer, Some(Preferred::Sip));
    assert_eq!(own.offline, Some(Offline::Refuse));
    for (text, part) in [
        ("[delivery]\npolicy = \"some\"", "most_active"),
        ("[delivery]\nprefer = \"msnp\"", "\"rvp\" or \"sip\""),
        ("[messages]\noffline = \"maybe\"", "\"refuse\" or \"keep\""),
        ("[messages]\nkeep_for = \"0s\"", "more than 0"),
        ("[limits]\naway_texts = 0", "at least 1"),
        ("[mesages]\noffline = \"keep\"", "messages"),
    ] {
        let found = faults(text).join("\n");
        assert!(found.contains(part), "{text}: {found}");
    }
}
