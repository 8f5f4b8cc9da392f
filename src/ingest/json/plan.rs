//! A route's pointers as a trie.

use super::each::EACH;
use crate::config::Pointer;

/// Pointers, compiled once and used for every body.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first is the document. Each stands for one place, so one document has it at most once.
    nodes: Vec<Node>,
    /// Those with a `*`: places in the answer, and tokens. They are no part of the trie.
    each: Vec<(usize, Box<[Box<str>]>)>,
    pointers: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    children: Vec<Child>,
    /// The places in the answer where the value goes.
    slots: Vec<usize>,
    /// The pointer to this place.
    pointer: String,
}

#[derive(Clone, Debug)]
struct Child {
    key: Box<str>,
    /// The key as an array's index, when it is one.
    index: Option<usize>,
    node: NodeId,
}

/// A place in the document that leads to a pointer or is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(usize);

impl Plan {
    pub fn new(pointers: &[Pointer]) -> Self {
        let mut plan = Self {
            nodes: vec![Node::default()],
            each: Vec::new(),
            pointers: pointers.len(),
        };
        for (slot, pointer) in pointers.iter().enumerate() {
            if pointer.tokens().iter().any(|token| &**token == EACH) {
                plan.each.push((slot, pointer.tokens().into()));
                continue;
            }
            let mut at = Self::ROOT;
            for token in pointer.tokens() {
                at = plan.child_or_new(at, token);
            }
            plan.nodes[at.0].slots.push(slot);
        }
        plan
    }

    pub(super) const ROOT: NodeId = NodeId(0);

    pub(super) fn pointer_count(&self) -> usize {
        self.pointers
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn each(&self) -> &[(usize, Box<[Box<str>]>)] {
        &self.each
    }

    pub(super) fn slots(&self, node: NodeId) -> &[usize] {
        &self.nodes[node.0].slots
    }

    pub(super) fn pointer(&self, node: NodeId) -> &str {
        &self.nodes[node.0].pointer
    }

    /// The value of `key` in the object at `parent`, if the plan leads there.
    pub(super) fn key(&self, parent: NodeId, key: &str) -> Option<NodeId> {
        let children = &self.nodes[parent.0].children;
        let child = children.iter().find(|child| *child.key == *key)?;
        Some(child.node)
    }

    /// The value at `index` in the array at `parent`, if the plan leads there.
    pub(super) fn index(&self, parent: NodeId, index: usize) -> Option<NodeId> {
        let children = &self.nodes[parent.0].children;
        let child = children.iter().find(|child| child.index == Some(index))?;
        Some(child.node)
    }

    fn child_or_new(&mut self, parent: NodeId, token: &str) -> NodeId {
        if let Some(known) = self.key(parent, token) {
            return known;
        }
        let node = NodeId(self.nodes.len());
        self.nodes.push(Node {
            pointer: format!("{}/{}", self.pointer(parent), escaped(token)),
            ..Node::default()
        });
        self.nodes[parent.0].children.push(Child {
            key: token.into(),
            index: array_index(token),
            node,
        });
        node
    }
}

impl NodeId {
    pub(super) fn number(self) -> usize {
        self.0
    }
}

/// As it stands in a pointer.
pub(super) fn escaped(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// RFC 6901: digits without leading zeros.
pub(super) fn array_index(token: &str) -> Option<usize> {
    let is_canonical = token == "0" || !token.starts_with('0');
    let is_digits = token.bytes().all(|b| b.is_ascii_digit());
    (is_canonical && is_digits)
        .then(|| token.parse().ok())
        .flatten()
}
