//! Values: states, properties and access entries, wire to core and back.

use super::names::Names;
use crate::core::access::{AccessEntry, Detail, Right, Rights, Scheme, Subject};
use crate::core::address::Address;
use crate::core::command::{PropertyName, PropertyValue};
use crate::core::port::Account;
use crate::core::presence::{Origin, Presence, State, View};
use crate::core::time::Time;
use crate::front::mapping::mapping;
use rvp::document::{
    Ace, AcePrincipal, Credentials, Property, PropertyName as WireName, Right as WireRight,
    Rights as WireRights, Schemes, State as WireState, StateValue,
};
use rvp::{Host, NodeUrl, Principal, namespace};
use std::time::Duration;

/// Longest lease of a property.
const LEASE_MAX: Duration = Duration::from_hours(24);

/// The neutral value of a state element (`presence-mapping.toml`, `decisions.md` 10).
pub(super) fn presence(state: &WireState) -> Presence {
    let token = state.as_str();
    match mapping().read_rvp(token) {
        Some(neutral) => Presence::of(neutral),
        None => Presence {
            state: State::Online,
            origin: Origin::Automatic,
            token: Some(token.into()),
            note: Some(token.into()),
            document: None,
        },
    }
}

/// The state element that a watcher is shown.
pub(super) fn state(view: &View) -> WireState {
    if let (State::Online, Some(token)) = (view.state, &view.token)
        && let Some(state) = WireState::parse(token)
    {
        return state;
    }
    WireState::parse(mapping().rvp_shown(view.state)).unwrap_or(WireState::Online)
}

/// The state as a property.
pub(super) fn state_property(view: &View) -> Property {
    Property::State(StateValue::bare(state(view)))
}

/// The core's name of a property.
pub(super) fn name(wire: &WireName) -> PropertyName {
    let (namespace, local) = match wire {
        WireName::State => (namespace::RVP, "state"),
        WireName::DisplayName => (namespace::DAV, "displayname"),
        WireName::Email => (namespace::RVP, "email"),
        WireName::MobileState => (namespace::RVP, "mobile-state"),
        WireName::MobileDescription => (namespace::RVP, "mobile-description"),
        WireName::Other(name) => (name.namespace().as_str(), name.local()),
    };
    PropertyName {
        namespace: namespace.into(),
        local: local.into(),
    }
}

/// The wire name of a stored property; `None` if it can be no element name.
pub(super) fn wire_name(name: &PropertyName) -> Option<WireName> {
    xml::Name::parse(std::sync::Arc::clone(&name.namespace), &name.local)
        .map(|name| WireName::of(&name))
}

/// What is stored of a property: text values as they are, others as a document of their own.
/// `None` for the state, which is no stored property.
pub(super) fn value(property: &Property) -> Option<PropertyValue> {
    let text = match property {
        Property::State(_) | Property::Name(WireName::State) => return None,
        Property::DisplayName(text)
        | Property::Email(text)
        | Property::MobileState(text)
        | Property::MobileDescription(text) => text.clone(),
        Property::Opaque(element) => Property::to_stored(element),
        Property::Name(WireName::Other(name)) => {
            Property::to_stored(&xml::Element::named(name.clone()))
        }
        Property::Name(_) => String::new(),
    };
    Some(PropertyValue {
        bytes: text.into_bytes().into(),
        expires: None,
        fallback: None,
    })
}

/// What is stored of a property that is set at `now`: of a leased value, the value until its time
/// is over, then the default, or nothing (`rvp.md` 5 PROPPATCH).
pub(super) fn leased(property: &Property, now: Time) -> Option<PropertyValue> {
    let Property::Opaque(element) = property else {
        return value(property);
    };
    let mut children = element.elements();
    let lease = match (children.next(), children.next()) {
        (Some(only), None) if only.is(namespace::RVP, "leased-value") => only,
        _ => return value(property),
    };
    let part = |local| lease.child(namespace::RVP, local);
    let stored = |part: &xml::Element| {
        let mut bare = element.clone();
        bare.children.clone_from(&part.children);
        Property::to_stored(&bare).into_bytes()
    };
    let timeout = lease
        .elements()
        .find(|child| child.name.local() == "timeout");
    let seconds = timeout.and_then(|timeout| timeout.trimmed().parse().ok());
    let (Some(current), Some(seconds)) = (part("value"), seconds) else {
        return value(property);
    };
    let fallback = part("default-value").filter(|default| !default.children.is_empty());
    Some(PropertyValue {
        bytes: stored(current).into(),
        expires: Some(now.after(Duration::from_secs(seconds).min(LEASE_MAX))),
        fallback: fallback.map(|default| stored(default).into()),
    })
}

/// A stored property as it is written; `None` if it can't be read.
pub(super) fn property(name: &WireName, value: &PropertyValue) -> Option<Property> {
    let text = std::str::from_utf8(&value.bytes).ok()?;
    match name {
        WireName::State => None,
        WireName::DisplayName => Some(Property::DisplayName(text.to_owned())),
        WireName::Email => Some(Property::Email(text.to_owned())),
        WireName::MobileState => Some(Property::MobileState(text.to_owned())),
        WireName::MobileDescription => Some(Property::MobileDescription(text.to_owned())),
        WireName::Other(_) => Property::from_stored(text).ok(),
    }
}

/// The name that is shown for an account that has set none.
pub(super) fn display_name(account: &Account) -> String {
    if account.display_name.is_empty() {
        account.address.local().to_owned()
    } else {
        account.display_name.clone()
    }
}

/// The mail address that is shown for an account that has set none.
pub(super) fn email(account: &Account) -> String {
    if account.email.is_empty() && account.node.is_some() {
        let alias = account.aliases.first();
        alias.map(Address::to_string).unwrap_or_default()
    } else if account.email.is_empty() {
        account.address.to_string()
    } else {
        account.email.clone()
    }
}

const RIGHTS: [(Right, WireRight); 10] = [
    (Right::List, WireRight::List),
    (Right::Read, WireRight::Read),
    (Right::Write, WireRight::Write),
    (Right::ReadAcl, WireRight::ReadAcl),
    (Right::WriteAcl, WireRight::WriteAcl),
    (Right::SendTo, WireRight::SendTo),
    (Right::Presence, WireRight::Presence),
    (Right::ReceiveFrom, WireRight::ReceiveFrom),
    (Right::Subscriptions, WireRight::Subscriptions),
    (Right::SubscribeOthers, WireRight::SubscribeOthers),
];

fn rights(wire: WireRights) -> Rights {
    if wire.has(WireRight::All) {
        return Rights::ALL;
    }
    RIGHTS
        .into_iter()
        .filter(|(_, name)| wire.has(*name))
        .fold(Rights::default(), |set, (right, _)| set.with(right))
}

fn wire_rights(rights: Rights) -> WireRights {
    if rights == Rights::ALL {
        return WireRights::NONE.with(WireRight::All);
    }
    RIGHTS
        .into_iter()
        .filter(|(right, _)| rights.has(*right))
        .map(|(_, name)| name)
        .collect()
}

/// An entry of an access list, as a client wrote it. `None` if it names nobody that can be.
/// `known` tells who a node is, here or elsewhere.
pub(super) fn entry(ace: &Ace, known: impl Fn(&NodeUrl) -> Option<Address>) -> Option<AccessEntry> {
    let subject = match &ace.principal {
        AcePrincipal::All => Subject::Everybody,
        AcePrincipal::One(text) => match Principal::parse(text).ok()? {
            Principal::Server(at) => Subject::Server(at.host.to_string().to_lowercase().into()),
            Principal::Node(node) => match known(&node).or_else(|| stranger(&node)) {
                Some(address) => Subject::Address(address),
                // It can be nobody who ever asks; kept as it was written.
                None => Subject::Server(text.trim().to_lowercase().into()),
            },
        },
    };
    let schemes = match ace.credentials {
        Credentials::Any => Vec::new(),
        Credentials::Only(only) => [
            (only.ntlm, Scheme::Ntlm),
            // The wire has one word for signing in the way Windows does.
            (only.ntlm, Scheme::Kerberos),
            (only.digest, Scheme::Digest),
            (only.assertion, Scheme::Assertion),
            (only.internal, Scheme::Internal),
        ]
        .into_iter()
        .filter_map(|(named, scheme)| named.then_some(scheme))
        .collect(),
    };
    Some(AccessEntry {
        subject,
        schemes,
        grant: rights(ace.grant),
        deny: rights(ace.deny),
        // RVP can't ask; what is asked is kept apart from what RVP clients write.
        ask: Rights::default(),
        detail: Detail::ALL,
    })
}

/// Somebody of a domain that no way leads to yet: by convention `im.DOMAIN` is its host.
fn stranger(node: &NodeUrl) -> Option<Address> {
    let Host::Name(name) = &node.authority.host else {
        return None;
    };
    let domain = name.strip_prefix("im.")?;
    Address::new(&node.alias()?.replace('%', "%25"), domain).ok()
}

/// An entry as a client reads it; `None` for those that RVP can't say.
pub(super) fn ace(entry: &AccessEntry, names: &Names, spoken: &str) -> Option<Ace> {
    let grant = match entry.subject {
        // "Everybody may" where people are asked means that everybody may ask.
        Subject::Everybody => Rights(entry.grant.0 | entry.ask.0),
        _ => entry.grant,
    };
    let only_asks = grant.0 | entry.deny.0 == 0 && entry.ask.0 != 0;
    if only_asks {
        return None;
    }
    let principal = match &entry.subject {
        Subject::Everybody => AcePrincipal::All,
        Subject::Address(address) => AcePrincipal::One(names.href(address, spoken)),
        Subject::Server(name) => AcePrincipal::One(name.to_string()),
        Subject::Domain(_) => return None,
    };
    let has = |scheme| entry.schemes.contains(&scheme);
    let only = Schemes {
        ntlm: has(Scheme::Ntlm) || has(Scheme::Kerberos),
        digest: has(Scheme::Digest),
        assertion: has(Scheme::Assertion),
        internal: has(Scheme::Internal),
    };
    let credentials = if only == Schemes::default() {
        Credentials::Any
    } else {
        Credentials::Only(only)
    };
    Some(Ace {
        principal,
        credentials,
        grant: wire_rights(grant),
        deny: wire_rights(entry.deny),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn states_go_both_ways() {
        for token in [
            "online",
            "offline",
            "away",
            "busy",
            "back-soon",
            "on-phone",
            "at-lunch",
            "idle",
            "gaming",
        ] {
            let wire = WireState::parse(token).expect(token);
            let value = presence(&wire);
            let view = View {
                state: value.state,
                token: value.token,
                note: value.note,
                since: Time(0),
                documents: None,
            };
            assert_eq!(state(&view).as_str(), token);
        }
        let hidden = presence(&WireState::Invisible);
        assert_eq!(hidden.state, State::Invisible);
        let unknown = presence(&WireState::parse("gaming").expect("token"));
        assert_eq!(
            (unknown.state, unknown.note.as_deref()),
            (State::Online, Some("gaming"))
        );
    }

    #[test]
    fn entries_go_both_ways() {
        let names = Names::new(&["example.com".into()], ["im.example.com"], [], vec![]);
        let local = IpAddr::from([127, 0, 0, 1]);
        for (principal, rights) in [
            (AcePrincipal::All, WireRights::NONE.with(WireRight::All)),
            (
                AcePrincipal::One("http://im.example.com/instmsg/aliases/bob".into()),
                WireRights::NONE
                    .with(WireRight::SendTo)
                    .with(WireRight::Presence),
            ),
            (AcePrincipal::One("im.example.com".into()), WireRights::NONE),
            (
                AcePrincipal::One("http://im.other.example/instmsg/aliases/x".into()),
                WireRights::NONE,
            ),
        ] {
            let written = Ace {
                principal,
                credentials: Credentials::Only(Schemes {
                    digest: true,
                    ..Schemes::default()
                }),
                grant: WireRights::NONE,
                deny: rights,
            };
            let kept = entry(&written, |node| names.address(node, Some(local)).ok());
            let kept = kept.expect("entry");
            assert_eq!(ace(&kept, &names, "im.example.com"), Some(written));
        }
    }
}
