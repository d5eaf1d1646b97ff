//! Makes copied files compile elsewhere: every `mod name;` gets the path of its copy, and the crate's root loses what may
//! only stand at the very top of a crate.
//!
//! Knows no more Rust than rustfmt's layout: a module without a body is one line. A file `mod.rs` is not expected.

use std::path::Path;

/// The crate's root, as text to include in another: no inner attributes, no crate documentation. The files of its
/// modules stand in `copies`.
pub(crate) fn root(text: &str, copies: &Path) -> String {
    let is_inner = |line: &&str| line.starts_with("//!") || line.starts_with("#![");
    with_paths(text.lines().filter(|line| !is_inner(line)), copies)
}

/// A module's file, which is to stand at `path`. The files of its own modules stand in a folder of its name.
pub(crate) fn module(text: &str, path: &Path) -> String {
    with_paths(text.lines(), &path.with_extension(""))
}

fn with_paths<'a>(lines: impl Iterator<Item = &'a str>, children: &Path) -> String {
    let mut made = String::new();
    for line in lines {
        if let Some(name) = module_name(line) {
            made.push_str(&format!(
                "#[path = {:?}]\n",
                children.join(format!("{name}.rs")).to_string_lossy()
            ));
        }
        made.push_str(line);
        made.push('\n');
    }
    made
}

/// The name in `mod name;`, also with `pub` or `pub(...)` before it.
fn module_name(line: &str) -> Option<&str> {
    let rest = line.trim().strip_suffix(';')?;
    let at = rest.find("mod ")?;
    let (before, name) = (rest[..at].trim(), &rest[at + 4..]);
    let is_visibility = before.is_empty() || before == "pub" || before.starts_with("pub(");
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (is_visibility && is_name).then_some(name)
}
