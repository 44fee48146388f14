//! Bodies of the fuzz targets, also run by the properties of `cargo test`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a broken invariant is the finding"
)]

use crate::policy::{Handling, Ruleset, Subject, Surroundings, Wanted, mirror};
use crate::usage::Usage;
use crate::{NodeSelector, Terminal, edit, read};
use xml::Limits;

/// Any bytes: a selector, a body, a document, each ended by a zero octet. No panic; what is put is
/// got; what is deleted is gone.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn edits(data: &[u8]) {
    let mut parts = data.splitn(3, |octet| *octet == 0);
    let (Some(selector), Some(body)) = (parts.next(), parts.next()) else {
        return;
    };
    let source = parts.next().unwrap_or_default();
    let Ok(selector) = std::str::from_utf8(selector) else {
        return;
    };
    let (text, query) = match selector.split_once('?') {
        Some((text, query)) => (text, Some(query)),
        None => (selector, None),
    };
    let Ok(selector) = NodeSelector::parse(text, query, "urn:x") else {
        return;
    };
    let limits = Limits::default();
    if let Ok(edited) = edit::put(source, &selector, body, &limits) {
        let root = xml::parse(&edited.bytes, &limits).expect("edited into ill-formed XML");
        let value = read(&edited.bytes, &root, &selector).expect("put, but not there");
        if selector.terminal == Terminal::Element {
            let text = String::from_utf8_lossy(body).into_owned();
            let got = String::from_utf8(value.into_parts().0).expect("UTF-8");
            assert_eq!(got, text.trim_matches([' ', '\t', '\r', '\n']));
        }
    }
    if let Ok(bytes) = edit::delete(source, &selector, &limits) {
        let root = xml::parse(&bytes, &limits).expect("edited into ill-formed XML");
        assert!(
            read(&bytes, &root, &selector).is_err(),
            "deleted, but there"
        );
        assert!(bytes.len() < source.len());
    }
}

/// Any document and any wish for one address: whatever the validator lets through is mirrored or
/// refused, and says afterwards what was wished.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn policies(data: &[u8]) {
    let Some((choice, source)) = data.split_first() else {
        return;
    };
    let limits = Limits::default();
    let Ok(root) = xml::parse(source, &limits) else {
        return;
    };
    for usage in Usage::ALL {
        let _ = usage.validate(&root);
    }
    if Usage::PresRules.validate(&root).is_err() {
        return;
    }
    let around = Surroundings {
        address: &|uri| uri.strip_prefix("sip:").map(str::to_owned),
        list: &|_| Vec::new(),
    };
    let handling = [Handling::Confirm, Handling::PoliteBlock, Handling::Allow];
    let wanted: [Wanted; 1] = [(
        Subject::Address("a@x".to_owned()),
        handling[usize::from(choice % 3)],
        [None, Some(true), Some(false)][usize::from(choice / 3 % 3)],
    )];
    let Ok(changed) = mirror(source, &wanted, 1000, &limits, &around) else {
        return;
    };
    let root = xml::parse(&changed, &limits).expect("mirrored into ill-formed XML");
    Usage::PresRules
        .validate(&root)
        .expect("mirrored into a document we refuse");
    let rules = Ruleset::parse(&changed, &limits, &around).expect("parsed before");
    let says = rules.verdict(&wanted[0].0, 1000);
    let alike =
        says.handling == wanted[0].1 || says.handling.is_denial() && wanted[0].1.is_denial();
    assert!(alike && says.messages == wanted[0].2, "{says:?} {wanted:?}");
}
