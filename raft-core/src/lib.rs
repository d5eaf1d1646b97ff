//! A Raft replica that decides and never does.
//!
//! [`Raft`] is one replica of one group, as a state machine without I/O. Messages, the time, reports of finished
//! writes and requests go in; [`Effect`]s come out. It owns no thread, file, socket or clock, calls no trait of
//! yours, and never sees a payload: it knows the log as *term runs* ([`TermRuns`]: which term begins at which
//! index) and hands out ranges of indexes; the bytes are the host's to move. That keeps disk reads out of the state
//! machine, makes an idle replica cost about 500 bytes, and lets bytes go from socket to log to peer without a copy.
//!
//! To try Raft before embedding it, take [`Replica`]: the same core with a log in memory, for any command type. The
//! example `three_replicas` is a group of three in about fifty lines, `replace_a_replica` goes through a snapshot, a
//! change of membership and a transfer of leadership.
//!
//! # The contract
//!
//! Call inputs in any order and at any time. After each, drain [`Raft::poll_effect`]; on a leader, also ask
//! [`Raft::poll_append`] for every peer that has room, until it answers `None`, and drain once more. The host owes the
//! core:
//!
//! 1. **Persist in order.** [`Effect::Persist`] effects form one stream. Write them in that order, and call
//!    [`Raft::persisted`] with a token only after an fsync that covers it and all before it has returned.
//! 2. **Send at will.** Every [`Effect::Send`] may leave at once: what depends on a write is held back inside.
//!    Messages may be lost, delayed, doubled and reordered, but not altered.
//! 3. **Authenticate.** The `from` of [`Raft::receive`] is the node and the disk that really sent the message.
//! 4. **Keep bytes and ranges together.** Store the payloads of exactly the entries that [`LogChange::Append`] names;
//!    send exactly those that the closure of [`Raft::poll_append`] was shown, after checking their terms; hand in the
//!    memberships that stand among the entries with [`AppendRequest::memberships`].
//! 5. **Apply in order**, up to [`Effect::Commit`] and not beyond, each entry once.
//! 6. **Restore the truth.** Open with [`Restored`] read from disk: everything reported persisted, and of the rest
//!    only what has been made durable by then. What may have been acknowledged and cannot be read is
//!    [`Restored::doubt`]; an empty disk has another [`DiskId`] and no membership.
//! 7. **One clock.** Pass monotonic times, and call [`Raft::tick`] when [`Raft::next_deadline`] has come.
//! 8. **Report lost connections** with [`Raft::peer_unreachable`]: it makes failover fast, and it is what resends
//!    appends that were lost with the connection.
//! 9. **Stop on a failed write.** A write that fails must end the process; it is never retried. A slow or full disk is
//!    reported with [`Raft::storage_health`].
//! 10. **Snapshots are yours.** Answer [`Effect::NeedSnapshot`] with [`Raft::offer_snapshot`] and
//!     [`Effect::InstallSnapshot`] with [`Raft::snapshot_installed`] or [`Raft::snapshot_failed`]; drop the front of the log
//!     when you like, within [`Raft::compaction_limit`], and say so with [`Raft::compacted`]. After a crash, a snapshot
//!     that is durable counts, and a log that does not reach it does not ([`Restored::log`]).
//! 11. **Sleep is optional.** A host that tells [`Raft::node_liveness`] of every node gets groups that cost nothing while
//!     they are idle. It must then tell of every silence and every new life of a node, and repeat
//!     [`Effect::Withdraw`] to all nodes of the group until they confirm it in their present life, or end.
//!
//! In return: one leader per term, logs that match, nothing committed is ever lost or altered, every read that is
//! confirmed sees all that was committed before it was asked (Raft figure 3, thesis §6.4). Nothing a peer says
//! can panic a replica: messages that make no sense are dropped, and one that would break a law fences the group
//! ([`Effect::Fault`]), which then emits nothing more. Every request ends in one typed outcome.
//!
//! # What stands where
//!
//! | you want to | call | source |
//! |---|---|---|
//! | append commands | [`Raft::propose`] | Raft §5.3 |
//! | read the latest | [`Raft::read`], on any member | thesis §6.4 |
//! | change who votes | [`Raft::propose_membership`]: joint consensus, learners that are promoted by themselves | Raft §6, thesis §4.2.1 |
//! | hand leadership over | [`Raft::transfer_leadership`] | thesis §3.10 |
//! | feed a reader that never votes | [`Raft::admit_learner`] | |
//! | keep the log short | [`Raft::compacted`], [`Raft::offer_snapshot`] | Raft §7 |
//!
//! # Roles
//!
//! <!-- roles: written by tests/roles.rs -->
//! | from | to | by |
//! |---|---|---|
//! | follower | pre-candidate | tick |
//! | follower | candidate | `TimeoutNow`, tick |
//! | pre-candidate | follower | `AppendReply`, `Append`, `DoubtReply`, `Doubt`, `PreVoteReply`, `SleepReply`, `Sleep`, `Snapshot`, `VoteReply`, `Vote`, leader_withdrew, storage_health |
//! | pre-candidate | candidate | `PreVoteReply`, `TimeoutNow` |
//! | candidate | follower | `AppendReply`, `Append`, `DoubtReply`, `Doubt`, `PreVoteReply`, `SleepReply`, `Sleep`, `Snapshot`, `VoteReply`, `Vote`, leader_withdrew, storage_health |
//! | candidate | pre-candidate | tick |
//! | candidate | leader | `VoteReply`, persisted |
//! | leader | follower | `AppendReply`, `Append`, `DoubtReply`, `PreVoteReply`, `SleepReply`, `Sleep`, `Snapshot`, `VoteReply`, `Vote`, leader_withdrew, persisted, storage_health, tick, transfer_leadership |
//! <!-- end of roles -->
//!
//! Pre-vote and check-quorum are always on. A replica that is in no configuration (a *standing learner*) is a
//! follower for ever. Voters are (node, disk) pairs: a node that lost its disk is not the voter it was.
//!
//! # Example: a group of one
//!
//! ```
//! use raft_core::*;
//!
//! let me = ReplicaId::new(NodeId::new(1), DiskId::new(0xd15c));
//! let voters = Configuration::new([me]).unwrap();
//! let mut raft = Raft::new(me, voters, Options::default(), Restored::default(), 42, Time::ZERO);
//! raft.tick(Time::ZERO); // a lone voter campaigns at once
//!
//! // The host: write, fsync, report. Here the "disk" is instant.
//! let mut committed = LogIndex::ZERO;
//! let mut drain = |raft: &mut Raft| {
//!     while let Some(effect) = raft.poll_effect() {
//!         match effect {
//!             Effect::Persist(write) => raft.persisted(Time::ZERO, write.token),
//!             Effect::Commit { index } => committed = index,
//!             _ => {}
//!         }
//!     }
//!     committed
//! };
//! drain(&mut raft);
//! assert!(raft.is_serving());
//!
//! let proposed = raft.propose(3).unwrap();
//! assert_eq!(drain(&mut raft), proposed.last);
//! ```
//!
//! # Features
//!
//! - `serde`: `Serialize` and `Deserialize` for ids, messages, memberships and hard state. What is read is checked.
//!
//! `no_std` with `alloc`; no unsafe code; no dependency without `serde`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod doubt;
mod durability;
mod effect;
mod election;
mod fingerprint;
mod follow;
mod id;
mod lead;
mod membership;
mod message;
mod options;
mod progress;
mod raft;
mod reads;
mod reconfigure;
mod replica;
mod rng;
mod role;
mod runs;
mod sleep;
mod snapshot;
mod stack;
mod transfer;

pub use effect::{
    Content, Effect, HardState, Law, Liveness, LogChange, Persist, PersistToken, ReadFailure, ReadId,
    RoleKind, SoftState, StorageHealth,
};
pub use id::{BootId, DiskId, GroupId, LogId, LogIndex, NodeId, ReplicaId, Term, Time};
pub use membership::{
    Configuration, ConfigurationError, Learner, MAX_LEARNERS, MAX_VOTERS, Membership, MembershipChange,
};
pub use message::{
    AppendOutcome, AppendReply, AppendRequest, DoubtQuery, DoubtReply, Message, PreVote, PreVoteReply,
    ReadIndexReply, ReadIndexRequest, SleepReply, SleepRequest, Snapshot, SnapshotOffer, TimeoutNow, Vote,
    VoteReply, Wake,
};
pub use options::{Options, OptionsError};
pub use raft::{ProposeError, Proposed, Raft, ReadError, Restored};
pub use reconfigure::ChangeError;
pub use replica::{Entry, Envelope, Event, Payload, Replica};
pub use runs::{RunsError, TermRun, TermRuns};
pub use snapshot::OfferError;
pub use transfer::TransferError;
