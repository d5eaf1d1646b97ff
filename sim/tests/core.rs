//! The core tier by its command line, as a person runs it.

use std::path::PathBuf;
use std::process::Command;

/// Exit code and standard output.
fn sim(arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("the binary runs");
    (run.status.code(), String::from_utf8_lossy(&run.stdout).into_owned())
}

/// Exit code and standard error of words that come to nothing.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("the binary runs");
    assert!(run.stdout.is_empty(), "{}", String::from_utf8_lossy(&run.stdout));
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
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
    assert_eq!(sim(&[&seeds[..], &["--require-marks"]].concat()).0, Some(3));
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
    let (code, out) = sim(&["mutants", "--ids", "m10", "--table", table, "--max-seeds", "1"]);
    assert_eq!(code, Some(3), "{out}");
    assert!(out.contains("1 of 1 survived: m10"), "{out}");
}

#[test]
fn a_swarm_runs_the_bug_that_it_is_given() {
    let seeds = ["swarm", "--tier", "core", "--seeds", "0..40", "--mutant", "m06"];
    let (code, out) = sim(&seeds);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("BREACH") && out.contains("--mutant m06 --trace"), "{out}");
    let (code, out) = sim(&[&seeds[..], &["--all"]].concat());
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("with m06: laws were broken in"), "{out}");
}

#[test]
fn a_swarm_and_a_run_speak_json_to_programs() {
    let (code, out) = sim(&["swarm", "--tier", "core", "--seeds", "0..2", "--json"]);
    assert_eq!((code, out.lines().count()), (Some(0), 1), "{out}");
    assert!(out.starts_with("{\"seeds\":2,") && out.contains("\"breaches\":0,\"marks\":{\""), "{out}");
    let words = ["swarm", "--tier", "core", "--seeds", "0..2", "--mutant", "m06", "--json"];
    let (code, out) = sim(&words);
    assert_eq!((code, out.lines().count()), (Some(1), 1), "{out}");
    assert!(out.contains("\"breach\":{\"law\":\"L4\",\"at_us\":"), "{out}");
    let (code, out) = sim(&[&words[..], &["--all"]].concat());
    assert_eq!((code, out.lines().count()), (Some(1), 3), "a line for each breach, and one for all: {out}");
    let (code, out) = sim(&["run", "--tier", "core", "--seed", "7", "--json"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.starts_with("{\"seed\":7,") && out.ends_with("\"breach\":null}\n"), "{out}");
}

#[test]
fn a_bug_that_does_not_exist_is_refused_wherever_it_is_named() {
    let script = scratch("m99.txt");
    std::fs::write(&script, "sim core script 1\nseed 3\nmutant m99\nheal 9\n").unwrap();
    let [script, out] = [script.to_str().unwrap(), scratch("none.txt").to_str().unwrap()].map(str::to_owned);
    for words in [
        &["run", "--tier", "core", "--seed", "3", "--mutant", "m99"][..],
        &["swarm", "--tier", "core", "--seeds", "0..3", "--mutant", "m99"],
        &["shrink", "--seed", "3", "--mutant", "m99", "--out", &out],
        &["replay", &script],
        &["mutants", "--ids", "m06,m99"],
        &["check", "--scope", "conflict", "--mutant", "m99"],
    ] {
        let (code, error) = refused(words);
        assert_eq!(code, Some(2), "{words:?}");
        assert!(error.contains("there is no mutant m99; `sim mutants --list` lists them"), "{error}");
    }
    assert!(sim(&["mutants", "--list"]).1.lines().any(|line| line.starts_with("m06  ")));
}

#[test]
fn what_breaks_no_law_cannot_be_shrunk() {
    let out = scratch("clean.txt");
    let (code, text) = sim(&["shrink", "--seed", "3", "--out", out.to_str().unwrap()]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("seed 3 breaks no law") && !out.exists(), "{text}");
}

#[test]
fn what_cannot_be_written_is_refused_before_the_work_begins() {
    let nowhere = scratch("no folder").join("x");
    let nowhere = nowhere.to_str().unwrap();
    for words in [
        &["shrink", "--seed", "0", "--mutant", "m06", "--out", nowhere][..],
        &["mutants", "--ids", "m06", "--write", "--table", nowhere],
    ] {
        let (code, error) = refused(words);
        assert_eq!(code, Some(4), "{words:?}");
        assert!(error.contains("cannot write") && error.contains("in a folder that exists"), "{error}");
    }
}

#[test]
fn wrong_words_are_wrong_usage() {
    for wrong in [
        &["mutants", "--ids", "six"][..],
        &["mutants", "--ids", "m06", "--max-seeds", "0"],
        &["bench", "--seconds", "0"],
        &["marks", "--seeds", "3..3"],
        &["swarm", "--tier", "core", "--seeds", "0..3", "--nodes", "5"],
        &["shrink", "--seed", "1"],
        &["swarm", "--tier", "none", "--seeds", "0..1"],
    ] {
        assert_eq!(sim(wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_script_that_is_not_there_and_one_that_is_none_are_told_apart() {
    let (code, error) = refused(&["replay", scratch("nothing.txt").to_str().unwrap()]);
    assert_eq!(code, Some(4));
    assert!(error.contains("cannot read") && error.contains("sim shrink --out"), "{error}");
    let none = scratch("none-at-all.txt");
    std::fs::write(&none, "").unwrap();
    let (code, error) = refused(&["replay", none.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(error.contains("line 1: the first line must be"), "{error}");
}
