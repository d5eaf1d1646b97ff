//! The oracle: it owns the one true history and holds every step against it.
//!
//! It stands outside the product. What it knows it has from what state machines are shown, from the frames that leave
//! a node, from the answers that clients get, and from the platters, whose bytes it reads itself. Each check costs the
//! same however long the history is. Invariant: after the first breach nothing is checked any more.

use std::collections::BTreeMap;
use std::path::Path;

use raft_core::{GroupId, LogIndex, NodeId, ReplicaId};
use raft_net::Outcome;
use raft_net::frame::{Content, Frame};
use raft_net::node::{Node, Ticket};
use raft_wal::GroupState;

use crate::disk::SimDisk;
use crate::machine::Shown;

mod claims;
mod clients;
pub(crate) mod content;
mod image;
mod law;
mod truth;

pub(crate) use clients::Asked;
pub(crate) use law::Checked;
pub use law::{Breach, Law};

use claims::{Claims, Speaker};
use clients::Clients;
use image::{Image, News};
use truth::{Standing, Truth};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    truths: BTreeMap<GroupId, Truth>,
    images: BTreeMap<(NodeId, GroupId), Image>,
    claims: Claims,
    pub(crate) clients: Clients,
    blind: Vec<Law>,
    news: Vec<News>,
}

impl Oracle {
    /// An oracle that does not enforce some laws, so that the others can show what they are worth.
    pub(crate) fn new(blind: Vec<Law>) -> Self {
        Self { blind, ..Self::default() }
    }

    /// A group exists, with these voters, whose log directory is `wal_dir` on each disk.
    pub(crate) fn add_group(&mut self, group: GroupId, voters: &[ReplicaId], wal_dir: &Path) {
        self.truths.insert(group, Truth::new(group, voters.iter().map(|voter| voter.node).collect()));
        for voter in voters {
            self.images.insert((voter.node, group), Image::new(wal_dir, voter.disk, group));
        }
    }

    fn unless_blind(&self, checked: Checked) -> Checked {
        match checked {
            Err(breach) if self.blind.contains(&breach.law) => Ok(()),
            checked => checked,
        }
    }

    /// Something on a node's disk may have become durable (R3, R6, R7, L2).
    pub(crate) fn disk_changed(&mut self, node: NodeId, disk: &SimDisk) -> Checked {
        let mut news = std::mem::take(&mut self.news);
        let mut checked = Ok(());
        for ((_, group), image) in self.images.range_mut((node, GroupId::ROOT)..=(node, LAST_GROUP)) {
            image.refresh(disk, &mut news);
            let Some(truth) = self.truths.get_mut(group) else { continue };
            for item in news.drain(..) {
                checked = checked.and_then(|()| durable(truth, *group, node, item));
            }
        }
        self.news = news;
        self.unless_blind(checked)
    }

    /// A node's process opened its log and found this there (L8, R7).
    pub(crate) fn recovered(&mut self, replica: ReplicaId, states: &[GroupState]) -> Checked {
        let node = replica.node;
        for ((_, group), image) in self.images.range((node, GroupId::ROOT)..=(node, LAST_GROUP)) {
            let state = states.iter().find(|state| state.group == *group);
            let breach = |law, seen: String| Err(Breach::at(law, *group, node, seen));
            let checked = match state {
                Some(state) if !image.is_created() => {
                    breach(Law::L8, format!("recovered {:?} of nothing", state.runs))
                }
                None if image.is_created() => breach(Law::L8, "the group was not recovered".to_string()),
                None => Ok(()),
                Some(state) => {
                    let differs = state.runs.last_index() != image.last_index()
                        || state.hard_state != image.hard_state()
                        || state.runs.runs().iter().any(|run| image.term_at(run.first) != Some(run.term));
                    let said = self.claims.term(*group, replica);
                    if differs {
                        let seen = format!(
                            "recovered {:?} and {:?}; on the platter are {} entries and {:?}",
                            state.runs,
                            state.hard_state,
                            image.last_index(),
                            image.hard_state()
                        );
                        breach(Law::L8, seen)
                    } else if state.hard_state.term < said {
                        breach(Law::R7, format!("came back in term {} after {said}", state.hard_state.term))
                    } else {
                        Ok(())
                    }
                }
            };
            self.unless_blind(checked)?;
        }
        Ok(())
    }

    /// A node's process opens its replica of a group.
    pub(crate) fn opened(&mut self, node: NodeId, group: GroupId) {
        if let Some(truth) = self.truths.get_mut(&group) {
            truth.opened(node);
        }
    }

    /// A node's process is gone.
    pub(crate) fn died(&mut self, node: NodeId, life: u64) {
        self.clients.died(node, life);
    }

    /// A state machine was shown something. By the end of the step its core takes its log for committed up to
    /// `commit`.
    pub(crate) fn shown(
        &mut self,
        node: NodeId,
        group: GroupId,
        shown: Shown,
        commit: Option<LogIndex>,
    ) -> Checked {
        let Some(truth) = self.truths.get_mut(&group) else { return Ok(()) };
        let checked = match shown {
            Shown::Appended { id, content, operation } => truth.appended(node, id, content, operation),
            Shown::Truncated(after) => truth.truncated(node, after),
            Shown::Role(state) => truth.role_changed(node, state),
            Shown::Applied { id, content, operation, digest } => {
                let applied =
                    operation.map_or(Ok(()), |operation| self.clients.applied(group, node, operation));
                let commit = commit.unwrap_or(id.index).max(id.index);
                applied
                    .and_then(|()| truth.commits(node, commit, &self.images))
                    .and_then(|()| truth.applied(node, id, content, operation, digest))
            }
        };
        self.unless_blind(checked)
    }

    /// What a node knows of its groups after a step (R1, R4, R5, R8, S1).
    pub(crate) fn stepped(&mut self, id: NodeId, node: &Node) -> Checked {
        for (group, truth) in &mut self.truths {
            if !self.images.contains_key(&(id, *group)) {
                continue;
            }
            let breach = |seen: String| Err(Breach::at(Law::S1, *group, id, seen));
            let checked = match node.core(*group) {
                None => breach("the group is gone".to_string()),
                Some(core) => match (core.fault(), core.check_invariants()) {
                    (Some(law), _) => breach(format!("the group is fenced: {law}")),
                    (None, Err(invariant)) => breach(invariant.to_string()),
                    (None, Ok(())) => truth.commits(id, core.commit(), &self.images),
                },
            };
            match checked {
                Err(breach) if !self.blind.contains(&breach.law) => return Err(breach),
                _ => {}
            }
        }
        Ok(())
    }

    /// A frame leaves a node (L4, R1, R3, R6).
    pub(crate) fn sent(&mut self, replica: ReplicaId, frame: &Frame) -> Checked {
        let node = replica.node;
        let (Some(truth), Some(image)) =
            (self.truths.get_mut(&frame.group), self.images.get(&(node, frame.group)))
        else {
            return Ok(());
        };
        let leads = match &frame.content {
            Content::Leads { term } => truth.leads(node, *term),
            Content::Raft { message: raft_core::Message::Append(append), .. } => {
                truth.leads(node, append.term)
            }
            _ => Ok(()),
        };
        let mut checked = leads.and_then(|()| self.claims.check(&Speaker { replica, image, truth }, frame));
        if let Content::Raft { entries, .. } = &frame.content {
            for entry in entries {
                let (content, raw) = (
                    content::of_payload(entry.kind, &entry.payload),
                    content::raw(entry.kind, &entry.payload),
                );
                checked = checked.and_then(|()| truth.seen(node, entry.id, content, raw));
                truth.requested(entry.id, content::request_of(entry.kind, &entry.payload));
            }
        }
        self.unless_blind(checked)
    }

    /// A node takes someone for the leader of a group, by what it heard (R1).
    pub(crate) fn heard(
        &mut self,
        node: NodeId,
        group: GroupId,
        term: raft_core::Term,
        leader: NodeId,
    ) -> Checked {
        let checked = self.truths.get_mut(&group).map_or(Ok(()), |truth| truth.claimed(node, term, leader));
        self.unless_blind(checked)
    }

    /// A request has ended.
    pub(crate) fn answered(&mut self, node: NodeId, ticket: Ticket, outcome: &Outcome) -> Checked {
        let checked = self.clients.answered(node, ticket, outcome, &self.truths);
        self.unless_blind(checked)
    }

    /// The history is over.
    pub(crate) fn at_the_end(&self, now: u64, life: impl Fn(NodeId) -> Option<u64>) -> Checked {
        self.unless_blind(self.clients.at_the_end(now, life, &self.truths))
    }

    /// The first group whose replicas do not all hold and have applied the same; `None` when all agree (V5).
    pub(crate) fn disagreement(&self) -> Option<Breach> {
        for (group, truth) in &self.truths {
            let members = self.images.keys().filter(|(_, of)| of == group).map(|(node, _)| *node);
            let mut standings = members.map(|node| (node, truth.standing(node)));
            let Some((_, first)) = standings.next() else { continue };
            let differs =
                |(_, standing): &(NodeId, Option<Standing>)| standing.is_none() || *standing != first;
            let odd = standings.find(differs);
            let lags = first.is_none_or(|standing| standing.committed != standing.last);
            if let Some((node, standing)) = odd {
                return Some(Breach::at(Law::V5, *group, node, format!("{standing:?} and {first:?}")));
            }
            if lags {
                let seen = format!("not all that is there is committed and applied: {first:?}");
                return Some(Breach { law: Law::V5, group: Some(*group), node: None, seen });
            }
        }
        None
    }

    /// How many entries are committed and how many terms had a leader, over all groups.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let sum = |of: fn(&Truth) -> u64| self.truths.values().map(of).sum();
        (sum(Truth::committed), sum(Truth::elections))
    }
}

const LAST_GROUP: GroupId = GroupId::from_u64(u64::MAX);

fn durable(truth: &mut Truth, group: GroupId, node: NodeId, news: News) -> Checked {
    let breach = |law, seen: String| Err(Breach::at(law, group, node, seen));
    match news {
        News::Entry(id, held) => {
            truth.requested(id, held.request);
            truth.seen(node, id, held.content, held.raw)
        }
        News::Cut(after, first) => truth.cut(node, after, first),
        News::HardState(before, after) if after.term < before.term => {
            breach(Law::R7, format!("its disk went from term {} to {}", before.term, after.term))
        }
        News::HardState(before, after)
            if after.term == before.term && before.vote.is_some() && before.vote != after.vote =>
        {
            breach(Law::R6, format!("its disk went from {before:?} to {after:?}"))
        }
        News::HardState(..) => Ok(()),
        News::Nonsense(what) => breach(Law::S1, format!("its log holds {what}")),
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{HardState, LogId, Term};

    use super::*;

    #[test]
    fn a_platter_whose_term_falls_or_vote_changes_breaks_r7_and_r6() {
        let group = GroupId::new(1, 1);
        let node = NodeId::new(1);
        let voted = |term, node: Option<u64>| HardState {
            term: Term::new(term),
            vote: node.map(|node| ReplicaId::new(NodeId::new(node), raft_core::DiskId::new(0))),
        };
        let check = |before, after| {
            let mut truth = Truth::new(group, vec![node]);
            durable(&mut truth, group, node, News::HardState(before, after)).map_err(|breach| breach.law)
        };
        assert_eq!(check(voted(1, None), voted(1, Some(1))), Ok(()));
        assert_eq!(check(voted(1, Some(1)), voted(2, Some(3))), Ok(()));
        assert_eq!(check(voted(2, None), voted(1, None)), Err(Law::R7));
        assert_eq!(check(voted(1, Some(1)), voted(1, Some(2))), Err(Law::R6));
    }

    #[test]
    fn recovering_less_than_the_platter_holds_breaks_l8() {
        let (node, group) = (NodeId::new(1), GroupId::new(1, 1));
        let replica = ReplicaId::new(node, raft_core::DiskId::new(1));
        let mut oracle = Oracle::default();
        oracle.add_group(group, &[replica], Path::new("/wal"));
        oracle.recovered(replica, &[]).unwrap();
        oracle.images.insert((node, group), Image::holding(&[1, 1]));
        assert_eq!(oracle.recovered(replica, &[]).unwrap_err().law, Law::L8);
        let mut runs = raft_core::TermRuns::empty(LogId::ZERO);
        runs.append(Term::new(1), 1);
        let state = |runs| GroupState {
            group,
            genesis: raft_core::Configuration::none(),
            note: bytes::Bytes::new(),
            hard_state: HardState::default(),
            runs,
            memberships: Vec::new(),
        };
        assert_eq!(oracle.recovered(replica, &[state(runs.clone())]).unwrap_err().law, Law::L8);
        runs.append(Term::new(1), 1);
        oracle.recovered(replica, &[state(runs)]).unwrap();
    }

    #[test]
    fn replicas_that_end_differently_break_v5() {
        let group = GroupId::new(1, 1);
        let replica = |node| ReplicaId::new(NodeId::new(node), raft_core::DiskId::new(node.into()));
        let mut oracle = Oracle::default();
        oracle.add_group(group, &[replica(1), replica(2)], Path::new("/wal"));
        for node in [1, 2] {
            oracle.opened(NodeId::new(node), group);
        }
        assert!(oracle.disagreement().is_none());
        let id = LogId::new(Term::new(1), LogIndex::new(1));
        let shown = Shown::Appended { id, content: 3, operation: Some(1) };
        oracle.shown(NodeId::new(1), group, shown, None).unwrap();
        assert_eq!(oracle.disagreement().unwrap().law, Law::V5);
        oracle.shown(NodeId::new(2), group, shown, None).unwrap();
        assert_eq!(oracle.disagreement().unwrap().law, Law::V5, "nothing is committed");
    }
}
