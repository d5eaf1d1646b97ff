//! The one true history of a group, and what each replica shows of its own.
//!
//! Fed with what state machines are shown, what nodes say and what platters hold. Each check is one comparison with
//! the history, so a step costs the same however long the history is. Invariant: the committed prefix only grows.

use std::collections::BTreeMap;

use raft_core::{GroupId, LogId, LogIndex, NodeId, RoleKind, SoftState, Term};
use raft_net::request::{Origin, RequestId};

use super::content;
use super::image::Image;
use super::law::{Breach, Checked, Law};

/// An entry as some replica had it: no two may differ.
#[derive(Clone, Copy, Debug)]
struct Known {
    term: Term,
    content: u64,
    /// The hash of the log that ends here.
    chain: u64,
    /// The hash of all bytes, once it was seen on a disk or wire.
    raw: Option<u64>,
}

/// A leader's log at the moment its term began: for each stretch of one term that term and its first index.
#[derive(Clone, Debug)]
struct Reign {
    leader: NodeId,
    runs: Vec<(Term, u64)>,
    /// The last index before its own entries.
    before: u64,
}

impl Reign {
    fn term_at(&self, index: u64, term: Term) -> Term {
        if index == 0 {
            return Term::ZERO;
        }
        if index > self.before {
            return term;
        }
        let after = self.runs.partition_point(|(_, first)| *first <= index);
        after.checked_sub(1).map_or(Term::ZERO, |at| self.runs[at].0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Line {
    term: Term,
    content: u64,
    chain: u64,
    operation: Option<u64>,
}

/// What a replica shows of itself, since its process started.
#[derive(Clone, Debug)]
struct Replica {
    log: Vec<Line>,
    applied: u64,
    committed: u64,
    state: SoftState,
}

impl Default for Replica {
    fn default() -> Self {
        let state = SoftState { role: RoleKind::Follower, term: Term::ZERO, leader: None };
        Self { log: Vec::new(), applied: 0, committed: 0, state }
    }
}

/// The last entry, applied index and state of a replica: equal on all once they agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) last: u64,
    pub(crate) chain: u64,
    pub(crate) committed: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Truth {
    group: GroupId,
    voters: Vec<NodeId>,
    known: Vec<Vec<Known>>,
    committed: Vec<Term>,
    /// By which term, at the latest, each of them was committed; never falls.
    committed_by: Vec<Term>,
    /// The state after each index that was applied, by index.
    digests: BTreeMap<u64, u64>,
    reigns: BTreeMap<Term, Reign>,
    replicas: BTreeMap<NodeId, Replica>,
    /// Where each operation was first applied.
    operations: BTreeMap<u64, u64>,
    /// The requests that commands came with.
    requests: BTreeMap<LogId, RequestId>,
    /// Below which number an origin waits for no answer any more, as its applied commands say, each from its index on.
    floors: BTreeMap<Origin, Vec<(u64, u64)>>,
}

impl Truth {
    /// A group without history.
    pub(crate) fn new(group: GroupId, voters: Vec<NodeId>) -> Self {
        Self {
            group,
            voters,
            known: Vec::new(),
            committed: Vec::new(),
            committed_by: Vec::new(),
            digests: BTreeMap::new(),
            reigns: BTreeMap::new(),
            replicas: BTreeMap::new(),
            operations: BTreeMap::new(),
            requests: BTreeMap::new(),
            floors: BTreeMap::new(),
        }
    }

    /// How many entries are committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.len() as u64
    }

    /// How many terms had a leader.
    pub(crate) fn elections(&self) -> u64 {
        self.reigns.len() as u64
    }

    /// Where an operation was applied.
    pub(crate) fn index_of(&self, operation: u64) -> Option<u64> {
        self.operations.get(&operation).copied()
    }

    /// The state after the entry at `index`; `None` when nobody has come to it, or nothing was applied there.
    pub(crate) fn digest(&self, index: u64) -> Option<u64> {
        self.digests.get(&index).copied()
    }

    /// How a replica stands, if all that is committed there is applied.
    pub(crate) fn standing(&self, node: NodeId) -> Option<Standing> {
        let replica = self.replicas.get(&node)?;
        let chain = replica.log.last().map_or(0, |line| line.chain);
        (self.applied_or_skipped(replica) >= replica.committed).then_some(Standing {
            last: replica.log.len() as u64,
            chain,
            committed: replica.committed,
        })
    }

    fn breach(&self, law: Law, node: NodeId, seen: String) -> Checked {
        Err(Breach::at(law, self.group, node, seen))
    }

    /// A replica's process started: what it shows begins anew.
    pub(crate) fn opened(&mut self, node: NodeId) {
        self.replicas.insert(node, Replica::default());
    }

    /// A state machine was shown an entry that was appended to its log (R2, R3).
    pub(crate) fn appended(
        &mut self,
        node: NodeId,
        id: LogId,
        content: u64,
        operation: Option<u64>,
    ) -> Checked {
        let replica = self.replicas.entry(node).or_default();
        let (before, last) = replica.log.last().map_or((0, Term::ZERO), |line| (line.chain, line.term));
        if id.index.as_u64() != replica.log.len() as u64 + 1 || id.term < last {
            let seen =
                format!("entry {id} was appended to a log of {} entries, term {last}", replica.log.len());
            return self.breach(Law::R3, node, seen);
        }
        if replica.state.role == RoleKind::Leader && replica.state.term != id.term {
            let seen = format!("the leader of term {} appended {id}", replica.state.term);
            return self.breach(Law::R2, node, seen);
        }
        let chain = content::chain(before, id.term.as_u64(), content);
        replica.log.push(Line { term: id.term, content, chain, operation });
        self.know(node, id, content, chain)
    }

    fn know(&mut self, node: NodeId, id: LogId, content: u64, chain: u64) -> Checked {
        let at = id.index.prev().as_u64() as usize;
        if self.known.len() <= at {
            self.known.resize_with(at + 1, Vec::new);
        }
        match self.known[at].iter().find(|known| known.term == id.term) {
            Some(known) if known.chain == chain => Ok(()),
            Some(known) => {
                let what = if known.content == content { "another log before it" } else { "another content" };
                self.breach(Law::R3, node, format!("its entry {id} has {what} than elsewhere"))
            }
            None => {
                self.known[at].push(Known { term: id.term, content, chain, raw: None });
                Ok(())
            }
        }
    }

    /// The bytes of an entry were seen, on the platter of a node or in a frame that it sent (R3).
    pub(crate) fn seen(&mut self, node: NodeId, id: LogId, content: u64, raw: u64) -> Checked {
        let at = id.index.prev().as_u64() as usize;
        let known = self.known.get_mut(at).and_then(|known| known.iter_mut().find(|k| k.term == id.term));
        match known {
            Some(known) if known.content == content && known.raw.is_none_or(|before| before == raw) => {
                known.raw = Some(raw);
                Ok(())
            }
            Some(_) => self.breach(Law::R3, node, format!("its entry {id} has other bytes than elsewhere")),
            None => self.breach(Law::R3, node, format!("entry {id} is there, but was never appended")),
        }
    }

    /// An entry was seen to hold a command of this request.
    pub(crate) fn requested(&mut self, id: LogId, request: Option<RequestId>) {
        if let Some(request) = request {
            self.requests.insert(id, request);
        }
    }

    /// Where a replica stands: the applied index, and behind it the entries that every replica passes over: those
    /// whose operation was applied before, and those that come so late that their origin has given them up.
    fn applied_or_skipped(&self, replica: &Replica) -> u64 {
        let is_passed_over = |at: u64| {
            let Some(line) = replica.log.get(at as usize) else { return false };
            let first = line.operation.and_then(|operation| self.operations.get(&operation));
            let request = self.requests.get(&LogId::new(line.term, LogIndex::new(at + 1)));
            let floor = request.and_then(|request| {
                let floors = self.floors.get(&request.origin)?;
                floors.iter().rev().find(|(from, _)| *from <= at).map(|(_, floor)| *floor)
            });
            let is_given_up = floor.is_some_and(|floor| request.is_some_and(|r| r.sequence < floor));
            first.is_some_and(|first| *first <= at) || is_given_up
        };
        let mut at = replica.applied;
        while is_passed_over(at) {
            at += 1;
        }
        at
    }

    /// A state machine was told that its log was cut after an index (R2, L2).
    pub(crate) fn truncated(&mut self, node: NodeId, after: LogIndex) -> Checked {
        let replica = self.replicas.entry(node).or_default();
        let keep = after.as_u64() as usize;
        let Some(first) = replica.log.get(keep).copied() else { return Ok(()) };
        let state = replica.state;
        replica.log.truncate(keep);
        if state.role == RoleKind::Leader {
            return self.breach(
                Law::R2,
                node,
                format!("the leader of term {} cut after {after}", state.term),
            );
        }
        self.cut(node, after, first.term)
    }

    /// A log was cut, in memory or on a platter; the first entry dropped had this term (L2).
    pub(crate) fn cut(&self, node: NodeId, after: LogIndex, first: Term) -> Checked {
        if self.committed.get(after.as_u64() as usize) == Some(&first) {
            let dropped = LogId::new(first, after.next());
            return self.breach(Law::L2, node, format!("the committed entry {dropped} was cut"));
        }
        Ok(())
    }

    /// A replica's role or term changed (R1, R4).
    pub(crate) fn role_changed(&mut self, node: NodeId, state: SoftState) -> Checked {
        self.replicas.entry(node).or_default().state = state;
        match (state.role, state.leader) {
            (RoleKind::Leader, _) => self.leads(node, state.term),
            (_, Some(leader)) => self.claimed(node, state.term, leader),
            _ => Ok(()),
        }
    }

    /// A node takes another one for the leader of a term (R1).
    pub(crate) fn claimed(&mut self, node: NodeId, term: Term, leader: NodeId) -> Checked {
        match self.reigns.get(&term) {
            Some(reign) if reign.leader == leader => Ok(()),
            Some(reign) => {
                let seen = format!("takes {leader} for the leader of term {term}, which is {}", reign.leader);
                self.breach(Law::R1, node, seen)
            }
            None => {
                self.breach(Law::R1, node, format!("takes {leader} for the leader of term {term}: nobody is"))
            }
        }
    }

    /// A node leads a term (R1, R4).
    pub(crate) fn leads(&mut self, node: NodeId, term: Term) -> Checked {
        if let Some(reign) = self.reigns.get(&term) {
            if reign.leader == node {
                return Ok(());
            }
            let seen = format!("leads term {term}, which {} led", reign.leader);
            return self.breach(Law::R1, node, seen);
        }
        let log = self.replicas.get(&node).map_or(&[][..], |replica| &replica.log);
        let before = log.partition_point(|line| line.term < term);
        let mut runs: Vec<(Term, u64)> = Vec::new();
        for (at, line) in log[..before].iter().enumerate() {
            if runs.last().is_none_or(|(last, _)| *last < line.term) {
                runs.push((line.term, at as u64 + 1));
            }
        }
        let reign = Reign { leader: node, runs, before: before as u64 };
        // What a later leader has committed before this one heard of its election does not bind it.
        let last = self.committed_by.partition_point(|by| *by < term) as u64;
        let lacks = last > 0 && reign.term_at(last, term) != self.committed[last as usize - 1];
        self.reigns.insert(term, reign);
        if lacks {
            let seen = format!("leads term {term} without the committed entry {last}");
            return self.breach(Law::R4, node, seen);
        }
        Ok(())
    }

    /// The term of an entry of a leader's log, by the log it began its term with; `None` when nobody led that term.
    pub(crate) fn leader_term_at(&self, term: Term, index: LogIndex) -> Option<Term> {
        self.reigns.get(&term).map(|reign| reign.term_at(index.as_u64(), term))
    }

    /// A replica takes its log for committed up to an index (R4, R5, R8).
    pub(crate) fn commits(
        &mut self,
        node: NodeId,
        index: LogIndex,
        images: &BTreeMap<(NodeId, GroupId), Image>,
    ) -> Checked {
        let index = index.as_u64();
        let Some(replica) = self.replicas.get_mut(&node) else { return Ok(()) };
        let from = replica.committed;
        if index <= from {
            return Ok(());
        }
        if index > replica.log.len() as u64 {
            let seen = format!("commits {index} of a log of {} entries", replica.log.len());
            return self.breach(Law::R8, node, seen);
        }
        replica.committed = index;
        let state = replica.state;
        let top = replica.log[index as usize - 1].term;
        let is_new = index > self.committed.len() as u64;
        if is_new && state.role == RoleKind::Leader && top != state.term {
            let seen = format!("the leader of term {} commits an entry of term {top}", state.term);
            return self.breach(Law::R8, node, seen);
        }
        for at in from + 1..=index {
            let term = self.replicas[&node].log[at as usize - 1].term;
            match self.committed.get(at as usize - 1) {
                Some(committed) if *committed == term => {}
                Some(committed) => {
                    let seen = format!("commits {at}@{term}, but {at}@{committed} is committed");
                    return self.breach(Law::R5, node, seen);
                }
                None => self.commit_anew(node, at, term, images)?,
            }
        }
        Ok(())
    }

    fn commit_anew(
        &mut self,
        node: NodeId,
        index: u64,
        term: Term,
        images: &BTreeMap<(NodeId, GroupId), Image>,
    ) -> Checked {
        self.committed.push(term);
        let holds = |voter: &&NodeId| {
            let image = images.get(&(**voter, self.group));
            image.is_some_and(|image| image.term_at(LogIndex::new(index)) == Some(term))
        };
        let holders = self.voters.iter().filter(holds).count();
        if holders * 2 <= self.voters.len() {
            let of = self.voters.len();
            let seen = format!("commits {index}@{term}, which {holders} of {of} voters hold durably");
            return self.breach(Law::R8, node, seen);
        }
        // An older entry is committed by a leader of a later term; only leaders after that one must hold it.
        let committed_in = self.replicas.get(&node).map_or(term, |replica| replica.state.term.max(term));
        // And so was all before it.
        for earlier in self.committed_by.iter_mut().rev().take_while(|by| **by > committed_in) {
            *earlier = committed_in;
        }
        self.committed_by.push(committed_in);
        for (later, reign) in self.reigns.range(committed_in.next()..) {
            if reign.term_at(index, *later) != term {
                let leader = reign.leader;
                let seen =
                    format!("{index}@{term} is committed, which {leader}, leader of term {later}, lacks");
                return self.breach(Law::R4, node, seen);
            }
        }
        Ok(())
    }

    /// A state machine applied an entry and came to a state (R5, X3).
    pub(crate) fn applied(
        &mut self,
        node: NodeId,
        id: LogId,
        content: u64,
        operation: Option<u64>,
        digest: u64,
    ) -> Checked {
        let index = id.index.as_u64();
        self.replicas.entry(node).or_default();
        let before = self.replicas.get(&node).map_or(0, |replica| self.applied_or_skipped(replica));
        let replica = self.replicas.entry(node).or_default();
        let in_order = replica.applied < index && before + 1 >= index;
        let is_there = replica.log.get(index as usize - 1);
        if !in_order || is_there.is_none_or(|line| (line.term, line.content) != (id.term, content)) {
            let seen = format!("applied {id} after {}; its log has {is_there:?} there", replica.applied);
            return self.breach(Law::R5, node, seen);
        }
        replica.applied = index;
        if let Some(request) = self.requests.get(&id) {
            let floors = self.floors.entry(request.origin).or_default();
            if floors.last().is_none_or(|(from, floor)| *from < index && *floor < request.answered_below) {
                floors.push((index, request.answered_below));
            }
        }
        if let Some(operation) = operation {
            let first = *self.operations.entry(operation).or_insert(index);
            if first != index {
                let seen = format!("operation {operation} of entry {first} was applied again at {index}");
                return self.breach(Law::X3, node, seen);
            }
        }
        let first = *self.digests.entry(index).or_insert(digest);
        if first != digest {
            return self.breach(Law::R5, node, format!("came to another state than others after {id}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId::new(1, 1);

    fn node(number: u64) -> NodeId {
        NodeId::new(number)
    }

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(Term::new(term), LogIndex::new(index))
    }

    fn leader(term: u64) -> SoftState {
        SoftState { role: RoleKind::Leader, term: Term::new(term), leader: None }
    }

    fn truth() -> Truth {
        Truth::new(GROUP, vec![node(1), node(2), node(3)])
    }

    /// Nodes 1 and 2 hold 1@1 and 2@1, appended under the leader 1; `durable` of them on their platters.
    fn two_hold_two(durable: &[u64]) -> (Truth, BTreeMap<(NodeId, GroupId), Image>) {
        let mut truth = truth();
        truth.role_changed(node(1), leader(1)).unwrap();
        for at in [1, 2] {
            for index in [1, 2] {
                truth.appended(node(at), id(1, index), index * 10, Some(index)).unwrap();
            }
        }
        let images = durable.iter().map(|at| ((node(*at), GROUP), Image::holding(&[1, 1]))).collect();
        (truth, images)
    }

    fn law(checked: Checked) -> Law {
        checked.unwrap_err().law
    }

    #[test]
    fn two_leaders_in_one_term_break_r1() {
        let mut truth = truth();
        truth.role_changed(node(1), leader(4)).unwrap();
        truth.role_changed(node(1), leader(4)).unwrap();
        assert_eq!(law(truth.role_changed(node(2), leader(4))), Law::R1);
        let follows = SoftState { role: RoleKind::Follower, term: Term::new(4), leader: Some(node(3)) };
        assert_eq!(law(truth.role_changed(node(2), follows)), Law::R1);
    }

    #[test]
    fn a_leader_that_cuts_its_log_breaks_r2() {
        let (mut truth, _) = two_hold_two(&[]);
        assert_eq!(law(truth.truncated(node(1), LogIndex::new(1))), Law::R2);
    }

    #[test]
    fn a_leader_that_appends_in_another_term_breaks_r2() {
        let (mut truth, _) = two_hold_two(&[]);
        assert_eq!(law(truth.appended(node(1), id(2, 3), 30, None)), Law::R2);
    }

    #[test]
    fn another_entry_or_another_past_under_the_same_id_breaks_r3() {
        let (mut truth, _) = two_hold_two(&[]);
        assert_eq!(law(truth.appended(node(3), id(1, 1), 11, None)), Law::R3);
        let (mut truth, _) = two_hold_two(&[]);
        truth.opened(node(3));
        truth.appended(node(3), id(0, 1), 77, None).unwrap();
        assert_eq!(law(truth.appended(node(3), id(1, 2), 20, None)), Law::R3);
        let (mut truth, _) = two_hold_two(&[]);
        assert_eq!(law(truth.appended(node(3), id(1, 2), 20, None)), Law::R3, "a gap");
        truth.seen(node(1), id(1, 1), 10, 5).unwrap();
        assert_eq!(law(truth.seen(node(2), id(1, 1), 10, 6)), Law::R3);
        assert_eq!(law(truth.seen(node(2), id(9, 1), 10, 5)), Law::R3);
    }

    /// A command that is sent again may come so late that its origin has given it up: every replica passes it over.
    #[test]
    fn a_command_given_up_by_its_origin_may_be_passed_over_and_no_other() {
        for (sequence, is_lawful) in [(3, true), (5, false)] {
            let (mut truth, _) = two_hold_two(&[]);
            let origin = Origin { node: node(1), boot: 1 };
            for (index, sequence, answered_below) in [(1, 4, 4), (2, sequence, 1), (3, 6, 4)] {
                let known = truth.known.len() as u64;
                if index > known {
                    truth.appended(node(1), id(1, index), index * 10, Some(index)).unwrap();
                }
                truth.requested(id(1, index), Some(RequestId { origin, sequence, answered_below }));
            }
            let content = |truth: &Truth, at: usize| truth.replicas[&node(1)].log[at].content;
            let (first, third) = (content(&truth, 0), content(&truth, 2));
            truth.applied(node(1), id(1, 1), first, Some(1), 7).unwrap();
            assert_eq!(truth.applied(node(1), id(1, 3), third, Some(3), 8).is_ok(), is_lawful);
        }
    }

    #[test]
    fn a_leader_without_a_committed_entry_breaks_r4() {
        let (mut truth, images) = two_hold_two(&[1, 2]);
        truth.commits(node(1), LogIndex::new(2), &images).unwrap();
        truth.role_changed(node(2), leader(2)).unwrap();
        assert_eq!(law(truth.role_changed(node(3), leader(3))), Law::R4);
    }

    /// Its votes may reach a leader long after a later one has been elected and has gone on.
    #[test]
    fn a_late_leader_need_not_hold_what_a_later_one_has_committed() {
        let (mut truth, images) = two_hold_two(&[1, 2]);
        truth.role_changed(node(1), leader(3)).unwrap();
        let follows = SoftState { role: RoleKind::Follower, term: Term::new(3), leader: Some(node(1)) };
        truth.role_changed(node(2), follows).unwrap();
        truth.commits(node(2), LogIndex::new(2), &images).unwrap();
        truth.role_changed(node(3), leader(2)).unwrap();
        assert_eq!(law(truth.role_changed(node(3), leader(4))), Law::R4);
    }

    #[test]
    fn a_commit_that_a_later_leader_lacks_breaks_r4() {
        let (mut truth, images) = two_hold_two(&[1, 2]);
        truth.role_changed(node(3), leader(2)).unwrap();
        assert_eq!(law(truth.commits(node(1), LogIndex::new(2), &images)), Law::R4);
    }

    #[test]
    fn committing_what_only_a_minority_holds_durably_breaks_r8() {
        let (mut truth, images) = two_hold_two(&[1]);
        assert_eq!(law(truth.commits(node(1), LogIndex::new(1), &images)), Law::R8);
        let (mut truth, images) = two_hold_two(&[1, 2]);
        truth.commits(node(1), LogIndex::new(1), &images).unwrap();
        assert_eq!(law(truth.commits(node(1), LogIndex::new(3), &images)), Law::R8, "beyond its log");
    }

    #[test]
    fn a_leader_committing_an_older_term_alone_breaks_r8() {
        let (mut truth, images) = two_hold_two(&[1, 2]);
        truth.role_changed(node(2), leader(2)).unwrap();
        assert_eq!(law(truth.commits(node(2), LogIndex::new(2), &images)), Law::R8);
    }

    #[test]
    fn committing_another_entry_than_the_committed_one_breaks_r5() {
        let (mut truth, images) = two_hold_two(&[1, 2]);
        truth.commits(node(1), LogIndex::new(2), &images).unwrap();
        truth.appended(node(3), id(1, 1), 10, None).unwrap();
        truth.appended(node(3), id(2, 2), 99, None).unwrap();
        assert_eq!(law(truth.commits(node(3), LogIndex::new(2), &images)), Law::R5);
    }

    #[test]
    fn applying_with_a_gap_or_to_another_state_breaks_r5() {
        let (mut truth, _) = two_hold_two(&[]);
        assert_eq!(law(truth.applied(node(1), id(1, 2), 20, Some(2), 0)), Law::R5);
        truth.applied(node(1), id(1, 1), 10, Some(1), 5).unwrap();
        assert_eq!(law(truth.applied(node(2), id(1, 1), 10, Some(1), 6)), Law::R5);
        assert_eq!(law(truth.applied(node(1), id(1, 1), 10, Some(1), 5)), Law::R5, "twice");
    }

    #[test]
    fn a_repeated_operation_is_passed_over_and_applying_it_breaks_x3() {
        let (mut truth, _) = two_hold_two(&[]);
        truth.appended(node(1), id(1, 3), 10, Some(1)).unwrap();
        truth.appended(node(1), id(1, 4), 40, Some(4)).unwrap();
        truth.applied(node(1), id(1, 1), 10, Some(1), 5).unwrap();
        truth.applied(node(1), id(1, 2), 20, Some(2), 6).unwrap();
        truth.applied(node(1), id(1, 4), 40, Some(4), 7).unwrap();
        let (mut truth, _) = two_hold_two(&[]);
        truth.appended(node(1), id(1, 3), 10, Some(1)).unwrap();
        truth.applied(node(1), id(1, 1), 10, Some(1), 5).unwrap();
        truth.applied(node(1), id(1, 2), 20, Some(2), 6).unwrap();
        assert_eq!(law(truth.applied(node(1), id(1, 3), 10, Some(1), 7)), Law::X3);
    }

    #[test]
    fn cutting_a_committed_entry_breaks_l2_and_cutting_another_does_not() {
        let (mut truth, images) = two_hold_two(&[1, 2]);
        truth.commits(node(1), LogIndex::new(1), &images).unwrap();
        truth.truncated(node(2), LogIndex::new(1)).unwrap();
        assert_eq!(law(truth.truncated(node(2), LogIndex::ZERO)), Law::L2);
        truth.cut(node(3), LogIndex::ZERO, Term::new(7)).unwrap();
    }
}
