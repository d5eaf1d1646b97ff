//! What an ATM sees of the others, at a glance.
//!
//! A picture for people, taken from soft state that may be a moment old. Nothing is ever decided by it.

use std::collections::BTreeSet;
use std::fmt;

use raft_core::{GroupId, NodeId};
use raft_net::{Board, GroupStatus};
use serde::{Deserialize, Serialize};

/// What an ATM sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// This ATM.
    pub id: u64,
    /// How many ATMs the bank has.
    pub of: usize,
    /// The other ATMs with a live connection to this one, sorted.
    pub live: Vec<u64>,
    /// The ATMs for which the bank waits to be formed; empty once it is.
    pub waiting_for: Vec<u64>,
    /// Whether this ATM and those it sees are more than half of all.
    pub majority: bool,
    /// Who leads, if known.
    pub leader: Option<u64>,
    /// This ATM's part in the group, once it has one.
    pub replica: Option<Replica>,
}

/// An ATM's part in the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// `leader`, `follower`, `candidate` or `pre-candidate`.
    pub role: String,
    /// Its term.
    pub term: u64,
    /// Whether it leads and may serve.
    pub serving: bool,
    /// Last committed entry of the log, inclusive.
    pub commit: u64,
    /// Last applied entry, inclusive.
    pub applied: u64,
    /// Last entry, inclusive, committed or not.
    pub last: u64,
}

impl View {
    /// The view of ATM `id`, one of `founders`, from its node's board.
    pub fn of(id: NodeId, founders: &BTreeSet<NodeId>, board: &Board) -> Self {
        let live: Vec<u64> = board
            .live
            .iter()
            .filter(|node| **node != id && founders.contains(node))
            .map(|node| node.as_u64())
            .collect();
        let status = board.groups.get(&GroupId::ROOT);
        Self {
            id: id.as_u64(),
            of: founders.len(),
            waiting_for: board.waiting_for.iter().map(|node| node.as_u64()).collect(),
            majority: (live.len() + 1) * 2 > founders.len(),
            live,
            leader: status.and_then(|status| status.leader).map(NodeId::as_u64),
            replica: status.map(Replica::from),
        }
    }

    /// The prompt: who this is, how many ATMs are in sight, and whether they make a bank.
    pub fn prompt(&self) -> String {
        format!("atm {} ({})", self.id, self.sight())
    }

    fn sight(&self) -> String {
        let seen = format!("sees {} of {}", self.live.len() + 1, self.of);
        match self.leader {
            _ if !self.waiting_for.is_empty() => format!("{seen}, waiting for {}", list(&self.waiting_for)),
            _ if !self.majority => format!("{seen}, no majority"),
            None => format!("{seen}, no leader yet"),
            Some(leader) if leader == self.id => format!("{seen}, leads"),
            Some(leader) => format!("{seen}, led by {leader}"),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ATM {}: {}", self.id, self.sight())?;
        match &self.replica {
            None => write!(f, "\nno part in the bank yet"),
            Some(replica) => write!(
                f,
                "\n{} in term {}; log: {} committed, {} applied, {} last",
                replica.role, replica.term, replica.commit, replica.applied, replica.last
            ),
        }
    }
}

impl From<&GroupStatus> for Replica {
    fn from(status: &GroupStatus) -> Self {
        Self {
            role: status.role.to_string(),
            term: status.term.as_u64(),
            serving: status.serving,
            commit: status.commit.as_u64(),
            applied: status.applied.as_u64(),
            last: status.last.as_u64(),
        }
    }
}

fn list(ids: &[u64]) -> String {
    let names: Vec<String> = ids.iter().map(u64::to_string).collect();
    names.join(" and ")
}

#[cfg(test)]
mod tests {
    use raft_core::{LogIndex, RoleKind, Term};

    use super::*;

    fn look(live: &[u64], leader: Option<u64>, waiting_for: &[u64]) -> View {
        let node = |id: &u64| NodeId::new(*id);
        let status = GroupStatus {
            role: RoleKind::Follower,
            term: Term::new(3),
            leader: leader.map(NodeId::new),
            serving: false,
            commit: LogIndex::new(7),
            applied: LogIndex::new(7),
            last: LogIndex::new(8),
        };
        let board = Board {
            groups: [(GroupId::ROOT, status)].into(),
            live: live.iter().map(node).collect(),
            waiting_for: waiting_for.iter().map(node).collect(),
            ..Board::default()
        };
        View::of(NodeId::new(1), &[1, 2, 3].iter().map(node).collect(), &board)
    }

    #[test]
    fn the_prompt_says_whether_a_majority_is_in_sight() {
        assert_eq!(look(&[2, 3], Some(2), &[]).prompt(), "atm 1 (sees 3 of 3, led by 2)");
        assert_eq!(look(&[3], Some(1), &[]).prompt(), "atm 1 (sees 2 of 3, leads)");
        assert_eq!(look(&[3], None, &[]).prompt(), "atm 1 (sees 2 of 3, no leader yet)");
        assert_eq!(look(&[], Some(2), &[]).prompt(), "atm 1 (sees 1 of 3, no majority)");
        assert_eq!(look(&[], None, &[2, 3]).prompt(), "atm 1 (sees 1 of 3, waiting for 2 and 3)");
    }

    #[test]
    fn a_stranger_does_not_count_towards_a_majority() {
        assert!(!look(&[9], None, &[]).majority);
    }
}
