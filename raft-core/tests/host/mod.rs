//! A replica with an honest host and dishonest everybody else: every input there is, with any content, and checks of what
//! the host can see of the answers.

#![allow(dead_code)] // Each test file uses its own part of it.

use std::collections::VecDeque;

use crate::cluster::{self, id, incarnation, index, log_of, ms, replica};
use proptest::prelude::*;
use raft_core::{
    AppendOutcome, AppendReply, AppendRequest, BootId, Configuration, DoubtQuery, DoubtReply, Effect,
    HardState, Learner, Liveness, LogChange, LogId, LogIndex, Membership, MembershipChange, Message, NodeId,
    Options, PersistToken, PreVote, PreVoteReply, Raft, ReadId, ReadIndexReply, ReadIndexRequest, ReplicaId,
    Restored, RoleKind, SleepReply, SleepRequest, Snapshot, SnapshotOffer, StorageHealth, Term, TermRun,
    TermRuns, Time, TimeoutNow, Vote, VoteReply, Wake,
};

#[derive(Clone, Debug)]
pub(crate) enum Input {
    Receive(ReplicaId, Message),
    Tick(u64),
    /// So many writes are done.
    Write(usize),
    Propose(u64),
    Change(MembershipChange),
    Read(u64),
    Cancel(u64),
    Transfer(Option<u64>),
    Storage(StorageHealth),
    /// The log may go so far before the commit index.
    Compact(u64),
    /// The snapshot that is being installed is done, or some other.
    Installed(Option<LogId>),
    Failed(Option<LogId>),
    Liveness(u64, Liveness),
    Withdrew(u64, u64),
    Unreachable(u64),
    Admit(ReplicaId),
    Dismiss(u64),
    Offer(u64, Snapshot),
    /// Asks for appends to a node; the host can read so many entries at a time.
    Poll(u64, u64),
}

pub(crate) fn node() -> impl Strategy<Value = u64> {
    1..=9_u64
}

pub(crate) fn anyone() -> impl Strategy<Value = ReplicaId> {
    (node(), 0..8_u64).prop_map(|(node, disk)| incarnation(node, disk / 7))
}

/// Small, mostly; now and then as large as numbers get.
fn number(usual: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        30 => 0..usual,
        1 => (0..4_u64).prop_map(|less| u64::MAX - less),
    ]
}

fn term() -> impl Strategy<Value = Term> {
    number(7).prop_map(Term::new)
}

fn at() -> impl Strategy<Value = LogId> {
    (number(14), 0..7_u64).prop_map(|(i, t)| id(i, t))
}

fn configuration() -> impl Strategy<Value = Configuration> {
    prop::collection::btree_map(node(), 0..8_u64, 0..=7).prop_map(|all| {
        let replicas = all.into_iter().map(|(node, disk)| incarnation(node, disk / 7));
        Configuration::new(replicas).unwrap()
    })
}

fn learner() -> impl Strategy<Value = Learner> {
    (anyone(), prop::option::of(anyone())).prop_map(|(replica, replaces)| Learner { replica, replaces })
}

fn membership() -> impl Strategy<Value = Membership> {
    let learners = prop::collection::vec(learner(), 0..3);
    (configuration(), prop::option::of(configuration()), learners).prop_map(|(voters, outgoing, learners)| {
        Membership::new(voters, outgoing, learners).unwrap_or_default()
    })
}

fn runs() -> impl Strategy<Value = TermRuns> {
    // What continues a plausible log, mostly; a hundred tries to guess one would be refused else.
    (at(), prop::collection::vec((0..3_u64, 1..5_u64), 0..3)).prop_map(|(before, steps)| {
        let (mut term, mut first) = (before.term.as_u64(), before.index.next());
        let mut runs = vec![];
        let mut last = before.index;
        for (step, count) in steps {
            term += step.max(u64::from(runs.is_empty() && term == 0)).max(u64::from(!runs.is_empty()));
            runs.push(TermRun { term: Term::new(term), first });
            last = first.plus(count - 1);
            first = last.next();
        }
        TermRuns::new(before, runs, last).unwrap_or_else(|_| TermRuns::empty(before))
    })
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    (at(), membership()).prop_map(|(last, membership)| Snapshot { last, membership })
}

pub(crate) fn append() -> impl Strategy<Value = Message> {
    let memberships = prop::collection::vec((0..14_u64, membership()), 0..3);
    (term(), runs(), memberships, number(14), number(9)).prop_map(
        |(term, entries, memberships, commit, round)| {
            let memberships =
                memberships.into_iter().map(|(at, membership)| (index(at), membership)).collect();
            Message::Append(AppendRequest { term, entries, memberships, commit: index(commit), round })
        },
    )
}

pub(crate) fn outcome() -> impl Strategy<Value = AppendOutcome> {
    prop_oneof![
        number(14).prop_map(|m| AppendOutcome::Matched { matched: index(m) }),
        (at(), at()).prop_map(|(prev, hint)| AppendOutcome::Conflict { prev, hint }),
        Just(AppendOutcome::Installing),
    ]
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    let yes = any::<bool>;
    prop_oneof![
        1 => (term(), at(), number(4)).prop_map(|(term, last, attempt)| Message::PreVote(PreVote { term, last, attempt })),
        1 => (term(), number(4), yes())
            .prop_map(|(term, attempt, granted)| Message::PreVoteReply(PreVoteReply { term, attempt, granted })),
        1 => (term(), at()).prop_map(|(term, last)| Message::Vote(Vote { term, last })),
        1 => (term(), yes()).prop_map(|(term, granted)| Message::VoteReply(VoteReply { term, granted })),
        4 => append(),
        3 => (term(), number(9), outcome())
            .prop_map(|(term, round, outcome)| Message::AppendReply(AppendReply { term, round, outcome })),
        1 => (term(), number(9)).prop_map(|(term, read)| Message::ReadIndex(ReadIndexRequest { term, read })),
        1 => (term(), number(9), prop::option::of(number(12))).prop_map(|(term, read, i)| {
            Message::ReadIndexReply(ReadIndexReply { term, read, index: i.map(index) })
        }),
        1 => (term(), snapshot(), number(9))
            .prop_map(|(term, snapshot, round)| Message::Snapshot(SnapshotOffer { term, snapshot, round })),
        1 => (term(), at()).prop_map(|(term, last)| Message::TimeoutNow(TimeoutNow { term, last })),
        1 => (term(), at(), number(9)).prop_map(|(term, last, round)| Message::Sleep(SleepRequest { term, last, round })),
        1 => (term(), at(), number(9), yes()).prop_map(|(term, last, round, asleep)| {
            Message::SleepReply(SleepReply { term, last, round, asleep })
        }),
        1 => term().prop_map(|term| Message::Wake(Wake { term })),
        1 => (term(), at(), at()).prop_map(|(term, after, extent)| Message::Doubt(DoubtQuery { term, after, extent })),
        1 => (term(), at(), at(), yes()).prop_map(|(term, after, extent, holds)| {
            Message::DoubtReply(DoubtReply { term, after, extent, holds })
        }),
    ]
}

fn change() -> impl Strategy<Value = MembershipChange> {
    prop_oneof![
        configuration().prop_map(MembershipChange::Voters),
        learner().prop_map(MembershipChange::AddLearner),
        anyone().prop_map(MembershipChange::RemoveLearner),
    ]
}

pub(crate) fn input() -> impl Strategy<Value = Input> {
    let health = prop_oneof![
        2 => Just(StorageHealth::Good),
        1 => Just(StorageHealth::Stalled),
        1 => Just(StorageHealth::Full),
    ];
    let liveness = prop_oneof![
        3 => (1..3_u64).prop_map(|boot| Liveness::Live(BootId::new(boot))),
        1 => Just(Liveness::Silent),
    ];
    prop_oneof![
        20 => (anyone(), message()).prop_map(|(from, message)| Input::Receive(from, message)),
        6 => (1..1_500_u64).prop_map(Input::Tick),
        6 => (0..4_usize).prop_map(Input::Write),
        3 => number(5).prop_map(Input::Propose),
        2 => change().prop_map(Input::Change),
        2 => (0..6_u64).prop_map(Input::Read),
        1 => (0..6_u64).prop_map(Input::Cancel),
        1 => prop::option::of(node()).prop_map(Input::Transfer),
        1 => health.prop_map(Input::Storage),
        1 => (0..6_u64).prop_map(Input::Compact),
        2 => prop::option::of(at()).prop_map(Input::Installed),
        1 => prop::option::of(at()).prop_map(Input::Failed),
        3 => (node(), liveness).prop_map(|(node, liveness)| Input::Liveness(node, liveness)),
        1 => (node(), 0..7_u64).prop_map(|(node, term)| Input::Withdrew(node, term)),
        1 => node().prop_map(Input::Unreachable),
        1 => anyone().prop_map(Input::Admit),
        1 => node().prop_map(Input::Dismiss),
        1 => (node(), snapshot()).prop_map(|(node, snapshot)| Input::Offer(node, snapshot)),
        4 => (node(), 0..6_u64).prop_map(|(node, entries)| Input::Poll(node, entries)),
    ]
}

/// A replica and the little that its host must keep to serve it honestly.
pub(crate) struct Host {
    pub(crate) raft: Raft,
    pub(crate) now: Time,
    /// The log as the writes asked for so far leave it.
    written: TermRuns,
    hard_state: HardState,
    tokens: VecDeque<PersistToken>,
    commit: LogIndex,
    installing: Option<LogId>,
    pending_reads: Vec<ReadId>,
    /// The number of its last pre-vote.
    attempt: u64,
    is_fenced: bool,
    /// What was decided because of the last input.
    pub(crate) last_effects: Vec<Effect>,
}

pub(crate) fn fingerprint(raft: &Raft, now: Time) -> u64 {
    use std::hash::Hasher;
    let mut hasher = std::hash::DefaultHasher::new();
    raft.fingerprint(now, &mut hasher);
    hasher.finish()
}

impl Host {
    fn new(membership: Membership, restored: Restored) -> Self {
        let (written, hard_state) = (restored.log.clone(), restored.hard_state);
        let options =
            Options { max_inflight_appends: 2, max_pending_reads: 4, promotion_lag: 2, ..Options::default() };
        let raft = Raft::new(replica(1), membership, options, restored, 7, Time::ZERO);
        let commit = raft.commit();
        Self {
            raft,
            now: Time::ZERO,
            written,
            hard_state,
            tokens: VecDeque::new(),
            commit,
            installing: None,
            pending_reads: vec![],
            attempt: 0,
            is_fenced: false,
            last_effects: vec![],
        }
    }

    pub(crate) fn put(&mut self, input: Input) {
        let (raft, now) = (&mut self.raft, self.now);
        match input {
            Input::Receive(from, message) => raft.receive(now, from, message),
            Input::Tick(millis) => {
                self.now = now.after(ms(millis));
                raft.tick(self.now);
                let next = raft.next_deadline();
                assert!(next.is_none_or(|at| at > self.now), "it wants to be ticked without end");
            }
            Input::Write(count) => {
                for token in self.tokens.drain(..count.min(self.tokens.len())) {
                    raft.persisted(now, token);
                }
            }
            Input::Propose(count) => drop(raft.propose(count)),
            Input::Change(change) => drop(raft.propose_membership(now, change)),
            Input::Read(read) => {
                let read = ReadId(read);
                if !self.pending_reads.contains(&read) && raft.read(now, read).is_ok() {
                    self.pending_reads.push(read);
                }
            }
            Input::Cancel(read) => {
                raft.cancel_read(ReadId(read));
                self.pending_reads.retain(|pending| pending.0 != read);
            }
            Input::Transfer(to) => drop(raft.transfer_leadership(now, to.map(NodeId::new))),
            Input::Storage(health) => raft.storage_health(now, health),
            Input::Compact(back) => {
                let to = index(raft.commit().as_u64().saturating_sub(back));
                raft.compacted(to);
            }
            Input::Installed(other) => {
                if let Some(last) = other.or_else(|| self.installing.take()) {
                    raft.snapshot_installed(last);
                    self.commit = self.commit.max(raft.commit());
                }
            }
            Input::Failed(other) => {
                if let Some(last) = other.or_else(|| self.installing.take()) {
                    raft.snapshot_failed(last);
                }
            }
            Input::Liveness(node, liveness) => raft.node_liveness(now, NodeId::new(node), liveness),
            Input::Withdrew(node, term) => raft.leader_withdrew(now, NodeId::new(node), Term::new(term)),
            Input::Unreachable(node) => raft.peer_unreachable(now, NodeId::new(node)),
            Input::Admit(replica) => raft.admit_learner(now, replica),
            Input::Dismiss(node) => raft.dismiss_learner(NodeId::new(node)),
            Input::Offer(node, snapshot) => drop(raft.offer_snapshot(NodeId::new(node), snapshot)),
            Input::Poll(node, entries) => self.poll(NodeId::new(node), entries),
        }
        self.drain();
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        fingerprint(&self.raft, self.now)
    }

    pub(crate) fn pending_writes(&self) -> usize {
        self.tokens.len()
    }

    /// What brings the replica on, said by `node` as its role would have it.
    pub(crate) fn helpful(&self, node: u64) -> Option<Input> {
        let (state, last) = (self.raft.soft_state(), self.raft.log().last_index());
        let (term, granted) = (state.term, true);
        let message = match state.role {
            RoleKind::Follower => return None,
            RoleKind::PreCandidate => {
                Message::PreVoteReply(PreVoteReply { term, attempt: self.attempt, granted })
            }
            RoleKind::Candidate if !self.tokens.is_empty() => return Some(Input::Write(self.tokens.len())),
            RoleKind::Candidate => Message::VoteReply(VoteReply { term, granted }),
            RoleKind::Leader => {
                let outcome = AppendOutcome::Matched { matched: last };
                Message::AppendReply(AppendReply { term, round: 9, outcome })
            }
        };
        Some(Input::Receive(replica(node), message))
    }

    fn poll(&mut self, peer: NodeId, entries: u64) {
        for _ in 0..50 {
            let read = |range: &TermRuns, _| {
                let to = range.before().index.plus(entries).min(range.last_index());
                (entries > 0).then_some((to, range.len()))
            };
            match self.raft.poll_append(peer, read) {
                Some(append) => {
                    let held =
                        self.raft.log().slice(append.entries.before().index, append.entries.last_index());
                    assert_eq!(held, Some(append.entries), "it sends what it holds");
                }
                None => return,
            }
        }
        panic!("appends without end, and no answer yet");
    }

    fn drain(&mut self) {
        let mut count = 0;
        let was_fenced = self.is_fenced;
        self.is_fenced = self.raft.fault().is_some();
        self.last_effects.clear();
        while let Some(effect) = self.raft.poll_effect() {
            self.last_effects.push(effect.clone());
            count += 1;
            assert!(count < 1_000, "effects without end");
            match effect {
                Effect::Persist(write) => {
                    if let Some(hard_state) = write.hard_state {
                        assert!(hard_state.term >= self.hard_state.term, "the term falls");
                        let is_same = hard_state.term == self.hard_state.term;
                        let is_kept =
                            self.hard_state.vote.is_none() || hard_state.vote == self.hard_state.vote;
                        assert!(!is_same || is_kept, "a second vote in one term");
                        self.hard_state = hard_state;
                    }
                    match write.log {
                        LogChange::Unchanged => {}
                        LogChange::Append { cut, entries, .. } => {
                            if let Some(after) = cut {
                                assert!(after >= self.commit, "cuts what is committed");
                                self.written.truncate(after);
                            }
                            assert_eq!(entries.before(), self.written.last_id(), "a gap in the log");
                            self.written.extend(&entries);
                        }
                        LogChange::Restart { after } => self.written = TermRuns::empty(after),
                    }
                    self.tokens.push_back(write.token);
                }
                Effect::Commit { index } => {
                    assert!(index > self.commit, "the commit index falls");
                    self.commit = index;
                }
                Effect::Send { message: Message::PreVote(m), .. } => self.attempt = m.attempt,
                Effect::InstallSnapshot { snapshot, .. } => self.installing = Some(snapshot.last),
                Effect::ReadReady { read, .. } | Effect::ReadFailed { read, .. } => {
                    let at = self.pending_reads.iter().position(|pending| *pending == read);
                    self.pending_reads.swap_remove(at.expect("a read ends once"));
                }
                _ => {}
            }
        }
        assert!(!was_fenced || count == 0, "a fenced group says something");
        if self.raft.fault().is_none() {
            self.raft.check_invariants().unwrap();
            assert_eq!(self.written.last_id(), self.raft.log().last_id(), "disk and core have parted");
            assert_eq!(self.hard_state, self.raft.hard_state());
        }
    }
}

/// A group of so many voters, and what its first replica holds.
pub(crate) fn host(kind: u8, size: u64) -> Host {
    let voters = Membership::from(cluster::voters(1..=size));
    let log = log_of(&[1, 1, 2, 2, 2]);
    let hard_state = HardState { term: Term::new(2), vote: None };
    let old = Restored { hard_state, log, committed: index(3), ..Restored::default() };
    let mut host = match kind {
        0 => Host::new(voters, Restored::default()),
        1 => Host::new(Membership::none(), Restored::default()),
        2 => Host::new(voters, Restored { doubt: Some(id(9, 2)), ..old }),
        3 => {
            let joint = voters.towards(cluster::voters(2..=size + 1)).unwrap();
            Host::new(voters, Restored { memberships: vec![(index(4), joint)], ..old })
        }
        _ => Host::new(voters, old),
    };
    if kind > 3 {
        lead(&mut host, size);
    }
    host
}

/// Lets the others vote for it.
fn lead(host: &mut Host, size: u64) {
    host.put(Input::Tick(1_200));
    for other in 2..=size {
        let yes = PreVoteReply { term: host.raft.hard_state().term, attempt: host.attempt, granted: true };
        host.put(Input::Receive(replica(other), Message::PreVoteReply(yes)));
    }
    host.put(Input::Write(9));
    for other in 2..=size {
        let yes = VoteReply { term: host.raft.hard_state().term, granted: true };
        host.put(Input::Receive(replica(other), Message::VoteReply(yes)));
    }
    assert_eq!(host.raft.soft_state().role, RoleKind::Leader);
}
