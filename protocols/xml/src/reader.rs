//! The gate: bytes to tree, or the reason why not.

use crate::chars;
use crate::decode;
use crate::error::{Error, ErrorKind};
use crate::tag::{self, Scope};
use crate::tree::{Element, Node};
use quick_xml::events::Event;

/// What a sender may choose, bounded. All counts are inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Document size in bytes (default 65,536).
    pub bytes: usize,
    /// Nesting of elements, the root being 1 (default 32; values over 256 count as 256).
    pub depth: usize,
    /// Number of elements (default 10,000).
    pub elements: usize,
    /// Attributes on one element, namespace declarations included (default 64).
    pub attributes: usize,
    /// Bytes of all attributes of one element as written (default 16,384).
    pub attribute_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 65_536,
            depth: 32,
            elements: 10_000,
            attributes: 64,
            attribute_bytes: 16_384,
        }
    }
}

impl Limits {
    /// The defaults with another document size.
    pub fn with_bytes(bytes: usize) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }
}

/// Reads a whole document.
///
/// # Errors
/// [`ErrorKind`] names every refusal; nothing is returned for a document that is only partly fine.
pub fn parse(source: &[u8], limits: &Limits) -> Result<Element, Error> {
    if source.len() > limits.bytes {
        return Err(ErrorKind::TooLarge.at(limits.bytes));
    }
    let whole =
        std::str::from_utf8(source).map_err(|error| ErrorKind::Encoding.at(error.valid_up_to()))?;
    let text = whole.strip_prefix(BOM).unwrap_or(whole);
    let base = whole.len() - text.len();
    if text.starts_with(BOM) {
        return Err(ErrorKind::OutsideRoot.at(base));
    }
    if let Some(at) = chars::forbidden(text) {
        return Err(ErrorKind::Character.at(base.saturating_add(at)));
    }
    Gate {
        text,
        base,
        limits,
        scope: Scope::default(),
        open: Vec::new(),
        root: None,
        elements: 0,
    }
    .run()
}

const BOM: char = '\u{FEFF}';
const MAX_DEPTH: usize = 256;

struct Gate<'s, 'l> {
    text: &'s str,
    /// Bytes before `text` (the byte-order mark).
    base: usize,
    limits: &'l Limits,
    scope: Scope<'s>,
    open: Vec<Open<'s>>,
    root: Option<Element>,
    elements: usize,
}

struct Open<'s> {
    raw: &'s str,
    mark: usize,
    element: Element,
}

impl<'s> Gate<'s, '_> {
    fn run(mut self) -> Result<Element, Error> {
        let mut tokens = quick_xml::Reader::from_str(self.text);
        let config = tokens.config_mut();
        config.check_comments = true;
        // Names of end tags are checked here, against what is open.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = false;
        let mut from = 0;
        loop {
            let event = tokens.read_event();
            let to = usize::try_from(tokens.buffer_position()).unwrap_or(usize::MAX);
            let at = self.base.saturating_add(from);
            let token = match event {
                Ok(Event::Eof) => return self.finish(),
                Ok(event) => event,
                Err(_) => return Err(self.syntax(from)),
            };
            let raw = self.text.get(from..to).ok_or(ErrorKind::Syntax.at(at))?;
            self.token(&token, raw, at)?;
            from = to;
        }
    }

    fn token(&mut self, token: &Event<'_>, raw: &'s str, at: usize) -> Result<(), Error> {
        let syntax = ErrorKind::Syntax.at(at);
        match token {
            Event::Start(_) => self.start(inside(raw, "<", ">").ok_or(syntax)?, at),
            Event::Empty(_) => {
                self.start(inside(raw, "<", "/>").ok_or(syntax)?, at)?;
                self.close(at.saturating_add(raw.len()), at)
            }
            Event::End(_) => self.end(inside(raw, "</", ">").ok_or(syntax)?, at, raw.len()),
            Event::Text(_) => self.text(raw, at),
            Event::GeneralRef(_) => {
                let c = decode::reference(inside(raw, "&", ";").ok_or(syntax)?, at)?;
                self.top(at)?.push_text(|text| text.push(c));
                Ok(())
            }
            Event::CData(_) => {
                let content = inside(raw, "<![CDATA[", "]]>").ok_or(syntax)?;
                self.top(at)?.push_cdata(content);
                Ok(())
            }
            Event::Comment(_) | Event::Eof => Ok(()),
            Event::Decl(_) if at == self.base => tag::declaration(
                inside(raw, "<?xml", "?>").ok_or(syntax)?,
                at.saturating_add(5),
            ),
            Event::Decl(_) => Err(ErrorKind::Declaration.at(at)),
            Event::PI(_) => Err(ErrorKind::ProcessingInstruction.at(at)),
            Event::DocType(_) => Err(ErrorKind::Doctype.at(at)),
        }
    }

    fn start(&mut self, inside: &'s str, at: usize) -> Result<(), Error> {
        if self.root.is_some() {
            return Err(ErrorKind::SecondRoot.at(at));
        }
        if self.open.len() >= self.limits.depth.min(MAX_DEPTH) {
            return Err(ErrorKind::TooDeep.at(at));
        }
        if self.elements >= self.limits.elements {
            return Err(ErrorKind::TooManyElements.at(at));
        }
        self.elements += 1;
        let mark = self.scope.mark();
        let tag = tag::parse(inside, at.saturating_add(1), self.limits, &mut self.scope)?;
        let mut element = Element::named(tag.name);
        element.attributes = tag.attributes;
        element.span = at..at;
        self.open.push(Open {
            raw: tag.raw,
            mark,
            element,
        });
        Ok(())
    }

    fn end(&mut self, name: &str, at: usize, length: usize) -> Result<(), Error> {
        let name = name.trim_end_matches(['\t', '\n', '\r', ' ']);
        match self.open.last() {
            Some(open) if open.raw == name => self.close(at.saturating_add(length), at),
            _ => Err(ErrorKind::Unmatched.at(at)),
        }
    }

    fn close(&mut self, end: usize, at: usize) -> Result<(), Error> {
        let Open {
            mark, mut element, ..
        } = self.open.pop().ok_or(ErrorKind::Unmatched.at(at))?;
        self.scope.leave(mark);
        element.span.end = end;
        match self.open.last_mut() {
            Some(parent) => parent.element.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, raw: &str, at: usize) -> Result<(), Error> {
        if let Some(found) = memchr::memmem::find(raw.as_bytes(), b"]]>") {
            return Err(ErrorKind::CDataEnd.at(at.saturating_add(found)));
        }
        if self.open.is_empty() {
            return match raw.bytes().position(|b| !chars::is_space(b)) {
                Some(found) => Err(ErrorKind::OutsideRoot.at(at.saturating_add(found))),
                None => Ok(()),
            };
        }
        self.top(at)?.push_text(|text| decode::push_text(text, raw));
        Ok(())
    }

    fn top(&mut self, at: usize) -> Result<&mut Element, Error> {
        match self.open.last_mut() {
            Some(open) => Ok(&mut open.element),
            None => Err(ErrorKind::OutsideRoot.at(at)),
        }
    }

    /// What the tokenizer refused at `from`, named as precisely as the first bytes allow.
    fn syntax(&self, from: usize) -> Error {
        let rest = self.text.get(from..).unwrap_or_default();
        let kind = match rest {
            _ if rest.starts_with("<!")
                && !rest.starts_with("<!--")
                && !rest.starts_with("<![") =>
            {
                ErrorKind::Doctype
            }
            _ if rest.starts_with("<?") => ErrorKind::ProcessingInstruction,
            _ if rest.starts_with('&') => ErrorKind::Reference,
            _ => ErrorKind::Syntax,
        };
        kind.at(self.base.saturating_add(from))
    }

    fn finish(self) -> Result<Element, Error> {
        let at = self.base.saturating_add(self.text.len());
        if !self.open.is_empty() {
            return Err(ErrorKind::Unmatched.at(at));
        }
        self.root.ok_or(ErrorKind::Empty.at(at))
    }
}

impl Element {
    fn push_text(&mut self, add: impl FnOnce(&mut String)) {
        if let Some(Node::Text(text)) = self.children.last_mut() {
            return add(text);
        }
        let mut text = String::new();
        add(&mut text);
        self.children.push(Node::Text(text));
    }

    fn push_cdata(&mut self, content: &str) {
        match self.children.last_mut() {
            Some(Node::CData(text)) => text.push_str(content),
            _ => self.children.push(Node::CData(content.into())),
        }
    }
}

fn inside<'s>(raw: &'s str, before: &str, after: &str) -> Option<&'s str> {
    raw.strip_prefix(before)?.strip_suffix(after)
}
