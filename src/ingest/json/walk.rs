//! Walks a document through serde, which calls back for every value.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{DEPTH_MAX, Found, JsonFaultKind, Plan, plan::NodeId};

/// What the walk has found so far.
pub(super) struct State<'de> {
    /// One for each pointer.
    pub(super) found: Vec<Found<'de>>,
    /// Which nodes of the plan the document has. A second visit is a repeated key.
    visited: Vec<bool>,
    /// Set when the walk itself refuses the document: serde's errors carry only text.
    pub(super) fault: Option<JsonFaultKind>,
}

impl State<'_> {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            found: vec![Found::Missing; plan.pointer_count()],
            visited: vec![false; plan.node_count()],
            fault: None,
        }
    }

    fn refuse<E: Error>(&mut self, kind: JsonFaultKind) -> E {
        self.fault = Some(kind);
        E::custom("refused")
    }
}

/// The walk at one value. Every value is walked, on the plan or not: serde's `IgnoredAny` would
/// skip without checking depth, surrogates and numbers.
pub(super) struct Walk<'s, 'p, 'de> {
    plan: &'p Plan,
    state: &'s mut State<'de>,
    /// `None`: no pointer leads here.
    node: Option<NodeId>,
    /// Containers around this value.
    depth: usize,
}

impl<'s, 'p, 'de> Walk<'s, 'p, 'de> {
    pub(super) fn root(plan: &'p Plan, state: &'s mut State<'de>) -> Self {
        Self {
            plan,
            state,
            node: Some(Plan::ROOT),
            depth: 0,
        }
    }

    /// `found` is only made when a pointer ends here.
    fn record(&mut self, found: impl Fn() -> Found<'de>) {
        for &slot in self.node.map_or(&[][..], |node| self.plan.slots(node)) {
            self.state.found[slot] = found();
        }
    }

    fn enter<E: Error>(&mut self, found: Found<'de>) -> Result<(), E> {
        if self.depth == DEPTH_MAX {
            return Err(self.state.refuse(JsonFaultKind::TooDeep));
        }
        self.record(|| found.clone());
        Ok(())
    }

    fn inner(&mut self, node: Option<NodeId>) -> Walk<'_, 'p, 'de> {
        Walk {
            plan: self.plan,
            state: self.state,
            node,
            depth: self.depth + 1,
        }
    }

    fn visit_once<E: Error>(&mut self, node: NodeId) -> Result<(), E> {
        let visited = &mut self.state.visited[node.number()];
        if std::mem::replace(visited, true) {
            let pointer = self.plan.pointer(node).to_owned();
            return Err(self.state.refuse(JsonFaultKind::DuplicateKey(pointer)));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(mut self) -> Result<(), E> {
        self.record(|| Found::Null);
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.record(|| Found::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.record(|| Found::Integer(value.into()));
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.record(|| Found::Integer(value.into()));
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.record(|| Found::Number(value));
        Ok(())
    }

    fn visit_borrowed_str<E>(mut self, value: &'de str) -> Result<(), E> {
        self.record(|| Found::String(Cow::Borrowed(value)));
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.record(|| Found::String(Cow::Owned(value.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.enter(Found::Array)?;
        let (plan, node) = (self.plan, self.node);
        for index in 0.. {
            let child = node.and_then(|node| plan.index(node, index));
            if seq.next_element_seed(self.inner(child))?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.enter(Found::Object)?;
        let (plan, node) = (self.plan, self.node);
        while let Some(child) = map.next_key_seed(Key { plan, node })? {
            if let Some(child) = child {
                self.visit_once(child)?;
            }
            map.next_value_seed(self.inner(child))?;
        }
        Ok(())
    }
}

/// A key of the object at `node`: becomes the node of its value, if the plan leads there.
struct Key<'p> {
    plan: &'p Plan,
    node: Option<NodeId>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<NodeId>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<NodeId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.node.and_then(|node| self.plan.key(node, key)))
    }
}
