//! The core tier by its command line, as a person runs it.

use std::path::PathBuf;
use std::process::Command;

/// Exit code and standard output.
fn sim(arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("the binary runs");
    (run.status.code(), String::from_utf8_lossy(&run.stdout).into_owned())
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn a_swarm_breaks_no_law_and_says_what_it_has_seen() {
    let (code, out) = sim(&["swarm", "--tier", "core", "--seeds", "0..30"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("no law was broken") && out.contains("a snapshot was installed"), "{out}");
}

#[test]
fn a_swarm_that_is_too_short_for_the_marks_fails_only_when_they_are_required() {
    let seeds = ["swarm", "--tier", "core", "--seeds", "0..1"];
    assert_eq!(sim(&seeds).0, Some(0));
    assert_eq!(sim(&[&seeds[..], &["--require-marks"]].concat()).0, Some(2));
}

#[test]
fn the_same_seed_has_the_same_history() {
    let run = |seed| sim(&["run", "--tier", "core", "--seed", seed]);
    assert_eq!(run("7"), run("7"));
    assert_ne!(run("7").1, run("8").1);
}

#[test]
fn a_known_bug_is_found_shrunk_replayed_and_drawn() {
    let (script, page) = (scratch("m01.txt"), scratch("m01.html"));
    let (script, page) = (script.to_str().unwrap(), page.to_str().unwrap());
    let found = (0..40).map(|seed| seed.to_string()).find(|seed| {
        sim(&["run", "--tier", "core", "--seed", seed.as_str(), "--mutant", "m01"]).0 == Some(1)
    });
    let seed = found.expect("m01 is found within 40 seeds");
    let (code, out) =
        sim(&["shrink", "--seed", &seed, "--mutant", "m01", "--max-runs", "300", "--out", script]);
    assert_eq!(code, Some(0), "{out}");
    let (code, out) = sim(&["replay", script, "--html", page]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("BREACH"), "{out}");
    assert!(std::fs::read_to_string(page).unwrap().contains("</svg>"));
}

#[test]
fn mutants_that_survive_fail_the_hunt_and_the_table_is_written_only_when_asked() {
    let table = scratch("mutants.tsv");
    // One may be left from the last time.
    let _ = std::fs::remove_file(&table);
    let table = table.to_str().unwrap();
    let hunt = |more: &[&str]| sim(&[&["mutants", "--ids", "m06", "--table", table], more].concat());
    let (code, out) = hunt(&["--max-seeds", "20"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(!std::path::Path::new(table).exists());
    assert_eq!(hunt(&["--max-seeds", "20", "--write"]).0, Some(0));
    assert!(std::fs::read_to_string(table).unwrap().contains("m06\t"));
    assert_eq!(hunt(&["--max-seeds", "0"]).0, Some(1));
}

#[test]
fn wrong_words_are_wrong_usage() {
    let nothing = scratch("nothing.txt");
    for wrong in [
        &["replay", nothing.to_str().unwrap()][..],
        &["mutants", "--ids", "six"],
        &["shrink", "--seed", "1"],
        &["swarm", "--tier", "none", "--seeds", "0..1"],
    ] {
        assert_eq!(sim(wrong).0, Some(2), "{wrong:?}");
    }
}
