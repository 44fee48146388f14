//! `presence` (RFC 3856): PIDF with what devices published, XPIDF for old clients.

use super::{Package, Subject};
use crate::core::command::Topic;
use crate::core::presence::{Shown, View};
use crate::front::SIP;
use crate::front::mapping::mapping;
use crate::front::sip::translate::{PIDF, pidf};
use sip::body::compose::{Overall, Part, Published, compose};
use sip::body::pidf::Basic;
use sip::body::xpidf;

pub(super) const PACKAGE: Package = Package {
    name: "presence",
    topic: Topic::Presence,
    types: &[PIDF, xpidf::CONTENT_TYPE],
    published: Some(PIDF),
};

/// The document in that type.
pub(super) fn write(subject: Subject<'_>, view: &View, kind: &str) -> String {
    let uri = subject.uri();
    if kind == xpidf::CONTENT_TYPE {
        let row = mapping().row(view.state);
        return xpidf::write(
            &uri,
            &row.xpidf_status,
            &row.xpidf_substatus,
            Some(subject.name),
        );
    }
    let documents = documents(view);
    if !documents.is_empty() {
        let whole = composed(&uri, view, &documents);
        if whole.len() <= subject.limit {
            return whole;
        }
        // What the way does not carry: the one that counts, else the state alone.
        let leading: Vec<_> = documents.into_iter().filter(|d| d.leads).collect();
        let short = composed(&uri, view, &leading);
        if !leading.is_empty() && short.len() <= subject.limit {
            return short;
        }
    }
    pidf(&uri, view)
}

struct Own {
    name: String,
    leads: bool,
    document: Published,
}

/// What SIP devices published. It was read before it was stored.
fn documents(view: &View) -> Vec<Own> {
    let own = |shown: &Shown| {
        let document = Published::parse(&shown.document.bytes).ok()?;
        (shown.document.stack == SIP).then(|| Own {
            name: format!("d{:x}", shown.id.0),
            leads: shown.leads,
            document,
        })
    };
    let all = view.documents.iter().flat_map(|all| all.iter());
    all.filter_map(own).collect()
}

fn composed(uri: &str, view: &View, documents: &[Own]) -> String {
    let row = mapping().row(view.state);
    let overall = Overall {
        basic: if row.is_open() {
            Basic::Open
        } else {
            Basic::Closed
        },
        activities: &row.rpid_activities,
        user_input: &row.rpid_user_input,
        // An unknown state of another protocol is shown as its word (decisions 10).
        note: view.note.as_deref().or(view.token.as_deref()),
    };
    let parts: Vec<_> = documents
        .iter()
        .map(|own| Part {
            name: &own.name,
            leads: own.leads,
            document: &own.document,
        })
        .collect();
    compose(uri, &overall, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::address::Address;
    use crate::core::id::PublicationId;
    use crate::core::presence::{Document, State};
    use crate::core::time::Time;
    use std::sync::Arc;

    fn view(state: State, leads: bool, extra: usize) -> View {
        let body = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='x'><tuple id='t'><status>\
             <basic>open</basic></status><note>{}</note></tuple></presence>",
            "n".repeat(extra)
        );
        let shown = Shown {
            id: PublicationId(7),
            leads,
            set: Time(0),
            document: Arc::new(Document {
                stack: SIP,
                media: PIDF.into(),
                bytes: body.into(),
            }),
        };
        View {
            state,
            documents: Some(Arc::from([shown])),
            ..View::offline(Time(0))
        }
    }

    #[test]
    fn devices_are_shown_as_they_published_and_no_larger_than_the_way_carries() {
        let of = Address::parse("bob@example.com").unwrap();
        let subject = |limit| Subject {
            of: &of,
            version: 0,
            limit,
            name: "Bob",
        };
        let text = write(subject(4096), &view(State::Online, true, 5), PIDF);
        assert!(
            text.contains("<note>nnnnn</note>") && text.contains("id=\"t\""),
            "{text}"
        );
        let large = write(subject(4096), &view(State::Busy, false, 5000), PIDF);
        assert!(
            large.len() < 4096 && large.contains("<rpid:busy/>"),
            "{large}"
        );
        let old = write(
            subject(4096),
            &view(State::OnPhone, true, 5),
            xpidf::CONTENT_TYPE,
        );
        assert!(
            old.contains("substatus=\"onthephone\"") && old.contains("Bob"),
            "{old}"
        );
        let gone = write(subject(4096), &View::offline(Time(0)), xpidf::CONTENT_TYPE);
        assert!(gone.contains("<status status=\"closed\"/>"), "{gone}");
    }
}
