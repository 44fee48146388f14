//! XPIDF: the draft format that clients before RFC 3863 read. Written only.

use xml::{Element, Namespace, Prefixes};

/// `application/xpidf+xml`
pub const CONTENT_TYPE: &str = "application/xpidf+xml";

/// The document type that its readers expect; no reader fetches it.
const DOCTYPE: &str =
    "<!DOCTYPE presence PUBLIC \"-//IETF//DTD RFCxxxx XPIDF 1.0//EN\" \"xpidf.dtd\">\n";

/// Writes the document about `entity` (a URI). `status` and `substatus` are the format's own words.
#[must_use]
pub fn write(entity: &str, status: &str, substatus: &str, name: Option<&str>) -> String {
    let new = |name| Element::new(Namespace::NONE, name);
    let address = new("address")
        .with_attribute("uri", entity)
        .with_attribute("priority", "0.800000")
        .with(new("status").with_attribute("status", status))
        .with(new("msnsubstatus").with_attribute("substatus", substatus));
    let mut root = new("presence")
        .with(new("presentity").with_attribute("uri", format!("{entity};method=SUBSCRIBE")))
        .with(new("atom").with_attribute("id", "1001").with(address));
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        root = root.with(new("display").with_attribute("name", name));
    }
    let body = xml::write(&root, &Prefixes::NONE);
    format!("<?xml version=\"1.0\"?>\n{DOCTYPE}{body}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_old_readers_know() {
        let text = write("sip:bob@example.com", "open", "onthephone", Some("B \"<&"));
        assert_eq!(
            text,
            "<?xml version=\"1.0\"?>\n\
             <!DOCTYPE presence PUBLIC \"-//IETF//DTD RFCxxxx XPIDF 1.0//EN\" \"xpidf.dtd\">\n\
             <presence><presentity uri=\"sip:bob@example.com;method=SUBSCRIBE\"/>\
             <atom id=\"1001\"><address uri=\"sip:bob@example.com\" priority=\"0.800000\">\
             <status status=\"open\"/><msnsubstatus substatus=\"onthephone\"/></address></atom>\
             <display name=\"B &quot;&lt;&amp;\"/></presence>\n"
        );
    }
}
