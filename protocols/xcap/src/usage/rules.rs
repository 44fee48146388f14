//! Structure of authorisation documents (RFC 4745 section 13, RFC 5025 section 5).

use super::{expect, need, schema};
use crate::conflict::{Conflict, Exists};
use crate::policy::{COMMON, Handling, OURS, PRES_RULES, instant};
use xml::Element;

/// Conditions one rule may have.
const MOST_CONDITIONS: usize = 64;

pub(super) fn validate(root: &Element) -> Result<(), Conflict> {
    expect(root, COMMON, "ruleset")?;
    let mut ids: Vec<&str> = Vec::new();
    for (number, rule) in root.elements().enumerate() {
        if !rule.is(COMMON, "rule") {
            return Err(schema(format!(
                "{} can't stand in ruleset",
                rule.name.local()
            )));
        }
        let id = need(rule, "id")?;
        if xml::Name::parse("", id).is_none() {
            return Err(schema(format!("{id:?} is no rule id (xs:ID)")));
        }
        if ids.contains(&id) {
            return Err(Conflict::Uniqueness(vec![Exists {
                field: format!("/ruleset/rule[{}]/@id", number + 1),
                alternatives: (1..=u16::MAX)
                    .map(|n| format!("{id}-{n}"))
                    .find(|free| !ids.contains(&free.as_str()))
                    .into_iter()
                    .collect(),
            }]));
        }
        ids.push(id);
        parts(rule)?;
    }
    Ok(())
}

fn parts(rule: &Element) -> Result<(), Conflict> {
    let order = ["conditions", "actions", "transformations"];
    let mut next = 0;
    for part in rule.elements() {
        let place = order
            .iter()
            .position(|name| part.is(COMMON, name))
            .filter(|place| *place >= next)
            .ok_or_else(|| {
                schema(
                    "a rule holds conditions, actions, transformations, in this order".to_owned(),
                )
            })?;
        next = place + 1;
        match place {
            0 => conditions(part)?,
            1 => actions(part)?,
            _ => transformations(part)?,
        }
    }
    Ok(())
}

fn conditions(part: &Element) -> Result<(), Conflict> {
    if part.elements().count() > MOST_CONDITIONS {
        return Err(Conflict::Constraint("too many conditions".to_owned()));
    }
    for condition in part.elements() {
        if condition.is(COMMON, "identity") {
            identity(condition)?;
        } else if condition.is(COMMON, "sphere") {
            need(condition, "value")?;
        } else if condition.is(COMMON, "validity") {
            validity(condition)?;
        } else if condition.name.namespace().as_str() == COMMON {
            return Err(schema(format!(
                "{} is no condition",
                condition.name.local()
            )));
        }
    }
    Ok(())
}

fn identity(condition: &Element) -> Result<(), Conflict> {
    let mut empty = true;
    for who in condition.elements() {
        empty = false;
        if who.is(COMMON, "one") {
            need(who, "id")?;
        } else if who.is(COMMON, "many") {
            for except in who.children_named(COMMON, "except") {
                // RFC 4745 7.1.2: one of the two, and a domain only where all domains are meant.
                match (except.attribute("id"), except.attribute("domain")) {
                    (Some(_), None) => {}
                    (None, Some(_)) if who.attribute("domain").is_none() => {}
                    _ => return Err(schema("except needs either id or domain".to_owned())),
                }
            }
        } else if who.name.namespace().as_str() == COMMON {
            return Err(schema(format!(
                "{} can't stand in identity",
                who.name.local()
            )));
        }
    }
    if empty {
        return Err(schema("identity is empty".to_owned()));
    }
    Ok(())
}

fn validity(condition: &Element) -> Result<(), Conflict> {
    let bounds: Vec<&Element> = condition.elements().collect();
    let fine = !bounds.is_empty()
        && bounds.chunks(2).all(|pair| match pair {
            [from, until] => from.is(COMMON, "from") && until.is(COMMON, "until"),
            _ => false,
        });
    if !fine {
        return Err(schema("validity holds pairs of from and until".to_owned()));
    }
    match bounds.iter().find(|at| instant(&at.trimmed()).is_none()) {
        Some(bad) => Err(schema(format!(
            "{:?} is no time with a zone",
            bad.trimmed()
        ))),
        None => Ok(()),
    }
}

fn actions(part: &Element) -> Result<(), Conflict> {
    for action in part.elements() {
        let word = action.trimmed();
        if action.is(PRES_RULES, "sub-handling") && Handling::of(&word).is_none() {
            return Err(schema(format!("{word:?} is no sub-handling")));
        }
        if action.is(OURS, "messages") && !matches!(&*word, "allow" | "block") {
            return Err(schema("messages is neither allow nor block".to_owned()));
        }
    }
    Ok(())
}

fn transformations(part: &Element) -> Result<(), Conflict> {
    let booleans = [
        "provide-activities",
        "provide-class",
        "provide-deviceID",
        "provide-mood",
        "provide-place-is",
        "provide-place-type",
        "provide-privacy",
        "provide-relationship",
        "provide-status-icon",
        "provide-sphere",
        "provide-time-offset",
        "provide-note",
    ];
    for permission in part.elements() {
        if permission.name.namespace().as_str() != PRES_RULES {
            continue;
        }
        let (name, word) = (permission.name.local(), permission.trimmed());
        if booleans.contains(&name) && !matches!(&*word, "true" | "false" | "1" | "0") {
            return Err(schema(format!("{name} is neither true nor false")));
        }
        if name == "provide-user-input"
            && !matches!(&*word, "false" | "bare" | "thresholds" | "full")
        {
            return Err(schema("provide-user-input: unknown value".to_owned()));
        }
    }
    Ok(())
}
