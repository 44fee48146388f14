//! The one XML gate: a strict, bounded reader over quick-xml and a writer.
//!
//! quick-xml is a fast tokenizer that lets much ill-formed input through; this crate refuses all
//! of it, bounds everything a sender can choose, and hands out a small owned tree. No DTD, no
//! entities but the five predefined ones, no processing instructions.
//!
//! ```
//! use xml::{Limits, Prefixes};
//! let root = xml::parse(b"<a xmlns='urn:x'><b>1 &lt; 2</b></a>", &Limits::default()).unwrap();
//! assert!(root.is("urn:x", "a"));
//! assert_eq!(root.child("urn:x", "b").unwrap().text(), "1 < 2");
//! let again = xml::write(&root, &Prefixes::new(&[("x", "urn:x")]));
//! assert_eq!(again, "<x:a xmlns:x=\"urn:x\"><x:b>1 &lt; 2</x:b></x:a>");
//! ```
//!
//! Invariants: what [`parse`] returns is a namespace-well-formed document within its [`Limits`];
//! what [`write()`] returns parses again to an equal tree. Time is linear in the input for fixed
//! limits, and neither recurses deeper than [`Limits::depth`].
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod chars;
mod decode;
mod error;
mod layout;
mod name;
mod reader;
mod tag;
mod tree;
mod writer;

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
#[cfg(test)]
mod tests;

pub use error::{Error, ErrorKind};
pub use layout::{AttributeLayout, TagLayout, attribute_value, layout};
pub use name::{Name, Namespace};
pub use reader::{Limits, parse};
pub use tree::{Attribute, Element, Node};
pub use writer::{Prefixes, push_cdata, push_text, write, write_document, write_onto};

/// The namespace that the prefix `xml` is always bound to.
pub const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of declarations themselves; never usable by a document.
pub const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";
