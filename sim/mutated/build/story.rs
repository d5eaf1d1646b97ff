//! Reads the files of `mutants/`: a header that tells the story of a bug, then the places where it lives.
//!
//! Knows nothing of the code that is changed. A file is
//!
//! ```text
//! number: 13
//! name: commit beyond the verified prefix
//! story: One sentence or more, on one line.
//! origin: scylla#9965
//! law: R5
//! membership: no
//!
//! at follow.rs in accept
//! <<<<
//! the code as it is
//! ====
//! the code with the bug
//! >>>>
//! ```
//!
//! with one place or more. `in accept` may be left out; it narrows the search to the function of that name.

use std::fmt;

/// A known bug.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mutant {
    /// Names it on command lines; those of the project's list of historical bugs keep their numbers.
    pub(crate) number: u8,
    /// A few words.
    pub(crate) name: String,
    /// What goes wrong.
    pub(crate) story: String,
    /// Where it happened.
    pub(crate) origin: String,
    /// The codes of the laws that are expected to break.
    pub(crate) law: String,
    /// Whether it takes a change of the membership to see it.
    pub(crate) is_membership: bool,
    /// Where it lives.
    pub(crate) places: Vec<Place>,
}

/// One place that a bug changes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file, below `raft-core/src`.
    pub(crate) file: String,
    /// The only function to search, if one is named.
    pub(crate) function: Option<String>,
    /// The code as it is.
    pub(crate) good: String,
    /// The code with the bug.
    pub(crate) bad: String,
}

/// What is wrong with a file of `mutants/`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StoryError {
    /// The header lacks this key.
    Missing(&'static str),
    /// The header's line has another key, an empty value, or no colon.
    Header(String),
    /// A number that is none from 1 to 255.
    Number(String),
    /// `membership` is neither `yes` nor `no`.
    Membership(String),
    /// A place does not begin with `at FILE` or `at FILE in FUNCTION`.
    At(String),
    /// A place ends without this marker.
    Unfinished(&'static str),
    /// The code as it is has no text.
    Blank,
    /// No place is named.
    Nowhere,
    /// Two files have this number.
    Repeated(u8),
}

impl fmt::Display for StoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(key) => write!(f, "the header lacks `{key}:`; add it"),
            Self::Header(line) => {
                write!(
                    f,
                    "`{line}` is no line of a header; write one of number, name, story, origin, law and membership"
                )
            }
            Self::Number(text) => write!(f, "`{text}` is no number from 1 to 255"),
            Self::Membership(text) => write!(f, "membership is `{text}`; write yes or no"),
            Self::At(line) => write!(f, "`{line}` names no place; write `at FILE` or `at FILE in FUNCTION`"),
            Self::Unfinished(marker) => write!(f, "a place ends without a line `{marker}`"),
            Self::Blank => {
                f.write_str("a place has no code between `<<<<` and `====`; quote the code as it is")
            }
            Self::Nowhere => f.write_str("no place is named; add one that begins with `at FILE`"),
            Self::Repeated(number) => write!(f, "two mutants have the number {number}; give each its own"),
        }
    }
}

/// Reads one file.
pub(crate) fn parse(text: &str) -> Result<Mutant, StoryError> {
    let mut lines = text.lines();
    let [mut number, mut name, mut story, mut origin, mut law, mut membership] = [const { None }; 6];
    for line in lines.by_ref().take_while(|line| !line.trim().is_empty()) {
        let wrong = || StoryError::Header(line.to_string());
        let (key, value) = line.split_once(':').ok_or_else(wrong)?;
        let slot = match key {
            "number" => &mut number,
            "name" => &mut name,
            "story" => &mut story,
            "origin" => &mut origin,
            "law" => &mut law,
            "membership" => &mut membership,
            _ => return Err(wrong()),
        };
        *slot = Some(value.trim()).filter(|value| !value.is_empty());
        slot.ok_or_else(wrong)?;
    }
    let number = number.ok_or(StoryError::Missing("number"))?;
    let membership = membership.ok_or(StoryError::Missing("membership"))?;
    let owned = |value: Option<&str>, key| value.map(str::to_string).ok_or(StoryError::Missing(key));
    Ok(Mutant {
        number: number
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| StoryError::Number(number.to_string()))?,
        name: owned(name, "name")?,
        story: owned(story, "story")?,
        origin: owned(origin, "origin")?,
        law: owned(law, "law")?,
        is_membership: match membership {
            "yes" => true,
            "no" => false,
            other => return Err(StoryError::Membership(other.to_string())),
        },
        places: places(lines)?,
    })
}

fn places<'a>(mut lines: impl Iterator<Item = &'a str>) -> Result<Vec<Place>, StoryError> {
    let mut found = Vec::new();
    while let Some(line) = lines.find(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (file, function) = match words[..] {
            ["at", file] => (file, None),
            ["at", file, "in", function] => (file, Some(function.to_string())),
            _ => return Err(StoryError::At(line.to_string())),
        };
        block(&mut lines, "<<<<")?;
        let good = block(&mut lines, "====")?;
        let bad = block(&mut lines, ">>>>")?;
        if good.is_empty() {
            return Err(StoryError::Blank);
        }
        found.push(Place { file: file.to_string(), function, good, bad });
    }
    if found.is_empty() { Err(StoryError::Nowhere) } else { Ok(found) }
}

/// The lines up to a marker, without the blank space around them.
fn block<'a>(lines: &mut impl Iterator<Item = &'a str>, marker: &'static str) -> Result<String, StoryError> {
    let mut text = String::new();
    for line in lines {
        if line.trim_end() == marker {
            return Ok(text.trim().to_string());
        }
        text.push_str(line);
        text.push('\n');
    }
    Err(StoryError::Unfinished(marker))
}

/// The numbers that stand in more than one file. `all` is sorted by number.
pub(crate) fn repeated(all: &[Mutant]) -> impl Iterator<Item = StoryError> + '_ {
    let pairs = all.windows(2).filter(|pair| pair[0].number == pair[1].number);
    pairs.map(|pair| StoryError::Repeated(pair[0].number))
}

/// The list of all mutants as an expression of Rust.
pub(crate) fn table(all: &[Mutant]) -> String {
    let mut made = String::from("&[\n");
    for Mutant { number, name, story, origin, law, is_membership, .. } in all {
        made.push_str(&format!(
            "    MutantInfo {{ number: {number}, name: {name:?}, story: {story:?}, origin: {origin:?}, law: {law:?}, \
             is_membership: {is_membership} }},\n"
        ));
    }
    made.push(']');
    made
}
