//! The one true history, kept outside all nodes: who led each term, what each term's log is, and what is committed.
//!
//! Everything is compared by entry numbers (see `arena`), so each check is a few array reads. Invariant: what is
//! committed only grows.

use super::arena::{Arena, EntryNo, ROOT};
use super::node::{Node, disk_of, number_of};
use super::raft_core::{Membership, ReplicaId};
use crate::core::law::{Checked, ensure};

/// One term.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TermRecord {
    pub(crate) leader: Option<ReplicaId>,
    /// The last entry of its leader when it was elected.
    pub(crate) start: EntryNo,
    /// The last entry of its leader's log.
    pub(crate) tip: EntryNo,
    /// Whether its leader has committed an entry of the term.
    pub(crate) has_committed: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Truth {
    terms: Vec<TermRecord>,
    /// What is committed, by index.
    canon: Vec<EntryNo>,
    /// The term of the leader that declared it so, by index: never falls.
    declared: Vec<u32>,
    /// The number of the value that each register was given, by index of the entry.
    values: Vec<Vec<(u32, u32)>>,
    pub(crate) last_term: u32,
}

impl Truth {
    pub(crate) fn new(keys: u64) -> Self {
        Self { terms: Vec::new(), canon: vec![ROOT], declared: vec![0], values: vec![Vec::new(); keys as usize], last_term: 0 }
    }

    pub(crate) fn term(&self, term: u32) -> TermRecord {
        self.terms.get(term as usize).copied().unwrap_or_default()
    }

    fn term_mut(&mut self, term: u32) -> &mut TermRecord {
        if self.terms.len() <= term as usize {
            self.terms.resize(term as usize + 1, TermRecord::default());
        }
        &mut self.terms[term as usize]
    }

    /// The last committed index.
    pub(crate) fn committed(&self) -> u32 {
        self.canon.len() as u32 - 1
    }

    pub(crate) fn committed_at(&self, index: u32) -> Option<EntryNo> {
        self.canon.get(index as usize).copied()
    }

    pub(crate) fn last_committed(&self) -> EntryNo {
        *self.canon.last().unwrap_or(&ROOT)
    }

    /// What a register holds after applying all up to `index`.
    pub(crate) fn value(&self, key: u8, index: u32) -> Option<u32> {
        let values = &self.values[key as usize % self.values.len()];
        let after = values.partition_point(|(at, _)| *at <= index);
        after.checked_sub(1).map(|at| values[at].1)
    }

    pub(crate) fn note_value(&mut self, key: u8, index: u32, request: u32) {
        let keys = self.values.len();
        self.values[key as usize % keys].push((index, request));
    }

    /// A node says that it leads.
    pub(crate) fn elected(&mut self, node: &Node, term: u32, arena: &Arena) -> Checked {
        let tip = node.log.last();
        let known = self.term(term).leader;
        ensure!(known.is_none(), R1, node.number, "leads term {term}, which {known:?} leads already");
        // What a later leader has committed before this one heard of its election does not bind it.
        let bound = self.declared.partition_point(|by| *by < term).saturating_sub(1);
        let committed = self.canon[bound];
        ensure!(
            arena.holds(tip, committed),
            R4,
            node.number,
            "leads term {term} with a log that ends at {} without the committed {}",
            arena.id(tip),
            arena.id(committed)
        );
        *self.term_mut(term) = TermRecord { leader: Some(node.me), start: tip, tip, has_committed: false };
        self.last_term = self.last_term.max(term);
        Ok(())
    }

    /// A leader has appended an entry to its log.
    pub(crate) fn appended(&mut self, node: &Node, term: u32, no: EntryNo, arena: &Arena) -> Checked {
        let record = self.term_mut(term);
        ensure!(
            record.leader == Some(node.me),
            R1,
            node.number,
            "makes entries of term {term}, which it does not lead"
        );
        ensure!(
            record.tip == arena.get(no).parent,
            R2,
            node.number,
            "makes {} after {}, not after its last entry {}",
            arena.id(no),
            arena.id(arena.get(no).parent),
            arena.id(record.tip)
        );
        record.tip = no;
        Ok(())
    }

    /// A leader has declared all up to `index` committed. Says from where on that is news.
    pub(crate) fn declare(&mut self, nodes: &[Node], at: usize, index: u32, arena: &Arena) -> Result<u32, Box<crate::core::law::Breach>> {
        let node = &nodes[at];
        let (term, news) = (node.term(), self.canon.len() as u32);
        let Some(no) = node.log.at(index) else {
            ensure!(false, R8, at, "commits {index}, which is not in its log");
            return Ok(news);
        };
        ensure!(arena.term(no) == term, R8, at, "leads term {term} and commits {} on its own", arena.id(no));
        let membership = arena.membership(node.log.last());
        let has = |voter: ReplicaId| holds_durably(nodes, voter, no, arena);
        ensure!(
            membership.is_quorum(has),
            R8,
            at,
            "commits {} without a quorum of {membership:?} that holds it durably",
            arena.id(no)
        );
        self.term_mut(term).has_committed = true;
        self.agree(node, index, arena)?;
        if index < news {
            return Ok(news);
        }
        for index in news..=index {
            self.canon.push(node.log.at(index).unwrap_or(ROOT));
            self.declared.push(term);
        }
        for later in term + 1..=self.last_term {
            let record = self.term(later);
            ensure!(
                record.leader.is_none_or(|_| arena.holds(record.start, no)),
                R4,
                at,
                "commits {} in term {term}, without which {:?} was elected in term {later}",
                arena.id(no),
                record.leader
            );
        }
        Ok(news)
    }

    /// What a node says is committed agrees with what is.
    pub(crate) fn agree(&self, node: &Node, index: u32, arena: &Arena) -> Checked {
        let known = index.min(self.committed());
        let Some(canon) = self.committed_at(known) else { return Ok(()) };
        let is_equal = match node.log.at(known) {
            Some(no) => no == canon,
            None => known < node.log.base_index() && arena.holds(node.log.base, canon),
        };
        ensure!(
            is_equal,
            R5,
            node.number,
            "commits {:?} at index {known}, where {} is committed",
            node.log.at(known).map(|no| arena.id(no)),
            arena.id(canon)
        );
        Ok(())
    }

    /// A leader is about to change the membership from that of `parent`, its last entry, to `next`.
    pub(crate) fn reconfigured(&self, node: &Node, term: u32, parent: EntryNo, next: &Membership, arena: &Arena) -> Checked {
        let (before, index) = (arena.membership(parent), arena.membership_index(parent));
        ensure!(
            index <= self.committed(),
            R9,
            node.number,
            "changes the membership while that at {index} is not committed"
        );
        ensure!(
            self.term(term).has_committed,
            R9,
            node.number,
            "changes the membership before a commit in its own term {term}"
        );
        ensure!(
            quorums_overlap(before, next),
            R9,
            node.number,
            "changes the membership from {before:?} to {next:?}, and two quorums need not meet"
        );
        Ok(())
    }
}

/// Whether the disk of this voter holds an entry, or held it until it was lost.
pub(crate) fn holds_durably(nodes: &[Node], voter: ReplicaId, no: EntryNo, arena: &Arena) -> bool {
    let Some(node) = nodes.get(number_of(voter.node)) else { return false };
    if node.me == voter {
        return node.disk.image.vouches(no, arena);
    }
    node.disks.get(disk_of(voter)).and_then(|disk| disk.ghost).is_some_and(|tip| arena.holds(tip, no))
}

/// Whether each quorum of one has a voter in common with each quorum of the other.
pub(crate) fn quorums_overlap(one: &Membership, other: &Membership) -> bool {
    let mut voters: Vec<ReplicaId> = Vec::new();
    for membership in [one, other] {
        let outgoing = membership.outgoing().map_or(&[][..], |outgoing| outgoing.voters());
        for voter in membership.voters().voters().iter().chain(outgoing) {
            if !voters.contains(voter) {
                voters.push(*voter);
            }
        }
    }
    let place = |voter: ReplicaId| voters.iter().position(|known| *known == voter).unwrap_or(0);
    (0_u32..1 << voters.len()).all(|set| {
        !(one.is_quorum(|voter| set >> place(voter) & 1 == 1)
            && other.is_quorum(|voter| set >> place(voter) & 1 == 0))
    })
}
