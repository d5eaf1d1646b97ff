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
        Self {
            terms: Vec::new(),
            canon: vec![ROOT],
            declared: vec![0],
            values: vec![Vec::new(); keys as usize],
            last_term: 0,
        }
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
    pub(crate) fn declare(
        &mut self,
        nodes: &[Node],
        at: usize,
        index: u32,
        arena: &Arena,
    ) -> Result<u32, Box<crate::core::law::Breach>> {
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
    pub(crate) fn reconfigured(
        &self,
        node: &Node,
        term: u32,
        parent: EntryNo,
        next: &Membership,
        arena: &Arena,
    ) -> Checked {
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

#[cfg(test)]
mod tests {
    use super::super::arena::Kind;
    use super::super::node::replica;
    use super::super::raft_core::{Configuration, RoleKind, Term};
    use super::*;
    use crate::core::law::Law;

    struct Scene {
        arena: Arena,
        nodes: Vec<Node>,
        truth: Truth,
    }

    fn voters(numbers: &[usize]) -> Membership {
        Configuration::new(numbers.iter().map(|number| replica(*number, 0))).unwrap().into()
    }

    /// Three voters with empty logs, of which the first leads term 1.
    fn scene() -> Scene {
        let mut scene = Scene {
            arena: Arena::new(voters(&[0, 1, 2])),
            nodes: (0..3).map(|number| Node::new(number, 0, 1_000_000)).collect(),
            truth: Truth::new(1),
        };
        scene.elect(0, 1).unwrap();
        scene
    }

    impl Scene {
        fn elect(&mut self, at: usize, term: u32) -> Checked {
            self.nodes[at].state.term = Term::new(term.into());
            self.nodes[at].state.role = RoleKind::Leader;
            self.truth.elected(&self.nodes[at], term, &self.arena)
        }

        fn append(&mut self, at: usize, term: u32) -> Result<EntryNo, Box<crate::core::law::Breach>> {
            let no = self.arena.add(self.nodes[at].log.last(), term, Kind::Noop, None);
            self.truth.appended(&self.nodes[at], term, no, &self.arena)?;
            self.nodes[at].log.push(no);
            Ok(no)
        }

        fn store(&mut self, at: usize, no: EntryNo) {
            self.nodes[at].disk.image.log.extend_to(no, &self.arena);
        }

        fn declare(&mut self, at: usize, index: u32) -> Result<u32, Box<crate::core::law::Breach>> {
            self.truth.declare(&self.nodes, at, index, &self.arena)
        }
    }

    fn law<T: std::fmt::Debug>(result: Result<T, Box<crate::core::law::Breach>>) -> Law {
        result.unwrap_err().law
    }

    #[test]
    fn a_second_leader_of_a_term_breaks_r1() {
        assert_eq!(law(scene().elect(1, 1)), Law::R1);
    }

    #[test]
    fn an_entry_that_does_not_follow_its_leaders_last_one_breaks_r2() {
        let mut scene = scene();
        scene.append(0, 1).unwrap();
        scene.append(0, 1).unwrap();
        scene.nodes[0].log.truncate(1);
        assert_eq!(law(scene.append(0, 1)), Law::R2);
    }

    #[test]
    fn a_leader_without_what_is_committed_breaks_r4_whichever_comes_first() {
        let mut early = scene();
        let no = early.append(0, 1).unwrap();
        (0..2).for_each(|at| early.store(at, no));
        early.declare(0, 1).unwrap();
        assert_eq!(law(early.elect(2, 2)), Law::R4);

        let mut late = scene();
        let no = late.append(0, 1).unwrap();
        (0..2).for_each(|at| late.store(at, no));
        late.elect(2, 2).unwrap();
        assert_eq!(law(late.declare(0, 1)), Law::R4);
    }

    #[test]
    fn a_leader_of_an_older_term_is_not_bound_by_what_a_later_one_has_committed() {
        let mut scene = scene();
        scene.elect(1, 3).unwrap();
        let no = scene.append(1, 3).unwrap();
        (1..3).for_each(|at| scene.store(at, no));
        scene.declare(1, 1).unwrap();
        assert_eq!(scene.elect(2, 2), Ok(()));
    }

    #[test]
    fn a_commit_without_a_durable_quorum_breaks_r8_and_so_does_one_of_an_older_term() {
        let mut scene = scene();
        let no = scene.append(0, 1).unwrap();
        scene.store(0, no);
        assert_eq!(law(scene.declare(0, 1)), Law::R8);
        scene.store(1, no);
        scene.elect(0, 2).unwrap();
        assert_eq!(law(scene.declare(0, 1)), Law::R8);
        let no = scene.append(0, 2).unwrap();
        (0..2).for_each(|at| scene.store(at, no));
        assert_eq!(scene.declare(0, 2), Ok(1));
    }

    #[test]
    fn a_wiped_disk_counts_only_as_what_it_was() {
        let mut scene = scene();
        let no = scene.append(0, 1).unwrap();
        (0..2).for_each(|at| scene.store(at, no));
        // Node 2 gets a new disk, and the entry is on that: it is no voter's.
        scene.nodes[1].disk.image.log = super::super::arena::Log::default();
        scene.nodes[2].disks[0].ghost = Some(ROOT);
        scene.nodes[2].me = replica(2, 1);
        scene.store(2, no);
        assert_eq!(law(scene.declare(0, 1)), Law::R8);
        scene.nodes[2].disks[0].ghost = Some(no);
        assert_eq!(scene.declare(0, 1), Ok(1));
    }

    #[test]
    fn another_entry_at_a_committed_index_breaks_r5() {
        let mut scene = scene();
        let no = scene.append(0, 1).unwrap();
        (0..2).for_each(|at| scene.store(at, no));
        scene.declare(0, 1).unwrap();
        let other = scene.arena.add(ROOT, 2, Kind::Noop, None);
        scene.nodes[2].log.push(other);
        assert_eq!(law(scene.truth.agree(&scene.nodes[2], 1, &scene.arena)), Law::R5);
    }

    #[test]
    fn a_change_too_early_a_second_one_and_one_too_far_break_r9() {
        let mut scene = scene();
        let change = |scene: &Scene, next: &Membership| {
            let node = &scene.nodes[0];
            scene.truth.reconfigured(node, 1, node.log.last(), next, &scene.arena)
        };
        let next = voters(&[0, 1]);
        assert_eq!(law(change(&scene, &next)), Law::R9, "before a commit of its own term");
        let no = scene.append(0, 1).unwrap();
        (0..2).for_each(|at| scene.store(at, no));
        scene.declare(0, 1).unwrap();
        assert_eq!(
            law(change(&scene, &voters(&[0]))),
            Law::R9,
            "a quorum of one need not meet that of the others"
        );
        assert_eq!(change(&scene, &voters(&[0]).towards(next.voters().clone()).unwrap()), Ok(()));
        let joint = scene.arena.add(no, 1, Kind::Membership, Some(next));
        scene.nodes[0].log.push(joint);
        assert_eq!(law(change(&scene, &voters(&[0, 1]))), Law::R9, "the one before is not committed");
    }

    #[test]
    fn quorums_overlap_when_one_voter_changes_and_not_when_two_of_three_do() {
        let abc = voters(&[0, 1, 2]);
        assert!(quorums_overlap(&abc, &voters(&[0, 1, 2, 3])));
        assert!(!quorums_overlap(&abc, &voters(&[0, 3, 4])));
        let joint = abc.towards(voters(&[0, 3, 4]).voters().clone()).unwrap();
        assert!(quorums_overlap(&abc, &joint) && quorums_overlap(&joint, &voters(&[0, 3, 4])));
    }
}
