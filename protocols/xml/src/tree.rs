//! The owned element tree.

use crate::name::{Name, Namespace};
use std::borrow::Cow;
use std::ops::Range;

/// An element. Equality ignores where in a source it stood.
#[derive(Clone, Debug)]
pub struct Element {
    /// Expanded name.
    pub name: Name,
    /// Attributes in document order, namespace declarations excluded.
    pub attributes: Vec<Attribute>,
    /// Content in document order; neighbouring texts are one node, comments are gone.
    pub children: Vec<Node>,
    /// Bytes of the source from `<` of the start tag to `>` of the end tag; empty for elements
    /// that were built.
    pub span: Range<usize>,
}

/// An attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// Expanded name; without prefix it has no namespace.
    pub name: Name,
    /// Decoded value.
    pub value: String,
}

/// A piece of content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Character data, decoded once, line ends as LF.
    Text(String),
    /// CDATA, exactly as written (CR kept); neighbouring sections are one.
    CData(String),
}

impl Element {
    /// An empty element with a name known at build time.
    pub fn new(namespace: impl Into<Namespace>, local: &'static str) -> Self {
        Self::named(Name::new(namespace, local))
    }

    /// An empty element of that name.
    pub fn named(name: Name) -> Self {
        Self {
            name,
            attributes: Vec::new(),
            children: Vec::new(),
            span: 0..0,
        }
    }

    /// With one more child element.
    #[must_use]
    pub fn with(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// With more child elements.
    #[must_use]
    pub fn with_all(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children
            .extend(children.into_iter().map(Node::Element));
        self
    }

    /// With text appended.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }

    /// With a CDATA section appended.
    #[must_use]
    pub fn with_cdata(mut self, text: impl Into<String>) -> Self {
        self.children.push(Node::CData(text.into()));
        self
    }

    /// With an attribute that has no namespace; replaces one of that name.
    #[must_use]
    pub fn with_attribute(mut self, local: &'static str, value: impl Into<String>) -> Self {
        let name = Name::new(Namespace::NONE, local);
        self.attributes.retain(|attribute| attribute.name != name);
        self.attributes.push(Attribute {
            name,
            value: value.into(),
        });
        self
    }

    /// Whether this is that element.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.name.is(namespace, local)
    }

    /// Child elements in order.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) | Node::CData(_) => None,
        })
    }

    /// First child of that name.
    pub fn child(&self, namespace: &str, local: &str) -> Option<&Self> {
        self.elements().find(|element| element.is(namespace, local))
    }

    /// All children of that name.
    pub fn children_named<'a>(
        &'a self,
        namespace: &'a str,
        local: &'a str,
    ) -> impl Iterator<Item = &'a Self> {
        self.elements()
            .filter(move |element| element.is(namespace, local))
    }

    /// Value of the attribute without namespace of that name.
    pub fn attribute(&self, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name.is("", local))
            .map(|attribute| attribute.value.as_str())
    }

    /// Text and CDATA that stand directly in this element, joined, as written.
    pub fn text(&self) -> Cow<'_, str> {
        let mut pieces = self.children.iter().filter_map(|node| match node {
            Node::Text(text) | Node::CData(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        let first = pieces.next().unwrap_or_default();
        let Some(second) = pieces.next() else {
            return Cow::Borrowed(first);
        };
        let mut joined = String::from(first);
        joined.push_str(second);
        joined.extend(pieces);
        Cow::Owned(joined)
    }

    /// [`Element::text`] without white space around it.
    pub fn trimmed(&self) -> Cow<'_, str> {
        match self.text() {
            Cow::Borrowed(text) => Cow::Borrowed(trim(text)),
            Cow::Owned(text) => Cow::Owned(trim(&text).into()),
        }
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.attributes == other.attributes
            && self.children == other.children
    }
}

impl Eq for Element {}

fn trim(text: &str) -> &str {
    text.trim_matches(['\t', '\n', '\r', ' '])
}
