//! How a breach of a law is reported by the core tier.
//!
//! Nothing here knows the core, so that a law has the same name whichever build of the core broke it.

use std::fmt;

pub use crate::law::Law;

/// A broken law: what, where, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The law.
    pub law: Law,
    /// The node that was caught, counted from 0, if one was.
    pub node: Option<usize>,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.law, self.law.sentence())?;
        if let Some(node) = self.node {
            write!(f, ", node {}", node + 1)?;
        }
        write!(f, ": {}", self.seen)
    }
}

/// What a check comes to. Boxed, for it is rare and every step returns one.
pub(crate) type Checked = Result<(), Box<Breach>>;

/// A breach by a node. Makes its text only now, for checks run a million times a second.
#[cold]
pub(crate) fn breach(law: Law, node: usize, seen: fmt::Arguments<'_>) -> Box<Breach> {
    Box::new(Breach { law, node: Some(node), seen: seen.to_string() })
}

/// Returns a breach from a function unless a condition holds.
macro_rules! ensure {
    ($holds:expr, $law:ident, $node:expr, $($text:tt)*) => {
        if !$holds {
            return Err($crate::core::law::breach($crate::core::law::Law::$law, $node, format_args!($($text)*)));
        }
    };
}
pub(crate) use ensure;
