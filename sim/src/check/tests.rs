//! The checker is checked: broken hosts are found out by short traces, searches repeat themselves, and what is left out
//! loses nothing.

use super::*;

/// A scope that is searched in a moment.
fn small(name: &str, bounds: &[(Budget, u8)]) -> Scope {
    let mut scope = Scope::named(name).into_iter().next().expect("a scope has that name");
    scope.bounds = bounds.iter().fold(Bounds::default(), |made, (budget, count)| made.with(*budget, *count));
    scope.has_eager_disk = false;
    scope
}

/// A search that is over, and broke nothing.
fn complete(scope: &Scope) -> Found {
    let found = search(scope);
    assert_eq!(found.end, End::Complete, "{}", scope.bounds);
    found
}

fn counterexample(scope: &Scope) -> Counterexample {
    match search(scope).end {
        End::Broke(example) => *example,
        end => panic!("{:?} was not found out: {end:?}", scope.conduct),
    }
}

#[test]
fn a_host_that_reports_writes_before_they_are_done_is_found_out() {
    let mut scope = small("election", &[(Budget::Timeouts, 1), (Budget::Crashes, 1)]);
    scope.conduct = Conduct::ReportsEarly;
    let example = counterexample(&scope);
    assert_eq!(example.broken.law, CheckedLaw::DurableBeforeSaid);
    assert_eq!(
        example.steps.len(),
        3,
        "a pre-vote, its answer, and a vote that is asked for too early: {example:#?}"
    );
}

#[test]
fn a_host_that_forgets_its_vote_in_a_crash_is_found_out() {
    let mut scope = small("election", &[(Budget::Timeouts, 2), (Budget::Crashes, 1)]);
    scope.conduct = Conduct::ForgetsVote;
    let example = counterexample(&scope);
    assert_eq!(example.broken.law, CheckedLaw::VotesOnce);
    assert!(example.steps.len() <= 10, "{example:#?}");
    assert!(example.steps.iter().any(|step| step.contains("crashes")), "{example:#?}");
}

#[test]
fn a_host_that_loses_an_entry_that_it_reported_is_found_out() {
    let mut scope = small("replication", &[(Budget::Proposals, 1), (Budget::Crashes, 1)]);
    scope.conduct = Conduct::LosesLastEntry;
    let example = counterexample(&scope);
    assert_eq!(example.broken.law, CheckedLaw::CommittedIsForEver);
    assert_eq!(example.steps.len(), 1, "{example:#?}");
}

#[test]
fn two_searches_of_a_scope_see_the_same() {
    let scope = small("election", &[(Budget::Timeouts, 1), (Budget::Crashes, 1), (Budget::Losses, 1)]);
    let [one, two] = [complete(&scope), complete(&scope)];
    assert_eq!((one.states, one.steps, one.depth), (two.states, two.steps, two.depth));
    assert_eq!(one.parts, two.parts);
    assert!(one.states > 1_000 && one.depth > 15, "{one:?}");
}

#[test]
fn the_states_of_the_smallest_scopes_are_those_that_can_be_counted_by_hand() {
    // Nothing can happen.
    assert_eq!(complete(&small("election", &[])).states, 1);
    assert_eq!(complete(&small("replication", &[])).states, 1);
    // Each of three replicas that hold nothing may crash, and comes back as another life of the same.
    assert_eq!(complete(&small("election", &[(Budget::Crashes, 1)])).states, 1 + 3);
    // Two crashes, of one or of two of them.
    assert_eq!(complete(&small("election", &[(Budget::Crashes, 2)])).states, 1 + 3 + 6);
}

#[test]
fn a_search_stops_at_its_limit_and_says_so() {
    let mut scope = small("election", &[(Budget::Timeouts, 2)]);
    scope.max_states = 1_000;
    let found = search(&scope);
    assert_eq!(found.end, End::Stopped);
    assert!((1_000..2_000).contains(&found.states), "{}", found.states);
}

#[test]
fn forgetting_stale_answers_loses_no_state_of_any_replica() {
    for keeps_order in [true, false] {
        let mut scope = small("election", &[(Budget::Timeouts, 1), (Budget::Crashes, 1)]);
        scope.keeps_order = keeps_order;
        let short = complete(&scope);
        scope.forgets_stale = false;
        let long = complete(&scope);
        assert!(short.states < long.states, "{} and {} states", short.states, long.states);
        assert_eq!(short.parts.replicas, long.parts.replicas, "states of single replicas");
    }
}

#[test]
fn order_on_a_connection_leaves_out_only_what_overtakes() {
    let bounds = [(Budget::Timeouts, 1)];
    let ordered = complete(&small("election", &bounds));
    let mut any = small("election", &bounds);
    any.keeps_order = false;
    let any = complete(&any);
    assert!(ordered.states < any.states);
    // A few overtakes and losses are as good as no order at all: there are not more messages on a connection.
    let free = [(Budget::Timeouts, 1), (Budget::Overtakes, 3), (Budget::Losses, 3)];
    let freed = complete(&small("election", &free));
    assert_eq!(freed.parts.replicas, any.parts.replicas, "states of single replicas");
}

#[test]
fn replicas_with_one_fingerprint_do_the_same() {
    let mut scopes = [
        small("election", &[(Budget::Timeouts, 1), (Budget::Crashes, 1)]),
        small("replication", &[(Budget::Proposals, 1), (Budget::Heartbeats, 1), (Budget::Cuts, 1)]),
        small("membership", &[(Budget::Changes, 1)]),
        small("transfer", &[(Budget::Transfers, 1), (Budget::Heartbeats, 1)]),
    ];
    for scope in &mut scopes {
        scope.max_states = 3_000;
        let found = search_with_twins(scope);
        assert!(!matches!(found.end, End::Broke(_)), "{}: {:?}", scope.name, found.end);
        assert!(found.twins > 20, "{}: {} twins", scope.name, found.twins);
    }
}

#[test]
fn every_named_scope_can_be_found_by_its_name_and_keeps_all_laws_in_its_first_states() {
    for scope in Scope::all() {
        assert_eq!(Scope::named(scope.name), std::slice::from_ref(&scope));
        let mut found = scope.clone();
        found.max_states = 2_000;
        let end = search(&found).end;
        assert!(!matches!(end, End::Broke(_)), "{}: {end:?}", scope.name);
    }
}
