//! Reads a script, runs it, and compares what happened with what it says.

mod show;
mod world;

use std::fmt::Write;
use std::path::Path;

use world::World;

/// Runs the script at `path`.
///
/// With `UPDATE=1` the expected blocks are written anew from what happens. A command that makes no sense fails with its line.
pub(crate) fn run(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let actual = replay(&text).map_err(|why| format!("{}:{why}", path.display()))?;
    if actual == text {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, actual).map_err(|e| format!("{}: {e}", path.display()));
    }
    Err(difference(path, &text, &actual))
}

/// The script with its expected blocks replaced by what happens.
fn replay(text: &str) -> Result<String, String> {
    let mut world = World::default();
    let mut actual = String::new();
    for (at, line) in text.lines().enumerate() {
        if line.starts_with(' ') {
            continue;
        }
        let _ = writeln!(actual, "{line}");
        let command = line.split('#').next().unwrap_or_default().trim();
        if command.is_empty() {
            continue;
        }
        let happened = world.run(command).map_err(|why| format!("{}: `{command}`: {why}", at + 1))?;
        for effect in happened {
            let _ = writeln!(actual, "    {effect}");
        }
    }
    Ok(actual)
}

/// The first place where the two part, with a little of what is before it.
fn difference(path: &Path, expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let same = expected.iter().zip(&actual).take_while(|(one, other)| one == other).count();
    let mut text = format!("{}:{}: it happened otherwise\n", path.display(), same + 1);
    for line in &expected[same.saturating_sub(4)..same] {
        let _ = writeln!(text, "  {line}");
    }
    for line in expected.iter().skip(same).take(6) {
        let _ = writeln!(text, "- {line}");
    }
    for line in actual.iter().skip(same).take(6) {
        let _ = writeln!(text, "+ {line}");
    }
    text + "UPDATE=1 writes what happens into the scripts; read the difference before you keep it.\n"
}
