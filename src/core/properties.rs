//! Properties, opaque to the core, and the access list.

use crate::core::access::{AccessEntry, Right};
use crate::core::command::{Caller, PropertyName, PropertyValue, Reply};
use crate::core::effect::Rules;
use crate::core::error::{Error, Limit};
use crate::core::port::Write;
use crate::core::user::{Fx, User};

impl User {
    /// Executes [`crate::core::command::Command::Properties`].
    pub(super) fn read_properties(
        &self,
        fx: &Fx<'_, '_>,
        caller: &Caller,
        names: Option<Vec<PropertyName>>,
    ) -> Result<Reply, Error> {
        self.must(fx.rules(), caller, Right::Read)?;
        let found = match names {
            None => self
                .properties
                .iter()
                .map(|(name, value)| (name.clone(), Some(value.clone())))
                .collect(),
            Some(names) => names
                .into_iter()
                .map(|name| {
                    let value = self.property(&name).cloned();
                    (name, value)
                })
                .collect(),
        };
        Ok(Reply::Properties(found))
    }

    /// Executes [`crate::core::command::Command::SetProperties`]: all or nothing.
    pub(super) fn set_properties(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        changes: Vec<(PropertyName, Option<PropertyValue>)>,
    ) -> Result<Reply, Error> {
        self.must(fx.rules(), caller, Right::Write)?;
        self.check_sizes(fx.rules(), &changes)?;
        let mut real = Vec::new();
        for (name, value) in changes {
            if self.property(&name) == value.as_ref() {
                continue;
            }
            self.put_property(fx, &name, value.clone());
            real.push((name, value));
        }
        self.tell_properties(fx, &real);
        Ok(Reply::Done)
    }

    fn check_sizes(
        &self,
        rules: &Rules,
        changes: &[(PropertyName, Option<PropertyValue>)],
    ) -> Result<(), Error> {
        if changes.len() > rules.properties {
            return Err(Error::LimitReached(Limit::Properties));
        }
        let too_large = |value: &PropertyValue| value.octets() > rules.property_octets;
        if changes
            .iter()
            .any(|(_, v)| v.as_ref().is_some_and(too_large))
        {
            return Err(Error::TooLarge);
        }
        let weigh = |name: &PropertyName, value: &PropertyValue| {
            name.namespace.len() + name.local.len() + value.octets()
        };
        // The last change of a name counts; a name occurs once in what is left.
        let kept = self
            .properties
            .iter()
            .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name))
            .map(|(name, value)| weigh(name, value));
        let put = changes
            .iter()
            .enumerate()
            .filter_map(|(at, (name, value))| {
                let last = !changes[at + 1..].iter().any(|(later, _)| later == name);
                value.as_ref().filter(|_| last).map(|v| weigh(name, v))
            });
        let (count, octets) = kept
            .chain(put)
            .fold((0, 0), |(count, sum), octets| (count + 1, sum + octets));
        if count > rules.properties || octets > rules.properties_octets {
            return Err(Error::LimitReached(Limit::Properties));
        }
        Ok(())
    }

    fn put_property(
        &mut self,
        fx: &mut Fx<'_, '_>,
        name: &PropertyName,
        value: Option<PropertyValue>,
    ) {
        let at = self.properties.iter().position(|(known, _)| known == name);
        match (at, value) {
            (at, Some(value)) => {
                if let Some(expires) = value.expires {
                    self.arm(expires);
                }
                fx.store(Write::PutProperty(
                    self.person(),
                    name.clone(),
                    value.clone(),
                ));
                match at {
                    Some(at) => self.properties[at].1 = value,
                    None => self.properties.push((name.clone(), value)),
                }
            }
            (Some(at), None) => {
                self.properties.remove(at);
                fx.store(Write::DeleteProperty(self.person(), name.clone()));
            }
            (None, None) => {}
        }
    }

    /// Leased values whose time is over fall back or go, and watchers are told.
    pub(super) fn expire_properties(&mut self, fx: &mut Fx<'_, '_>) {
        let now = fx.now();
        let over: Vec<_> = self
            .properties
            .iter()
            .filter(|(_, value)| value.expires.is_some_and(|expires| now >= expires))
            .map(|(name, value)| (name.clone(), value.clone().fallen_back()))
            .collect();
        for (name, value) in &over {
            self.put_property(fx, name, value.clone());
        }
        self.tell_properties(fx, &over);
    }

    fn property(&self, name: &PropertyName) -> Option<&PropertyValue> {
        let found = self.properties.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// Executes [`crate::core::command::Command::SetAccess`].
    pub(super) fn set_access(
        &mut self,
        fx: &mut Fx<'_, '_>,
        caller: &Caller,
        list: Vec<AccessEntry>,
    ) -> Result<Reply, Error> {
        self.must(fx.rules(), caller, Right::WriteAcl)?;
        if list.len() > fx.rules().access_entries {
            return Err(Error::LimitReached(Limit::AccessEntries));
        }
        self.replace_access(fx, list);
        Ok(Reply::Done)
    }
}

impl PropertyValue {
    fn octets(&self) -> usize {
        self.bytes.len() + self.fallback.as_ref().map_or(0, |bytes| bytes.len())
    }

    /// What is left when the lease is over.
    fn fallen_back(self) -> Option<Self> {
        self.fallback.map(|bytes| Self {
            bytes,
            expires: None,
            fallback: None,
        })
    }
}
