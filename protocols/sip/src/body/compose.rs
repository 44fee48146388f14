//! Composition (RFC 3903 5): one presence document out of what several devices published, with
//! everything that no table maps kept as its publisher wrote it (RFC 3863, 4479, 4480, 4482, 5196).

use super::BodyError;
use super::pidf::Basic;
use xml::{Element, Limits, Name, Node, Prefixes};

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";

/// COMPAT(baresip): it compares text, so PIDF is the default namespace and RPID's prefix is `rpid`.
const PREFIXES: Prefixes<'static> = Prefixes::new(&[
    ("", PIDF),
    ("dm", MODEL),
    ("rpid", RPID),
    ("ci", "urn:ietf:params:xml:ns:pidf:cipid"),
    ("caps", "urn:ietf:params:xml:ns:pidf:caps"),
]);

/// A published document that is fit to be shown to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    root: Element,
}

/// What the person comes to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Overall<'a> {
    /// Reachable.
    pub basic: Basic,
    /// Words of RPID.
    pub activities: &'a [String],
    /// RPID user-input; empty = none.
    pub user_input: &'a str,
    /// Free text.
    pub note: Option<&'a str>,
}

/// One publication.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Tells it from the others.
    pub name: &'a str,
    /// Its value is what the person comes to.
    pub leads: bool,
    /// What was published.
    pub document: &'a Published,
}

impl Published {
    /// Reads a document for keeping.
    ///
    /// # Errors
    /// XML that is refused, or another document.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let root = xml::parse(body, &Limits::with_bytes(body.len().max(1)))?;
        let space = root.name.namespace().as_str();
        // COMPAT(old clients): some forget the namespace; another one is another document.
        if root.name.local() != "presence" || !(space == PIDF || space.is_empty()) {
            return Err(BodyError::Document);
        }
        Ok(Self { root })
    }

    /// Whom it is about, as written.
    #[must_use]
    pub fn entity(&self) -> Option<&str> {
        self.root.attribute("entity")
    }

    /// The whole.
    #[must_use]
    pub fn root(&self) -> &Element {
        &self.root
    }

    fn parts<'a>(&'a self, local: &'static str) -> impl Iterator<Item = &'a Element> {
        let here = move |part: &&Element| part.name.local() == local;
        self.root.elements().filter(here)
    }
}

/// Writes the document about `entity`. Tuples of the part that leads stand first, open ones before
/// closed ones; where none leads, one tuple says what the person comes to.
///
/// COMPAT(libpurple): only the first tuple's `basic` counts there.
#[must_use]
pub fn compose(entity: &str, overall: &Overall<'_>, parts: &[Part<'_>]) -> String {
    let mut ids = Ids::default();
    let mut root = Element::new(PIDF, "presence").with_attribute("entity", entity);
    let mut ordered: Vec<&Part<'_>> = parts.iter().collect();
    ordered.sort_by_key(|part| !part.leads);
    let leader = ordered.first().filter(|part| part.leads).copied();
    let speaks = leader.is_some_and(|part| part.document.parts("tuple").any(is_open))
        == (overall.basic == Basic::Open);
    let leader = leader.filter(|part| speaks && part.document.parts("tuple").next().is_some());
    if leader.is_none() {
        root = root.with(synthetic(overall, &mut ids));
    }
    for part in &ordered {
        let mut tuples: Vec<&Element> = part.document.parts("tuple").collect();
        tuples.sort_by_key(|tuple| !is_open(tuple));
        for tuple in tuples {
            root = root.with(named(normal(tuple), part.name, &mut ids));
        }
    }
    let person = leader.and_then(|part| part.document.parts("person").next());
    match person {
        Some(person) => root = root.with(named(person.clone(), "p", &mut ids)),
        None => root = root.with_all(person_of(overall, &mut ids)),
    }
    for part in &ordered {
        for device in part.document.parts("device") {
            root = root.with(named(device.clone(), part.name, &mut ids));
        }
    }
    if let Some(leader) = leader {
        root = root.with_all(
            leader
                .document
                .root
                .elements()
                .filter(|e| is_more(e))
                .cloned(),
        );
    }
    xml::write_document(&root, &PREFIXES)
}

/// What stands beside tuples, persons and devices: notes and extensions.
fn is_more(element: &Element) -> bool {
    !matches!(element.name.local(), "tuple" | "person" | "device")
}

fn is_open(tuple: &Element) -> bool {
    let status = tuple.elements().find(|e| e.name.local() == "status");
    let basic = status.and_then(|s| s.elements().find(|e| e.name.local() == "basic"));
    basic.is_some_and(|basic| basic.trimmed().eq_ignore_ascii_case("open"))
}

/// A tuple in the namespaces it should be in, its basic as narrow readers look for it.
fn normal(tuple: &Element) -> Element {
    let mut tuple = tuple.clone();
    own(&mut tuple);
    for status in children(&mut tuple).filter(|e| e.name.local() == "status") {
        for basic in children(status).filter(|e| e.name.local() == "basic") {
            let word = basic.trimmed().to_ascii_lowercase();
            basic.attributes.clear();
            basic.children = vec![Node::Text(word)];
        }
    }
    tuple
}

/// Elements without namespace are PIDF's: some clients forget it.
fn own(element: &mut Element) {
    if element.name.namespace().is_none()
        && let Some(name) = Name::parse(PIDF, element.name.local())
    {
        element.name = name;
    }
    for child in children(element) {
        own(child);
    }
}

fn children(element: &mut Element) -> impl Iterator<Item = &mut Element> {
    element.children.iter_mut().filter_map(|node| match node {
        Node::Element(element) => Some(element),
        Node::Text(_) | Node::CData(_) => None,
    })
}

#[derive(Default)]
struct Ids {
    taken: Vec<String>,
}

impl Ids {
    /// The name if it is one and free, else one made of the prefix.
    fn take(&mut self, wanted: &str, prefix: &str) -> String {
        let fit = |name: &str| Name::parse("", name).is_some() && name.len() <= 64;
        let mut name = wanted.to_owned();
        let mut count = 0;
        while !fit(&name) || self.taken.contains(&name) {
            count += 1;
            name = format!("{prefix}-{count}");
        }
        self.taken.push(name.clone());
        name
    }
}

fn named(element: Element, prefix: &str, ids: &mut Ids) -> Element {
    let id = ids.take(element.attribute("id").unwrap_or_default(), prefix);
    element.with_attribute("id", id)
}

fn synthetic(overall: &Overall<'_>, ids: &mut Ids) -> Element {
    let basic = match overall.basic {
        Basic::Open => "open",
        Basic::Closed => "closed",
    };
    let status = Element::new(PIDF, "status").with(Element::new(PIDF, "basic").with_text(basic));
    let mut tuple = Element::new(PIDF, "tuple")
        .with_attribute("id", ids.take("t1", "t"))
        .with(status);
    if let Some(note) = overall.note {
        tuple = tuple.with(Element::new(PIDF, "note").with_text(note));
    }
    tuple
}

fn person_of(overall: &Overall<'_>, ids: &mut Ids) -> Option<Element> {
    if overall.activities.is_empty() && overall.user_input.is_empty() {
        return None;
    }
    let mut person = Element::new(MODEL, "person").with_attribute("id", ids.take("p1", "p"));
    let words = overall.activities.iter();
    let words: Vec<_> = words
        .filter_map(|word| Name::parse(RPID, word).map(Element::named))
        .collect();
    if !words.is_empty() {
        person = person.with(Element::new(RPID, "activities").with_all(words));
    }
    if !overall.user_input.is_empty() {
        person = person.with(Element::new(RPID, "user-input").with_text(overall.user_input));
    }
    Some(person)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(inner: &str) -> Published {
        let text = format!(
            "<presence xmlns='{PIDF}' xmlns:d='{MODEL}' xmlns:r='{RPID}' xmlns:x='urn:x' \
             xmlns:c='urn:ietf:params:xml:ns:pidf:caps' entity='sip:a@b'>{inner}</presence>"
        );
        Published::parse(text.as_bytes()).expect("a document")
    }

    fn open(activities: &[String]) -> Overall<'_> {
        Overall {
            basic: Basic::Open,
            activities,
            user_input: "",
            note: None,
        }
    }

    #[test]
    fn what_no_table_maps_is_kept() {
        let desk = document(
            "<tuple id='desk'><status><basic a='1'> OPEN </basic><x:mood>sunny</x:mood></status>\
             <c:servcaps><c:audio>true</c:audio></c:servcaps><contact priority='0.8'>sip:a@desk</contact>\
             <note xml:lang='en'>in &lt;here&gt;</note><timestamp>2026-01-01T00:00:00Z</timestamp></tuple>\
             <d:person id='me'><r:activities><r:busy/><r:steering/></r:activities><r:mood><r:happy/></r:mood></d:person>\
             <d:device id='box'><d:deviceID>urn:uuid:1</d:deviceID></d:device><note>all</note>",
        );
        let parts = [Part {
            name: "d1",
            leads: true,
            document: &desk,
        }];
        let busy = ["busy".to_owned()];
        let text = compose("sip:a@example.com", &open(&busy), &parts);
        for kept in [
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"",
            "entity=\"sip:a@example.com\"",
            "<tuple id=\"desk\"><status><basic>open</basic>",
            "sunny",
            "<caps:servcaps><caps:audio>true</caps:audio></caps:servcaps>",
            "<contact priority=\"0.8\">sip:a@desk</contact>",
            "<note xml:lang=\"en\">in &lt;here&gt;</note>",
            "<timestamp>2026-01-01T00:00:00Z</timestamp>",
            "<dm:person id=\"me\"><rpid:activities><rpid:busy/><rpid:steering/></rpid:activities>",
            "<rpid:mood><rpid:happy/></rpid:mood>",
            "<dm:device id=\"box\">",
            "<note>all</note>",
        ] {
            assert!(text.contains(kept), "{kept} in {text}");
        }
    }

    #[test]
    fn several_devices_are_one_document() {
        let closed = "<tuple id='t'><status><basic>closed</basic></status></tuple>";
        let opened = "<tuple id='t'><status><basic>open</basic></status></tuple>";
        let (desk, phone) = (document(closed), document(&format!("{closed}{opened}")));
        let part = |name, leads, document| Part {
            name,
            leads,
            document,
        };
        let text = compose(
            "sip:a@b",
            &open(&[]),
            &[part("d1", false, &desk), part("d2", true, &phone)],
        );
        let read = Published::parse(text.as_bytes()).expect("a document");
        let tuples: Vec<_> = read
            .parts("tuple")
            .map(|t| (t.attribute("id").unwrap_or_default().to_owned(), is_open(t)))
            .collect();
        let wanted = [("t", true), ("d2-1", false), ("d1-1", false)];
        assert_eq!(tuples, wanted.map(|(id, open)| (id.to_owned(), open)));
    }

    #[test]
    fn what_another_stack_says_leads() {
        let desk = document(
            "<tuple id='t1'><status><basic>open</basic></status></tuple><d:person id='p'><r:mood/></d:person>",
        );
        let away = ["away".to_owned()];
        let overall = Overall {
            note: Some("out & about"),
            ..open(&away)
        };
        let part = Part {
            name: "d1",
            leads: false,
            document: &desk,
        };
        let text = compose("sip:a@b", &overall, &[part]);
        let at = |what: &str| {
            text.find(what)
                .unwrap_or_else(|| panic!("{what} in {text}"))
        };
        assert!(at("out &amp; about") < at("id=\"d1-1\""));
        assert!(
            text.contains("<rpid:away/>") && !text.contains("mood"),
            "{text}"
        );
        // A leader that does not say what the person comes to does not speak for him.
        let none = document("");
        let part = Part {
            name: "d1",
            leads: true,
            document: &none,
        };
        let text = compose("sip:a@b", &open(&[]), &[part]);
        assert!(text.contains("<basic>open</basic>"), "{text}");
    }

    #[test]
    fn other_documents_are_refused() {
        for other in [
            &b""[..],
            b"<presence",
            b"<other xmlns='urn:ietf:params:xml:ns:pidf'/>",
            b"<presence xmlns='urn:ietf:params:xml:ns:pidf2'/>",
            b"<!DOCTYPE presence><presence/>",
        ] {
            assert!(Published::parse(other).is_err());
        }
        assert!(Published::parse(b"<presence/>").is_ok());
    }
}
