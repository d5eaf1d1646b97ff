//! What can be wrong with the bytes of a record batch.

/// Why bytes are not a batch that may enter a log, or be read from one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// There is no batch at all.
    #[error("no record batch was sent; send exactly one for each partition")]
    Missing,
    /// Fewer bytes than a header has, or than the header says.
    #[error("the record batch is cut off: {needed} bytes are needed and {found} are there")]
    CutOff {
        /// How many bytes the batch needs.
        needed: u64,
        /// How many there are.
        found: usize,
    },
    /// The length field says less than a header has.
    #[error(
        "the record batch says it has {declared} bytes after its length field: a header alone has {least}"
    )]
    Length {
        /// What the length field holds.
        declared: i32,
        /// The smallest legal value.
        least: i32,
    },
    /// More bytes follow after the first batch.
    #[error("{extra} bytes follow the first record batch; send exactly one batch for each partition")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// Not format version 2.
    #[error("record batch format {found} is not served: use format 2 (clients of Kafka 0.11 and later do)")]
    Magic {
        /// The version found.
        found: i8,
    },
    /// The checksum disagrees.
    #[error(
        "the record batch was damaged on its way: CRC-32C {computed:#010x}, the header says {stored:#010x}"
    )]
    Crc {
        /// What the header says.
        stored: u32,
        /// What the bytes add up to.
        computed: u32,
    },
    /// Count and last offset delta disagree, or there is no record.
    #[error("the record batch says {records} records and last offset delta {last_offset_delta}")]
    Count {
        /// The record count of the header.
        records: i32,
        /// The last offset delta of the header; must be one less, and the count positive.
        last_offset_delta: i32,
    },
    /// The records of an uncompressed batch do not agree with its header.
    #[error("record {position} of the batch does not agree with the batch's header")]
    Records {
        /// The position in the batch, from 0.
        position: u32,
    },
    /// Only brokers write control batches.
    #[error("control batches are not accepted from clients")]
    Control,
    /// The batch belongs to a transaction.
    #[error("transactions are not supported")]
    Transactional,
    /// The attributes hold something that only a broker writes.
    #[error("the batch's attributes {attributes:#06x} hold a bit that only brokers set")]
    Attributes {
        /// The attributes.
        attributes: i16,
    },
    /// The batch claims a broker's timestamp.
    #[error("the batch claims log append time, which only a broker may set")]
    LogAppendTime,
    /// An unknown compression codec.
    #[error("compression codec {codec} is unknown; 0 to 4 are none, gzip, snappy, lz4 and zstd")]
    Codec {
        /// The number.
        codec: u8,
    },
    /// The client's protocol version is too old for zstd (KIP-110).
    #[error("zstd needs Produce version 7 or later")]
    ZstdTooEarly,
    /// A producer id without a legal epoch and sequence.
    #[error("producer {producer_id} sent epoch {epoch} and sequence {sequence}; neither may be negative")]
    Sequence {
        /// The producer.
        producer_id: i64,
        /// Its epoch.
        epoch: i16,
        /// The base sequence.
        sequence: i32,
    },
    /// Larger than allowed.
    #[error("the record batch has {size} bytes, and {limit} are allowed; send fewer records at once")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The largest allowed, inclusive, in bytes.
        limit: usize,
    },
}
