//! The names of things that only this cluster knows: topics, partitions, brokers.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names a broker: its node id, and the number Kafka clients know it by.
pub type BrokerId = raft_core::NodeId;

/// Names a topic for ever. A topic deleted and made anew under the same name has another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId(Uuid);

impl TopicId {
    /// Wraps a UUID. The nil UUID is no topic's: a create command that carries it is refused.
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// Draws a random one (version 4). For proposers only, never for what runs on every replica.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The UUID, as Kafka's protocol carries it.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {}", self.0)
    }
}

/// A topic's name by Kafka's rule: 1 to 249 of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(String);

/// The longest topic name, inclusive, in bytes.
pub const MAX_TOPIC_NAME_BYTES: usize = 249;

/// Why a text is no topic name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicNameError {
    /// It is empty.
    #[error("a topic's name must not be empty")]
    Empty,
    /// It is longer than [`MAX_TOPIC_NAME_BYTES`].
    #[error("a topic's name of {bytes} bytes is longer than the {MAX_TOPIC_NAME_BYTES} allowed")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It is `.` or `..`.
    #[error("a topic must not be named '.' or '..'")]
    Dots,
    /// It has a character that names do not have.
    #[error("a topic's name must not contain {character:?}; use letters, digits, '.', '_' and '-'")]
    BadCharacter {
        /// The first such character.
        character: char,
    },
}

impl TopicName {
    /// Checks a name by Kafka's rule.
    ///
    /// # Errors
    /// Says which part of the rule it breaks.
    pub fn new(name: impl Into<String>) -> Result<Self, TopicNameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(TopicNameError::Empty);
        }
        if name.len() > MAX_TOPIC_NAME_BYTES {
            return Err(TopicNameError::TooLong { bytes: name.len() });
        }
        if name == "." || name == ".." {
            return Err(TopicNameError::Dots);
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match name.chars().find(|c| !legal(*c)) {
            Some(character) => Err(TopicNameError::BadCharacter { character }),
            None => Ok(Self(name)),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicName {
    type Err = TopicNameError;

    fn from_str(name: &str) -> Result<Self, TopicNameError> {
        Self::new(name)
    }
}

impl TryFrom<String> for TopicName {
    type Error = TopicNameError;

    fn try_from(name: String) -> Result<Self, TopicNameError> {
        Self::new(name)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> String {
        name.0
    }
}

/// A partition's number within its topic, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId(u32);

impl PartitionId {
    /// Names the partition with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// The place in [`super::Topic::partitions`].
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }

    /// From Kafka's wire; `None` for a negative number.
    pub const fn from_kafka(number: i32) -> Option<Self> {
        if number < 0 { None } else { Some(Self(number as u32)) }
    }

    /// For Kafka's wire. Partitions that exist are far below the limit; one that could not exist saturates.
    pub const fn to_kafka(self) -> i32 {
        if self.0 > i32::MAX as u32 { i32::MAX } else { self.0 as i32 }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_the_rule_of_kafka() {
        let longest = "x".repeat(249);
        for good in ["a", "lines", "A.b_c-9", "...", "__consumer_offsets", longest.as_str()] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        assert_eq!(TopicName::new(""), Err(TopicNameError::Empty));
        assert_eq!(TopicName::new("."), Err(TopicNameError::Dots));
        assert_eq!(TopicName::new(".."), Err(TopicNameError::Dots));
        assert_eq!(TopicName::new("x".repeat(250)), Err(TopicNameError::TooLong { bytes: 250 }));
        for (bad, character) in [("a b", ' '), ("a/b", '/'), ("größe", 'ö'), ("a\0", '\0')] {
            assert_eq!(TopicName::new(bad), Err(TopicNameError::BadCharacter { character }));
        }
    }

    #[test]
    fn a_name_that_breaks_the_rule_cannot_be_read_from_the_wire() {
        let wire = postcard::to_allocvec("a/b").unwrap();
        assert!(postcard::from_bytes::<TopicName>(&wire).is_err());
    }

    #[test]
    fn partition_numbers_pass_to_and_from_the_wire_of_kafka() {
        assert_eq!(PartitionId::from_kafka(-1), None);
        assert_eq!(PartitionId::from_kafka(7).map(PartitionId::to_kafka), Some(7));
        assert_eq!(PartitionId::new(u32::MAX).to_kafka(), i32::MAX);
    }
}
