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
