//! Accounts and the addresses that lead to them.

use super::table::{Kind, Reader, Source, Table, Value, wide};
use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::core::port::{Account, Secret, StoreError};
use std::collections::HashMap;

pub(in crate::storage) const TABLE: Table = Table {
    name: "account",
    columns: &[
        ("person", Kind::Blob),
        ("address", Kind::Text),
        ("display_name", Kind::Text),
        ("email", Kind::Text),
        ("secret", Kind::Blob),
        ("suspended", Kind::Int),
    ],
    key: 1,
};

/// Every address, the canonical ones among them, so that one index keeps them apart.
pub(in crate::storage) const ADDRESSES: Table = Table {
    name: "address",
    columns: &[
        ("address", Kind::Text),
        ("person", Kind::Blob),
        ("position", Kind::Int),
    ],
    key: 1,
};

/// The account as a row.
pub(in crate::storage) fn values(account: &Account) -> Vec<Value> {
    vec![
        wide(account.person.0),
        Value::Text(account.address.to_string()),
        Value::Text(account.display_name.clone()),
        Value::Text(account.email.clone()),
        Value::Blob(account.secret.0.clone()),
        Value::Int(account.suspended.into()),
    ]
}

/// The account's addresses, canonical first, as rows.
pub(in crate::storage) fn addresses(account: &Account) -> Vec<(Address, Vec<Value>)> {
    let all = [&account.address].into_iter().chain(&account.aliases);
    let row = |(position, address): (i64, &Address)| {
        let values = vec![
            Value::Text(address.to_string()),
            wide(account.person.0),
            Value::Int(position),
        ];
        (address.clone(), values)
    };
    (0_i64..).zip(all).map(row).collect()
}

/// Account rows and address rows (by person and position) as accounts.
pub(in crate::storage) fn read<S: Source>(
    accounts: &[S],
    addresses: &[S],
) -> Result<Vec<Account>, StoreError> {
    let mut aliases: HashMap<PersonId, Vec<Address>> = HashMap::new();
    for row in addresses {
        let reader = Reader::new(row, ADDRESSES.name);
        if reader.int::<i64>("position")? > 0 {
            let person = PersonId(reader.wide("person")?);
            aliases
                .entry(person)
                .or_default()
                .push(address(&reader, "address")?);
        }
    }
    let account = |row: &S| {
        let reader = Reader::new(row, TABLE.name);
        let person = PersonId(reader.wide("person")?);
        Ok(Account {
            person,
            address: address(&reader, "address")?,
            aliases: aliases.remove(&person).unwrap_or_default(),
            display_name: reader.text("display_name")?,
            email: reader.text("email")?,
            secret: Secret(reader.blob("secret")?),
            suspended: reader.int::<i64>("suspended")? != 0,
        })
    };
    accounts.iter().map(account).collect()
}

fn address<S: Source>(reader: &Reader<'_, S>, column: &'static str) -> Result<Address, StoreError> {
    Address::from_normal(&reader.text(column)?).map_err(|reason| reader.broken(column, reason))
}
