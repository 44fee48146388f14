//! Bodies of the fuzz targets, also run by the properties of `cargo test`.

use crate::document::{
    Acl, MAX_BODY, Multistatus, Notification, PropertyUpdate, Propfind, Subscriptions,
};

/// Any bytes as each document: no panic, and what is read survives a round trip.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn documents(data: &[u8]) {
    const ROOM: usize = 1 << 24;
    if let Ok(read) = Notification::parse(data, MAX_BODY) {
        assert!(Notification::parse(&read.to_xml(), ROOM).as_ref() == Ok(&read));
    }
    if let Ok(read) = PropertyUpdate::parse(data, MAX_BODY) {
        assert!(PropertyUpdate::parse(read.to_xml().as_bytes(), ROOM).is_ok());
    }
    if let Ok(read) = Multistatus::parse(data, MAX_BODY) {
        assert!(Multistatus::parse(read.to_xml().as_bytes(), ROOM).is_ok());
    }
    if let Ok(read) = Propfind::parse(data, MAX_BODY) {
        assert!(Propfind::parse(read.to_xml().as_bytes(), ROOM).as_ref() == Ok(&read));
    }
    if let Ok(read) = Subscriptions::parse(data, MAX_BODY) {
        assert!(Subscriptions::parse(read.to_xml().as_bytes(), ROOM).as_ref() == Ok(&read));
    }
    if let Ok(read) = Acl::parse(data, MAX_BODY) {
        assert!(Acl::parse(read.to_xml().as_bytes(), ROOM).as_ref() == Ok(&read));
    }
}

/// Any bytes as a MIME block and in both text forms: no panic, and a read block prints to an equal
/// one.
///
/// # Panics
/// When that does not hold: that is the finding.
pub fn mime(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut habit = crate::text::Habit::default();
    let text = habit.read(&text);
    if let Ok(block) = crate::mime::Block::parse(&text) {
        assert!(crate::mime::Block::parse(&block.to_string()).as_ref() == Ok(&block));
        let _ = (
            block.kind(),
            block.format(),
            block.session(),
            block.invitation(),
        );
    }
    let octets = crate::text::to_octets(&text);
    assert!(crate::text::from_octets(&octets).as_deref() == Some(&*text));
}
