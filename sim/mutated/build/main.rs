//! Copies the source of `raft-core` and weaves the known bugs of `mutants/` into the copy.
//!
//! A bug whose place has moved fails the build, with a line for each: nothing is left out in silence.

mod source;
mod story;
mod weave;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    match build(&here, &out) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            for problem in problems {
                println!("cargo::error={problem}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("cargo::error=cannot copy raft-core into {}: {error}", out.display());
            ExitCode::FAILURE
        }
    }
}

/// Writes the copy. Says what is wrong with the mutants; nothing is written then.
fn build(here: &Path, out: &Path) -> io::Result<Vec<String>> {
    let source = here.join("../../raft-core/src").canonicalize()?;
    let mutants = here.join("mutants");
    for watched in [&source, &mutants] {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let mut problems = Vec::new();
    let mut all = Vec::new();
    for path in files(&mutants)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "edit")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match story::parse(&fs::read_to_string(&path)?) {
            Ok(mutant) => all.push(mutant),
            Err(error) => problems.push(format!("sim/mutated/mutants/{name}: {error}")),
        }
    }
    all.sort_by_key(|mutant| mutant.number);
    problems.extend(story::repeated(&all).map(|error| error.to_string()));

    let copy = out.join("src");
    let mut woven = Vec::new();
    let mut known = Vec::new();
    for path in files(&source)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")) {
        let name = path.strip_prefix(&source).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path)?;
        match weave::weave(&name, &text, &all) {
            Ok(text) if name == "lib.rs" => woven.push((out.join("root.rs"), source::root(&text, &copy))),
            Ok(text) => woven.push((copy.join(&name), source::module(&text, &copy.join(&name)))),
            Err(errors) => problems.extend(errors.iter().map(|error| error.to_string())),
        }
        known.push(name);
    }
    problems.extend(weave::strays(&known, &all).map(|error| error.to_string()));
    if problems.is_empty() {
        woven.push((out.join("all.rs"), story::table(&all)));
        for (path, text) in woven {
            fs::create_dir_all(path.parent().unwrap_or(out))?;
            fs::write(path, text)?;
        }
    }
    Ok(problems)
}

/// All files below a directory, sorted.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}
