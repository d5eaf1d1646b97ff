//! The table of known bugs in `tests/README.md` names tests; each must be there.

use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The names of the tests in a file.
fn tests(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder().join(file).with_extension("rs")).unwrap_or_default();
    let name = |line: &str| Some(line.trim().strip_prefix("fn ")?.split('(').next()?.to_string());
    text.lines().filter_map(name).collect()
}

/// Whether the parts of a pattern stand in the name, in order. `…` stands for anything.
fn fits(name: &str, pattern: &str) -> bool {
    let mut rest = name;
    for part in pattern.split('…') {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[test]
fn every_test_that_the_table_of_known_bugs_names_is_there() {
    let text = std::fs::read_to_string(folder().join("README.md")).expect("the table");
    let mut bugs = vec![];
    for row in text.lines().filter(|line| line.starts_with("| [")) {
        let number: usize = row[3..row.find(']').expect("its number")].parse().expect("a number");
        bugs.push(number);
        let mut file = String::new();
        for word in row.rsplit(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2) {
            let pattern = match word.split_once("::") {
                Some(("Raft", _)) => continue,
                Some((of, pattern)) => {
                    file = of.into();
                    pattern
                }
                None if word.starts_with("scripts/") => {
                    assert!(folder().join(word).with_extension("script").exists(), "[{number}] {word}");
                    continue;
                }
                None if word.ends_with(".rs") => {
                    file = word.trim_end_matches(".rs").into();
                    continue;
                }
                None if folder().join(word).with_extension("rs").exists() => continue,
                None => word,
            };
            let is_there = tests(&file).iter().any(|name| fits(name, pattern));
            assert!(is_there, "[{number}] no test of {file}.rs is called `{pattern}`");
        }
    }
    assert_eq!(bugs, (1..=47).collect::<Vec<_>>());
}
