//! How long an ATM waits for the bank before it says that it does not know.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A time to wait, from 1 ms to 10 minutes, inclusive. Written as `5s`, `500ms` or `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(Duration);

const MAX: Duration = Duration::from_secs(600);

/// Why a word is no such time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatienceError {
    /// It is no whole number with a unit.
    #[error("{word:?} is no time; write it as 5s, 500ms or 2m")]
    Form {
        /// The word.
        word: String,
    },
    /// It is zero or too long.
    #[error("{word:?} is not between 1ms and 10m")]
    OutOfRange {
        /// The word.
        word: String,
    },
}

impl Patience {
    /// The time nearest to `wanted` that is allowed.
    pub fn nearest(wanted: Duration) -> Self {
        Self(wanted.clamp(Duration::from_millis(1), MAX))
    }

    /// The time.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl Default for Patience {
    /// Five seconds: several elections.
    fn default() -> Self {
        Self(Duration::from_secs(5))
    }
}

impl FromStr for Patience {
    type Err = PatienceError;

    fn from_str(word: &str) -> Result<Self, PatienceError> {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = word.split_at(digits);
        let millis_per_unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            _ => return Err(PatienceError::Form { word: word.to_owned() }),
        };
        if number.is_empty() {
            return Err(PatienceError::Form { word: word.to_owned() });
        }
        let millis = number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(millis_per_unit);
        let time = Duration::from_millis(millis);
        if time.is_zero() || time > MAX {
            return Err(PatienceError::OutOfRange { word: word.to_owned() });
        }
        Ok(Self(time))
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        let read = |word: &str| word.parse::<Patience>().map(|p| p.duration().as_millis());
        assert_eq!(read("5s"), Ok(5_000));
        assert_eq!(read("500ms"), Ok(500));
        assert_eq!(read("10m"), Ok(600_000));
        for word in ["", "5", "s", "-5s", "1.5s", "5 s", "5h"] {
            assert!(matches!(read(word), Err(PatienceError::Form { .. })), "{word:?}");
        }
        for word in ["0s", "601s", "99999999999999999999m"] {
            assert!(matches!(read(word), Err(PatienceError::OutOfRange { .. })), "{word:?}");
        }
    }
}
