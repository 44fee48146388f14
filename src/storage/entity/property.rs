//! Properties: what a person stored about himself, opaque to this server.

use super::table::{Kind, Reader, Source, Table, Value, time, wide};
use crate::core::command::{PropertyName, PropertyValue};
use crate::core::id::PersonId;
use crate::core::port::StoreError;
use crate::core::time::Time;
use std::sync::Arc;

pub(in crate::storage) const TABLE: Table = Table {
    name: "property",
    columns: &[
        ("person", Kind::Blob),
        ("namespace", Kind::Text),
        ("local", Kind::Text),
        ("value", Kind::Blob),
        ("expires", Kind::MaybeInt),
        ("fallback", Kind::Blob),
    ],
    key: 3,
};

/// The property as a row.
pub(in crate::storage) fn values(
    person: PersonId,
    name: &PropertyName,
    value: &PropertyValue,
) -> Vec<Value> {
    vec![
        wide(person.0),
        Value::Text(name.namespace.as_ref().to_owned()),
        Value::Text(name.local.as_ref().to_owned()),
        Value::Blob(value.bytes.to_vec()),
        Value::MaybeInt(value.expires.map(time)),
        // No octets at all = none: an element has some.
        Value::Blob(value.fallback.as_deref().unwrap_or_default().to_vec()),
    ]
}

/// The row as a property and whose it is.
pub(in crate::storage) fn read(
    row: &impl Source,
) -> Result<(PersonId, (PropertyName, PropertyValue)), StoreError> {
    let mut reader = Reader::new(row, TABLE.name);
    let name = PropertyName {
        namespace: reader.text("namespace")?.into(),
        local: reader.text("local")?.into(),
    };
    reader.also(&name.local);
    let value = PropertyValue {
        bytes: reader.blob("value")?.into(),
        expires: reader.maybe_int("expires")?.map(Time),
        fallback: Some(reader.blob("fallback")?.into()).filter(|b: &Arc<[u8]>| !b.is_empty()),
    };
    Ok((PersonId(reader.wide("person")?), (name, value)))
}
