//! Amounts of money, in whole cents.
//!
//! There is no floating point and no rounding: what cannot be a whole number of cents is refused when it is read.
//! Invariant: arithmetic either gives the exact result or none.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An amount of money in cents, never negative. Prints as `50.00`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cents(u64);

impl Cents {
    /// Nothing.
    pub const ZERO: Cents = Cents(0);
    /// The largest amount: 184467440737095516.15.
    pub const MAX: Cents = Cents(u64::MAX);

    /// An amount of `cents` hundredths.
    pub const fn new(cents: u64) -> Self {
        Self(cents)
    }

    /// The number of cents.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The exact sum; `None` beyond [`Cents::MAX`].
    pub const fn checked_add(self, other: Cents) -> Option<Cents> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Cents(sum)),
            None => None,
        }
    }

    /// The exact difference; `None` when `other` is the larger.
    pub const fn checked_sub(self, other: Cents) -> Option<Cents> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Cents(rest)),
            None => None,
        }
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl fmt::Debug for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a word is no amount. Each holds the word, with what a terminal could take amiss escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// It has a sign. Money is taken out with `withdraw`, never with a negative deposit.
    #[error("{word} has a sign; write an amount as 50.00, 50 or 0.05")]
    Signed {
        /// The word.
        word: String,
    },
    /// It is not digits with at most one point between them.
    #[error("{word} is not an amount; write it as 50.00, 50 or 0.05")]
    NotANumber {
        /// The word.
        word: String,
    },
    /// It divides a cent.
    #[error("{word} has {decimals} decimals; a cent is the smallest amount, so write at most 2")]
    TooManyDecimals {
        /// The word.
        word: String,
        /// How many decimals it has.
        decimals: usize,
    },
    /// It is beyond [`Cents::MAX`].
    #[error("{word} is beyond the largest amount, {max}", max = Cents::MAX)]
    TooLarge {
        /// The word.
        word: String,
    },
}

impl FromStr for Cents {
    type Err = AmountError;

    /// Reads `50.00`, `50.5`, `50` or `0.05`: digits, then perhaps a point and one or two digits.
    fn from_str(word: &str) -> Result<Self, AmountError> {
        let shown = || word.escape_default().to_string();
        if word.starts_with(['-', '+']) {
            return Err(AmountError::Signed { word: shown() });
        }
        let (whole, decimals) = match word.split_once('.') {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (word, None),
        };
        if !is_digits(whole) || !decimals.is_none_or(is_digits) {
            return Err(AmountError::NotANumber { word: shown() });
        }
        let decimals = decimals.unwrap_or("0");
        let hundredths = match decimals.as_bytes() {
            [tenth] => u64::from(tenth - b'0') * 10,
            [tenth, hundredth] => u64::from(tenth - b'0') * 10 + u64::from(hundredth - b'0'),
            more => return Err(AmountError::TooManyDecimals { word: shown(), decimals: more.len() }),
        };
        // Nothing but digits is left, so that only size can make this fail.
        let whole = whole.parse::<u64>().ok().and_then(|units| units.checked_mul(100));
        let cents = whole.and_then(|cents| cents.checked_add(hundredths));
        cents.map(Cents).ok_or_else(|| AmountError::TooLarge { word: shown() })
    }
}

/// People read `"50.00"`, machines the number of cents.
impl Serialize for Cents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Cents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Cents)
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_units_tenths_and_hundredths_are_amounts() {
        let read = |word: &str| word.parse::<Cents>().map(Cents::as_u64);
        assert_eq!(read("50.00"), Ok(5000));
        assert_eq!(read("50"), Ok(5000));
        assert_eq!(read("50.5"), Ok(5050));
        assert_eq!(read("0.05"), Ok(5));
        assert_eq!(read("0"), Ok(0));
        assert_eq!(read("007.10"), Ok(710));
        assert_eq!(read("184467440737095516.15"), Ok(u64::MAX));
    }

    #[test]
    fn what_is_no_whole_number_of_cents_is_refused_with_its_reason() {
        let read = |word: &str| word.parse::<Cents>();
        assert!(matches!(read("-5"), Err(AmountError::Signed { .. })));
        assert!(matches!(read("+5"), Err(AmountError::Signed { .. })));
        assert!(matches!(read("1.234"), Err(AmountError::TooManyDecimals { decimals: 3, .. })));
        assert!(matches!(read("184467440737095516.16"), Err(AmountError::TooLarge { .. })));
        assert!(matches!(read("184467440737095517"), Err(AmountError::TooLarge { .. })));
        assert!(matches!(read("99999999999999999999999"), Err(AmountError::TooLarge { .. })));
        for word in ["", ".", "5.", ".5", "1,000", "1.2.3", "1e3", "0x10", "NaN", "٣", " 5", "1.-2"] {
            assert!(matches!(read(word), Err(AmountError::NotANumber { .. })), "{word:?}");
        }
    }

    #[test]
    fn a_refused_word_cannot_speak_to_the_terminal() {
        let Err(error) = "\u{1b}[2J".parse::<Cents>() else { panic!("an escape is no amount") };
        assert!(!error.to_string().contains('\u{1b}'));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_the_same(cents: u64) {
            let amount = Cents::new(cents);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
            let json = serde_json::to_string(&amount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cents>(&json).unwrap(), amount);
            let bytes = postcard::to_allocvec(&amount).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Cents>(&bytes).unwrap(), amount);
        }

        #[test]
        fn no_word_panics(word: String) {
            let _ = word.parse::<Cents>();
        }

        #[test]
        fn sums_and_differences_are_exact_or_absent(a: u64, b: u64) {
            let (x, y) = (Cents::new(a), Cents::new(b));
            let wide = u128::from(a) + u128::from(b);
            prop_assert_eq!(x.checked_add(y).map(|s| u128::from(s.as_u64())), (wide <= u64::MAX.into()).then_some(wide));
            prop_assert_eq!(x.checked_sub(y).is_some(), a >= b);
            if let Some(rest) = x.checked_sub(y) {
                prop_assert_eq!(rest.checked_add(y), Some(x));
            }
        }
    }
}
