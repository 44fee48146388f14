//! The inside of a start tag: name, attributes and namespace declarations.

use crate::chars::{is_ncname, is_space};
use crate::decode;
use crate::error::{Error, ErrorKind};
use crate::name::{Name, Namespace};
use crate::reader::Limits;
use crate::tree::Attribute;
use crate::{XML_NAMESPACE, XMLNS_NAMESPACE};
use std::sync::Arc;

/// Namespace declarations in scope, innermost last.
#[derive(Default)]
pub(crate) struct Scope<'s> {
    bindings: Vec<(&'s str, Namespace)>,
}

impl<'s> Scope<'s> {
    /// How many declarations are in scope; to be given back to [`Scope::leave`].
    pub(crate) fn mark(&self) -> usize {
        self.bindings.len()
    }

    /// Drops the declarations made after `mark`.
    pub(crate) fn leave(&mut self, mark: usize) {
        self.bindings.truncate(mark);
    }

    fn resolve(&self, prefix: &str, at: usize) -> Result<Namespace, Error> {
        if prefix == "xml" {
            return Ok(Namespace::from_static(XML_NAMESPACE));
        }
        let found = self
            .bindings
            .iter()
            .rev()
            .find(|(bound, _)| *bound == prefix);
        match found {
            Some((_, namespace)) => Ok(namespace.clone()),
            None if prefix.is_empty() => Ok(Namespace::NONE),
            None => Err(ErrorKind::Prefix.at(at)),
        }
    }

    fn declare(&mut self, prefix: &'s str, value: String, at: usize) -> Result<(), Error> {
        let forbidden = match prefix {
            "xmlns" => true,
            "xml" => value != XML_NAMESPACE,
            _ => {
                value == XML_NAMESPACE
                    || value == XMLNS_NAMESPACE
                    || (value.is_empty() && !prefix.is_empty())
            }
        };
        if forbidden {
            return Err(ErrorKind::NamespaceDeclaration.at(at));
        }
        self.bindings
            .push((prefix, Namespace::from(Arc::<str>::from(value))));
        Ok(())
    }
}

/// A start tag, taken apart.
pub(crate) struct Tag<'s> {
    /// Name as written; the end tag must repeat it.
    pub(crate) raw: &'s str,
    pub(crate) name: Name,
    pub(crate) attributes: Vec<Attribute>,
}

/// Takes the inside of a start tag apart (what stands between `<` and `>` or `/>`, at byte `at`)
/// and enters its declarations into `scope`.
pub(crate) fn parse<'s>(
    inside: &'s str,
    at: usize,
    limits: &Limits,
    scope: &mut Scope<'s>,
) -> Result<Tag<'s>, Error> {
    let mark = scope.mark();
    let name_end = find_space(inside);
    let (raw, rest) = inside.split_at_checked(name_end).unwrap_or((inside, ""));
    let (prefix, local) = qualified(raw, at)?;
    if rest.len() > limits.attribute_bytes {
        return Err(ErrorKind::AttributesTooLarge.at(at));
    }
    let mut plain = Vec::new();
    let mut scanner = Scanner {
        rest,
        at: at.saturating_add(name_end),
    };
    while let Some(found) = scanner.next()? {
        if plain.len() + (scope.mark() - mark) >= limits.attributes {
            return Err(ErrorKind::TooManyAttributes.at(found.at));
        }
        let declared = match found.raw.strip_prefix("xmlns") {
            Some("") => Some(""),
            Some(tail) => tail.strip_prefix(':'),
            None => None,
        };
        match declared {
            Some(declared) => {
                if found.raw.len() > 5 && !is_ncname(declared) {
                    return Err(ErrorKind::Name.at(found.at));
                }
                let mut earlier = scope.bindings.iter().skip(mark);
                if earlier.any(|(bound, _)| *bound == declared) {
                    return Err(ErrorKind::DuplicateAttribute.at(found.at));
                }
                scope.declare(declared, found.value, found.at)?;
            }
            None => plain.push(found),
        }
    }
    let mut attributes = Vec::<Attribute>::with_capacity(plain.len());
    for found in plain {
        let (prefix, local) = qualified(found.raw, found.at)?;
        // The default namespace is not for attributes (Namespaces in XML 6.2).
        let namespace = match prefix {
            "" => Namespace::NONE,
            _ => scope.resolve(prefix, found.at)?,
        };
        let name = Name::checked(namespace, local);
        if attributes.iter().any(|attribute| attribute.name == name) {
            return Err(ErrorKind::DuplicateAttribute.at(found.at));
        }
        attributes.push(Attribute {
            name,
            value: found.value,
        });
    }
    let namespace = scope.resolve(prefix, at)?;
    let name = Name::checked(namespace, local);
    Ok(Tag {
        raw,
        name,
        attributes,
    })
}

/// Splits a qualified name into prefix (maybe empty) and local part.
fn qualified(raw: &str, at: usize) -> Result<(&str, &str), Error> {
    let (prefix, local) = match raw.split_once(':') {
        Some((prefix, local)) if is_ncname(prefix) && prefix != "xmlns" => (prefix, local),
        Some(_) => return Err(ErrorKind::Name.at(at)),
        None => ("", raw),
    };
    if is_ncname(local) {
        Ok((prefix, local))
    } else {
        Err(ErrorKind::Name.at(at))
    }
}

struct Found<'s> {
    raw: &'s str,
    value: String,
    at: usize,
}

/// Reads `S Name Eq AttValue` repeatedly (XML 1.0 production 40).
struct Scanner<'s> {
    rest: &'s str,
    at: usize,
}

impl<'s> Scanner<'s> {
    fn next(&mut self) -> Result<Option<Found<'s>>, Error> {
        let spaced = self.skip_space();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.at;
        let bad = ErrorKind::Attribute.at(at);
        if !spaced {
            return Err(bad);
        }
        let end = self
            .rest
            .bytes()
            .position(|b| b == b'=' || is_space(b))
            .ok_or(bad)?;
        let raw = self.take(end);
        self.skip_space();
        if self.take(1) != "=" {
            return Err(bad);
        }
        self.skip_space();
        let quote = match self.rest.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => return Err(bad),
        };
        self.take(1);
        let end = memchr::memchr(quote, self.rest.as_bytes()).ok_or(bad)?;
        let value_at = self.at;
        let value = decode::attribute(self.take(end), value_at)?;
        self.take(1);
        Ok(Some(Found { raw, value, at }))
    }

    fn skip_space(&mut self) -> bool {
        let count = self.rest.bytes().take_while(|b| is_space(*b)).count();
        self.take(count);
        count > 0
    }

    /// Takes that many bytes, nothing if they do not end at a character.
    fn take(&mut self, count: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or(("", self.rest));
        self.rest = rest;
        self.at = self.at.saturating_add(taken.len());
        taken
    }
}

fn find_space(text: &str) -> usize {
    text.bytes().position(is_space).unwrap_or(text.len())
}

/// Checks an XML declaration's inside (what stands between `<?xml` and `?>`, at byte `at`).
pub(crate) fn declaration(inside: &str, at: usize) -> Result<(), Error> {
    let bad = ErrorKind::Declaration.at(at.saturating_sub(5));
    let mut scanner = Scanner { rest: inside, at };
    let mut stage = 0;
    while let Some(found) = scanner.next().map_err(|_| bad)? {
        let step = match (found.raw, found.value.as_str()) {
            ("version", "1.0") => 1,
            ("encoding", value) if value.eq_ignore_ascii_case("utf-8") => 2,
            ("encoding", _) => return Err(ErrorKind::Encoding.at(found.at)),
            ("standalone", "yes" | "no") => 3,
            _ => return Err(bad),
        };
        // version first and always, then the others in this order, each once (production 23).
        if step <= stage || (stage == 0 && step != 1) {
            return Err(bad);
        }
        stage = step;
    }
    if stage == 0 { Err(bad) } else { Ok(()) }
}
