//! The switch: which known bug is on, in this thread.
//!
//! Each thread has its own, so that seeds can run side by side. It does not reach into other threads, and a bug that is
//! switched on stays on until it is switched off.

use core::cell::Cell;

std::thread_local! {
    static CURRENT: Cell<Option<u8>> = const { Cell::new(None) };
}

/// What is known of a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MutantInfo {
    /// Names it on command lines (`m13`). Those of the project's list of historical bugs keep their numbers.
    pub number: u8,
    /// A few words.
    pub name: &'static str,
    /// What goes wrong.
    pub story: &'static str,
    /// Where it happened.
    pub origin: &'static str,
    /// The codes of the laws that are expected to break, the likeliest first.
    pub law: &'static str,
    /// Whether it takes a change of the membership to see it: those may take more seeds.
    pub is_membership: bool,
}

/// All known bugs, by number.
pub const ALL: &[MutantInfo] = include!(concat!(env!("OUT_DIR"), "/all.rs"));

/// Switches that bug on in this thread, and every other off; `None` switches all off. A number that is not in [`ALL`] is
/// no bug.
pub fn set(number: Option<u8>) {
    CURRENT.set(number);
}

/// Whether that bug is switched on in this thread.
#[inline]
pub fn is(number: u8) -> bool {
    CURRENT.get() == Some(number)
}
