//! Random documents and selectors against a naive model: a tree of its own that is searched by
//! making all ways to all nodes.

use crate::{NodeSelector, edit, read};
use proptest::prelude::*;
use std::fmt::Write as _;
use xml::Limits;

#[derive(Clone, Debug, PartialEq)]
struct Tree {
    name: String,
    id: Option<String>,
    children: Vec<Tree>,
    /// How it is written; no part of what it is.
    style: u8,
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = (name(), id(), any::<u8>()).prop_map(|(name, id, style)| Tree {
        name,
        id,
        children: Vec::new(),
        style,
    });
    leaf.prop_recursive(4, 40, 5, |inner| {
        (
            name(),
            id(),
            prop::collection::vec(inner, 0..5),
            any::<u8>(),
        )
            .prop_map(|(name, id, children, style)| Tree {
                name,
                id,
                children,
                style,
            })
    })
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "p:c"]).prop_map(str::to_owned)
}

fn id() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(vec!["1", "2", "x y"]).prop_map(str::to_owned))
}

impl Tree {
    fn write(&self, out: &mut String, top: bool) {
        out.push('<');
        out.push_str(&self.name);
        if top {
            out.push_str(" xmlns='urn:x' xmlns:p=\"urn:p\"");
        }
        if let Some(id) = &self.id {
            let quote = if self.style & 1 == 0 { '"' } else { '\'' };
            let space = if self.style & 2 == 0 { "" } else { "\n " };
            let _ = write!(out, " {space}id{space}={quote}{id}{quote}{space}");
        }
        if self.children.is_empty() && self.style & 4 == 0 {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for child in &self.children {
            if self.style & 8 != 0 {
                out.push_str("\n <!-- <a id='1'/> -->&amp;");
            }
            child.write(out, false);
        }
        if self.style & 16 != 0 {
            out.push_str("<![CDATA[</a>]]>");
        }
        let _ = write!(out, "</{}>", self.name);
    }

    fn text(&self) -> String {
        let mut out = String::from("<?xml version='1.0'?>\n");
        self.write(&mut out, true);
        out.push_str("\n<!-- end -->\n");
        out
    }

    fn at(&self, way: &[usize]) -> &Self {
        way.iter()
            .fold(self, |tree, number| &tree.children[*number])
    }

    fn of(element: &xml::Element) -> Self {
        let prefix = if element.name.namespace().as_str() == "urn:p" {
            "p:"
        } else {
            ""
        };
        Self {
            name: format!("{prefix}{}", element.name.local()),
            id: element.attribute("id").map(str::to_owned),
            children: element.elements().map(Self::of).collect(),
            style: 0,
        }
    }

    fn plain(&self) -> Self {
        Self {
            style: 0,
            children: self.children.iter().map(Self::plain).collect(),
            ..self.clone()
        }
    }
}

#[derive(Clone, Debug)]
struct ModelStep {
    name: Option<String>,
    position: Option<usize>,
    id: Option<String>,
}

fn steps() -> impl Strategy<Value = Vec<ModelStep>> {
    let step = (
        prop_oneof![4 => name().prop_map(Some), 1 => Just(None)],
        prop::option::of(1..4_usize),
        id(),
    );
    let step = step.prop_map(|(name, position, id)| ModelStep { name, position, id });
    prop::collection::vec(step, 1..5)
}

fn selector(steps: &[ModelStep], end: &str) -> NodeSelector {
    let mut text = String::new();
    for step in steps {
        text.push('/');
        text.push_str(step.name.as_deref().unwrap_or("*"));
        if let Some(position) = step.position {
            let _ = write!(text, "[{position}]");
        }
        if let Some(id) = &step.id {
            let _ = write!(text, "[@id=\"{id}\"]");
        }
    }
    text.push_str(end);
    NodeSelector::parse(&text, Some("xmlns(p=urn:p)"), "urn:x").unwrap()
}

/// All ways to nodes that the steps select, each step alone selecting exactly one.
fn select(root: &Tree, steps: &[ModelStep]) -> Option<Vec<usize>> {
    let holder = Tree {
        name: String::new(),
        id: None,
        children: vec![root.clone()],
        style: 0,
    };
    let mut way: Vec<usize> = Vec::new();
    for step in steps {
        let here = holder.at(&way);
        let mut matching = Vec::new();
        for (number, child) in here.children.iter().enumerate() {
            let same_name = |t: &Tree| step.name.is_none() || step.name.as_ref() == Some(&t.name);
            let rank = here.children[..=number]
                .iter()
                .filter(|t| same_name(t))
                .count();
            if same_name(child)
                && step.position.is_none_or(|position| position == rank)
                && step
                    .id
                    .as_ref()
                    .is_none_or(|id| child.id.as_ref() == Some(id))
            {
                matching.push(number);
            }
        }
        let [only] = matching[..] else { return None };
        way.push(only);
    }
    (!way.is_empty()).then(|| way.split_off(1))
}

fn parsed(text: &str) -> Tree {
    Tree::of(&xml::parse(text.as_bytes(), &Limits::default()).unwrap())
}

proptest! {
    #[test]
    fn reading_is_the_models(tree in trees(), steps in steps()) {
        let text = tree.text();
        let root = xml::parse(text.as_bytes(), &Limits::default()).unwrap();
        let element = read(text.as_bytes(), &root, &selector(&steps, ""));
        let attribute = read(text.as_bytes(), &root, &selector(&steps, "/@id"));
        match select(&tree, &steps) {
            None => prop_assert!(element.is_err() && attribute.is_err()),
            Some(way) => {
                let mut expected = String::new();
                tree.at(&way).write(&mut expected, way.is_empty());
                let octets = element.unwrap().into_parts().0;
                prop_assert_eq!(String::from_utf8(octets).unwrap(), expected);
                let got = attribute.ok().map(|v| String::from_utf8(v.into_parts().0).unwrap());
                prop_assert_eq!(got, tree.at(&way).id.clone());
            }
        }
    }

    /// What is put is got; replaced means all other octets are the same; inserted means one child
    /// more, at its position or at the end; refused means that the model can't either.
    #[test]
    fn putting_elements_is_the_models(tree in trees(), steps in steps(), new in trees()) {
        let text = tree.text();
        let mut body = String::new();
        new.write(&mut body, select(&tree, &steps).is_some_and(|way| way.is_empty()));
        let selector = selector(&steps, "");
        let result = edit::put(text.as_bytes(), &selector, body.as_bytes(), &Limits::default());
        let mut model = tree.plain();
        let created = match select(&tree, &steps) {
            Some(way) => {
                replace(&mut model, &way, new.plain());
                false
            }
            None => {
                let (last, parents) = steps.split_last().unwrap();
                match (parents.is_empty(), select(&tree, parents_or_root(parents))) {
                    (false, Some(way)) => { insert(&mut model, &way, last, new.plain()); true }
                    _ => { prop_assert!(result.is_err()); return Ok(()); }
                }
            }
        };
        // A GET must give what was put.
        let way = select(&model, &steps);
        let kept = way.as_ref().is_some_and(|way| *model.at(way) == new.plain()) && model != tree.plain();
        match result {
            Ok(edited) => {
                let after = String::from_utf8(edited.bytes).unwrap();
                prop_assert_eq!(edited.created, created);
                prop_assert_eq!(parsed(&after), model);
                let at = after.find(&body);
                prop_assert!(at.is_some());
            }
            Err(_) => prop_assert!(!kept || ambiguous(&tree, &steps, &new), "refused: {:?}", steps),
        }
    }

    #[test]
    fn deleting_is_the_models(tree in trees(), steps in steps()) {
        let text = tree.text();
        let result = edit::delete(text.as_bytes(), &selector(&steps, ""), &Limits::default());
        let Some(way) = select(&tree, &steps) else {
            prop_assert_eq!(result, Err(edit::NotDeleted::Missing));
            return Ok(());
        };
        let Some((last, parent)) = way.split_last() else {
            prop_assert!(result.is_err());
            return Ok(());
        };
        let mut model = tree.plain();
        let mut here = &mut model;
        for number in parent { here = &mut here.children[*number]; }
        here.children.remove(*last);
        if select(&model, &steps).is_some() {
            prop_assert!(matches!(result, Err(edit::NotDeleted::Conflict(_))));
            return Ok(());
        }
        let after = String::from_utf8(result.unwrap()).unwrap();
        prop_assert_eq!(parsed(&after), model);
        // All other octets stay: what is left is the text with one piece cut out.
        let mut gone = String::new();
        tree.at(&way).write(&mut gone, false);
        prop_assert_eq!(after.len() + gone.len(), text.len());
        let cut = text.match_indices(&gone).any(|(at, _)| {
            format!("{}{}", &text[..at], &text[at + gone.len()..]) == after
        });
        prop_assert!(cut);
    }

    #[test]
    fn putting_attributes_changes_the_value_only(tree in trees(), steps in steps(), value in "[a-z&;'\"<>]{0,6}") {
        let text = tree.text();
        let result = edit::put(text.as_bytes(), &selector(&steps, "/@n"), value.as_bytes(), &Limits::default());
        let Some(way) = select(&tree, &steps) else {
            prop_assert!(result.is_err());
            return Ok(());
        };
        let Some(meaning) = xml::attribute_value(&value) else {
            prop_assert!(result.is_err());
            return Ok(());
        };
        let edited = result.unwrap();
        prop_assert!(edited.created);
        let root = xml::parse(&edited.bytes, &Limits::default()).unwrap();
        let mut element = &root;
        for number in &way { element = element.elements().nth(*number).unwrap(); }
        prop_assert_eq!(element.attribute("n"), Some(meaning.as_str()));
        prop_assert_eq!(Tree::of(&root), tree.plain());
        let again = edit::delete(&edited.bytes, &selector(&steps, "/@n"), &Limits::default()).unwrap();
        prop_assert_eq!(String::from_utf8(again).unwrap(), text);
    }
}

fn parents_or_root(parents: &[ModelStep]) -> &[ModelStep] {
    parents
}

fn replace(model: &mut Tree, way: &[usize], new: Tree) {
    let mut here = model;
    for number in way {
        here = &mut here.children[*number];
    }
    *here = new;
}

fn insert(model: &mut Tree, way: &[usize], step: &ModelStep, new: Tree) {
    let mut here = model;
    for number in way {
        here = &mut here.children[*number];
    }
    let named: Vec<usize> = (0..here.children.len())
        .filter(|n| {
            step.name
                .as_ref()
                .is_none_or(|name| *name == here.children[*n].name)
        })
        .collect();
    let at = match step.position {
        Some(position) if position <= named.len() => named[position - 1],
        Some(_) if !named.is_empty() => named[named.len() - 1] + 1,
        _ => here.children.len(),
    };
    here.children.insert(at, new);
}

/// A refusal that the model does not see: a gap in positions, or a new element with a name that
/// the selector does not have.
fn ambiguous(tree: &Tree, steps: &[ModelStep], new: &Tree) -> bool {
    let last = steps.last().unwrap();
    let gap = last.position.is_some() && select(tree, steps).is_none();
    gap || last.name.as_ref().is_some_and(|name| *name != new.name)
}

#[test]
fn fuzz_bodies() {
    bolero::check!().for_each(|data: &[u8]| {
        crate::fuzz::edits(data);
        crate::fuzz::policies(data);
    });
}
