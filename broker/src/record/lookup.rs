//! Records of one batch found by their time.
//!
//! An uncompressed batch is walked record by record. A compressed one is not opened, and answers as a whole:
//! - the first record at or after a time is said to be the batch's *first* one. The answer may be early by less than
//!   a batch, and is never late: a consumer that starts there misses nothing;
//! - the newest record is said to be the batch's *last* one, as Kafka itself long did.
//!
//! *Invariant:* an answer lies inside the batch.

use super::header::Compression;
use super::position::{LeaderEpoch, Offset};
use super::run::Batch;
use super::walk::Records;

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp, in ms since 1970.
    pub timestamp_ms: i64,
    /// Leader epoch under which it was appended.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// Finds the first record of `batch` whose timestamp is `timestamp_ms` or later. `None` if the batch has none.
pub fn first_at_or_after(batch: &Batch, timestamp_ms: i64) -> Option<Located> {
    let header = batch.header();
    if header.max_timestamp < timestamp_ms {
        return None;
    }
    let whole = located(batch, 0, header.base_timestamp);
    if header.compression() != Ok(Compression::None) || header.is_log_append_time() {
        return Some(whole);
    }
    let mut times = record_times(batch);
    Some(times.find(|found| found.timestamp_ms >= timestamp_ms).unwrap_or(whole))
}

/// Finds the record of `batch` with its largest timestamp, the first of them if there are several.
pub fn newest(batch: &Batch) -> Located {
    let header = batch.header();
    let last = located(batch, header.last_offset_delta, header.max_timestamp);
    if header.compression() != Ok(Compression::None) || header.is_log_append_time() {
        return last;
    }
    record_times(batch).find(|found| found.timestamp_ms >= header.max_timestamp).unwrap_or(last)
}

fn record_times(batch: &Batch) -> impl Iterator<Item = Located> + '_ {
    let base = batch.header().base_timestamp;
    Records::new(batch.records())
        .map_while(Result::ok)
        .map(move |record| located(batch, record.offset_delta, base.saturating_add(record.timestamp_delta)))
}

fn located(batch: &Batch, delta: i32, timestamp_ms: i64) -> Located {
    let last = batch.header().last_offset_delta.max(0);
    let offset = batch.base_offset().plus(delta.clamp(0, last).unsigned_abs());
    Located { offset, timestamp_ms, leader_epoch: batch.leader_epoch() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Batches;
    use crate::record::sample::{self, Sample};

    fn batch(attributes: i16) -> Batch {
        let timestamps = vec![100, 300, 200, 300];
        let sample = Sample { base_offset: 50, epoch: 3, attributes, timestamps, ..Sample::default() };
        let mut run = Batches::new(sample::batch(&sample));
        run.next().expect("one").expect("whole")
    }

    fn at(offset: i64, timestamp_ms: i64) -> Located {
        Located { offset: Offset::new(offset), timestamp_ms, leader_epoch: LeaderEpoch::from_wire(3) }
    }

    #[test]
    fn in_an_uncompressed_batch_the_exact_record_is_found() {
        assert_eq!(first_at_or_after(&batch(0), 0), Some(at(50, 100)));
        assert_eq!(first_at_or_after(&batch(0), 101), Some(at(51, 300)));
        assert_eq!(first_at_or_after(&batch(0), 300), Some(at(51, 300)));
        assert_eq!(first_at_or_after(&batch(0), 301), None);
        assert_eq!(newest(&batch(0)), at(51, 300));
    }

    #[test]
    fn a_compressed_batch_answers_as_a_whole_and_never_too_late() {
        assert_eq!(first_at_or_after(&batch(4), 250), Some(at(50, 100)));
        assert_eq!(first_at_or_after(&batch(4), 301), None);
        assert_eq!(newest(&batch(4)), at(53, 300));
    }
}
