//! Logs in memory that keep their own copy of every payload, and only the newest entries.
//!
//! A library that wants entries as values of its own type gets a [`Log`]: payloads are slices of shared blocks, the
//! cheapest form in which they can be handed out again without a copy. raft-core never sees a payload, so its host may
//! keep them as plain bytes in a [`Ring`]; it is measured with that and with a [`Log`]. Both copy each payload once and
//! drop the oldest entry for each new one.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::work::PAYLOAD;

/// Entries that a log keeps. Older ones are long applied everywhere and are dropped, one for one, so that memory
/// neither grows nor has to be found anew during a run.
pub const KEPT: usize = 2_048;

/// Payloads are copied into blocks of so many bytes: an allocation for each block, not for each payload.
const BLOCK: usize = 64 << 10;

/// The entries `first..=last` of one node.
#[derive(Debug)]
pub struct Log<E> {
    first: u64,
    entries: VecDeque<E>,
    block: BytesMut,
}

impl<E> Default for Log<E> {
    /// Empty; the first entry will have index 1.
    fn default() -> Self {
        Self::starting_at(1)
    }
}

impl<E> Log<E> {
    /// Empty; the first entry will have index `first`.
    pub fn starting_at(first: u64) -> Self {
        Self { first, entries: VecDeque::new(), block: BytesMut::new() }
    }

    /// This log's own copy of a payload, for the entry pushed next.
    pub fn keep(&mut self, payload: &[u8]) -> Bytes {
        if self.block.capacity() < payload.len() {
            self.block = BytesMut::with_capacity(BLOCK.max(payload.len()));
        }
        self.block.extend_from_slice(payload);
        self.block.split().freeze()
    }

    /// Appends an entry, and drops the oldest when the log is full.
    pub fn push(&mut self, entry: E) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(entry);
    }

    /// Drops the entries from `index` on, inclusive.
    pub fn truncate_from(&mut self, index: u64) {
        self.entries.truncate(index.saturating_sub(self.first) as usize);
    }

    /// The first index kept.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The index of the entry pushed next.
    pub fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The entry at `index`, when it is kept.
    pub fn get(&self, index: u64) -> Option<&E> {
        self.entries.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// The entries of `indexes`, the end exclusive.
    ///
    /// # Panics
    /// When one of them is not kept.
    pub fn range(&self, indexes: Range<u64>) -> impl ExactSizeIterator<Item = &E> {
        self.entries.range((indexes.start - self.first) as usize..(indexes.end - self.first) as usize)
    }
}

/// A log as plain bytes, for a host that moves them itself: a ring of [`KEPT`] places of [`PAYLOAD`] bytes.
#[derive(Debug)]
pub struct Ring {
    next: u64,
    places: Box<[Place; KEPT]>,
    bytes: Box<[[u8; PAYLOAD]]>,
}

/// What a place of a [`Ring`] holds.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    term: u64,
    length: u32,
}

impl Default for Ring {
    /// Empty; the first entry will have index 1.
    fn default() -> Self {
        let places = vec![Place::default(); KEPT].try_into().expect("as many places");
        Self { next: 1, places, bytes: vec![[0; PAYLOAD]; KEPT].into() }
    }
}

/// What a host of raft-core needs of its log. Indexes begin at 1.
pub trait Payloads: Default {
    /// Appends an entry: a copy of `payload`. Drops the oldest when the log is full.
    fn push(&mut self, term: u64, payload: &[u8]);

    /// Drops the entries from `index` on, inclusive.
    fn truncate_from(&mut self, index: u64);

    /// The index of the entry pushed next.
    fn next(&self) -> u64;

    /// The term and the payload of the entry at `index`, which must be among the newest [`KEPT`].
    fn get(&self, index: u64) -> (u64, &[u8]);
}

impl Payloads for Ring {
    /// `payload` has at most [`PAYLOAD`] bytes.
    fn push(&mut self, term: u64, payload: &[u8]) {
        let at = self.next as usize % KEPT;
        self.bytes[at][..payload.len()].copy_from_slice(payload);
        self.places[at] = Place { term, length: payload.len() as u32 };
        self.next += 1;
    }

    fn truncate_from(&mut self, index: u64) {
        self.next = self.next.min(index);
    }

    fn next(&self) -> u64 {
        self.next
    }

    fn get(&self, index: u64) -> (u64, &[u8]) {
        let at = index as usize % KEPT;
        let Place { term, length } = self.places[at];
        (term, &self.bytes[at][..length as usize])
    }
}

/// An entry of raft-core in a [`Log`]: the least that the others' entries hold, too.
#[derive(Debug)]
pub struct Held {
    term: u64,
    payload: Bytes,
}

impl Payloads for Log<Held> {
    fn push(&mut self, term: u64, payload: &[u8]) {
        let payload = self.keep(payload);
        Log::push(self, Held { term, payload });
    }

    fn truncate_from(&mut self, index: u64) {
        Log::truncate_from(self, index);
    }

    fn next(&self) -> u64 {
        Log::next(self)
    }

    fn get(&self, index: u64) -> (u64, &[u8]) {
        let held = Log::get(self, index).expect("an entry that is kept");
        (held.term, &held.payload)
    }
}
