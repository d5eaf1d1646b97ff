//! `broker log dump`: the Raft log of a partition as text.
//!
//! Which group a partition is stands in the managers' log, of which every broker holds a copy in its data
//! directory: it is replayed here. Only reads, takes no lock, and prints nothing that differs between replicas with
//! the same entries: no path, no position in a file, no term or vote of the replica.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use manager::PartitionId;
use manager::metadata::{Command, Metadata};
use raft_core::GroupId;
use raft_wal::{CrcState, DumpError, DumpedEntry, EntryKind, RealFs, dump};

use super::failure::Failure;
use crate::partition::offsets_of;
use crate::record::BatchHeader;

/// Prints the log of one partition.
pub(super) fn run(data_dir: &Path, topic: &str, partition: u32, out: &mut impl Write) -> Result<(), Failure> {
    let fs = RealFs::new();
    let metadata = replay(&fs, data_dir)?;
    let group = find(&metadata, topic, partition)?;
    let entries = dump(&fs, data_dir, group).map_err(|error| match error {
        DumpError::UnknownGroup { .. } => {
            Failure::new(format!("this broker holds no replica of partition {partition} of topic '{topic}'"))
                .hint(format!("`broker topic describe {topic}` shows which brokers do"))
        }
        other => unreadable(other),
    })?;
    let mut out = io::BufWriter::new(out);
    for entry in entries {
        print(&mut out, &entry.map_err(unreadable)?)?;
    }
    out.flush()?;
    Ok(())
}

fn unreadable(error: DumpError) -> Failure {
    Failure::new(error.to_string())
}

/// The metadata that the managers' log in this directory adds up to, its uncommitted end included.
fn replay(fs: &RealFs, data_dir: &Path) -> Result<Metadata, Failure> {
    let hint = "name the directory that was given to `broker serve --data`; \
                under `broker dev --data DIR` it is one of DIR's";
    let entries = dump(fs, data_dir, GroupId::ROOT).map_err(|error| match error {
        DumpError::UnknownGroup { .. } => Failure::new("this broker never joined a cluster").hint(hint),
        other => unreadable(other).hint(hint),
    })?;
    let mut metadata = Metadata::default();
    let mut seen = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let command = match (entry.kind, entry.crc) {
            (EntryKind::Command, CrcState::Ok) => raft_net::request::open(&entry.payload),
            _ => None,
        };
        // A retried request may be in the log twice; only the first one counts.
        if let Some((request, command)) = command
            && seen.insert((request.origin, request.sequence))
            && let Some(command) = Command::decode(&command)
        {
            let _ = metadata.apply(entry.index, command);
        }
    }
    Ok(metadata)
}

fn find(metadata: &Metadata, topic: &str, partition: u32) -> Result<GroupId, Failure> {
    let Some(found) = metadata.topic(topic) else {
        return Err(Failure::new(format!("there is no topic '{topic}' as far as this broker knows"))
            .hint("`broker topic list` shows the topics there are"));
    };
    match found.partition(PartitionId::new(partition)) {
        Some(found) => Ok(found.group),
        None => {
            let last = found.partitions.len().saturating_sub(1);
            Err(Failure::new(format!("topic '{topic}' has no partition {partition}; it has 0 to {last}")))
        }
    }
}

/// One line for each entry: index, term, kind, offsets (first and last, inclusive), size in bytes, CRC.
fn print(out: &mut impl Write, entry: &DumpedEntry) -> io::Result<()> {
    let DumpedEntry { index, term, kind, payload, .. } = entry;
    let facts = (*kind == EntryKind::Batch).then(|| offsets_of(payload)).flatten();
    let offsets = facts.map_or_else(|| "-".to_owned(), |(first, last)| format!("{first}..{last}"));
    let crc = match entry.crc {
        CrcState::Ok if *kind == EntryKind::Batch && !batch_crc_holds(payload) => "BAD-BATCH".to_owned(),
        state => state.to_string(),
    };
    let bytes = payload.len();
    writeln!(out, "index={index} term={term} kind={kind} offsets={offsets} bytes={bytes} crc={crc}")
}

/// Whether the batch's own CRC-32C, which covers everything from its byte 21 on, is that of its bytes.
fn batch_crc_holds(batch: &[u8]) -> bool {
    match (BatchHeader::parse(batch), batch.get(21..)) {
        (Ok(header), Some(covered)) => header.crc == crc32c::crc32c(covered),
        _ => false,
    }
}
