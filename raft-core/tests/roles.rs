//! Draws which role follows which, and by what, from what replicas do; the crate's documentation must show exactly that.
//! `UPDATE=1` writes the table into `src/lib.rs`.

mod cluster;
mod host;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use cluster::{id, replica};
use host::{Host, Input};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use raft_core::{
    AppendOutcome, AppendReply, AppendRequest, DoubtQuery, DoubtReply, LogId, MembershipChange, Message,
    PreVote, PreVoteReply, ReadIndexReply, ReadIndexRequest, RoleKind, SleepReply, SleepRequest, Snapshot,
    SnapshotOffer, Term, TermRuns, TimeoutNow, Vote, VoteReply, Wake,
};

/// From a role, to a role: by these inputs.
type Transitions = BTreeMap<(u8, u8), BTreeSet<&'static str>>;

const ROLES: [RoleKind; 4] =
    [RoleKind::Follower, RoleKind::PreCandidate, RoleKind::Candidate, RoleKind::Leader];

fn place(role: RoleKind) -> u8 {
    ROLES.iter().position(|one| *one == role).expect("a role") as u8
}

/// What an input is called in the table.
fn name(input: &Input) -> &'static str {
    match input {
        Input::Receive(_, message) => match message {
            Message::PreVote(_) => "`PreVote`",
            Message::PreVoteReply(_) => "`PreVoteReply`",
            Message::Vote(_) => "`Vote`",
            Message::VoteReply(_) => "`VoteReply`",
            Message::Append(_) => "`Append`",
            Message::AppendReply(_) => "`AppendReply`",
            Message::ReadIndex(_) => "`ReadIndex`",
            Message::ReadIndexReply(_) => "`ReadIndexReply`",
            Message::Snapshot(_) => "`Snapshot`",
            Message::TimeoutNow(_) => "`TimeoutNow`",
            Message::Sleep(_) => "`Sleep`",
            Message::SleepReply(_) => "`SleepReply`",
            Message::Wake(_) => "`Wake`",
            Message::Doubt(_) => "`Doubt`",
            Message::DoubtReply(_) => "`DoubtReply`",
        },
        Input::Tick(_) => "tick",
        Input::Write(_) => "persisted",
        Input::Propose(_) => "propose",
        Input::Change(_) => "propose_membership",
        Input::Read(_) => "read",
        Input::Cancel(_) => "cancel_read",
        Input::Transfer(_) => "transfer_leadership",
        Input::Storage(_) => "storage_health",
        Input::Compact(_) => "compacted",
        Input::Installed(_) => "snapshot_installed",
        Input::Failed(_) => "snapshot_failed",
        Input::Liveness(..) => "node_liveness",
        Input::Withdrew(..) => "leader_withdrew",
        Input::Unreachable(_) => "peer_unreachable",
        Input::Admit(_) => "admit_learner",
        Input::Dismiss(_) => "dismiss_learner",
        Input::Offer(..) => "offer_snapshot",
        Input::Poll(..) => "poll_append",
    }
}

/// Puts an input in and notes what became of the role. Whether the group goes on.
fn observe(host: &mut Host, input: Input, seen: &mut Transitions) -> bool {
    let before = host.raft.soft_state().role;
    let cause = name(&input);
    host.put(input);
    let after = host.raft.soft_state().role;
    if before != after {
        seen.entry((place(before), place(after))).or_default().insert(cause);
    }
    host.raft.fault().is_none()
}

/// What random inputs do to replicas in each role, with now and then an answer that helps. The same every time.
fn observed() -> Transitions {
    let mut seen = Transitions::new();
    each_message_in_each_role(&mut seen);
    a_leader_that_goes_finishes_its_write(&mut seen);
    let mut runner = TestRunner::deterministic();
    let inputs = prop::collection::vec(host::input(), 60);
    for round in 0..2_000_u64 {
        let mut host = host::host((round % 7) as u8, 1 + round / 7 % 5);
        let inputs = inputs.new_tree(&mut runner).expect("inputs").current();
        for (step, input) in (round..).zip(inputs) {
            let other = 1 + step % 6;
            let helpful = (step % 3 == 0).then(|| host.helpful(other)).flatten();
            if !helpful.into_iter().chain([input]).all(|input| observe(&mut host, input, &mut seen)) {
                break;
            }
        }
    }
    seen
}

/// A replica of three in this role.
fn in_role(role: RoleKind, seen: &mut Transitions) -> Host {
    let mut host = host::host(4, 3);
    let mut others = (2..=3).cycle();
    let term = host.raft.hard_state().term.next();
    observe(&mut host, Input::Receive(replica(2), Message::Vote(Vote { term, last: id(9, 9) })), seen);
    observe(&mut host, Input::Write(9), seen);
    if role != RoleKind::Follower {
        observe(&mut host, Input::Tick(2_000), seen);
    }
    while host.raft.soft_state().role != role {
        let input = host.helpful(others.next().unwrap_or_default()).expect("something to say");
        observe(&mut host, input, seen);
    }
    host
}

/// Every message, of the replica's own term and of a later one, as an honest voter could send it.
fn each_message_in_each_role(seen: &mut Transitions) {
    for role in ROLES {
        for later in [0, 1] {
            let mut host = in_role(role, seen);
            let term = host.raft.hard_state().term.as_u64() + later;
            observe(&mut host, Input::Withdrew(2, term), seen);
            for kind in 0..15 {
                let mut host = in_role(role, seen);
                let (last, attempt) = (host.raft.log().last_id(), 0);
                let term = Term::new(host.raft.hard_state().term.as_u64() + later);
                let (round, granted, index) = (1, true, None);
                let snapshot = || Snapshot { last, membership: host.raft.membership().clone() };
                let outcome = AppendOutcome::Matched { matched: last.index };
                let entries = TermRuns::empty(last);
                let (memberships, commit) = (vec![], host.raft.commit());
                let (extent, after) = (LogId::new(last.term, last.index.next()), last);
                let message = match kind {
                    0 => Message::PreVote(PreVote { term, last, attempt }),
                    1 => Message::PreVoteReply(PreVoteReply { term, attempt, granted: false }),
                    2 => Message::Vote(Vote { term, last }),
                    3 => Message::VoteReply(VoteReply { term, granted }),
                    4 => Message::Append(AppendRequest { term, entries, memberships, commit, round }),
                    5 => Message::AppendReply(AppendReply { term, round, outcome }),
                    6 => Message::ReadIndex(ReadIndexRequest { term, read: 1 }),
                    7 => Message::ReadIndexReply(ReadIndexReply { term, read: 1, index }),
                    8 => Message::Snapshot(SnapshotOffer { term, snapshot: snapshot(), round }),
                    9 => Message::TimeoutNow(TimeoutNow { term, last }),
                    10 => Message::Sleep(SleepRequest { term, last, round }),
                    11 => Message::SleepReply(SleepReply { term, last, round, asleep: granted }),
                    12 => Message::Wake(Wake { term }),
                    13 => Message::Doubt(DoubtQuery { term, after, extent }),
                    _ => Message::DoubtReply(DoubtReply { term, after, extent, holds: false }),
                };
                observe(&mut host, Input::Receive(replica(2), message), seen);
            }
        }
    }
}

/// The change by which it is to go is committed by its own disk, and it hands over at once.
fn a_leader_that_goes_finishes_its_write(seen: &mut Transitions) {
    let mut host = host::host(4, 2);
    let mut acknowledge_and_write = |host: &mut Host| {
        let answer = host.helpful(2).expect("a leader has something to hear");
        observe(host, answer, seen);
        let write = Input::Write(host.pending_writes());
        observe(host, write, seen);
    };
    acknowledge_and_write(&mut host);
    host.put(Input::Change(MembershipChange::Voters(cluster::voters([2]))));
    acknowledge_and_write(&mut host);
    assert_eq!(host.raft.soft_state().role, RoleKind::Follower);
}

fn table(seen: &Transitions) -> String {
    let mut text = String::from("//! | from | to | by |\n//! |---|---|---|\n");
    for ((from, to), causes) in seen {
        let causes = causes.iter().copied().collect::<Vec<_>>().join(", ");
        let (from, to) = (ROLES[usize::from(*from)], ROLES[usize::from(*to)]);
        let _ = writeln!(text, "//! | {from} | {to} | {causes} |");
    }
    text
}

const BEGIN: &str = "//! <!-- roles: written by tests/roles.rs -->\n";
const END: &str = "//! <!-- end of roles -->\n";

#[test]
fn the_documentation_shows_exactly_the_transitions_that_happen() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = std::fs::read_to_string(&path).expect("the crate's documentation");
    let begin = text.find(BEGIN).expect("the mark where the table begins") + BEGIN.len();
    let end = text.find(END).expect("the mark where the table ends");
    let drawn = table(&observed());
    if text[begin..end] == drawn {
        return;
    }
    if std::env::var_os("UPDATE").is_some() {
        let new = format!("{}{drawn}{}", &text[..begin], &text[end..]);
        return std::fs::write(&path, new).expect("to write the documentation");
    }
    panic!("src/lib.rs shows\n{}and this happens:\n{drawn}UPDATE=1 writes it down.", &text[begin..end]);
}

/// What must not happen, whatever is put in.
#[test]
fn nobody_leads_without_having_stood_for_election_and_no_leader_campaigns() {
    let seen = observed();
    let [follower, pre, candidate, leader] = ROLES.map(place);
    for (from, to) in
        [(follower, leader), (pre, leader), (leader, candidate), (leader, pre), (candidate, candidate)]
    {
        assert!(!seen.contains_key(&(from, to)), "{from} to {to}");
    }
    let causes = |from, to| seen.get(&(from, to)).cloned().unwrap_or_default();
    assert!(causes(candidate, leader).is_subset(&BTreeSet::from(["`VoteReply`", "persisted", "tick"])));
    assert!(causes(follower, candidate).is_subset(&BTreeSet::from(["`TimeoutNow`", "tick"])));
}
