//! An append-only log of numbers that is cheap to copy and to append to: copies share what they have in common.
//!
//! A search keeps thousands of states of the same log, each a little longer than another. Each value is a link to the
//! value before it, and also to one far before it, chosen so that any value is found in logarithmic time (Myers 1983).
//! Invariant: equal logs have the same length and digest.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::rng::fold;

/// See the module's documentation.
#[derive(Clone, Default)]
pub struct Log {
    /// A running hash of all values: logs that differ here are compared no further.
    digest: u64,
    last: Option<Arc<Link>>,
}

struct Link {
    value: u64,
    /// How many values there are up to this one.
    len: u64,
    before: Option<Arc<Link>>,
    /// A link before this one; `None` is the beginning.
    far: Option<Arc<Link>>,
}

fn len(link: Option<&Arc<Link>>) -> u64 {
    link.map_or(0, |link| link.len)
}

impl Drop for Link {
    /// Without recursion, which would take a frame for each value.
    fn drop(&mut self) {
        // The far link lies behind those before it, so this never drops it.
        self.far = None;
        let mut next = self.before.take();
        while let Some(mut link) = next.and_then(Arc::into_inner) {
            link.far = None;
            next = link.before.take();
        }
    }
}

impl PartialEq for Log {
    fn eq(&self, other: &Self) -> bool {
        if (self.len(), self.digest) != (other.len(), other.digest) {
            return false;
        }
        let (mut mine, mut other) = (self.last.as_ref(), other.last.as_ref());
        while let (Some(a), Some(b)) = (mine, other) {
            if Arc::ptr_eq(a, b) {
                return true;
            }
            if a.value != b.value {
                return false;
            }
            (mine, other) = (a.before.as_ref(), b.before.as_ref());
        }
        true
    }
}

impl Eq for Log {}

impl Hash for Log {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.len());
        hasher.write_u64(self.digest);
    }
}

impl Log {
    /// A log without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values there are: the offset of the next.
    pub fn len(&self) -> u64 {
        len(self.last.as_ref())
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The value at an offset, counted from 0; `None` at and behind the end.
    pub fn get(&self, offset: u64) -> Option<u64> {
        let mut link = self.last.as_ref()?;
        if offset >= link.len {
            return None;
        }
        while link.len > offset + 1 {
            let far = link.far.as_ref().filter(|far| far.len > offset);
            link = far.or(link.before.as_ref())?;
        }
        Some(link.value)
    }

    /// Appends a value.
    pub fn push(&mut self, value: u64) {
        let before = self.last.take();
        let far = before.as_ref().and_then(|link| link.far.as_ref());
        let farther = far.and_then(|link| link.far.as_ref());
        // Two equal leaps in a row become one over both.
        let is_leap = len(before.as_ref()) - len(far) == len(far) - len(farther);
        let far = if is_leap { farther.cloned() } else { before.clone() };
        let len = len(before.as_ref()) + 1;
        self.last = Some(Arc::new(Link { value, len, before, far }));
        self.digest = fold(self.digest, value);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.len()).filter_map(|offset| self.get(offset))).finish()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            0 => f.write_str("it is empty"),
            1 => f.write_str("it has one value"),
            len => write!(f, "it has {len} values"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_a_vector_whose_copies_go_their_own_ways() {
        let value = |at: u64| at * 7 + 1;
        let mut log = Log::new();
        let mut copies = Vec::new();
        for at in 0..5_000 {
            if at % 97 == 0 {
                copies.push(log.clone());
            }
            assert_eq!((log.len(), log.get(at)), (at, None));
            log.push(value(at));
        }
        assert!((0..5_000).all(|at| log.get(at) == Some(value(at))) && log.get(u64::MAX).is_none());
        for mut copy in copies {
            let at = copy.len();
            copy.push(0);
            assert_eq!((copy.len(), copy.get(at), log.get(at)), (at + 1, Some(0), Some(value(at))));
            assert!((0..at).all(|at| copy.get(at) == Some(value(at))));
        }
    }

    #[test]
    fn logs_are_equal_when_their_values_are() {
        let log = |values: &[u64]| {
            let mut log = Log::new();
            values.iter().for_each(|value| log.push(*value));
            log
        };
        let values: Vec<u64> = (0..300).collect();
        assert_eq!(log(&values), log(&values));
        assert_ne!(log(&values), log(&values[1..]));
        assert_ne!(log(&[1, 2]), log(&[2, 1]));
        assert_eq!(log(&[]), Log::default());
        assert!(log(&[]).is_empty());
        let told = [log(&[]), log(&[4]), log(&[4, 9])].map(|log| log.to_string());
        assert_eq!(told, ["it is empty", "it has one value", "it has 2 values"]);
    }

    #[test]
    fn a_long_log_is_dropped_without_a_deep_stack() {
        let mut log = Log::new();
        (0..1_000_000).for_each(|value| log.push(value));
        let mut copy = log.clone();
        drop(log);
        copy.push(7);
        assert_eq!((copy.get(0), copy.get(999_999), copy.get(1_000_000)), (Some(0), Some(999_999), Some(7)));
    }

    #[test]
    fn any_value_is_a_few_links_away() {
        let mut log = Log::new();
        (0..100_000).for_each(|value| log.push(value));
        for offset in (0..100_000).step_by(777) {
            let (mut link, mut steps) = (log.last.as_ref().unwrap(), 0);
            while link.len > offset + 1 {
                let far = link.far.as_ref().filter(|far| far.len > offset);
                link = far.or(link.before.as_ref()).unwrap();
                steps += 1;
            }
            assert!(steps <= 3 * 17, "{steps} steps to {offset}");
        }
    }
}
