//! Accounts and the addresses that lead to them.

use super::table::{Kind, Reader, Source, Table, Value, json, wide};
use crate::core::address::Address;
use crate::core::id::PersonId;
use crate::core::node::Node;
use crate::core::port::{Account, Secret, StoreError};
use serde::{Deserialize, Serialize};
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
        ("node", Kind::Text),
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

/// Version 1 of what a node is; a person's column is empty.
#[derive(Serialize, Deserialize)]
struct Body {
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    members: Vec<String>,
}

impl From<&Node> for Body {
    fn from(node: &Node) -> Self {
        Self {
            v: 1,
            owner: node.owner.map(|id| id.to_string()),
            members: node.members.iter().map(Address::to_string).collect(),
        }
    }
}

/// The account as a row.
pub(in crate::storage) fn values(account: &Account) -> Result<Vec<Value>, StoreError> {
    let node = match &account.node {
        Some(node) => json(&Body::from(node))?,
        None => Value::Text(String::new()),
    };
    Ok(vec![
        wide(account.person.0),
        Value::Text(account.address.to_string()),
        Value::Text(account.display_name.clone()),
        Value::Text(account.email.clone()),
        Value::Blob(account.secret.0.clone()),
        Value::Int(account.suspended.into()),
        node,
    ])
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
            node: node(&reader)?,
        })
    };
    accounts.iter().map(account).collect()
}

fn node<S: Source>(reader: &Reader<'_, S>) -> Result<Option<Node>, StoreError> {
    if reader.text("node")?.is_empty() {
        return Ok(None);
    }
    let body: Body = reader.body("node")?;
    if body.v != 1 {
        return Err(reader.broken("node", format!("version {}", body.v)));
    }
    let wrong = |reason: &dyn std::fmt::Display| reader.broken("node", reason);
    let owner = body.owner.map(|id| id.parse()).transpose();
    let members = body.members.iter().map(|who| Address::from_normal(who));
    Ok(Some(Node {
        owner: owner.map_err(|e| wrong(&e))?,
        members: members.collect::<Result<_, _>>().map_err(|e| wrong(&e))?,
    }))
}

fn address<S: Source>(reader: &Reader<'_, S>, column: &'static str) -> Result<Address, StoreError> {
    Address::from_normal(&reader.text(column)?).map_err(|reason| reader.broken(column, reason))
}
