//! Node selectors: a small part of XPath (RFC 4825 sections 6.3 and 6.4).

use xml::Name;

/// Steps of one selector.
const MOST_STEPS: usize = 64;
/// Namespace bindings of one query.
const MOST_BINDINGS: usize = 32;

/// A way to a node of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeSelector {
    /// Element by element, the first selects the root; at least one.
    pub steps: Vec<Step>,
    /// What of the last element is meant.
    pub terminal: Terminal,
}

/// One step: a child element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Its name; `None` = `*`.
    pub name: Option<Name>,
    /// Its number among the siblings of that name, from 1.
    pub position: Option<usize>,
    /// An attribute it must have, with that value.
    pub attribute: Option<(Name, String)>,
}

/// The end of a selector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Terminal {
    /// The element itself.
    Element,
    /// An attribute of it.
    Attribute(Name),
    /// The namespace bindings in its scope (`namespace::*`).
    Namespaces,
}

/// Why a selector is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSelector {
    /// Not in the grammar of 6.3.
    #[error("node selector: not in the grammar")]
    Grammar,
    /// A prefix that the query does not bind (6.4).
    #[error("node selector: prefix without binding")]
    Prefix,
    /// The query is no row of `xmlns(prefix=namespace)`.
    #[error("query: not a row of xmlns(prefix=namespace)")]
    Query,
    /// More than 64 steps or 32 bindings.
    #[error("node selector: too long")]
    TooLong,
}

impl NodeSelector {
    /// Reads a selector. `text` and `query` are percent-decoded; names without prefix are in the
    /// usage's default document namespace.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, query: Option<&str>, default: &str) -> Result<Self, BadSelector> {
        let bindings = bindings(query.unwrap_or_default())?;
        let scan = Scan {
            rest: text,
            bindings: &bindings,
            default,
        };
        scan.selector()
    }

    /// The same way without its terminal.
    #[must_use]
    pub fn element(&self) -> Self {
        Self {
            steps: self.steps.clone(),
            terminal: Terminal::Element,
        }
    }
}

/// The part of a selector's text that is its first `count` steps.
pub fn prefix_of(text: &str, count: usize) -> &str {
    let mut quote = None;
    let mut steps = 0;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '/') if steps == count => return text.get(..at).unwrap_or_default(),
            (None, '/') => steps += 1,
            _ => {}
        }
    }
    text
}

type Bindings = Vec<(String, String)>;

/// XPointer's `xmlns()` scheme: parts one after the other, `^` escapes `(`, `)` and itself. Other
/// schemes are skipped; of two bindings for a prefix the later counts.
fn bindings(query: &str) -> Result<Bindings, BadSelector> {
    let mut found: Bindings = Vec::new();
    let mut rest = query.trim_start();
    while !rest.is_empty() {
        let (scheme, tail) = rest.split_once('(').ok_or(BadSelector::Query)?;
        let (data, tail) = balanced(tail).ok_or(BadSelector::Query)?;
        rest = tail.trim_start();
        if scheme != "xmlns" {
            continue;
        }
        let (prefix, namespace) = data.split_once('=').ok_or(BadSelector::Query)?;
        let prefix = prefix.trim();
        if Name::parse("", prefix).is_none() {
            return Err(BadSelector::Query);
        }
        if found.len() >= MOST_BINDINGS {
            return Err(BadSelector::TooLong);
        }
        found.retain(|(bound, _)| bound != prefix);
        found.push((prefix.to_owned(), namespace.trim().to_owned()));
    }
    Ok(found)
}

/// The unescaped data up to the closing bracket, and what follows it.
fn balanced(text: &str) -> Option<(String, &str)> {
    let mut data = String::new();
    let mut depth = 0_usize;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '^' => match chars.next()? {
                (_, escaped @ ('(' | ')' | '^')) => data.push(escaped),
                _ => return None,
            },
            ')' if depth == 0 => return Some((data, text.get(at + 1..)?)),
            ')' => {
                depth -= 1;
                data.push(c);
            }
            '(' => {
                depth += 1;
                data.push(c);
            }
            _ => data.push(c),
        }
    }
    None
}

struct Scan<'s> {
    rest: &'s str,
    bindings: &'s Bindings,
    default: &'s str,
}

impl<'s> Scan<'s> {
    fn selector(mut self) -> Result<NodeSelector, BadSelector> {
        let mut steps = Vec::new();
        loop {
            if !self.eat("/") {
                return Err(BadSelector::Grammar);
            }
            if !steps.is_empty() && self.eat("namespace::*") {
                return self.end(steps, Terminal::Namespaces);
            }
            if !steps.is_empty() && self.eat("@") {
                let name = self.attribute_name()?;
                return self.end(steps, Terminal::Attribute(name));
            }
            if steps.len() >= MOST_STEPS {
                return Err(BadSelector::TooLong);
            }
            steps.push(self.step()?);
            if self.rest.is_empty() {
                return Ok(NodeSelector {
                    steps,
                    terminal: Terminal::Element,
                });
            }
        }
    }

    fn end(self, steps: Vec<Step>, terminal: Terminal) -> Result<NodeSelector, BadSelector> {
        if self.rest.is_empty() {
            Ok(NodeSelector { steps, terminal })
        } else {
            Err(BadSelector::Grammar)
        }
    }

    fn step(&mut self) -> Result<Step, BadSelector> {
        let name = if self.eat("*") {
            None
        } else {
            let qualified = self.qualified();
            Some(self.resolve(qualified, self.default)?)
        };
        let mut step = Step {
            name,
            position: None,
            attribute: None,
        };
        if self.rest.starts_with('[') && !self.rest.starts_with("[@") {
            self.eat("[");
            let length = self
                .rest
                .bytes()
                .position(|b| !b.is_ascii_digit())
                .ok_or(BadSelector::Grammar)?;
            let digits = self.take(length);
            let number: usize = digits.parse().map_err(|_| BadSelector::Grammar)?;
            if number == 0 || !self.eat("]") {
                return Err(BadSelector::Grammar);
            }
            step.position = Some(number);
        }
        if self.eat("[@") {
            let name = self.attribute_name()?;
            if !self.eat("=") {
                return Err(BadSelector::Grammar);
            }
            let value = self.value()?;
            if !self.eat("]") {
                return Err(BadSelector::Grammar);
            }
            step.attribute = Some((name, value));
        }
        Ok(step)
    }

    /// AttValue of XML, in quotes, references and all.
    fn value(&mut self) -> Result<String, BadSelector> {
        let Some(quote @ (b'"' | b'\'')) = self.rest.bytes().next() else {
            return Err(BadSelector::Grammar);
        };
        self.take(1);
        let end = memchr::memchr(quote, self.rest.as_bytes()).ok_or(BadSelector::Grammar)?;
        let raw = self.take(end);
        self.take(1);
        xml::attribute_value(raw).ok_or(BadSelector::Grammar)
    }

    fn attribute_name(&mut self) -> Result<Name, BadSelector> {
        // An attribute without prefix has no namespace, whatever the default is.
        let qualified = self.qualified();
        self.resolve(qualified, "")
    }

    fn qualified(&mut self) -> &'s str {
        let end = self.rest.find(['/', '[', ']', '=', '@', '"', '\'']);
        self.take(end.unwrap_or(self.rest.len()))
    }

    fn resolve(&self, qualified: &str, default: &str) -> Result<Name, BadSelector> {
        let (namespace, local) = match qualified.split_once(':') {
            Some(("xml", local)) => (xml::XML_NAMESPACE, local),
            Some((prefix, local)) => {
                let bound = self.bindings.iter().find(|(bound, _)| bound == prefix);
                let (_, namespace) = bound.ok_or(BadSelector::Prefix)?;
                (namespace.as_str(), local)
            }
            None => (default, qualified),
        };
        Name::parse(namespace.to_owned(), local).ok_or(BadSelector::Grammar)
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes that many bytes, nothing if they do not end at a character.
    fn take(&mut self, count: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or(("", self.rest));
        self.rest = rest;
        taken
    }
}
