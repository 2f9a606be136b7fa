//! The nodes: things that are counted by an id of their own. Owns the number of each node, and its place in the row of
//! the last document that contains it. Does not know how a node is found.

use super::row::{LastSeen, Row, Stamp};

/// The number of a node that has none yet.
const UNNUMBERED: u32 = u32::MAX - 2;

#[derive(Clone, Copy)]
struct Node {
    number: u32,
    seen: LastSeen,
}

/// The nodes, and the row of the current document.
#[derive(Default)]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    stamp: Stamp,
    /// The row of the current document.
    pub(crate) row: Row,
}

impl Nodes {
    /// Starts a document: forgets the row.
    pub(crate) fn begin_document(&mut self) {
        if self.stamp.advance() {
            self.nodes.iter_mut().for_each(|node| node.seen = LastSeen::default());
        }
        self.row.clear();
    }

    /// The stamp of the current document.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Adds a node without a number.
    pub(crate) fn add(&mut self) -> u32 {
        self.nodes.push(Node { number: UNNUMBERED, seen: LastSeen::default() });
        self.nodes.len() as u32 - 1
    }

    /// Gives the node its number.
    pub(crate) fn set_number(&mut self, node: u32, number: u32) {
        self.nodes[node as usize].number = number;
    }

    /// Counts `times` occurrences of a node that has a number.
    #[inline]
    pub(crate) fn count(&mut self, node: u32, times: u32) {
        let node = &mut self.nodes[node as usize];
        self.row.count(self.stamp, node.number, &mut node.seen, times);
    }

    /// Bytes that the nodes take.
    pub(crate) fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
    }

    /// Forgets all nodes.
    pub(crate) fn clear(&mut self) {
        self.nodes = Vec::new();
    }
}
