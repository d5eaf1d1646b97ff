//! Nothing that is put into a replica can panic it or break what holds between inputs: every kind of message with any
//! content, and every other input, in any order. A law that an input breaks fences the group, and then all is quiet.
//! `PROPTEST_CASES=20000` tries more.

mod cluster;
mod host;

use cluster::replica;
use host::Input;
use proptest::prelude::*;
use raft_core::{AppendReply, Message, Term};

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_inputs_panics_a_replica_or_breaks_an_invariant(
        kind in 0..7_u8,
        size in 1..=7_u64,
        inputs in prop::collection::vec(host::input(), 0..120),
    ) {
        let mut host = host::host(kind, size.min(6));
        for input in inputs {
            host.put(input);
        }
    }

    /// The same inputs, the same decisions: what a simulator and a model checker stand on.
    #[test]
    fn two_replicas_that_are_told_the_same_decide_the_same(
        kind in 0..7_u8,
        size in 1..=5_u64,
        inputs in prop::collection::vec(host::input(), 0..80),
    ) {
        let (mut one, mut other) = (host::host(kind, size), host::host(kind, size));
        for input in inputs {
            one.put(input.clone());
            other.put(input);
            prop_assert_eq!(&one.last_effects, &other.last_effects);
            prop_assert_eq!(one.fingerprint(), other.fingerprint());
            let (raft, now) = (one.raft.clone(), one.now);
            prop_assert_eq!(host::fingerprint(&raft, now), one.fingerprint(), "a copy is the same");
        }
    }

    /// One leader that sends what it likes, in its own term: the worst of peers to have.
    #[test]
    fn no_leader_panics_a_follower_or_breaks_an_invariant(
        kind in 0..4_u8,
        messages in prop::collection::vec((host::append(), 0..3_usize), 0..60),
    ) {
        let mut host = host::host(kind, 3);
        for (message, writes) in messages {
            let Message::Append(mut m) = message else { continue };
            m.term = m.term.max(m.entries.last_id().term).min(Term::new(9)).max(Term::new(5));
            host.put(Input::Receive(replica(2), Message::Append(m)));
            host.put(Input::Write(writes));
        }
    }

    /// And followers that claim what they like.
    #[test]
    fn no_answer_panics_a_leader_or_breaks_an_invariant(
        size in 2..=6_u64,
        answers in prop::collection::vec((host::node(), host::outcome(), 0..9_u64, 0..4_u64), 0..100),
    ) {
        let mut host = host::host(6, size);
        for (from, outcome, round, proposals) in answers {
            let term = host.raft.hard_state().term;
            host.put(Input::Propose(proposals));
            host.put(Input::Poll(from, 3));
            let reply = AppendReply { term, round, outcome };
            host.put(Input::Receive(replica(from), Message::AppendReply(reply)));
            host.put(Input::Write(1));
        }
    }
}
