//! What the subscriber to a list is told (RFC 4662): states of its resources, in one document, the
//! whole list first and after every SUBSCRIBE, else what has changed since.

use crate::usage::rlmi::{self, Resource, State};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A resource of the list.
#[derive(Clone, Debug)]
struct Member {
    uri: String,
    name: Option<String>,
    /// Of its virtual subscription; another one after it has ended.
    instance: u32,
    /// `None` = nothing is known yet.
    state: Option<State>,
    kind: String,
    body: Vec<u8>,
}

/// One subscription to one list.
#[derive(Clone, Debug)]
pub struct ListState {
    uri: String,
    version: u32,
    members: Vec<Member>,
    /// Numbers of those that the subscriber knows an older state of.
    changed: BTreeSet<usize>,
    /// The next document is complete.
    full: bool,
}

/// A body of NOTIFY.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notification {
    /// Its Content-Type.
    pub kind: String,
    /// It.
    pub body: Vec<u8>,
}

impl ListState {
    /// A list of these resources: URI and name of each.
    pub fn new(uri: &str, members: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        let member = |(uri, name)| Member {
            uri,
            name,
            instance: 1,
            state: None,
            kind: String::new(),
            body: Vec::new(),
        };
        Self {
            uri: uri.to_owned(),
            version: 0,
            members: members.into_iter().map(member).collect(),
            changed: BTreeSet::new(),
            full: true,
        }
    }

    /// The number of the next document.
    pub fn number(&mut self, version: u32) {
        self.version = version;
    }

    /// A resource's new state.
    pub fn set(&mut self, number: usize, state: State, kind: &str, body: &[u8]) {
        let Some(member) = self.members.get_mut(number) else {
            return;
        };
        if matches!(member.state, Some(State::Terminated(_))) && state == State::Active {
            member.instance += 1;
        }
        let same = member.state == Some(state) && member.kind == kind && member.body == body;
        if !same {
            member.state = Some(state);
            kind.clone_into(&mut member.kind);
            member.body = body.to_vec();
            self.changed.insert(number);
        }
    }

    /// After every SUBSCRIBE the whole list is told (4.5).
    pub fn renew(&mut self) {
        self.full = true;
    }

    /// Whether something of every resource is known.
    pub fn is_known(&self) -> bool {
        self.members.iter().all(|member| member.state.is_some())
    }

    /// Whether there is something to tell.
    pub fn is_owed(&self) -> bool {
        self.full || !self.changed.is_empty()
    }

    /// What there is to tell; `None` if nothing. Of bodies, as many as fit into about `limit`
    /// octets: the rest follows with the next one.
    pub fn take(&mut self, limit: usize) -> Option<Notification> {
        if !self.is_owed() {
            return None;
        }
        let full = std::mem::take(&mut self.full);
        let due = std::mem::take(&mut self.changed);
        let mut resources = Vec::new();
        let mut parts = String::new();
        let mut rest = BTreeSet::new();
        let boundary = self.boundary();
        for (number, member) in self.members.iter().enumerate() {
            if !full && !due.contains(&number) {
                continue;
            }
            let mut cid = None;
            let worth = member.body.len() + 300;
            if !member.body.is_empty() {
                if parts.is_empty() || parts.len() + resources.len() * 200 + worth <= limit {
                    let id = format!("{}.{number}@rls", self.version);
                    part(&mut parts, &boundary, &id, member);
                    cid = Some(id);
                } else {
                    rest.insert(number);
                    if !full {
                        continue;
                    }
                }
            }
            resources.push(Resource {
                uri: member.uri.clone(),
                name: member.name.clone(),
                instance: member
                    .state
                    .map(|state| (format!("i{}", member.instance), state, cid)),
            });
        }
        self.changed = rest;
        let page = rlmi::write(&self.uri, self.version, full, &resources);
        let id = format!("{}.list@rls", self.version);
        let mut body = format!(
            "--{boundary}\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <{id}>\r\nContent-Type: {};charset=\"UTF-8\"\r\n\r\n{page}\r\n",
            rlmi::CONTENT_TYPE
        );
        body.push_str(&parts);
        let _ = write!(body, "--{boundary}--\r\n");
        self.version = self.version.wrapping_add(1);
        Some(Notification {
            kind: format!(
                "multipart/related;type=\"{}\";start=\"<{id}>\";boundary=\"{boundary}\"",
                rlmi::CONTENT_TYPE
            ),
            body: body.into_bytes(),
        })
    }

    /// One that stands in no body.
    fn boundary(&self) -> String {
        let taken = |boundary: &str| {
            let needle = boundary.as_bytes();
            let mut all = self.members.iter();
            all.any(|member| memchr::memmem::find(&member.body, needle).is_some())
        };
        let mut boundary = format!("list-{:x}", self.version);
        while taken(&boundary) {
            boundary.push('x');
        }
        boundary
    }
}

fn part(out: &mut String, boundary: &str, id: &str, member: &Member) {
    let _ = write!(
        out,
        "--{boundary}\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <{id}>\r\nContent-Type: {}\r\n\r\n{}\r\n",
        member.kind,
        String::from_utf8_lossy(&member.body)
    );
}
