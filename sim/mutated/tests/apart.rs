//! The bugs stay out of what is shipped, and the list of them is told in the docs.

use std::fs;
use std::path::{Path, PathBuf};

use raft_core_mutated::mutant;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn no_package_but_the_simulator_depends_on_the_copy() {
    let mut seen = 0;
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(manifest) = fs::read_to_string(path.join("Cargo.toml")) {
            let is_simulator = path.file_name().is_some_and(|name| name == "sim");
            let names_it = manifest.contains("raft-core-mutated") || manifest.contains("raft_core_mutated");
            assert!(is_simulator || !names_it, "{} depends on the bugs", path.display());
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} packages were found");
}

#[test]
fn the_source_of_the_product_does_not_know_that_it_is_mutated() {
    for entry in fs::read_dir(root().join("raft-core/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("mutant"), "{} speaks of mutants", path.display());
        }
    }
}

#[test]
fn there_are_at_least_twenty_five_and_the_docs_tell_each_of_them() {
    assert!(mutant::ALL.len() >= 25);
    let docs = fs::read_to_string(root().join("docs/mutants.md")).unwrap();
    for m in mutant::ALL {
        let yes = if m.is_membership { "yes" } else { "no" };
        let row =
            format!("| m{:02} | {} | {} | {} | {} | {yes} |", m.number, m.name, m.story, m.origin, m.law);
        assert!(docs.lines().any(|line| line == row), "docs/mutants.md lacks the row\n{row}");
    }
    let rows = docs.lines().filter(|line| line.starts_with("| m")).count();
    assert_eq!(rows, mutant::ALL.len(), "docs/mutants.md has a row for a mutant that there is not");
}

#[test]
fn one_bug_is_on_at_a_time_and_in_one_thread_only() {
    assert!(!mutant::is(13));
    mutant::set(Some(13));
    assert!(mutant::is(13) && !mutant::is(1));
    std::thread::spawn(|| assert!(!mutant::is(13))).join().unwrap();
    mutant::set(Some(1));
    assert!(mutant::is(1) && !mutant::is(13));
    mutant::set(None);
    assert!(!mutant::is(1));
}
