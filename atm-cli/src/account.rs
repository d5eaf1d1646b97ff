//! Names of accounts.
//!
//! Invariant: a name that exists is legal, also one that came from the network or the disk, so it may be printed
//! as it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, inclusive, in characters.
pub const MAX_NAME_CHARACTERS: usize = 64;

/// Names an account: 1 to 64 of the ASCII letters, digits, `.`, `_` and `-`. Case counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

/// Why a word is no account name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountNameError {
    /// It has no characters.
    #[error("an account name has at least 1 character")]
    Empty,
    /// It has more than [`MAX_NAME_CHARACTERS`].
    #[error("an account name has at most {MAX_NAME_CHARACTERS} characters, and this one has {characters}")]
    TooLong {
        /// How many it has.
        characters: usize,
    },
    /// It holds a character that is not allowed.
    #[error(
        "{name} is no account name: use letters, digits, '.', '_' and '-', but not '{}'",
        .found.escape_default()
    )]
    BadCharacter {
        /// The word, with what a terminal could take amiss escaped.
        name: String,
        /// The first such character.
        found: char,
    },
}

impl AccountName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccountName {
    type Error = AccountNameError;

    fn try_from(name: String) -> Result<Self, AccountNameError> {
        if name.is_empty() {
            return Err(AccountNameError::Empty);
        }
        let characters = name.chars().count();
        if characters > MAX_NAME_CHARACTERS {
            return Err(AccountNameError::TooLong { characters });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match name.chars().find(|&c| !allowed(c)) {
            Some(found) => {
                Err(AccountNameError::BadCharacter { name: name.escape_default().to_string(), found })
            }
            None => Ok(Self(name)),
        }
    }
}

impl FromStr for AccountName {
    type Err = AccountNameError;

    fn from_str(name: &str) -> Result<Self, AccountNameError> {
        name.to_owned().try_into()
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> String {
        name.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_digits_and_three_signs_make_a_name() {
        for name in ["a", "alice", "Bob.Smith-2_x", "7", "-", &"x".repeat(64)] {
            assert_eq!(name.parse::<AccountName>().map(String::from), Ok(name.to_owned()));
        }
    }

    #[test]
    fn other_words_are_refused_with_their_reason() {
        let read = |name: &str| name.parse::<AccountName>();
        assert_eq!(read(""), Err(AccountNameError::Empty));
        assert_eq!(read(&"x".repeat(65)), Err(AccountNameError::TooLong { characters: 65 }));
        assert!(matches!(read("al ice"), Err(AccountNameError::BadCharacter { found: ' ', .. })));
        assert!(matches!(read("álice"), Err(AccountNameError::BadCharacter { found: 'á', .. })));
        assert!(matches!(read("a\u{1b}[2J"), Err(AccountNameError::BadCharacter { found: '\u{1b}', .. })));
    }

    #[test]
    fn an_illegal_name_is_not_decoded() {
        let legal = postcard::to_allocvec("alice").unwrap();
        let illegal = postcard::to_allocvec("al ice").unwrap();
        assert!(postcard::from_bytes::<AccountName>(&legal).is_ok());
        assert!(postcard::from_bytes::<AccountName>(&illegal).is_err());
    }
}
