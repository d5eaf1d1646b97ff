//! Puts bugs into a file, each behind its switch: `good` becomes `if crate::mutant::is(N) { bad } else { good }`.
//!
//! What is not switched on is the text of the original, so a copy without a bug does what the original does. Any white
//! space counts as one blank, so a file may be formatted anew; a place that is not found exactly once is an error. Places
//! may be equal or lie within each other, and are otherwise apart.

use std::fmt;
use std::ops::Range;

use crate::story::{Mutant, Place};

/// Why a bug cannot be put into a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WeaveError {
    /// Which bug.
    pub(crate) number: u8,
    /// The file, below `raft-core/src`.
    pub(crate) file: String,
    /// What is wrong.
    pub(crate) problem: Problem,
}

/// What is wrong with a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// There is no such file.
    NoFile,
    /// There are so many functions of that name, and not one.
    Function(String, usize),
    /// The code stands there so many times, and not once.
    Code(String, usize),
    /// The code overlaps that of this other bug.
    Overlap(String, u8),
}

impl fmt::Display for WeaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mutant m{:02}: raft-core/src/{}: ", self.number, self.file)?;
        match &self.problem {
            Problem::NoFile => f.write_str("there is no such file")?,
            Problem::Function(name, 0) => write!(f, "there is no function `{name}`")?,
            Problem::Function(name, n) => write!(f, "there are {n} functions `{name}`")?,
            Problem::Code(code, 0) => write!(f, "`{code}` is not there any more")?,
            Problem::Code(code, n) => write!(f, "`{code}` stands there {n} times")?,
            Problem::Overlap(code, other) => write!(f, "`{code}` overlaps a place of m{other:02}")?,
        }
        write!(f, ". The place of the bug has moved: update sim/mutated/mutants/m{:02}-*.edit", self.number)
    }
}

/// The text of `file` with all bugs that live in it.
///
/// # Errors
/// Names every place that is not found.
pub(crate) fn weave(file: &str, text: &str, all: &[Mutant]) -> Result<String, Vec<WeaveError>> {
    let (mut edits, mut errors) = (Vec::new(), Vec::new());
    for mutant in all {
        for place in mutant.places.iter().filter(|place| place.file == file) {
            match locate(text, place) {
                Ok(range) => edits.push(Edit { number: mutant.number, range, bad: &place.bad }),
                Err(problem) => {
                    errors.push(WeaveError { number: mutant.number, file: file.to_string(), problem })
                }
            }
        }
    }
    // The widest first among those that begin at one place.
    edits.sort_by_key(|edit| (edit.range.start, std::cmp::Reverse(edit.range.end), edit.number));
    for pair in edits.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        if b.range.start < a.range.end && b.range.end > a.range.end {
            let code = text[b.range.clone()].to_string();
            let problem = Problem::Overlap(code, a.number);
            errors.push(WeaveError { number: b.number, file: file.to_string(), problem });
        }
    }
    if errors.is_empty() { Ok(render(text, 0..text.len(), &edits)) } else { Err(errors) }
}

/// The places in files that there are not.
pub(crate) fn strays<'a>(files: &'a [String], all: &'a [Mutant]) -> impl Iterator<Item = WeaveError> + 'a {
    let places = all.iter().flat_map(|mutant| mutant.places.iter().map(|place| (mutant.number, place)));
    places.filter(|(_, place)| !files.contains(&place.file)).map(|(number, place)| WeaveError {
        number,
        file: place.file.clone(),
        problem: Problem::NoFile,
    })
}

struct Edit<'a> {
    number: u8,
    range: Range<usize>,
    bad: &'a str,
}

/// The part `within` of the text, with the edits that lie in it. They are sorted, and never overlap in part.
fn render(text: &str, within: Range<usize>, edits: &[Edit<'_>]) -> String {
    let (mut made, mut at, mut next) = (String::new(), within.start, 0);
    while let Some(edit) = edits.get(next) {
        let inner = &edits[next + 1..];
        let inner = &inner[..inner.iter().take_while(|other| other.range.start < edit.range.end).count()];
        let good = render(text, edit.range.clone(), inner);
        let switch = format!("if crate::mutant::is({}) {{ {} }} else {{ {good} }}", edit.number, edit.bad);
        made.push_str(&text[at..edit.range.start]);
        if good.ends_with(';') {
            made.push_str(&switch)
        } else {
            made.push_str(&format!("({switch})"))
        }
        at = edit.range.end;
        next += 1 + inner.len();
    }
    made.push_str(&text[at..within.end]);
    made
}

fn locate(text: &str, place: &Place) -> Result<Range<usize>, Problem> {
    let within = match &place.function {
        None => 0..text.len(),
        Some(name) => function(text, name).map_err(|n| Problem::Function(name.clone(), n))?,
    };
    let words: Vec<&str> = place.good.split_whitespace().collect();
    let starts = text[within.clone()].match_indices(words[0]).map(|(at, _)| within.start + at);
    let ranges = starts.filter_map(|start| Some(start..read_words(&text[..within.end], start, &words)?));
    let found: Vec<Range<usize>> = ranges.collect();
    match &found[..] {
        [only] => Ok(only.clone()),
        _ => Err(Problem::Code(words.join(" "), found.len())),
    }
}

/// Where these words end that begin at `start` and have white space between them.
fn read_words(text: &str, start: usize, words: &[&str]) -> Option<usize> {
    let mut at = start;
    for (n, word) in words.iter().enumerate() {
        if n > 0 {
            let rest = text[at..].trim_start();
            if rest.len() == text.len() - at {
                return None;
            }
            at = text.len() - rest.len();
        }
        at += text[at..].strip_prefix(word).map(|_| word.len())?;
    }
    Some(at)
}

/// The lines of the only function of that name, or else how many there are.
fn function(text: &str, name: &str) -> Result<Range<usize>, usize> {
    let needle = format!("fn {name}");
    let is_whole = |at: &usize| text[at + needle.len()..].starts_with(['(', '<']);
    let found: Vec<usize> = text.match_indices(&needle).map(|(at, _)| at).filter(is_whole).collect();
    let [only] = found[..] else { return Err(found.len()) };
    let start = text[..only].rfind('\n').map_or(0, |at| at + 1);
    let indent = text[start..].len() - text[start..].trim_start().len();
    let end = format!("\n{}}}\n", " ".repeat(indent));
    Ok(start..text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
}
