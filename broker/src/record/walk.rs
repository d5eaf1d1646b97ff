//! The records of one uncompressed batch, as far as their positions and times go.
//!
//! Keys, values and headers of records are stepped over, not looked at. *Invariant:* the walk never reads beyond the
//! bytes it was given and ends after the first record that does not parse.

use super::error::BatchError;

/// A record's place in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its offset less the batch's base offset.
    pub(crate) offset_delta: i32,
    /// Its timestamp less the batch's base timestamp, in ms.
    pub(crate) timestamp_delta: i64,
}

/// Walks the bytes after a batch's header.
pub(crate) struct Records<'a> {
    rest: &'a [u8],
    position: u32,
}

impl<'a> Records<'a> {
    /// Begins at the first record.
    pub(crate) fn new(records: &'a [u8]) -> Self {
        Self { rest: records, position: 0 }
    }

    /// Whether bytes are left that belong to no record walked so far.
    pub(crate) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    fn record(&mut self) -> Option<Record> {
        let length = usize::try_from(varint(&mut self.rest)?).ok()?;
        let mut body = self.rest.get(..length)?;
        self.rest = &self.rest[length..];
        let (_attributes, after) = body.split_first()?;
        body = after;
        let timestamp_delta = varlong(&mut body)?;
        let offset_delta = varint(&mut body)?;
        Some(Record { offset_delta, timestamp_delta })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let position = self.position;
        self.position = position.saturating_add(1);
        let record = self.record();
        if record.is_none() {
            self.rest = &[];
        }
        Some(record.ok_or(BatchError::Records { position }))
    }
}

fn varint(bytes: &mut &[u8]) -> Option<i32> {
    let raw = u32::try_from(unsigned(bytes, 5)?).ok()?;
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

fn varlong(bytes: &mut &[u8]) -> Option<i64> {
    let raw = unsigned(bytes, 10)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// An unsigned number, seven bits a byte, lowest first.
fn unsigned(bytes: &mut &[u8], longest: u32) -> Option<u64> {
    let mut number = 0u64;
    for position in 0..longest {
        let (&byte, after) = bytes.split_first()?;
        *bytes = after;
        let bits = u64::from(byte & 0x7f);
        if position == 9 && bits > 1 {
            return None;
        }
        number |= bits << (7 * position);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::HEADER_BYTES;
    use crate::record::sample::{self, Sample};

    #[test]
    fn positions_and_times_are_read_in_order() {
        let batch = sample::batch(&Sample { timestamps: vec![1000, 900, 70_000], ..Sample::default() });
        let records: Vec<_> = Records::new(&batch[HEADER_BYTES..]).map(|r| r.expect("a record")).collect();
        let found: Vec<_> = records.iter().map(|r| (r.offset_delta, r.timestamp_delta)).collect();
        assert_eq!(found, [(0, 0), (1, -100), (2, 69_000)]);
    }

    #[test]
    fn the_extreme_numbers_are_read() {
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(varlong(&mut &longest[..]), Some(i64::MIN));
        let too_long = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(varlong(&mut &too_long[..]), None);
        assert_eq!(varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x0f][..]), Some(i32::MIN));
        assert_eq!(varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None);
        assert_eq!(varint(&mut &[0x80][..]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end_the_walk_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Records::new(&bytes).count() <= bytes.len());
        }
    }
}
