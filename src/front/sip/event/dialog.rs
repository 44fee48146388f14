//! `dialog` (RFC 4235): what a person's telephone lines do.

use super::{Package, Subject};
use crate::core::calls::{Call, CallState, Calls};
use crate::core::command::Topic;
use sip::body::BodyError;
use sip::body::dialog_info::{CONTENT_TYPE, Dialog, DialogInfo, State};
use sip::subscription::Content;
use std::sync::Arc;

pub(super) const PACKAGE: Package = Package {
    name: "dialog",
    topic: Topic::Calls,
    types: &[CONTENT_TYPE],
    published: Some(CONTENT_TYPE),
};

/// All calls, each time: there are few.
pub(super) fn write(subject: Subject<'_>, calls: &[Call]) -> Content {
    let info = DialogInfo {
        version: subject.version,
        full: true,
        entity: subject.uri(),
        dialogs: calls
            .iter()
            // It was written by us.
            .filter_map(|call| Dialog::from_detail(&call.detail).ok())
            .collect(),
    };
    Content::new(Arc::<str>::from(CONTENT_TYPE), info.write())
}

/// What a document says, and whom it says it is about.
pub(in crate::front::sip) fn read(body: &[u8]) -> Result<(Calls, String), BodyError> {
    let info = DialogInfo::parse(body)?;
    let call = |dialog: &Dialog| Call {
        id: dialog.id.as_str().into(),
        state: state(dialog.state),
        detail: dialog.detail().into(),
    };
    let calls = Calls {
        full: info.full,
        version: info.version,
        list: info.dialogs.iter().map(call).collect(),
    };
    Ok((calls, info.entity))
}

fn state(state: State) -> CallState {
    match state {
        State::Trying => CallState::Trying,
        State::Proceeding => CallState::Proceeding,
        State::Early => CallState::Early,
        State::Confirmed => CallState::Confirmed,
        State::Terminated => CallState::Terminated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::address::Address;

    #[test]
    fn calls_are_passed_on_as_they_were_published() {
        let body = "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"9\" \
            state=\"full\" entity=\"sip:1001@pbx\"><dialog id=\"a\" call-id=\"1\"><state>confirmed</state>\
            <remote><identity>sip:b@h</identity></remote></dialog></dialog-info>";
        let (calls, entity) = read(body.as_bytes()).expect("a document");
        assert_eq!(entity, "sip:1001@pbx");
        assert!(calls.is_busy() && calls.full);
        let of = Address::parse("alice@example.com").unwrap();
        let subject = Subject {
            of: &of,
            version: 3,
            limit: 0,
            name: "",
        };
        let (_, written) = write(subject, &calls.list).body.expect("a body");
        let text = String::from_utf8(written.to_vec()).unwrap();
        assert!(
            text.contains("version=\"3\" state=\"full\" entity=\"sip:alice@example.com\""),
            "{text}"
        );
        assert!(text.contains("<identity>sip:b@h</identity>"), "{text}");
    }
}
