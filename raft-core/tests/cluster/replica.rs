//! One replica with its host: the disk, the writes on their way to it, and a book of what was decided.

use std::collections::VecDeque;

use raft_core::{
    Content, LogChange, LogId, LogIndex, Membership, NodeId, Persist, PersistToken, Raft, ReadId, Restored,
    Snapshot, Term, TermRuns,
};

pub(crate) struct Replica {
    pub(crate) raft: Raft,
    /// What an fsync has reached: term, vote and log, in the order the core asked for them.
    pub(crate) disk: Restored,
    /// Writes asked for and not yet done, and the memberships among the entries of each; of a restart of the log, the
    /// one at its start.
    pub(crate) writes: VecDeque<(Persist, Vec<(LogIndex, Membership)>)>,
    /// In force at the start of the log on disk.
    pub(crate) base: Membership,
    pub(crate) committed: LogIndex,
    pub(crate) ready: Vec<(ReadId, LogIndex)>,
    pub(crate) failed: Vec<ReadId>,
    pub(crate) faults: Vec<raft_core::Law>,
    /// Where the membership in force stands, and the last one that is committed.
    pub(crate) active: LogIndex,
    pub(crate) settled: LogIndex,
    /// Snapshots asked for, and the one to be installed.
    pub(crate) needed: Vec<(NodeId, LogIndex)>,
    pub(crate) installing: Option<Snapshot>,
    pub(crate) aborted: Vec<NodeId>,
    pub(crate) withdrawn: Vec<Term>,
    pub(crate) is_up: bool,
}

impl Replica {
    pub(crate) fn new(raft: Raft, base: Membership, disk: Restored) -> Self {
        let committed = raft.commit();
        let writes = VecDeque::new();
        Self {
            raft,
            disk,
            writes,
            base,
            committed,
            ready: vec![],
            failed: vec![],
            faults: vec![],
            active: LogIndex::ZERO,
            settled: LogIndex::ZERO,
            needed: vec![],
            installing: None,
            aborted: vec![],
            withdrawn: vec![],
            is_up: true,
        }
    }

    /// Offers what is committed to whoever needs it.
    pub(crate) fn serve_snapshots(&mut self) {
        for (peer, _) in std::mem::take(&mut self.needed) {
            let at = self.raft.commit();
            let last = LogId::new(self.raft.log().term_at(at).unwrap(), at);
            let membership = self.raft.membership_at(at).unwrap().clone();
            let _ = self.raft.offer_snapshot(peer, Snapshot { last, membership });
        }
    }

    /// Puts all queued writes on the disk. Returns the last token.
    pub(crate) fn write_all(&mut self) -> PersistToken {
        let mut last = None;
        while let Some(token) = self.write_one() {
            last = Some(token);
        }
        last.expect("called with writes queued")
    }

    pub(crate) fn write_one(&mut self) -> Option<PersistToken> {
        let (write, memberships) = self.writes.pop_front()?;
        if let Some(hard_state) = write.hard_state {
            assert!(hard_state.term >= self.disk.hard_state.term, "terms on disk never fall");
            self.disk.hard_state = hard_state;
        }
        match write.log {
            LogChange::Unchanged => {}
            LogChange::Append { cut, entries, content } => {
                if let Some(after) = cut {
                    self.disk.log.truncate(after);
                    self.disk.memberships.retain(|(index, _)| *index <= after);
                }
                assert_eq!(entries.before(), self.disk.log.last_id(), "appends follow the log on disk");
                self.disk.log.extend(&entries);
                if let Content::Membership(membership) = content {
                    self.disk.memberships.push((entries.last_index(), membership));
                } else {
                    self.disk.memberships.extend(memberships);
                }
            }
            LogChange::Restart { after } => {
                self.disk.log = TermRuns::empty(after);
                self.disk.memberships.clear();
                let (_, base) = memberships.into_iter().next().expect("a restart has a membership");
                self.base = base;
            }
        }
        Some(write.token)
    }
}
