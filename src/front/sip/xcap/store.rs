//! What is stored, and how it is changed: read, edit, compare and swap.

use super::request::{No, Wanted, Yes, no};
use super::{Xcap, pages};
use crate::core::command::{Command, Reply};
use crate::core::documents::{DocumentInfo, Expect, Meaning, NewAccess, PutDocument};
use crate::core::error::{Error, Limit};
use crate::core::port::{Account, StoreError};
use crate::core::time::Time;
use bytes::Bytes;
use hyper::StatusCode;
use xcap::edit::{self, NotDeleted};
use xcap::usage::Usage;
use xcap::{Conflict, Terminal};
use xml::Element;

/// How often a change is tried again that another overtook.
const TRIES: usize = 8;

/// A document as it is.
pub(super) struct Stored {
    pub(super) info: DocumentInfo,
    pub(super) content: Bytes,
}

impl Stored {
    pub(super) fn etag(&self) -> String {
        etag(self.info.tag)
    }
}

/// How a tag is written.
pub(in crate::front::sip) fn etag(tag: u64) -> String {
    format!("{tag:016x}")
}

impl From<StoreError> for No {
    fn from(error: StoreError) -> Self {
        no(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<Error> for No {
    fn from(error: Error) -> Self {
        match error {
            Error::LimitReached(Limit::Documents) => No::Conflict(
                Conflict::Extension("too many documents, or octets in them".to_owned()),
                None,
            ),
            Error::LimitReached(Limit::AccessEntries) => No::Conflict(
                Conflict::Extension("the rules name too many people".to_owned()),
                None,
            ),
            Error::Denied(_) => no(StatusCode::FORBIDDEN, error.to_string()),
            Error::UnknownUser => no(StatusCode::NOT_FOUND, error.to_string()),
            _ => no(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}

impl Xcap {
    /// GET and HEAD.
    pub(super) async fn get(&self, wanted: &Wanted<'_>) -> Result<Yes, No> {
        let (content, tag) = self.current(wanted).await?.ok_or_else(missing)?;
        wanted.allows(Some(&tag), true)?;
        let (octets, kind) = match &wanted.node {
            None => (content, wanted.usage.media_type()),
            Some(node) => {
                let root = xml::parse(&content, &generous(&content)).map_err(Conflict::from)?;
                let value = xcap::read(&content, &root, node).map_err(|_| missing())?;
                let (octets, kind) = value.into_parts();
                (Bytes::from(octets), kind)
            }
        };
        Ok(Yes {
            status: StatusCode::OK,
            etag: Some(tag),
            content: Some((octets, kind)),
        })
    }

    /// The octets that a GET of the whole document gives, and their tag.
    async fn current(&self, wanted: &Wanted<'_>) -> Result<Option<(Bytes, String)>, No> {
        let made = match (&wanted.owner, wanted.usage) {
            (None, _) => self.global(wanted).await?,
            (Some(owner), Usage::Directory) => pages::directory(self, wanted, owner).await?,
            (Some(_), Usage::XcapCaps) => return Ok(None),
            (Some(owner), usage) => {
                if usage == Usage::PresRules {
                    self.mirror(owner).await;
                }
                let stored = self.load(owner, wanted).await?;
                return Ok(stored.map(|s| (s.content.clone(), s.etag())));
            }
        };
        let tag = pages::tag(&made);
        Ok(Some((made, tag)))
    }

    async fn load(&self, owner: &Account, wanted: &Wanted<'_>) -> Result<Option<Stored>, No> {
        let found = self.hub.document(owner.person, wanted.id()).await?;
        Ok(found.map(|(info, content)| Stored { info, content }))
    }

    /// PUT.
    pub(super) async fn put(&self, wanted: &Wanted<'_>) -> Result<Yes, No> {
        let owner = writable(wanted)?;
        wanted.must_be_typed()?;
        for _ in 0..TRIES {
            let stored = self.before(owner, wanted).await?;
            let tag = stored.as_ref().map(Stored::etag);
            wanted.allows(tag.as_deref(), false)?;
            let (content, created) = match (&wanted.node, &stored) {
                (None, _) => (wanted.body.clone(), stored.is_none()),
                (Some(node), Some(stored)) => {
                    let edited = edit::put(&stored.content, node, wanted.body, &self.limits);
                    let edited = edited.map_err(|conflict| with_ancestor(conflict, wanted))?;
                    (edited.bytes.into(), edited.created)
                }
                // 8.2.1: there is no document that the node could be put into.
                (Some(_), None) => {
                    let conflict = Conflict::NoParent { found: None };
                    return Err(No::Conflict(conflict, None));
                }
            };
            let root = self.checked(wanted.usage, &content)?;
            let change = Change {
                wanted,
                owner,
                stored: stored.as_ref(),
                content: Some(content),
                root: Some(&root),
            };
            if let Some(info) = self.swap(change).await? {
                let status = if created {
                    StatusCode::CREATED
                } else {
                    StatusCode::OK
                };
                return Ok(Yes {
                    status,
                    etag: info.map(|info| etag(info.tag)),
                    content: None,
                });
            }
        }
        Err(no(
            StatusCode::SERVICE_UNAVAILABLE,
            "others change the document all the time",
        ))
    }

    /// DELETE.
    pub(super) async fn delete(&self, wanted: &Wanted<'_>) -> Result<Yes, No> {
        let owner = writable(wanted)?;
        if let Some(node) = &wanted.node
            && node.terminal == Terminal::Namespaces
        {
            return Err(No::Method("GET, HEAD"));
        }
        for _ in 0..TRIES {
            let stored = self.before(owner, wanted).await?;
            let tag = stored.as_ref().map(Stored::etag);
            wanted.allows(tag.as_deref(), false)?;
            let stored = stored.ok_or_else(missing)?;
            let content = match &wanted.node {
                None => None,
                Some(node) => {
                    let edited = edit::delete(&stored.content, node, &self.limits);
                    let edited = edited.map_err(|why| match why {
                        NotDeleted::Missing => missing(),
                        NotDeleted::Conflict(conflict) => No::from(conflict),
                    })?;
                    Some(Bytes::from(edited))
                }
            };
            let root = match &content {
                Some(content) => Some(self.checked(wanted.usage, content)?),
                None => None,
            };
            let change = Change {
                wanted,
                owner,
                stored: Some(&stored),
                content,
                root: root.as_ref(),
            };
            if let Some(info) = self.swap(change).await? {
                return Ok(Yes {
                    status: StatusCode::OK,
                    etag: info.map(|info| etag(info.tag)),
                    content: None,
                });
            }
        }
        Err(no(
            StatusCode::SERVICE_UNAVAILABLE,
            "others change the document all the time",
        ))
    }

    /// What is there before a change. Rules are brought up to date first: else what another
    /// protocol did would be undone.
    async fn before(&self, owner: &Account, wanted: &Wanted<'_>) -> Result<Option<Stored>, No> {
        if wanted.usage == Usage::PresRules {
            self.mirror(owner).await;
        }
        self.load(owner, wanted).await
    }

    /// The strict gate, then the rules of the usage.
    fn checked(&self, usage: Usage, content: &[u8]) -> Result<Element, No> {
        let root = xml::parse(content, &self.limits).map_err(|error| match error.kind {
            xml::ErrorKind::TooLarge => no(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            _ => No::from(Conflict::from(error)),
        })?;
        usage.validate(&root)?;
        Ok(root)
    }

    /// Stores a change with all that it means; `None` if somebody else was faster.
    async fn swap(&self, change: Change<'_>) -> Result<Option<Option<DocumentInfo>>, No> {
        let usage = change.wanted.usage;
        let services = self.services(&change)?;
        let (means, due) = self.means(&change).await?;
        let put = PutDocument {
            id: change.wanted.id(),
            expect: match change.stored {
                Some(stored) => Expect::Tag(stored.info.tag),
                None => Expect::Absent,
            },
            content: change.content,
            due,
            means,
        };
        let person = change.owner.person;
        let command = Command::PutDocument(Box::new(put));
        match self.hub.call(person, &change.wanted.caller, command).await {
            Ok(Reply::Document(info)) => {
                if usage == Usage::PresRules {
                    self.remind(person, due);
                }
                match services {
                    Some(services) => self.enter(person, services).await,
                    None if usage == Usage::ResourceLists => self.enter_again(person).await,
                    None => {}
                }
                Ok(Some(info))
            }
            Ok(_) => Err(no(
                StatusCode::INTERNAL_SERVER_ERROR,
                "another answer than asked for",
            )),
            Err(Error::StaleId) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A change that is about to be made.
pub(super) struct Change<'c> {
    pub(super) wanted: &'c Wanted<'c>,
    pub(super) owner: &'c Account,
    pub(super) stored: Option<&'c Stored>,
    pub(super) content: Option<Bytes>,
    /// The new document, read; `None` when it goes.
    pub(super) root: Option<&'c Element>,
}

/// A meaning that only says what the access list becomes.
pub(super) fn access(new: NewAccess, due: Option<Time>) -> (Meaning, Option<Time>) {
    let means = Meaning {
        access: Some(new),
        ..Meaning::default()
    };
    (means, due)
}

fn writable<'w>(wanted: &'w Wanted<'_>) -> Result<&'w Account, No> {
    match &wanted.owner {
        Some(owner) if wanted.usage.is_writable() => Ok(owner),
        _ => Err(No::Method("GET, HEAD")),
    }
}

fn missing() -> No {
    no(StatusCode::NOT_FOUND, "no such document or node")
}

/// Our own documents are read whatever the limits are by now.
fn generous(content: &[u8]) -> xml::Limits {
    xml::Limits {
        bytes: content.len(),
        depth: 256,
        elements: usize::MAX,
        attributes: usize::MAX,
        attribute_bytes: usize::MAX,
    }
}

/// 11.2: `no-parent` names the nearest ancestor that is there.
fn with_ancestor(conflict: Conflict, wanted: &Wanted<'_>) -> No {
    let Conflict::NoParent { found: Some(found) } = conflict else {
        return No::Conflict(conflict, None);
    };
    let mut uri = wanted.uri();
    if found > 0 {
        uri.push_str("/~~");
        let text = wanted.target.node.as_deref().unwrap_or_default();
        uri.push_str(&escaped(xcap::prefix_of(text, found)));
    }
    No::Conflict(Conflict::NoParent { found: Some(found) }, Some(uri))
}

/// A node selector as it must be in a URI.
fn escaped(selector: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(selector.len());
    for octet in selector.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&octet) {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02x}");
        }
    }
    out
}
