//! Expanded names: a namespace and a local part. Prefixes are gone once a document is read.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A namespace name; empty means none. Cheap to clone.
#[derive(Clone)]
pub struct Namespace(Inner);

#[derive(Clone)]
enum Inner {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Namespace {
    /// No namespace.
    pub const NONE: Self = Self(Inner::Static(""));

    /// A namespace known at build time; no allocation.
    pub const fn from_static(name: &'static str) -> Self {
        Self(Inner::Static(name))
    }

    /// The namespace name.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Inner::Static(name) => name,
            Inner::Shared(name) => name,
        }
    }

    /// Whether this is no namespace.
    pub fn is_none(&self) -> bool {
        self.as_str().is_empty()
    }
}

impl From<&'static str> for Namespace {
    fn from(name: &'static str) -> Self {
        Self::from_static(name)
    }
}

impl From<Arc<str>> for Namespace {
    fn from(name: Arc<str>) -> Self {
        Self(Inner::Shared(name))
    }
}

impl From<String> for Namespace {
    fn from(name: String) -> Self {
        Self(Inner::Shared(name.into()))
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Namespace {}

impl Hash for Namespace {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// An expanded name. Fields are private so that a name is always writable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name {
    namespace: Namespace,
    local: Local,
}

#[derive(Clone)]
enum Local {
    Static(&'static str),
    Shared(Box<str>),
}

impl Name {
    /// A name known at build time. A `local` that is no XML name is written as `_`, see
    /// [`Name::parse`] for names that come from outside.
    pub fn new(namespace: impl Into<Namespace>, local: &'static str) -> Self {
        let local = if crate::chars::is_ncname(local) {
            local
        } else {
            "_"
        };
        Self {
            namespace: namespace.into(),
            local: Local::Static(local),
        }
    }

    /// A name from anywhere; `None` if the local part is not one (`NCName`).
    pub fn parse(namespace: impl Into<Namespace>, local: &str) -> Option<Self> {
        crate::chars::is_ncname(local).then(|| Self {
            namespace: namespace.into(),
            local: Local::Shared(local.into()),
        })
    }

    /// A name whose local part has been checked.
    pub(crate) fn checked(namespace: Namespace, local: &str) -> Self {
        Self {
            namespace,
            local: Local::Shared(local.into()),
        }
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The local part.
    pub fn local(&self) -> &str {
        match &self.local {
            Local::Static(local) => local,
            Local::Shared(local) => local,
        }
    }

    /// Whether this is that name.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.local() == local && self.namespace.as_str() == namespace
    }
}

impl PartialEq for Local {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Local {}

impl Hash for Local {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Local {
    fn as_str(&self) -> &str {
        match self {
            Self::Static(local) => local,
            Self::Shared(local) => local,
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}{}", self.namespace.as_str(), self.local())
    }
}
