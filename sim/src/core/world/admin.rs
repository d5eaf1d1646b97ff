//! Actions are carried out: faults strike, clients ask, and an administrator changes who takes part.
//!
//! What makes no sense at its moment is passed over, so that any list of actions can be run. The administrator never
//! asks for what would leave a group without a quorum of sound disks. Invariant: no randomness but that of the actions.

use super::World;
use super::arena::EntryNo;
use super::node::{Doom, disk_of, number_of, replica};
use super::raft_core::{Configuration, Learner, Membership, MembershipChange, NodeId, ReplicaId};
use crate::core::action::{Shape, Victim, What};
use crate::core::law::Checked;
use crate::core::marks::Mark;
use crate::core::record::Record;

impl World {
    fn victim(&self, victim: Victim) -> usize {
        let count = self.nodes.len();
        match victim {
            Victim::Node(number) => usize::from(number) % count,
            Victim::Leader => self.leader().unwrap_or(0),
            Victim::Deposed => {
                let leaders = self.nodes.iter().filter(|node| node.is_leader());
                leaders.min_by_key(|node| node.state.term).map_or(0, |node| node.number)
            }
            Victim::Other(places) => (self.leader().unwrap_or(0) + usize::from(places)) % count,
        }
    }

    pub(crate) fn act(&mut self, what: What) -> Checked {
        if !matches!(what, What::Write { .. } | What::Read { .. }) {
            let now = self.now;
            self.recorder.note(now, usize::MAX, || Record::Action(what));
        }
        match what {
            What::Write { to, key, count } => self.write(self.victim(to), key, count),
            What::Read { to, key } => self.read(self.victim(to), key),
            What::Crash { victim, after, survival, down } => {
                self.doom(self.victim(victim), Doom { after, survival, down })
            }
            What::Wipe { victim, down } => self.wipe(self.victim(victim), down),
            What::Damage { victim, lose, down } => self.damage(self.victim(victim), lose, down),
            What::Pause { victim, lasts } => self.pause(self.victim(victim), lasts),
            What::Cut { victim, shape, lasts } => {
                let links = self.links(self.victim(victim), shape);
                self.cut(links, lasts)
            }
            What::Stall { victim, lasts } => self.stall(self.victim(victim), lasts, false),
            What::Full { victim, lasts } => self.stall(self.victim(victim), lasts, true),
            What::Add { node } => self.add(usize::from(node) % self.nodes.len(), None),
            What::Replace { node, victim } => {
                let victim = self.victim(victim);
                self.add(usize::from(node) % self.nodes.len(), Some(victim))
            }
            What::Remove { victim } => self.remove(self.victim(victim)),
            What::Repair => self.repair(),
            What::Peace => self.rest_a_while(),
            What::Transfer { to } => self.transfer(to),
            What::Compact { victim } => {
                let at = self.victim(victim);
                self.nodes[at].wants_compaction = self.nodes[at].raft.is_some() && !self.nodes[at].is_paused;
                if self.nodes[at].wants_compaction { self.drain(at, None) } else { Ok(()) }
            }
            What::Suspect { victim, node } => {
                let (at, of) = (self.victim(victim), usize::from(node) % self.nodes.len());
                if at == of || self.nodes[at].is_paused { Ok(()) } else { self.lose_connection(at, of) }
            }
        }
    }

    /// The links of a cut: a bit for each (from, to).
    pub(crate) fn links(&self, victim: usize, shape: Shape) -> u64 {
        let count = self.nodes.len();
        let mut links = 0;
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                let is_cut = match shape {
                    Shape::Isolate => from == victim || to == victim,
                    Shape::Split(set) => (set >> from & 1) != (set >> to & 1),
                    Shape::Bridge => from != victim && to != victim,
                    Shape::Deaf => to == victim,
                    Shape::Mute => from == victim,
                    Shape::Pair(node) => {
                        let node = usize::from(node) % count;
                        (from, to) == (victim, node) || (to, from) == (victim, node)
                    }
                    Shape::OneWay(node) => (from, to) == (victim, usize::from(node) % count),
                };
                links |= u64::from(is_cut) << (from * 8 + to);
            }
        }
        links
    }

    // Membership.

    fn current(&self, at: usize) -> ReplicaId {
        replica(at, self.nodes[at].disks.len() - 1)
    }

    fn is_standing(&self, at: usize) -> bool {
        self.knobs.standing > 0 && at + 1 == self.nodes.len()
    }

    /// Asks the leader for a change, unless it would leave too few sound disks.
    fn change(&mut self, change: MembershipChange, next: Option<Membership>) -> Checked {
        let Some(leader) = self.leader().filter(|leader| !self.nodes[*leader].is_paused) else {
            return Ok(());
        };
        if next.is_some_and(|next| !self.tolerates(&next, None)) {
            return Ok(());
        }
        let local = self.nodes[leader].local(self.now);
        let Some(raft) = &mut self.nodes[leader].raft else { return Ok(()) };
        let asked = format_args!("{change:?}").to_string();
        let answer = raft.propose_membership(local, change);
        let now = self.now;
        self.recorder.note(now, leader, || Record::Note(format!("{asked}: {answer:?}")));
        self.drain(leader, None)
    }

    fn leaders_membership(&self) -> Option<Membership> {
        let leader = self.leader()?;
        Some(self.arena.membership(self.nodes[leader].log.last()).clone())
    }

    /// Adds a node as a promotable learner, perhaps in place of a voter on another node or of its own former disk.
    fn add(&mut self, at: usize, victim: Option<usize>) -> Checked {
        let Some(membership) = self.leaders_membership() else { return Ok(()) };
        let replica = self.current(at);
        if self.is_standing(at) || membership.is_member(replica) {
            return Ok(());
        }
        let own = membership.voters().voter_on(replica.node);
        let other = victim.and_then(|victim| membership.voters().voter_on(NodeId::new(victim as u64 + 1)));
        let learner = Learner { replica, replaces: own.or(other) };
        let next = membership.promoting(&learner).ok().and_then(|voters| membership.towards(voters).ok());
        self.change(MembershipChange::AddLearner(learner), next)
    }

    fn remove(&mut self, victim: usize) -> Checked {
        let Some(membership) = self.leaders_membership() else { return Ok(()) };
        let node = NodeId::new(victim as u64 + 1);
        if let Some(learner) = membership.learners().iter().find(|learner| learner.replica.node == node) {
            return self.change(MembershipChange::RemoveLearner(learner.replica), None);
        }
        let voters = membership.voters().voters();
        let stay = voters.iter().copied().filter(|voter| voter.node != node);
        let Ok(voters) = Configuration::new(stay) else { return Ok(()) };
        let next = membership.towards(voters.clone()).ok();
        if next.is_none() || membership.voters().voter_on(node).is_none() {
            return Ok(());
        }
        self.change(MembershipChange::Voters(voters), next)
    }

    /// Replaces the first voter whose disk is lost, and takes away the first learner whose disk is.
    pub(crate) fn repair(&mut self) -> Checked {
        let Some(membership) = self.leaders_membership() else { return Ok(()) };
        let lost = |replica: &ReplicaId| self.current(number_of(replica.node)) != *replica;
        if let Some(learner) = membership.learners().iter().find(|learner| lost(&learner.replica)) {
            let is_there = |voter: &ReplicaId| membership.voters().is_voter(*voter);
            let (replica, replaces) = (learner.replica, learner.replaces.filter(is_there));
            let again = Learner { replica: self.current(number_of(replica.node)), replaces };
            return self.change(MembershipChange::AddLearner(again), None);
        }
        if let Some(voter) = membership.voters().voters().iter().copied().find(lost) {
            let learner = Learner { replica: self.current(number_of(voter.node)), replaces: Some(voter) };
            return self.change(MembershipChange::AddLearner(learner), None);
        }
        Ok(())
    }

    fn transfer(&mut self, to: Option<u8>) -> Checked {
        let Some(leader) = self.leader().filter(|leader| !self.nodes[*leader].is_paused) else {
            return Ok(());
        };
        let to = to.map(|to| NodeId::new((usize::from(to) % self.nodes.len()) as u64 + 1));
        let local = self.nodes[leader].local(self.now);
        if let Some(raft) = &mut self.nodes[leader].raft {
            // Refused when there is nobody to hand over to.
            let _ = raft.transfer_leadership(local, to);
        }
        self.drain(leader, None)
    }

    // Marks.

    /// A leader appends a membership.
    pub(crate) fn note_change(&mut self, at: usize, parent: EntryNo, next: &Membership) {
        let before = self.arena.membership(parent);
        let is_left = before.is_joint() && !next.is_joint();
        let begun_in = self.arena.term(self.arena.ancestor(parent, self.arena.membership_index(parent)));
        self.marks.hit_if(is_left && begun_in < self.nodes[at].term(), Mark::InheritedJoint);
    }

    /// A node hears that a membership is committed.
    pub(crate) fn note_membership(&mut self, at: usize, index: u32) {
        let node = &self.nodes[at];
        let Some(no) = self.truth.committed_at(index) else { return };
        let next = self.arena.membership(no);
        let before = self.arena.membership(self.arena.get(no).parent);
        if !node.is_leader() || next.is_joint() || !before.is_joint() {
            return;
        }
        let (new, old) = (next.voters().voters(), before.outgoing().map_or(&[][..], |half| half.voters()));
        let came = new.iter().filter(|voter| !old.contains(voter)).count();
        let went = old.iter().filter(|voter| !new.contains(voter)).count();
        let is_new_disk = new.iter().any(|voter| disk_of(*voter) > 0 && !old.contains(voter));
        self.marks.hit_if(came > 0, Mark::LearnerPromoted);
        self.marks.hit_if(came > 0 && went > 0, Mark::VoterReplaced);
        self.marks.hit_if(went > came, Mark::VoterRemoved);
        self.marks.hit_if(is_new_disk, Mark::WipedCameBack);
    }
}
