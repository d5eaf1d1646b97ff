//! Rare paths that a swarm must have been on: what was never reached was never tested.
//!
//! Invariant: every mark is declared here, and counted where it is reached.

macro_rules! marks {
    ($($(#[$doc:meta])* $mark:ident = $name:literal,)*) => {
        /// A path that is seldom taken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mark {
            $($(#[$doc])* $mark,)*
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Mark] = &[$(Mark::$mark),*];

            /// What happened, in a few words.
            pub fn name(self) -> &'static str {
                match self {
                    $(Mark::$mark => $name,)*
                }
            }
        }
    };
}

marks! {
    /// See the name.
    ProgressDemanded = "peace came and progress was demanded",
    /// See the name.
    LivedWithCut = "a leader came and stayed with a link cut for good",
    /// See the name.
    LedWithCut = "a leader led on although it was cut from a voter for good",
    /// See the name.
    LogsMended = "peace came with too many logs in doubt, and they could be read again",
    /// See the name. Not needed.
    NothingDemanded = "peace came and too few disks were sound for progress",
    /// See the name.
    TruncatedDurable = "entries were cut that were on the disk, and so may have been acknowledged",
    /// See the name.
    TruncatedMembership = "a membership was rolled back",
    /// See the name.
    SnapshotInstalled = "a snapshot was installed",
    /// See the name.
    SnapshotFailed = "a snapshot did not arrive",
    /// See the name.
    SnapshotDuringChange = "a snapshot was installed while the membership was joint",
    /// See the name.
    SnapshotOverLog = "a snapshot took the place of a log that was not empty",
    /// See the name.
    RestartLost = "a process died between a durable snapshot and the new start of its log",
    /// See the name.
    InheritedJoint = "a new leader left a joint membership that another had begun",
    /// See the name.
    LeaderRemoved = "a leader handed over before it left",
    /// See the name.
    LearnerPromoted = "a learner was promoted",
    /// See the name.
    VoterReplaced = "a voter was replaced",
    /// See the name.
    VoterRemoved = "a voter was removed",
    /// See the name.
    WipedCameBack = "a node with a new disk became a voter",
    /// See the name.
    DoubtOpened = "a log was opened in doubt",
    /// See the name.
    DoubtRewritten = "a doubt was cleared by a leader's entries",
    /// See the name.
    DoubtNacked = "a doubt was cleared by nacks",
    /// See the name.
    TransferDone = "a transfer was completed",
    /// See the name.
    TransferAborted = "a transfer was aborted",
    /// See the name.
    StalledLeaderLeft = "a leader with a bad disk left office",
    /// See the name.
    GroupSlept = "a group fell asleep",
    /// See the name.
    WokenByMessage = "a sleeping follower was woken by a message",
    /// See the name.
    WokenBySilence = "a sleeping follower was woken by its leader's silence",
    /// See the name.
    WokenByBoot = "a sleeping follower was woken by its leader's new life",
    /// See the name.
    WokenByWithdrawal = "a sleeping follower was woken by a withdrawal",
    /// See the name.
    WithdrawalSent = "a leader withdrew while others may have slept",
    /// See the name.
    PreVoteRefusedLeader = "a pre-vote was refused because a leader lives",
    /// See the name.
    VoteRefusedFree = "a vote was refused in its term by a voter that had given none",
    /// See the name.
    ConflictSkipped = "one answer skipped a whole term in search of a match",
    /// See the name.
    RegistersDecided = "what all clients of a seed saw was decided, as registers",
    /// See the name. None of them is needed.
    RegistersUndecided = "that was too tangled to decide, as registers",
    /// See the name.
    BankDecided = "what all clients of a seed saw was decided, as a bank",
    /// See the name. None of them is needed.
    BankUndecided = "that was too tangled to decide, as a bank",
    /// See the name.
    ReadOnLearner = "a read was confirmed on a standing learner",
    /// See the name.
    ReadOnFollower = "a read was confirmed on a follower",
    /// See the name.
    ReadFailed = "a read failed because the leader changed",
    /// See the name.
    CheckQuorum = "a leader stepped down because it heard no quorum",
    /// See the name.
    CommitAhead = "an entry was committed that was not on the leader's disk",
    /// See the name.
    CrashMidEffects = "a process died between two effects",
    /// See the name.
    WriteSurvived = "a write that was not reported survived its process",
    /// See the name.
    WriteTorn = "a part of a write survived its process",
    /// See the name.
    OldPacket = "a packet came from a former life of its sender",
    /// See the name.
    FollowerCompacted = "the log of a follower was compacted",
    /// See the name.
    LoneVoter = "a group of one voter committed",
}

/// How often each mark was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks([u64; Mark::ALL.len()]);

impl Default for Marks {
    fn default() -> Self {
        Self([0; Mark::ALL.len()])
    }
}

impl Marks {
    /// It was reached.
    pub(crate) fn hit(&mut self, mark: Mark) {
        self.0[mark as usize] += 1;
    }

    /// It was reached, if so.
    pub(crate) fn hit_if(&mut self, is_reached: bool, mark: Mark) {
        self.0[mark as usize] += u64::from(is_reached);
    }

    /// How often.
    pub fn count(&self, mark: Mark) -> u64 {
        self.0[mark as usize]
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Marks) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }

    /// Those that were not reached, or seldom where often is needed.
    pub fn missing(&self) -> Vec<Mark> {
        Mark::ALL.iter().copied().filter(|mark| !self.suffices(*mark)).collect()
    }

    fn suffices(&self, mark: Mark) -> bool {
        let at_least = match mark {
            Mark::NothingDemanded | Mark::RegistersUndecided | Mark::BankUndecided => 0,
            // A good part of the histories has to be decided for their law to be worth its name.
            Mark::RegistersDecided => self.count(Mark::RegistersUndecided) / 2 + 1,
            Mark::BankDecided => self.count(Mark::BankUndecided) / 2 + 1,
            _ => 1,
        };
        self.count(mark) >= at_least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_and_the_missing_are_known() {
        let (mut sum, mut run) = (Marks::default(), Marks::default());
        run.hit(Mark::GroupSlept);
        run.hit_if(false, Mark::ReadFailed);
        sum.add(&run);
        sum.add(&run);
        assert_eq!(sum.count(Mark::GroupSlept), 2);
        let is_missing = |mark: Mark| sum.missing().contains(&mark);
        assert!(is_missing(Mark::ReadFailed) && !is_missing(Mark::GroupSlept));
        assert!(!is_missing(Mark::BankUndecided), "what need not happen is not missed");
        sum.hit(Mark::BankDecided);
        assert!(!sum.missing().contains(&Mark::BankDecided));
        sum.hit(Mark::BankUndecided);
        sum.hit(Mark::BankUndecided);
        assert!(sum.missing().contains(&Mark::BankDecided), "one of three is too little");
    }
}
