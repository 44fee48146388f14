//! Storage in memory: what a write does to the records of a person.

use crate::core::port::{PersonRecords, Write};

pub(super) fn commit(records: &mut PersonRecords, write: Write) {
    match write {
        Write::PutPoint(record) => {
            records.points.retain(|p| p.id != record.id);
            records.points.push(record);
        }
        Write::TouchPoint(_, id, expires) => {
            for point in records.points.iter_mut().filter(|p| p.id == id) {
                point.expires = expires;
            }
        }
        Write::DeletePoint(_, id) => records.points.retain(|p| p.id != id),
        Write::PutPublication(record) => {
            records.publications.retain(|p| p.id != record.id);
            records.publications.push(record);
        }
        Write::DeletePublication(_, id) => records.publications.retain(|p| p.id != id),
        Write::PutWatch(record) => {
            records.watches.retain(|w| w.id != record.id);
            records.watches.push(record);
        }
        Write::DeleteWatch(_, id) => records.watches.retain(|w| w.id != id),
        Write::PutProperty(_, name, value) => {
            records.properties.retain(|(known, _)| *known != name);
            records.properties.push((name, value));
        }
        Write::DeleteProperty(_, name) => records.properties.retain(|(known, _)| *known != name),
        Write::PutAccess(_, list) => records.access = Some(list),
        Write::PutDocument(_, info, _) => {
            records.documents.retain(|d| d.id != info.id);
            records.documents.push(info);
        }
        Write::DeleteDocument(_, id) => records.documents.retain(|d| d.id != id),
        Write::PutChat(chat) => records.chat = Some(chat),
        Write::PutContacts(_, list) => records.contacts = Some(list),
        Write::PutDevices(_, devices) => records.devices = Some(devices),
        Write::PutChange(_, at) => records.changed = Some(at),
        Write::PutKept(record) => {
            records.kept.retain(|k| k.message.id != record.message.id);
            records.kept.push(record);
        }
        Write::DeleteKept(_, id) => records.kept.retain(|k| k.message.id != id),
        // No person's records hold them.
        Write::PutTarget(_)
        | Write::DeleteTarget(..)
        | Write::PutBacklog(_)
        | Write::DeleteBacklog(..)
        | Write::PutHeld(_)
        | Write::DeleteHeld(..)
        | Write::Archive(_)
        | Write::EraseArchive(_)
        | Write::PutHold(_)
        | Write::DeleteHold(..)
        | Write::PutAccount(_)
        | Write::ForgetChanges => {}
        Write::DeleteAccount(_) => *records = PersonRecords::default(),
    }
}
