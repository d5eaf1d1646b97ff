//! Scenarios that a stranger can read: each file of `tests/scripts` is a script of commands, one a line, and under each
//! stands, indented, what the replicas decided because of it. The two are compared exactly.
//!
//! ```text
//! # Raft §5.2: a vote is on disk before it is given.
//! nodes 3
//! slow 2                  # writes of 2 take until told otherwise
//! timeout 1
//!     1 role pre-candidate t0
//!     1 send 2 pre-vote t0 last 0@0
//!     1 send 3 pre-vote t0 last 0@0
//! ```
//!
//! The commands and the forms of the lines are listed in `tests/scripts/README.md`. `UPDATE=1` runs the scripts and writes
//! what happens into them: read the difference before you keep it. `SCRIPT=name` runs one.

mod cluster;
mod script;

use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let files = std::fs::read_dir(folder).expect("the folder of the scripts");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("an entry of it").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "script"));
    paths.sort();
    paths
}

#[test]
fn every_script_happens_as_it_says() {
    let only = std::env::var("SCRIPT").ok();
    let is_asked = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        only.as_ref().is_none_or(|only| *only == name)
    };
    let outcomes: Vec<Result<(), String>> =
        scripts().iter().filter(|path| is_asked(path)).map(|path| script::run(path)).collect();
    assert!(!outcomes.is_empty(), "no such script");
    let failed: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn every_script_says_what_it_shows() {
    for path in scripts() {
        let text = std::fs::read_to_string(&path).expect("a script");
        assert!(text.starts_with("# "), "{} begins with a comment", path.display());
    }
}
