//! The batches that lie one after another in a stretch of bytes.

use bytes::Bytes;

use super::checked::check_crc;
use super::error::BatchError;
use super::header::{BatchHeader, HEADER_BYTES};
use super::position::{LeaderEpoch, Offset};

/// One whole batch of a log, with its header read. Its CRC has not been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Its header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes after the header; compressed, if the header says so.
    pub fn records(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// Offset of its first record.
    pub fn base_offset(&self) -> Offset {
        Offset::new(self.header.base_offset)
    }

    /// Offset after its last record.
    pub fn end_offset(&self) -> Offset {
        self.base_offset().plus(self.header.last_offset_delta.max(0).unsigned_abs().saturating_add(1))
    }

    /// Leader epoch under which it was appended; `None` if none was written.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        LeaderEpoch::from_wire(self.header.leader_epoch)
    }

    /// Compares its CRC-32C with its bytes.
    ///
    /// # Errors
    /// [`BatchError::Crc`].
    pub fn check_crc(&self) -> Result<(), BatchError> {
        check_crc(&self.header, &self.bytes)
    }
}

/// Walks a stretch of whole batches. Slices, never copies. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// Begins at the first byte of `run`.
    pub fn new(run: Bytes) -> Self {
        Self { rest: run }
    }

    fn take(&mut self) -> Result<Batch, BatchError> {
        let header = BatchHeader::parse(&self.rest)?;
        let (needed, found) = (header.size(), self.rest.len());
        let size = usize::try_from(needed).ok().filter(|size| *size <= found);
        let size = size.ok_or(BatchError::CutOff { needed, found })?;
        Ok(Batch { header, bytes: self.rest.split_to(size) })
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = self.take();
        if batch.is_err() {
            self.rest.clear();
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::sample::{self, Sample};

    #[test]
    fn batches_come_in_order_and_a_cut_one_ends_the_walk() {
        let one = sample::batch(&Sample { base_offset: 10, ..Sample::default() });
        let two = sample::batch(&Sample { base_offset: 13, epoch: 4, ..Sample::default() });
        let run: Bytes = [&one[..], &two[..], &one[..30]].concat().into();
        let mut walk = Batches::new(run);
        let first = walk.next().expect("one").expect("whole");
        assert_eq!((first.base_offset(), first.end_offset()), (Offset::new(10), Offset::new(13)));
        assert_eq!(first.leader_epoch(), None);
        assert_eq!(first.check_crc(), Ok(()));
        let second = walk.next().expect("two").expect("whole");
        assert_eq!(second.bytes(), &two);
        assert_eq!(second.leader_epoch(), LeaderEpoch::from_wire(4));
        assert_eq!(walk.next(), Some(Err(BatchError::CutOff { needed: 61, found: 30 })));
        assert_eq!(walk.next(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end_the_walk_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let count = Batches::new(bytes.into()).filter(|batch| batch.is_ok()).count();
            prop_assert!(count <= 400 / HEADER_BYTES);
        }
    }
}
