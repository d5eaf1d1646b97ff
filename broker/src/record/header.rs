//! The 61 bytes before the records of a batch.
//!
//! | field | type | at | inside the CRC |
//! |---|---|---|---|
//! | base offset | i64 | 0 | no |
//! | batch length (bytes after this field) | i32 | 8 | no |
//! | partition leader epoch | i32 | 12 | no |
//! | magic (2) | i8 | 16 | no |
//! | CRC-32C of bytes 21 to the end | u32 | 17 | |
//! | attributes | i16 | 21 | yes |
//! | last offset delta | i32 | 23 | yes |
//! | base timestamp, ms | i64 | 27 | yes |
//! | max timestamp, ms | i64 | 35 | yes |
//! | producer id | i64 | 43 | yes |
//! | producer epoch | i16 | 51 | yes |
//! | base sequence | i32 | 53 | yes |
//! | record count | i32 | 57 | yes |
//!
//! Source: apache/kafka, `DefaultRecordBatch`. *Invariant:* a parsed header has magic 2 and a length of at least a
//! header; nothing else about it is checked here.

use bytes::Buf;

use super::error::BatchError;

/// Bytes before the records.
pub const HEADER_BYTES: usize = 61;
/// The one format version served.
pub const MAGIC: i8 = 2;
/// Bytes before and including the length field, which it does not count.
pub(crate) const BEFORE_LENGTH_END: usize = 12;
/// Where the leader epoch lies.
pub(crate) const EPOCH_AT: usize = 12;
/// Where the bytes that the CRC covers begin.
pub(crate) const CRC_FROM: usize = 21;

const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd; known to clients from Produce 7 and Fetch 10 on.
    Zstd,
}

/// The header of a batch, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes that follow the length field: at least 49.
    pub batch_length: i32,
    /// Leader epoch under which it was appended; -1 from clients.
    pub leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: i16,
    /// Offset of the last record less `base_offset`.
    pub last_offset_delta: i32,
    /// Timestamp that the records' deltas add to, in ms since 1970.
    pub base_timestamp: i64,
    /// Largest timestamp of its records, in ms since 1970.
    pub max_timestamp: i64,
    /// Who produced it; -1 without idempotence.
    pub producer_id: i64,
    /// Epoch of the producer.
    pub producer_epoch: i16,
    /// Sequence number of the first record; -1 without idempotence.
    pub base_sequence: i32,
    /// How many records.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header that `bytes` begin with. Does not look at the CRC or at anything after the header.
    ///
    /// # Errors
    /// [`BatchError::CutOff`], [`BatchError::Magic`], [`BatchError::Length`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // The magic lies at the same place in all format versions: tell an old format from damage first.
        if let Some(&magic) = bytes.get(16)
            && magic as i8 != MAGIC
        {
            return Err(BatchError::Magic { found: magic as i8 });
        }
        let Some(mut rest) = bytes.get(..HEADER_BYTES) else {
            return Err(BatchError::CutOff { needed: HEADER_BYTES as u64, found: bytes.len() });
        };
        let base_offset = rest.get_i64();
        let batch_length = rest.get_i32();
        let leader_epoch = rest.get_i32();
        rest.advance(1);
        let header = Self {
            base_offset,
            batch_length,
            leader_epoch,
            crc: rest.get_u32(),
            attributes: rest.get_i16(),
            last_offset_delta: rest.get_i32(),
            base_timestamp: rest.get_i64(),
            max_timestamp: rest.get_i64(),
            producer_id: rest.get_i64(),
            producer_epoch: rest.get_i16(),
            base_sequence: rest.get_i32(),
            record_count: rest.get_i32(),
        };
        let least = (HEADER_BYTES - BEFORE_LENGTH_END) as i32;
        if batch_length < least {
            return Err(BatchError::Length { declared: batch_length, least });
        }
        Ok(header)
    }

    /// Bytes of the whole batch, header and length field included: at least [`HEADER_BYTES`].
    pub fn size(&self) -> u64 {
        BEFORE_LENGTH_END as u64 + self.batch_length.unsigned_abs() as u64
    }

    /// Number of the compression codec, 0 to 7.
    pub fn codec(&self) -> u8 {
        (self.attributes & CODEC_MASK) as u8
    }

    /// How its records are compressed.
    ///
    /// # Errors
    /// [`BatchError::Codec`] for the numbers 5 to 7.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        match self.codec() {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            codec => Err(BatchError::Codec { codec }),
        }
    }

    /// Whether its timestamps were set by a broker.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it holds markers instead of records.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether its base timestamp is a delete horizon, which compaction writes.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample::{self, Sample};

    #[test]
    fn every_field_lies_where_kafka_puts_it() {
        let mut bytes = Vec::new();
        bytes.extend(0x0102_0304_0506_0708i64.to_be_bytes());
        bytes.extend(49i32.to_be_bytes());
        bytes.extend(0x1112_1314i32.to_be_bytes());
        bytes.push(2);
        bytes.extend(0x2122_2324u32.to_be_bytes());
        bytes.extend(0x0004i16.to_be_bytes());
        bytes.extend(0x3132_3334i32.to_be_bytes());
        bytes.extend(0x4142_4344_4546_4748i64.to_be_bytes());
        bytes.extend(0x5152_5354_5556_5758i64.to_be_bytes());
        bytes.extend(0x6162_6364_6566_6768i64.to_be_bytes());
        bytes.extend(0x7172i16.to_be_bytes());
        bytes.extend(0x0182_8384i32.to_be_bytes());
        bytes.extend(0x0192_9394i32.to_be_bytes());
        assert_eq!(bytes.len(), HEADER_BYTES);
        let header = BatchHeader::parse(&bytes).expect("a header");
        let expected = BatchHeader {
            base_offset: 0x0102_0304_0506_0708,
            batch_length: 49,
            leader_epoch: 0x1112_1314,
            crc: 0x2122_2324,
            attributes: 4,
            last_offset_delta: 0x3132_3334,
            base_timestamp: 0x4142_4344_4546_4748,
            max_timestamp: 0x5152_5354_5556_5758,
            producer_id: 0x6162_6364_6566_6768,
            producer_epoch: 0x7172,
            base_sequence: 0x0182_8384,
            record_count: 0x0192_9394,
        };
        assert_eq!(header, expected);
        assert_eq!(header.compression(), Ok(Compression::Zstd));
        assert_eq!(header.size(), 61);
    }

    #[test]
    fn a_header_is_refused_when_short_old_or_with_an_impossible_length() {
        let whole = sample::batch(&Sample::default());
        assert_eq!(BatchHeader::parse(&whole[..10]), Err(BatchError::CutOff { needed: 61, found: 10 }));
        let mut old = whole.to_vec();
        old[16] = 1;
        assert_eq!(BatchHeader::parse(&old), Err(BatchError::Magic { found: 1 }));
        let mut negative = whole.to_vec();
        negative[8..12].copy_from_slice(&(-1i32).to_be_bytes());
        assert_eq!(BatchHeader::parse(&negative), Err(BatchError::Length { declared: -1, least: 49 }));
    }
}
