//! The laws between replicas: what one of them does is held against the others and against what has happened.
//!
//! Called for each step of a search that changes a replica. Most steps change neither a log nor a commit index nor who
//! leads, and cost nothing here.

use super::raft_core::{LogIndex, ReplicaId, RoleKind, Term};

use super::history::History;
use super::input::Input;
use super::law::{Broken, CheckedLaw};
use super::state::State;
use super::world::{Step, World};

impl World {
    /// The laws between replicas, after the one at `at` has changed. Brings the history up to date.
    pub(super) fn judge(
        &mut self,
        state: &mut State,
        at: usize,
        before: u32,
        step: Step,
        input: Input,
    ) -> Result<(), Broken> {
        let (was, is) = (self.summaries[before as usize], self.summaries[step.next as usize]);
        let number = at as u8 + 1;
        if step.led > Term::ZERO {
            let history = self.histories.get(state.history);
            let next = history.lead(number, step.led, self.logs.get(is.log))?;
            state.history = self.histories.number(next);
        }
        if is.commit > was.commit {
            // A leader may commit and hand over in one step.
            let leader = [was, is].into_iter().find(|summary| summary.role == RoleKind::Leader);
            let leads = leader.map(|leader| leader.term).or(Some(step.led).filter(|term| *term > Term::ZERO));
            let history = self.histories.get(state.history);
            let known = history.len();
            let next = history.commit(number, self.logs.get(is.log), is.commit as usize, leads)?;
            if next.len() > known {
                // One that the leader appends once it has committed is not in force yet.
                let in_force = self.logs.get(was.log).last_id().index.max(next.log().last_id().index);
                self.judge_commit(state, at, leads, in_force, &next)?;
            }
            state.history = self.histories.number(next);
        }
        let history = self.histories.get(state.history);
        if is.durable != was.durable && !matches!(input, Input::Damage { .. }) {
            let committed = history.log();
            let held = |durable: u32| self.logs.get(durable).common_prefix(&committed);
            if held(is.durable) < held(was.durable) {
                let (old, new) = (self.logs.get(was.durable), self.logs.get(is.durable));
                let detail = format!(
                    "the disk of replica {number} held {old} and holds {new}; committed is {committed}"
                );
                return Err(Broken::new(CheckedLaw::CommittedIsForEver, detail));
            }
        }
        if is.log != was.log {
            let (log, old) = (self.logs.get(is.log), self.logs.get(was.log));
            let leads_on = [was.role, is.role] == [RoleKind::Leader; 2] && was.term == is.term;
            if leads_on && !log.shares(old, old.0.len()) {
                let detail = format!("replica {number} leads in term {}, had {old} and has {log}", is.term);
                return Err(Broken::new(CheckedLaw::LeadersOnlyAppend, detail));
            }
            let open = log.memberships().filter(|(index, _)| index.as_u64() > history.len() as u64).count();
            if open > 1 {
                let detail =
                    format!("replica {number} has {open}, in {log} of which {} are committed", history.len());
                return Err(Broken::new(CheckedLaw::OneChangeAtATime, detail));
            }
        }
        if is.log != was.log || is.durable != was.durable {
            for other in 0..self.scope().replicas() {
                let other = self.summaries[state.replicas[other] as usize];
                for (mine, theirs) in [
                    (is.log, other.log),
                    (is.log, other.durable),
                    (is.durable, other.log),
                    (is.durable, other.durable),
                ] {
                    self.logs.check_match(mine, theirs)?;
                }
            }
        }
        Ok(())
    }

    /// The leader at `at` has committed more: a quorum of the membership at `in_force` holds it, and so do all leaders of
    /// later terms.
    fn judge_commit(
        &self,
        state: &State,
        at: usize,
        leads: Option<Term>,
        in_force: LogIndex,
        history: &History,
    ) -> Result<(), Broken> {
        let committed = history.log();
        let leader = &self.replicas[state.replicas[at] as usize];
        let last = committed.last_id();
        if Some(last.term) != leads {
            let detail = format!("replica {} commits {committed} in term {leads:?}", leader.number);
            return Err(Broken::new(CheckedLaw::CommitsItsOwnTerm, detail));
        }
        let holds = |replica: ReplicaId| {
            state.replicas[..self.scope().replicas()]
                .iter()
                .map(|number| &self.replicas[*number as usize])
                .any(|held| {
                    // Who has lost what it acknowledged stands in for it, by refusing its vote to all who lack it.
                    let stands_in = held.image.doubt.is_some_and(|extent| extent >= last);
                    held.raft.me() == replica
                        && (stands_in || held.image.log.shares(&committed, committed.0.len()))
                })
        };
        let membership = leader.raft.membership_at(in_force).unwrap_or(leader.raft.membership());
        if !membership.is_quorum(holds) {
            let detail =
                format!("replica {} commits {committed}, and a quorum does not hold it", leader.number);
            return Err(Broken::new(CheckedLaw::CommittedIsHeld, detail));
        }
        for number in &state.replicas[..self.scope().replicas()] {
            let (other, replica) = (&self.summaries[*number as usize], &self.replicas[*number as usize]);
            if other.role == RoleKind::Leader {
                history.is_complete(replica.number, other.term, self.logs.get(other.log))?;
            }
        }
        Ok(())
    }
}
