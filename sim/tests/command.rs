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
    for (wrong, why) in [
        (&["swarm", "--seeds", "9..3"][..], "write 3..9"),
        (&["swarm", "--seeds", "0..9", "--mutant", "m99"], "there is no mutant m99"),
        (&["swarm", "--seeds", "0..9", "--mutant", "m13"], "the full tier has only m03 and m06"),
        (&["swarm", "--seeds", "0..9", "--require-marks"], "add --tier core"),
        (&["swarm", "--seeds", "0..9", "--all"], "add --tier core"),
        (&["run", "--seed", "1", "--trace", "--json"], "cannot be used with"),
        (&["run"], "--seed"),
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_sim")).args(wrong).output().expect("the binary runs");
        let error = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{wrong:?}");
        assert!(error.contains(why), "{wrong:?}: {error}");
    }
}

#[test]
fn help_says_what_the_exit_codes_mean() {
    let (code, out) = sim(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("Exit codes:") && out.contains("  3  no law was broken where one should have been"),
        "{out}"
    );
}

#[test]
fn a_search_breaks_a_law_when_the_core_has_a_bug() {
    for (scope, mutant, law) in [
        ("conflict", "m01", "a leader's commit rests on an entry of its own term"),
        ("remnant", "m13", "all replicas commit the same entries"),
        ("membership-crash", "m18", "what is said is on disk"),
    ] {
        let (code, out) = sim(&["check", "--scope", scope, "--mutant", mutant]);
        assert_eq!(code, Some(1), "{out}");
        assert!(out.contains(law), "{out}");
    }
}

/// What a command comes to whose output nobody reads.
fn left_alone(arguments: &[&str]) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).stdout(writer).output().unwrap();
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
}

#[test]
fn a_reader_who_leaves_is_no_error_but_gets_no_verdict_either() {
    assert_eq!(left_alone(&["run", "--seed", "1", "--trace"]), (Some(0), String::new()));
    assert_eq!(left_alone(&["swarm", "--seeds", "0..2"]), (Some(4), String::new()));
    assert_eq!(left_alone(&["check", "--scope", "election"]), (Some(4), String::new()));
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_does_not_fit_is_an_error() {
    for words in [&["run", "--seed", "1"][..], &["check", "--scope", "loss"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let run = Command::new(env!("CARGO_BIN_EXE_sim")).args(words).stdout(full).output().unwrap();
        assert_eq!(run.status.code(), Some(4), "{words:?}");
        assert!(String::from_utf8_lossy(&run.stderr).contains("cannot print"), "{words:?}");
    }
}
