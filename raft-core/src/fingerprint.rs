//! What decides a replica's future, fed to a hasher: for model checkers, which must know a state when they see it again.
//!
//! Left out is what makes two equal replicas look different: points in time, the random generator, and the numbers of
//! writes that are already done.

use core::hash::{Hash, Hasher};

use crate::id::Time;
use crate::raft::Raft;
use crate::role::Role;

pub(crate) fn of<H: Hasher>(raft: &Raft, now: Time, hasher: &mut H) {
    let timeout = raft.options.election_timeout;
    raft.me.hash(hasher);
    raft.memberships.hash(hasher);
    raft.learners.hash(hasher);
    raft.hard_state.hash(hasher);
    raft.log.hash(hasher);
    raft.commit.hash(hasher);
    raft.durability.fingerprint(hasher);
    raft.doubt.hash(hasher);
    raft.installing.hash(hasher);
    raft.liveness.hash(hasher);
    raft.storage.hash(hasher);
    raft.withdrawn.hash(hasher);
    raft.questions.hash(hasher);
    raft.fault().map(|law| law as u8).hash(hasher);
    raft.role.kind().hash(hasher);
    match &raft.role {
        Role::Follower(f) => {
            (f.leader(), f.is_asleep, f.verified, f.round).hash(hasher);
            f.reads.as_ref().map(|asked| &asked.waiting).hash(hasher);
            f.heard.is_some_and(|(_, at)| now.since(at) < timeout).hash(hasher);
        }
        Role::PreCandidate(pre) => (pre.attempt, &pre.granted).hash(hasher),
        Role::Candidate(candidate) => candidate.granted.hash(hasher),
        Role::Leader(leader) => {
            (leader.opened, leader.round, &leader.early_reads, &leader.reads).hash(hasher);
            (&leader.sleep, leader.has_asked, leader.transfer.map(|transfer| transfer.to)).hash(hasher);
            for p in leader.peers.values() {
                (p.replica, p.matched, &p.state, p.confirmed_round, p.heartbeat_due).hash(hasher);
                (p.commit_told, p.standing, now.since(p.heard) <= timeout).hash(hasher);
            }
        }
    }
}
