//! The command line, as a person runs it.

use std::process::Command;

/// Exit code and standard output.
fn sim(arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("the binary runs");
    (run.status.code(), String::from_utf8_lossy(&run.stdout).into_owned())
}

#[test]
fn a_swarm_without_a_bug_breaks_no_law() {
    let (code, out) = sim(&["swarm", "--seeds", "0..25"]);
    assert_eq!(code, Some(0), "{out}");
    let (code, out) = sim(&["swarm", "--seeds", "0..5", "--nodes", "5", "--json"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("\"breach\":null"), "{out}");
}

#[test]
fn a_vote_before_its_fsync_and_an_acknowledgement_before_its_fsync_are_found() {
    for mutant in ["m03", "m06"] {
        let (code, out) = sim(&["swarm", "--seeds", "0..25", "--mutant", mutant]);
        assert_eq!(code, Some(1), "{out}");
        assert!(out.contains("L4") && out.contains(&format!("--mutant {mutant} --trace")), "{out}");
    }
}

#[test]
fn the_same_seed_has_the_same_history() {
    let first = sim(&["run", "--seed", "7"]);
    assert_eq!(first, sim(&["run", "--seed", "7"]));
    let hash = |out: &str| out.lines().last().map(str::to_owned);
    assert!(hash(&first.1).is_some_and(|line| line.starts_with("history ")), "{}", first.1);
    assert_ne!(hash(&first.1), hash(&sim(&["run", "--seed", "8"]).1));
}

#[test]
fn wrong_words_are_wrong_usage() {
    for wrong in
        [&["swarm", "--seeds", "9..3"][..], &["swarm", "--seeds", "0..9", "--mutant", "m99"], &["run"]]
    {
        assert_eq!(sim(wrong).0, Some(2), "{wrong:?}");
    }
}
