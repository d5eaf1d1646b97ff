//! What a client's batch must satisfy before it may enter a log.
//!
//! Kafka's `LogValidator` without decompression: exactly one batch, format 2, its CRC, its counts, its flags. The
//! records of an uncompressed batch are walked too, because a batch whose count lies would stop every consumer at
//! its offset for ever. Those of a compressed one are taken as they are, as Redpanda does.

use bytes::Bytes;

use super::error::BatchError;
use super::header::{BatchHeader, CRC_FROM, Compression, HEADER_BYTES};
use super::walk::Records;

/// One whole batch from a client, checked, with the bytes exactly as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl CheckedBatch {
    /// Checks that `bytes` are exactly one batch that a client may send, at most `max_bytes` (inclusive) long.
    /// Takes the bytes over without a copy; base offset and leader epoch in them mean nothing yet.
    ///
    /// # Errors
    /// See [`BatchError`]. Size is judged first, so that nobody spends time on a batch that is too large.
    pub fn parse(bytes: Bytes, max_bytes: usize) -> Result<Self, BatchError> {
        if bytes.is_empty() {
            return Err(BatchError::Missing);
        }
        let header = BatchHeader::parse(&bytes)?;
        let size = whole_size(&header, bytes.len())?;
        if size > max_bytes {
            return Err(BatchError::TooLarge { size, limit: max_bytes });
        }
        if bytes.len() > size {
            return Err(BatchError::Trailing { extra: bytes.len() - size });
        }
        check_crc(&header, &bytes)?;
        check_flags(&header)?;
        check_producer(&header)?;
        check_counts(&header, &bytes)?;
        Ok(Self { header, bytes })
    }

    /// Its header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Gives up the bytes as they came.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

fn whole_size(header: &BatchHeader, found: usize) -> Result<usize, BatchError> {
    let needed = header.size();
    usize::try_from(needed).ok().filter(|size| *size <= found).ok_or(BatchError::CutOff { needed, found })
}

pub(crate) fn check_crc(header: &BatchHeader, bytes: &[u8]) -> Result<(), BatchError> {
    let computed = crc32c::crc32c(bytes.get(CRC_FROM..).unwrap_or_default());
    if computed != header.crc {
        return Err(BatchError::Crc { stored: header.crc, computed });
    }
    Ok(())
}

fn check_flags(header: &BatchHeader) -> Result<(), BatchError> {
    header.compression()?;
    if header.is_control() {
        return Err(BatchError::Control);
    }
    if header.is_transactional() {
        return Err(BatchError::Transactional);
    }
    if header.is_log_append_time() {
        return Err(BatchError::LogAppendTime);
    }
    if header.has_delete_horizon() {
        return Err(BatchError::Attributes { attributes: header.attributes });
    }
    Ok(())
}

fn check_producer(header: &BatchHeader) -> Result<(), BatchError> {
    let BatchHeader { producer_id, producer_epoch: epoch, base_sequence: sequence, .. } = *header;
    if producer_id >= 0 && (epoch < 0 || sequence < 0) {
        return Err(BatchError::Sequence { producer_id, epoch, sequence });
    }
    Ok(())
}

fn check_counts(header: &BatchHeader, bytes: &[u8]) -> Result<(), BatchError> {
    let BatchHeader { record_count: records, last_offset_delta, .. } = *header;
    if records <= 0 || last_offset_delta != records - 1 {
        return Err(BatchError::Count { records, last_offset_delta });
    }
    if header.compression() != Ok(Compression::None) {
        return Ok(());
    }
    let mut walk = Records::new(bytes.get(HEADER_BYTES..).unwrap_or_default());
    for position in 0..records {
        let found = walk.next().transpose()?;
        if found.is_none_or(|record| record.offset_delta != position) {
            return Err(BatchError::Records { position: position.unsigned_abs() });
        }
    }
    if walk.has_rest() {
        return Err(BatchError::Records { position: records.unsigned_abs() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::DEFAULT_MAX_BATCH_BYTES;
    use crate::record::sample::{self, Sample};

    fn check(sample: &Sample) -> Result<CheckedBatch, BatchError> {
        CheckedBatch::parse(sample::batch(sample), DEFAULT_MAX_BATCH_BYTES)
    }

    /// The default sample with `change` made to its bytes and the CRC made right again.
    fn check_changed(change: impl FnOnce(&mut [u8])) -> Result<CheckedBatch, BatchError> {
        let mut bytes = sample::batch(&Sample::default()).to_vec();
        change(&mut bytes);
        sample::seal(&mut bytes);
        CheckedBatch::parse(bytes.into(), DEFAULT_MAX_BATCH_BYTES)
    }

    #[test]
    fn a_good_batch_is_taken_over_without_a_copy() {
        let bytes = sample::batch(&Sample::default());
        let checked = CheckedBatch::parse(bytes.clone(), bytes.len()).expect("a good batch");
        assert_eq!(checked.bytes().as_ptr(), bytes.as_ptr());
        assert_eq!(checked.header().record_count, 3);
    }

    #[test]
    fn a_batch_written_by_the_wire_crate_is_accepted() {
        let bytes = sample::by_the_wire_crate();
        let checked = CheckedBatch::parse(bytes, DEFAULT_MAX_BATCH_BYTES).expect("a good batch");
        assert_eq!(checked.header().record_count, 2);
    }

    #[test]
    fn exactly_one_batch_is_accepted() {
        assert_eq!(CheckedBatch::parse(Bytes::new(), 100), Err(BatchError::Missing));
        let one = sample::batch(&Sample::default());
        let two = [one.clone(), one.clone()].concat();
        let extra = one.len();
        let refused = CheckedBatch::parse(two.into(), DEFAULT_MAX_BATCH_BYTES);
        assert_eq!(refused, Err(BatchError::Trailing { extra }));
        let cut = one.slice(..one.len() - 1);
        let refused = CheckedBatch::parse(cut, DEFAULT_MAX_BATCH_BYTES);
        assert_eq!(refused, Err(BatchError::CutOff { needed: extra as u64, found: extra - 1 }));
    }

    #[test]
    fn a_batch_larger_than_allowed_is_refused_by_its_size() {
        let bytes = sample::batch(&Sample::default());
        let size = bytes.len();
        let refused = CheckedBatch::parse(bytes, size - 1);
        assert_eq!(refused, Err(BatchError::TooLarge { size, limit: size - 1 }));
    }

    #[test]
    fn flags_that_only_brokers_set_are_refused() {
        let with = |attributes| check(&Sample { attributes, ..Sample::default() });
        assert_eq!(with(1 << 5), Err(BatchError::Control));
        assert_eq!(with(1 << 4), Err(BatchError::Transactional));
        assert_eq!(with(1 << 3), Err(BatchError::LogAppendTime));
        assert_eq!(with(1 << 6), Err(BatchError::Attributes { attributes: 1 << 6 }));
        assert_eq!(with(5), Err(BatchError::Codec { codec: 5 }));
    }

    #[test]
    fn a_producer_id_needs_epoch_and_sequence() {
        let with = |producer| check(&Sample { producer, ..Sample::default() });
        assert!(with((7, 0, 0)).is_ok());
        assert!(with((-1, -1, -1)).is_ok());
        assert_eq!(with((7, 0, -1)), Err(BatchError::Sequence { producer_id: 7, epoch: 0, sequence: -1 }));
        assert_eq!(with((7, -1, 0)), Err(BatchError::Sequence { producer_id: 7, epoch: -1, sequence: 0 }));
    }

    #[test]
    fn counts_that_lie_are_refused() {
        let count = |bytes: &mut [u8], records: i32, delta: i32| {
            bytes[57..61].copy_from_slice(&records.to_be_bytes());
            bytes[23..27].copy_from_slice(&delta.to_be_bytes());
        };
        for (records, last_offset_delta) in [(0, -1), (3, 3), (-1, -2), (i32::MIN, i32::MAX)] {
            let refused = check_changed(|bytes| count(bytes, records, last_offset_delta));
            assert_eq!(refused, Err(BatchError::Count { records, last_offset_delta }));
        }
        assert_eq!(check_changed(|bytes| count(bytes, 4, 3)), Err(BatchError::Records { position: 3 }));
        assert_eq!(check_changed(|bytes| count(bytes, 2, 1)), Err(BatchError::Records { position: 2 }));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_inside_the_crc_is_found(at in CRC_FROM * 8..61 * 8 + 30) {
            let mut bytes = sample::batch(&Sample::default()).to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            let refused = CheckedBatch::parse(bytes.into(), DEFAULT_MAX_BATCH_BYTES);
            let found = matches!(refused, Err(BatchError::Crc { .. }));
            prop_assert!(found);
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            sealed in any::<bool>(),
        ) {
            let mut bytes = bytes;
            if sealed && bytes.len() >= HEADER_BYTES {
                bytes[16] = 2;
                let length = (bytes.len() - 12) as i32;
                bytes[8..12].copy_from_slice(&length.to_be_bytes());
                sample::seal(&mut bytes);
            }
            let _ = CheckedBatch::parse(bytes.into(), DEFAULT_MAX_BATCH_BYTES);
        }
    }
}
