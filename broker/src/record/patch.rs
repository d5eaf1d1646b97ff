//! Offset and leader epoch, written into a batch that is about to be appended.
//!
//! Both lie outside the CRC, so the batch stays valid and its payload untouched: 12 bytes change.

use bytes::{Bytes, BytesMut};

use super::header::{EPOCH_AT, HEADER_BYTES};
use super::position::{LeaderEpoch, Offset};

/// Writes `base_offset` and `epoch` into the batch. In place if nobody else holds the bytes; otherwise they are copied
/// once. `None` if `batch` is shorter than a header.
pub fn patch(batch: Bytes, base_offset: Offset, epoch: LeaderEpoch) -> Option<Bytes> {
    if batch.len() < HEADER_BYTES {
        return None;
    }
    let mut batch = BytesMut::from(batch);
    batch[..8].copy_from_slice(&base_offset.as_i64().to_be_bytes());
    batch[EPOCH_AT..EPOCH_AT + 4].copy_from_slice(&epoch.as_i32().to_be_bytes());
    Some(batch.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample::{self, Sample};
    use crate::record::{BatchHeader, CheckedBatch, DEFAULT_MAX_BATCH_BYTES};

    fn epoch(epoch: i32) -> LeaderEpoch {
        LeaderEpoch::from_wire(epoch).expect("not negative")
    }

    #[test]
    fn twelve_bytes_change_and_the_batch_stays_valid() {
        let before = sample::batch(&Sample::default());
        let after = patch(before.clone(), Offset::new(1 << 40), epoch(77)).expect("a whole header");
        let header = BatchHeader::parse(&after).expect("a header");
        assert_eq!((header.base_offset, header.leader_epoch), (1 << 40, 77));
        assert_eq!(after[8..12], before[8..12]);
        assert_eq!(after[16..], before[16..]);
        assert!(CheckedBatch::parse(after, DEFAULT_MAX_BATCH_BYTES).is_ok());
    }

    #[test]
    fn a_slice_of_a_frame_that_nobody_else_holds_is_patched_in_place() {
        let batch = sample::batch(&Sample::default());
        let mut frame = BytesMut::from(&b"request"[..]);
        frame.extend_from_slice(&batch);
        let records = frame.freeze().slice(7..);
        let place = records.as_ptr();
        let patched = patch(records, Offset::new(5), epoch(1)).expect("a whole header");
        assert_eq!(patched.as_ptr(), place);
    }

    #[test]
    fn bytes_that_others_hold_are_left_as_they_are() {
        let held = sample::batch(&Sample::default());
        let before = held.to_vec();
        let patched = patch(held.clone(), Offset::new(5), epoch(1)).expect("a whole header");
        assert_eq!(held, before);
        assert_ne!(patched, before);
    }

    #[test]
    fn too_few_bytes_are_not_patched() {
        assert_eq!(patch(Bytes::from_static(&[0; HEADER_BYTES - 1]), Offset::ZERO, epoch(0)), None);
    }
}
