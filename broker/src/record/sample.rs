//! Batches for tests, built byte by byte and independently of what they test.

use bytes::{Bytes, BytesMut};

use super::header::CRC_FROM;

/// What a batch for a test should be.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) base_offset: i64,
    pub(crate) epoch: i32,
    pub(crate) attributes: i16,
    /// Producer id, epoch and base sequence.
    pub(crate) producer: (i64, i16, i32),
    /// One record for each.
    pub(crate) timestamps: Vec<i64>,
    /// The value of each record.
    pub(crate) value: Vec<u8>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            base_offset: 0,
            epoch: -1,
            attributes: 0,
            producer: (-1, -1, -1),
            timestamps: vec![1_000, 1_001, 1_002],
            value: b"value".to_vec(),
        }
    }
}

/// Builds it. The records are written uncompressed, whatever the attributes say.
pub(crate) fn batch(sample: &Sample) -> Bytes {
    let base_timestamp = sample.timestamps.first().copied().unwrap_or(0);
    let max_timestamp = sample.timestamps.iter().copied().max().unwrap_or(0);
    let count = sample.timestamps.len() as i32;
    let mut bytes = Vec::new();
    bytes.extend(sample.base_offset.to_be_bytes());
    bytes.extend(0i32.to_be_bytes());
    bytes.extend(sample.epoch.to_be_bytes());
    bytes.push(2);
    bytes.extend(0u32.to_be_bytes());
    bytes.extend(sample.attributes.to_be_bytes());
    bytes.extend((count - 1).to_be_bytes());
    bytes.extend(base_timestamp.to_be_bytes());
    bytes.extend(max_timestamp.to_be_bytes());
    bytes.extend(sample.producer.0.to_be_bytes());
    bytes.extend(sample.producer.1.to_be_bytes());
    bytes.extend(sample.producer.2.to_be_bytes());
    bytes.extend(count.to_be_bytes());
    for (delta, timestamp) in sample.timestamps.iter().enumerate() {
        let mut record = vec![0];
        zigzag(&mut record, timestamp - base_timestamp);
        zigzag(&mut record, delta as i64);
        zigzag(&mut record, -1);
        zigzag(&mut record, sample.value.len() as i64);
        record.extend(&sample.value);
        zigzag(&mut record, 0);
        zigzag(&mut bytes, record.len() as i64);
        bytes.extend(record);
    }
    seal(&mut bytes);
    bytes.into()
}

/// Makes length and CRC right.
pub(crate) fn seal(bytes: &mut [u8]) {
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// A batch of two records as an independent encoder writes it.
pub(crate) fn by_the_wire_crate() -> Bytes {
    use kafka_protocol::records::{
        Compression, NO_PARTITION_LEADER_EPOCH, Record, RecordBatchEncoder, RecordEncodeOptions,
        TimestampType,
    };
    let record = |offset: i64| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: 9,
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: offset as i32,
        timestamp: 1_700_000_000_000 + offset,
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::from_static(b"value")),
        headers: Default::default(),
    };
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, [&record(0), &record(1)], &options).expect("the crate encodes it");
    bytes.freeze()
}

fn zigzag(bytes: &mut Vec<u8>, number: i64) {
    let mut raw = ((number << 1) ^ (number >> 63)) as u64;
    while raw >= 0x80 {
        bytes.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    bytes.push(raw as u8);
}
