//! The work that is the same for every library: a client that proposes and a state machine that applies.

use std::collections::VecDeque;

/// Bytes of one entry.
pub const PAYLOAD: usize = 256;

/// Proposes entries and takes their completions. Entry number `n` (from 1) begins with `n` as eight bytes.
#[derive(Debug)]
pub struct Client {
    buffer: [u8; PAYLOAD],
    proposed: u64,
    waiting: VecDeque<u64>,
}

impl Default for Client {
    fn default() -> Self {
        Self { buffer: [0xa5; PAYLOAD], proposed: 0, waiting: VecDeque::new() }
    }
}

impl Client {
    /// The next entry, in the buffer of a connection as it were: who wants to keep it copies it.
    pub fn propose(&mut self) -> &[u8] {
        self.proposed += 1;
        self.waiting.push_back(self.proposed);
        self.buffer[..8].copy_from_slice(&self.proposed.to_le_bytes());
        &self.buffer
    }

    /// Completes the oldest proposal with the answer of the state machine.
    ///
    /// # Panics
    /// When nothing is outstanding or the answer is not that proposal's.
    pub fn complete(&mut self, answer: u64) {
        let proposal = self.waiting.pop_front().expect("a completion without a proposal");
        assert_eq!(answer, proposal, "an answer to another proposal");
    }

    /// Proposals that are not completed.
    pub fn outstanding(&self) -> usize {
        self.waiting.len()
    }

    /// Proposals made so far.
    pub fn proposed(&self) -> u64 {
        self.proposed
    }
}

/// What the log drives: counts entries and keeps a checksum over parts of them that depends on their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    applied: u64,
    sum: u64,
}

impl Machine {
    /// Applies one entry. Answers with its number.
    ///
    /// # Panics
    /// When the entry is not the one after the last.
    pub fn apply(&mut self, payload: &[u8]) -> u64 {
        let (head, rest) = payload.split_first_chunk::<8>().expect("an entry of eight bytes or more");
        let number = u64::from_le_bytes(*head);
        self.applied += 1;
        assert_eq!(number, self.applied, "applied out of order");
        let tail = rest.last_chunk::<8>().map_or(0, |tail| u64::from_le_bytes(*tail));
        self.sum = self.sum.rotate_left(7) ^ number ^ tail;
        number
    }

    /// Entries applied so far.
    pub fn applied(&self) -> u64 {
        self.applied
    }
}

/// All of `machines` have applied the same `entries` entries.
///
/// # Panics
/// When they have not.
pub fn assert_same(machines: [&Machine; 3], entries: u64) {
    for machine in machines {
        assert_eq!(machine, machines[0], "two machines differ");
        assert_eq!(machine.applied, entries, "an entry was not applied");
    }
}
