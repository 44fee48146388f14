//! Filters as the hub's admission hooks.

use super::{Filter, Verdict};
use crate::core::error::Error;
use crate::core::message::{Content, InChat, Message, Text};
use crate::hub::{Admission, AdmissionHook, Clock};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A filter that the hub runs.
pub struct FilterHook {
    filter: Arc<Filter>,
    clock: Arc<dyn Clock>,
}

impl FilterHook {
    /// Makes a hook of a filter.
    pub fn new(filter: Arc<Filter>, clock: Arc<dyn Clock>) -> Self {
        Self { filter, clock }
    }
}

impl AdmissionHook for FilterHook {
    fn name(&self) -> &str {
        &self.filter.name
    }

    fn admit(&self, message: Arc<Message>) -> Pin<Box<dyn Future<Output = Admission> + Send + '_>> {
        Box::pin(async move {
            match self.filter.judge(&message, self.clock.now()).await {
                Verdict::Allow => Admission::Pass,
                Verdict::Modify(text) => Admission::Changed(Arc::new(rewritten(&message, text))),
                Verdict::Hold(reason) => Admission::Held(reason),
                Verdict::Refuse(reason) => Admission::Refused(Error::Refused(reason)),
                Verdict::Route(to) => Admission::Routed(to),
                Verdict::Reply(text) => Admission::Answered(text),
            }
        })
    }
}

/// What members on stacks that know no conversations are shown of the changed text.
fn reworded(chat: &InChat, message: &Message, body: &str) -> Arc<InChat> {
    let before = match &message.content {
        Content::Text(text) => &*text.body,
        _ => "",
    };
    let name = chat.line.strip_suffix(before).unwrap_or_default();
    Arc::new(InChat {
        address: chat.address.clone(),
        line: format!("{name}{body}").into(),
    })
}

/// The message with another text.
pub(super) fn rewritten(message: &Message, body: String) -> Message {
    let mut changed = message.clone();
    changed.chat = message
        .chat
        .as_deref()
        .map(|chat| reworded(chat, message, &body));
    let format = match &message.content {
        Content::Text(text) => text.format.clone(),
        _ => None,
    };
    changed.content = Content::Text(Text {
        body: body.into(),
        media: "text/plain".into(),
        format,
    });
    // What came in says something else: every stack writes the message anew.
    changed.original.bytes = Bytes::new();
    changed
}
