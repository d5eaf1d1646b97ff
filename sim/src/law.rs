//! The laws that histories keep, by name, for both tiers.
//!
//! The codes are short names for reports, scripts and command lines; they are those of the literature as far as it has
//! any. Which tier checks which law, and how, stands with the checkers. Invariant: a code means the same everywhere.

use std::fmt;

macro_rules! laws {
    ($($(#[$doc:meta])* $code:ident = $sentence:literal,)*) => {
        /// A law that every step of every history keeps. Ordered by code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Law {
            $($(#[$doc])* $code,)*
        }

        impl Law {
            /// What it says, in a few words.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$code => $sentence,)*
                }
            }
        }
    };
}

laws! {
    /// Durable commit never regresses, nor does that of a life of a process.
    L1 = "commit never regresses",
    /// Nothing committed is cut.
    L2 = "nothing committed is cut",
    /// No claim without durability: what a node says that it holds or voted is on its platter.
    L4 = "no claim without durability",
    /// Recovery brings back exactly what is on the platter.
    L8 = "recovery brings back exactly what is on the platter",
    /// A disk that lost its state counts in no quorum until it is promoted anew.
    L10 = "a disk that lost its state counts in no quorum",
    /// What is on its way stays bounded: no message makes more than its share of others.
    O1 = "what is on its way stays bounded",
    /// One leader per term (Raft §5.2, Election Safety).
    R1 = "one leader per term",
    /// A leader never cuts its own log and only appends to it (Raft §5.3, Leader Append-Only).
    R2 = "a leader only appends to its log",
    /// Two logs that share an entry share all before it, and bytes never part from their range (Raft §5.3, Log Matching).
    R3 = "logs that share an entry share all before it",
    /// Each leader's log holds all that was committed before its term (Raft §5.4, Leader Completeness).
    R4 = "a leader holds all that is committed",
    /// All replicas apply the same entries in the same order and come to the same state (Raft §5.4.3, State Machine Safety).
    R5 = "all replicas apply the same",
    /// One vote per term and disk, over all restarts (Raft §5.2).
    R6 = "one vote per term and disk",
    /// The term of a disk never falls (Raft §5.1).
    R7 = "the term of a disk never falls",
    /// Committed means held durably by a quorum, and a leader's commit rests on an entry of its own term (Raft §5.4.2).
    R8 = "committed is what a quorum holds durably, by an entry of the leader's term",
    /// Memberships change one at a time, by overlapping quorums, after a commit of the own term (thesis chapter 4).
    R9 = "memberships change one at a time and by overlapping quorums",
    /// Only voters stand for election, and only they elect (thesis §4.2.1).
    R10 = "only voters stand and elect",
    /// A read is as new as all that was committed when it was asked (thesis §6.4).
    R11 = "a read is as new as all that was committed when it was asked",
    /// Nothing panics, no group is fenced, and the core's invariants hold after each step.
    S1 = "nothing panics and no group is fenced",
    /// Only what can be done is asked of the disk, and what is asked of it in order succeeds.
    S2 = "the disk is asked only for what it can do",
    /// Once all is healed, or all but one link, there are a leader and a new commit within twelve election timeouts.
    V1 = "a leader and a commit within twelve election timeouts after healing",
    /// Once all is healed every read has ended that was asked before.
    V2 = "every read ends",
    /// A leader that hears no quorum leaves office (thesis §6.2).
    V3 = "a leader that hears no quorum leaves office",
    /// No sleeper is left without a leader.
    V4 = "no sleeper is left without a leader",
    /// Once all is healed all members come to hold and to have applied the same, and terms rise no more.
    V5 = "healed members come to agree and terms rise no more",
    /// Once all is healed and nothing is asked, a group falls asleep.
    V6 = "a healed group with nothing to do falls asleep",
    /// A log is not compacted from under a snapshot on its way.
    V7 = "a log is not compacted from under a snapshot on its way",
    /// A replica with a bad disk does not campaign, and does not lead on while another voter answers.
    V8 = "who has a bad disk neither campaigns nor leads on",
    /// While one link stays cut that leaves a quorum whole, there is at most one more leader once there is one.
    V9 = "a link that stays cut does not make leaders come and go",
    /// A linearizable read is as new as everything that was answered before it was asked, and true.
    X1 = "a linearizable read is new enough and true",
    /// What was done stays done, and what was refused never happens.
    X2 = "done stays done, refused never happens",
    /// A command is applied at most once.
    X3 = "a command is applied at most once",
    /// A request ends exactly once, within its time.
    X4 = "a request ends exactly once, in time",
    /// Client histories are linearizable: all that clients saw can be put in one order that keeps to the order of time
    /// and explains each answer (Herlihy and Wing 1990).
    X5 = "client histories are linearizable",
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
