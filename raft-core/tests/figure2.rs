//! Figure 2 of the Raft paper (extended version), rule by rule, in its order and its words. Where this core departs from
//! the figure the test says so.

mod cluster;

use cluster::{Cluster, id, index, log_of, ms, replica, term, voters};
use raft_core::{
    AppendOutcome, AppendReply, AppendRequest, Effect, HardState, Law, LogId, Message, Options, PreVote,
    Raft, Restored, RoleKind, TermRuns, Time, Vote, VoteReply,
};

/// Node 1 of three, in term `hard`, with a log of these terms.
fn open(hard: u64, log: &[u64]) -> Raft {
    let hard_state = HardState { term: term(hard), vote: None };
    let restored = Restored { hard_state, log: log_of(log), ..Restored::default() };
    Raft::new(replica(1), voters([1, 2, 3]), Options::default(), restored, 1, Time::ZERO)
}

/// What it decided, with all writes done at once.
fn drain(raft: &mut Raft, now: Time) -> Vec<Effect> {
    let mut all = vec![];
    while let Some(effect) = raft.poll_effect() {
        if let Effect::Persist(write) = &effect {
            raft.persisted(now, write.token);
        }
        all.push(effect);
    }
    raft.check_invariants().unwrap();
    all
}

fn sent(effects: &[Effect]) -> Vec<Message> {
    let message = |effect: &Effect| match effect {
        Effect::Send { message, .. } => Some(message.clone()),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

fn append(of_term: u64, prev: LogId, terms: &[u64], commit: u64) -> Message {
    let mut entries = TermRuns::empty(prev);
    for t in terms {
        entries.append(term(*t), 1);
    }
    let (memberships, commit) = (vec![], index(commit));
    Message::Append(AppendRequest { term: term(of_term), entries, memberships, commit, round: 1 })
}

fn vote(of_term: u64, last: LogId) -> Message {
    Message::Vote(Vote { term: term(of_term), last })
}

/// Its answer to a message from 2.
fn answer(raft: &mut Raft, message: Message) -> Message {
    raft.receive(Time::ZERO, replica(2), message);
    let mut answers = sent(&drain(raft, Time::ZERO));
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

fn vote_reply(of_term: u64, granted: bool) -> Message {
    Message::VoteReply(VoteReply { term: term(of_term), granted })
}

fn outcome(reply: Message) -> AppendOutcome {
    let Message::AppendReply(reply) = reply else { panic!("{reply:?}") };
    reply.outcome
}

fn matched(i: u64) -> AppendOutcome {
    AppendOutcome::Matched { matched: index(i) }
}

/// Node 1 as the leader of term `hard + 1`, and the time.
fn lead(hard: u64, log: &[u64]) -> (Raft, Time) {
    let mut raft = open(hard, log);
    let now = Time::from_micros(2_000_000);
    raft.tick(now);
    for message in sent(&drain(&mut raft, now)) {
        let Message::PreVote(asked) = message else { continue };
        let reply = raft_core::PreVoteReply { term: asked.term, attempt: asked.attempt, granted: true };
        raft.receive(now, replica(2), Message::PreVoteReply(reply));
    }
    drain(&mut raft, now);
    raft.receive(now, replica(2), vote_reply(hard + 1, true));
    assert_eq!(raft.soft_state().role, RoleKind::Leader);
    drain(&mut raft, now);
    (raft, now)
}

fn poll(raft: &mut Raft, node: u64) -> Option<AppendRequest> {
    raft.poll_append(cluster::node(node), |range, _| Some((range.last_index(), range.len())))
}

fn acknowledge(raft: &mut Raft, now: Time, from: u64, outcome: AppendOutcome) {
    let reply = AppendReply { term: raft.hard_state().term, round: 1, outcome };
    raft.receive(now, replica(from), Message::AppendReply(reply));
}

// State: persistent on all servers, updated on stable storage before responding to RPCs.

/// `currentTerm` and `votedFor`.
#[test]
fn state_term_and_vote_are_on_stable_storage_before_an_answer() {
    let mut raft = open(1, &[1]);
    raft.receive(Time::ZERO, replica(2), vote(5, id(1, 1)));
    let mut token = None;
    while let Some(effect) = raft.poll_effect() {
        match effect {
            Effect::Persist(write) => token = Some(write.token),
            Effect::Send { message, .. } => panic!("{message:?} before the write is done"),
            _ => {}
        }
    }
    raft.persisted(Time::ZERO, token.unwrap());
    assert_eq!(sent(&drain(&mut raft, Time::ZERO)), [vote_reply(5, true)]);
}

/// `log[]`.
#[test]
fn state_entries_are_on_stable_storage_before_they_are_acknowledged() {
    let mut raft = open(1, &[1]);
    drain(&mut raft, Time::ZERO);
    raft.receive(Time::ZERO, replica(2), append(1, id(1, 1), &[1, 1], 0));
    let mut token = None;
    while let Some(effect) = raft.poll_effect() {
        match effect {
            Effect::Persist(write) => token = Some(write.token),
            Effect::Send { message, .. } => assert_eq!(outcome(message), matched(1)),
            _ => {}
        }
    }
    raft.persisted(Time::ZERO, token.unwrap());
    assert_eq!(
        sent(&drain(&mut raft, Time::ZERO)).into_iter().map(outcome).collect::<Vec<_>>(),
        [matched(3)]
    );
}

/// ... nor by the answer to a heartbeat that comes while they are on their way.
#[test]
fn state_a_heartbeat_is_answered_with_what_is_on_stable_storage() {
    let mut raft = open(1, &[1]);
    raft.receive(Time::ZERO, replica(2), append(1, id(1, 1), &[1, 1], 0));
    raft.receive(Time::ZERO, replica(2), append(1, id(3, 1), &[], 0));
    let mut answers = vec![];
    while let Some(effect) = raft.poll_effect() {
        if let Effect::Send { message, .. } = effect {
            answers.push(outcome(message));
        }
    }
    assert_eq!(answers, [matched(1)]);
}

/// `commitIndex`: initialized to 0, increases monotonically; `currentTerm` initialized to 0 on first boot.
#[test]
fn state_a_first_boot_begins_in_term_zero_with_nothing_committed() {
    let raft = Raft::new(replica(1), voters([1, 2]), Options::default(), Restored::default(), 1, Time::ZERO);
    assert_eq!((raft.hard_state(), raft.commit()), (HardState::default(), index(0)));
    let mut raft = open(1, &[1, 1, 1]);
    raft.receive(Time::ZERO, replica(2), append(1, id(3, 1), &[], 2));
    raft.receive(Time::ZERO, replica(2), append(1, id(3, 1), &[], 1));
    assert_eq!(raft.commit(), index(2));
}

/// `nextIndex[]`: initialized to leader last log index + 1; `matchIndex[]`: initialized to 0.
#[test]
fn state_a_new_leader_asks_at_its_last_entry_and_knows_of_nothing_held() {
    let (mut raft, _) = lead(2, &[1, 2, 2]);
    let first = poll(&mut raft, 2).unwrap();
    assert_eq!(first.entries.before(), id(3, 2));
    assert_eq!(raft.matched(cluster::node(2)), Some(index(0)));
}

// AppendEntries RPC, receiver implementation.

/// Rule 1: reply false if term < currentTerm.
#[test]
fn append_1_an_older_term_is_refused() {
    let mut raft = open(5, &[1]);
    let Message::AppendReply(reply) = answer(&mut raft, append(4, id(1, 1), &[4], 1)) else { panic!() };
    assert_eq!(reply.term, term(5), "and the old leader learns the newer one");
    assert!(matches!(reply.outcome, AppendOutcome::Conflict { .. }));
    assert_eq!((raft.log().last_index(), raft.commit()), (index(1), index(0)));
    assert_eq!(raft.soft_state().leader, None);
}

/// Rule 2: Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm.
#[test]
fn append_2_without_the_entry_before_it_is_refused() {
    for prev in [id(4, 2), id(3, 1)] {
        let mut raft = open(2, &[1, 1, 2]);
        let refused = outcome(answer(&mut raft, append(3, prev, &[3], 3)));
        assert!(matches!(refused, AppendOutcome::Conflict { prev: of, .. } if of == prev), "{refused:?}");
        assert_eq!((raft.log().last_id(), raft.commit()), (id(3, 2), index(0)));
    }
}

/// Rule 3: If an existing entry conflicts with a new one (same index but different terms), delete the existing entry and all
/// that follow it.
#[test]
fn append_3_a_conflicting_entry_and_all_after_it_are_deleted() {
    let mut raft = open(2, &[1, 1, 2, 2, 2]);
    let reply = outcome(answer(&mut raft, append(3, id(1, 1), &[1, 3], 0)));
    assert_eq!(raft.log(), &log_of(&[1, 1, 3]));
    assert_eq!(reply, matched(3));
}

/// ... and only then: "if" is crucial, as a late message must not delete what a newer one has brought.
#[test]
fn append_3_without_a_conflict_nothing_is_deleted() {
    let mut raft = open(1, &[1, 1, 1, 1]);
    let reply = outcome(answer(&mut raft, append(1, id(1, 1), &[1], 0)));
    assert_eq!(raft.log(), &log_of(&[1, 1, 1, 1]));
    assert_eq!(reply, matched(2), "it answers for what this message has verified");
}

/// Rule 4: Append any new entries not already in the log.
#[test]
fn append_4_new_entries_are_appended_and_known_ones_are_not_written_again() {
    let mut raft = open(1, &[1, 1]);
    raft.receive(Time::ZERO, replica(2), append(2, id(1, 1), &[1, 2, 2], 0));
    let effects = drain(&mut raft, Time::ZERO);
    assert_eq!(raft.log(), &log_of(&[1, 1, 2, 2]));
    let written = effects.iter().find_map(|effect| match effect {
        Effect::Persist(write) => match &write.log {
            raft_core::LogChange::Append { cut, entries, .. } => Some((*cut, entries.clone())),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(written, Some((None, log_of(&[1, 1, 2, 2]).slice(index(2), index(4)).unwrap())));
}

/// Rule 5: If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry).
#[test]
fn append_5_the_commit_index_follows_the_leaders_up_to_the_last_entry_verified() {
    let mut raft = open(1, &[1, 1, 1, 1]);
    answer(&mut raft, append(1, id(1, 1), &[1], 9));
    assert_eq!(raft.commit(), index(2), "entries 3 and 4 may not be this leader's");
    answer(&mut raft, append(1, id(2, 1), &[1, 1], 3));
    assert_eq!(raft.commit(), index(3));
}

// RequestVote RPC, receiver implementation.

/// Rule 1: reply false if term < currentTerm.
#[test]
fn vote_1_an_older_term_is_refused() {
    let mut raft = open(5, &[1]);
    assert_eq!(answer(&mut raft, vote(4, id(9, 4))), vote_reply(5, false));
    assert_eq!(raft.hard_state(), HardState { term: term(5), vote: None });
}

/// Rule 2: If votedFor is null or candidateId ...
#[test]
fn vote_2_one_vote_in_a_term_and_the_same_again_when_asked_again() {
    let mut raft = open(1, &[1]);
    assert_eq!(answer(&mut raft, vote(2, id(1, 1))), vote_reply(2, true));
    assert_eq!(answer(&mut raft, vote(2, id(1, 1))), vote_reply(2, true));
    raft.receive(Time::ZERO, replica(3), vote(2, id(1, 1)));
    assert_eq!(sent(&drain(&mut raft, Time::ZERO)), [vote_reply(2, false)]);
}

/// ... and candidate's log is at least as up-to-date as receiver's log, grant vote (§5.2, §5.4).
#[test]
fn vote_2_only_a_log_that_is_at_least_as_up_to_date_gets_the_vote() {
    for (last, granted) in [
        (id(3, 2), true),
        (id(4, 2), true),
        (id(2, 2), false), // The same last term, and shorter.
        (id(1, 3), true),  // A later last term, however short.
        (id(9, 1), false), // An older last term, however long.
    ] {
        let mut raft = open(3, &[1, 2, 2]);
        assert_eq!(answer(&mut raft, vote(4, last)), vote_reply(4, granted), "{last:?}");
    }
}

// Rules for servers: all servers.

/// If commitIndex > lastApplied: increment lastApplied, apply. Applying is the host's, which is told in order and once.
#[test]
fn all_servers_what_is_committed_is_handed_on_in_order_and_once() {
    let mut c = Cluster::new(3);
    c.elect();
    for _ in 0..20 {
        c.propose(1, 2);
        c.settle();
    }
    c.assert_converged(); // The harness fails if a commit index does not grow.
}

/// If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to follower.
#[test]
fn all_servers_a_higher_term_in_a_request_makes_a_follower_of_any_role() {
    let make: [fn() -> Raft; 3] = [
        || open(1, &[1]),
        || {
            let mut raft = open(1, &[1]);
            raft.tick(Time::from_micros(2_000_000));
            raft
        },
        || lead(1, &[1]).0,
    ];
    for make in make {
        for message in [vote(9, id(0, 0)), append(9, id(0, 0), &[], 0)] {
            let mut raft = make();
            raft.receive(Time::ZERO, replica(2), message);
            assert_eq!(raft.hard_state().term, term(9));
            assert_eq!(raft.soft_state().role, RoleKind::Follower);
        }
    }
}

#[test]
fn all_servers_a_higher_term_in_a_response_makes_a_follower_of_any_role() {
    let refused = AppendReply { term: term(9), round: 0, outcome: matched(0) };
    for message in [vote_reply(9, false), Message::AppendReply(refused)] {
        let (mut raft, now) = lead(1, &[1]);
        raft.receive(now, replica(3), message);
        assert_eq!(raft.hard_state(), HardState { term: term(9), vote: None });
        assert_eq!(raft.soft_state().role, RoleKind::Follower);
    }
}

// Followers.

/// Respond to RPCs from candidates and leaders.
#[test]
fn followers_answer_candidates_and_leaders() {
    let mut raft = open(1, &[1]);
    assert_eq!(answer(&mut raft, vote(2, id(1, 1))), vote_reply(2, true));
    assert_eq!(outcome(answer(&mut raft, append(2, id(1, 1), &[2], 0))), matched(2));
}

/// If election timeout elapses without receiving AppendEntries RPC from current leader or granting vote to candidate:
/// convert to candidate. Here it asks first whether it could win (thesis §9.6).
#[test]
fn followers_campaign_when_the_election_timeout_elapses() {
    let mut raft = open(1, &[1]);
    let deadline = raft.next_deadline().unwrap();
    assert!(deadline >= Time::ZERO.after(ms(500)) && deadline < Time::ZERO.after(ms(1_000)));
    raft.tick(deadline);
    assert_eq!(raft.soft_state().role, RoleKind::PreCandidate);
}

#[test]
fn followers_wait_anew_when_the_leader_speaks_or_a_vote_is_given() {
    for message in [append(1, id(1, 1), &[], 0), vote(1, id(1, 1))] {
        let mut raft = open(1, &[1]);
        let before = raft.next_deadline().unwrap();
        raft.receive(before, replica(2), message);
        raft.tick(before);
        assert_eq!(raft.soft_state().role, RoleKind::Follower);
        assert!(raft.next_deadline().unwrap() >= before.after(ms(500)));
    }
}

#[test]
fn followers_do_not_wait_anew_for_an_older_leader_or_a_candidate_that_is_refused() {
    for message in [append(0, id(0, 0), &[], 0), vote(1, id(0, 0))] {
        let mut raft = open(1, &[1]);
        let before = raft.next_deadline();
        raft.receive(Time::ZERO, replica(2), message);
        assert_eq!(raft.next_deadline(), before);
    }
}

// Candidates.

/// On conversion to candidate, start election: increment currentTerm, vote for self, reset election timer, send
/// RequestVote RPCs to all other servers.
#[test]
fn candidates_begin_a_term_vote_for_themselves_and_ask_all_others() {
    let mut raft = open(4, &[1, 4]);
    let now = Time::from_micros(2_000_000);
    raft.tick(now);
    let asked = sent(&drain(&mut raft, now));
    assert_eq!(asked.len(), 2);
    let Message::PreVote(PreVote { term: of, last, attempt }) = asked[0] else { panic!() };
    assert_eq!((of, last), (term(4), id(2, 4)));
    let yes = raft_core::PreVoteReply { term: term(4), attempt, granted: true };
    raft.receive(now, replica(3), Message::PreVoteReply(yes));
    let effects = drain(&mut raft, now);
    assert_eq!(raft.hard_state(), HardState { term: term(5), vote: Some(replica(1)) });
    assert_eq!(sent(&effects), [vote(5, id(2, 4)), vote(5, id(2, 4))]);
    assert!(raft.next_deadline().unwrap() > now);
}

/// If votes received from majority of servers: become leader.
#[test]
fn candidates_with_a_majority_of_votes_lead() {
    let mut c = Cluster::new(5);
    c.isolate(4);
    c.isolate(5);
    assert_eq!(c.elect(), 1);
    let mut c = Cluster::new(5);
    for node in [3, 4, 5] {
        c.isolate(node);
    }
    c.run(ms(5_000));
    assert_eq!(c.leader(), None);
}

/// If AppendEntries RPC received from new leader: convert to follower.
#[test]
fn candidates_follow_whoever_leads_their_term() {
    let mut raft = candidate();
    raft.receive(Time::ZERO, replica(2), append(2, id(1, 1), &[2], 0));
    let state = raft.soft_state();
    assert_eq!((state.role, state.leader), (RoleKind::Follower, Some(cluster::node(2))));
    assert_eq!(raft.hard_state(), HardState { term: term(2), vote: Some(replica(1)) }, "its vote stands");
}

fn candidate() -> Raft {
    let mut raft = open(1, &[1]);
    let last = id(1, 1);
    raft.receive(Time::ZERO, replica(2), append(1, last, &[], 0));
    let word = raft_core::TimeoutNow { term: term(1), last };
    raft.receive(Time::ZERO, replica(2), Message::TimeoutNow(word));
    drain(&mut raft, Time::ZERO);
    assert_eq!(raft.soft_state().role, RoleKind::Candidate);
    raft
}

/// If election timeout elapses: start new election. Here by way of another pre-vote.
#[test]
fn candidates_try_again_when_the_election_timeout_elapses() {
    let mut raft = candidate();
    let now = raft.next_deadline().unwrap();
    raft.tick(now);
    assert_eq!(raft.soft_state().role, RoleKind::PreCandidate);
    let asked = sent(&drain(&mut raft, now));
    assert!(asked.iter().all(|m| matches!(m, Message::PreVote(PreVote { term: of, .. }) if *of == term(2))));
    assert_eq!(asked.len(), 2);
}

// Leaders.

/// Upon election: send initial empty AppendEntries RPCs (heartbeat) to each server; repeat during idle periods to prevent
/// election timeouts (§5.2). Here the first one carries the entry that opens the term (§8).
#[test]
fn leaders_speak_upon_election_and_while_there_is_nothing_to_say() {
    let (mut raft, now) = lead(1, &[1]);
    for node in [2, 3] {
        let first = poll(&mut raft, node).unwrap();
        assert_eq!((first.term, first.entries.len()), (term(2), 1));
        acknowledge(&mut raft, now, node, matched(2));
        while poll(&mut raft, node).is_some() {}
    }
    let mut last = now;
    for _ in 0..30 {
        let next = raft.next_deadline().unwrap();
        assert_eq!(next.since(last), ms(100));
        last = next;
        raft.tick(next);
        for node in [2, 3] {
            let beat = poll(&mut raft, node).unwrap();
            assert!(beat.entries.is_empty());
            acknowledge(&mut raft, next, node, matched(2));
            assert_eq!(poll(&mut raft, node), None, "one for each heartbeat");
        }
    }
}

/// If command received from client: append entry to local log, respond after entry applied to state machine.
#[test]
fn leaders_append_what_is_proposed_and_say_when_it_is_committed() {
    let (mut raft, now) = lead(1, &[1]);
    let proposed = raft.propose(2).unwrap();
    assert_eq!((proposed.term, proposed.first, proposed.last), (term(2), index(3), index(4)));
    assert_eq!(raft.log(), &log_of(&[1, 2, 2, 2]));
    let commits = |effects: &[Effect]| effects.contains(&Effect::Commit { index: index(4) });
    assert!(!commits(&drain(&mut raft, now)));
    acknowledge(&mut raft, now, 3, matched(4));
    assert!(commits(&drain(&mut raft, now)));
}

/// If last log index >= nextIndex for a follower: send AppendEntries RPC with log entries starting at nextIndex.
#[test]
fn leaders_send_the_entries_that_a_follower_lacks() {
    let (mut raft, now) = lead(1, &[1]);
    raft.propose(3).unwrap();
    drain(&mut raft, now);
    let sent = poll(&mut raft, 2).unwrap();
    assert_eq!((sent.entries.before(), sent.entries.last_index()), (id(1, 1), index(5)));
}

/// If successful: update nextIndex and matchIndex for follower (§5.3).
#[test]
fn leaders_note_what_a_follower_holds() {
    let (mut raft, now) = lead(1, &[1]);
    poll(&mut raft, 2).unwrap();
    acknowledge(&mut raft, now, 2, matched(2));
    assert_eq!(raft.matched(cluster::node(2)), Some(index(2)));
    drain(&mut raft, now);
    raft.propose(1).unwrap();
    let next = poll(&mut raft, 2).unwrap();
    assert_eq!(next.entries.before().index, index(2));
}

/// If AppendEntries fails because of log inconsistency: decrement nextIndex and retry (§5.3). Here by a whole term.
#[test]
fn leaders_ask_further_back_when_logs_differ() {
    let (mut raft, now) = lead(4, &[1, 1, 4, 4]);
    assert_eq!(poll(&mut raft, 2).unwrap().entries.before(), id(4, 4));
    let refused = AppendOutcome::Conflict { prev: id(4, 4), hint: id(4, 2) };
    acknowledge(&mut raft, now, 2, refused);
    assert_eq!(poll(&mut raft, 2).unwrap().entries.before(), id(2, 1));
}

/// If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and log[N].term == currentTerm: set
/// commitIndex = N (§5.3, §5.4).
#[test]
fn leaders_commit_what_a_majority_holds_if_it_is_of_their_term() {
    let (mut raft, now) = lead(2, &[1, 2]);
    acknowledge(&mut raft, now, 2, matched(2));
    assert_eq!(raft.commit(), index(0), "entry 2 is of term 2, and this is term 3");
    acknowledge(&mut raft, now, 2, matched(3));
    assert_eq!(raft.commit(), index(3));
}

// Figure 3, and what answers to a breach of it.

/// Election Safety: at most one leader can be elected in a given term (§5.2). The harness checks it in every test.
#[test]
fn election_safety_a_second_leader_of_a_term_fences_the_group() {
    let (mut raft, now) = lead(1, &[1]);
    raft.receive(now, replica(2), append(2, id(1, 1), &[], 0));
    assert_eq!(raft.fault(), Some(Law::OneLeaderPerTerm));
}

/// Leader Append-Only: a leader never overwrites or deletes entries in its log; it only appends new entries (§5.3).
#[test]
fn leader_append_only_a_leader_that_takes_back_what_it_sent_fences_the_group() {
    let mut raft = open(1, &[1]);
    raft.receive(Time::ZERO, replica(2), append(3, id(1, 1), &[3, 3, 3], 0));
    raft.receive(Time::ZERO, replica(2), append(3, id(1, 1), &[2], 0));
    assert_eq!(raft.fault(), Some(Law::LeaderAppendOnly));
    let (mut raft, now) = lead(1, &[1]);
    acknowledge(&mut raft, now, 2, matched(9));
    assert_eq!(raft.fault(), Some(Law::MatchWithinLeaderLog));
}

/// Log Matching: if two logs contain an entry with the same index and term, then the logs are identical in all entries up
/// through the given index (§5.3).
#[test]
fn log_matching_logs_that_share_an_entry_share_all_before_it() {
    let mut c = Cluster::of_logs(3, &[&[1, 1, 2], &[1, 1, 3, 3], &[1]]);
    c.elect();
    c.propose(c.leader().unwrap(), 5);
    c.assert_converged();
    let all: Vec<TermRuns> = c.replicas.values().map(|r| r.raft.log().clone()).collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
}

/// Leader Completeness: an entry committed in a given term is in the logs of the leaders of all higher terms (§5.4).
#[test]
fn leader_completeness_a_committed_entry_is_in_every_later_leaders_log() {
    for lost in 1..=5 {
        let mut c = Cluster::new(5);
        c.elect();
        c.cut = vec![(1, 4), (1, 5)];
        let last = c.propose(1, 3).last;
        c.settle();
        assert_eq!(c.committed(1), last);
        c.heal();
        c.crash(1);
        if lost != 1 {
            c.crash(lost);
        }
        let leader = c.elect(); // The harness fails if it lacks a committed entry.
        assert!(c.raft(leader).log().last_index() > last);
    }
}

/// State Machine Safety: no server applies another entry at an index that one has applied (§5.4.3). An attempt is refused.
#[test]
fn state_machine_safety_what_is_committed_is_never_overwritten() {
    let mut raft = open(1, &[1, 1]);
    answer(&mut raft, append(1, id(2, 1), &[], 2));
    raft.receive(Time::ZERO, replica(3), append(4, id(1, 1), &[4], 2));
    assert_eq!(raft.fault(), Some(Law::CommittedIsForEver));
    assert_eq!(raft.log(), &log_of(&[1, 1]));
}

/// ... which includes a leader that has another entry where we have committed one.
#[test]
fn state_machine_safety_a_leader_that_lacks_what_is_committed_fences_the_group() {
    let mut raft = open(1, &[1, 1, 1]);
    answer(&mut raft, append(1, id(3, 1), &[], 3));
    raft.receive(Time::ZERO, replica(3), append(4, id(2, 3), &[4], 2));
    assert_eq!(raft.fault(), Some(Law::CommittedIsForEver));
}

/// What was decided in an older term and is not yet on disk is not said any more.
#[test]
fn state_an_answer_that_waits_for_the_disk_is_dropped_when_the_term_moves_on() {
    let mut raft = open(1, &[1]);
    raft.receive(Time::ZERO, replica(2), vote(4, id(1, 1)));
    raft.receive(Time::ZERO, replica(3), vote(5, id(1, 1)));
    assert_eq!(sent(&drain(&mut raft, Time::ZERO)), [vote_reply(5, true)]);
    assert_eq!(raft.hard_state(), HardState { term: term(5), vote: Some(replica(3)) });
}
