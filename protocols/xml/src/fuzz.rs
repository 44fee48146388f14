//! Bodies of the fuzz targets, also run by the properties of `cargo test`.

use crate::{Limits, Prefixes, parse, write};

/// Any bytes: no panic; what is accepted keeps the limits and survives a round trip.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn gate(data: &[u8]) {
    let limits = Limits::default();
    let Ok(root) = parse(data, &limits) else {
        return;
    };
    assert!(count(&root) <= limits.elements && depth(&root) <= limits.depth);
    let written = write(&root, &Prefixes::new(&[("d", "DAV:"), ("", "urn:x")]));
    let roomy = Limits {
        bytes: usize::MAX,
        attribute_bytes: usize::MAX,
        attributes: usize::MAX,
        ..limits
    };
    let again = parse(written.as_bytes(), &roomy);
    assert!(again.as_ref() == Ok(&root), "not the same again: {written}");
}

fn count(element: &crate::Element) -> usize {
    1 + element.elements().map(count).sum::<usize>()
}

fn depth(element: &crate::Element) -> usize {
    1 + element.elements().map(depth).max().unwrap_or(0)
}
