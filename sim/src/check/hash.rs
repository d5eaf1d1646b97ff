//! A 128-bit hash of states, the same on every machine and in every run.
//!
//! MurmurHash3's mixing (Appleby 2011), with every word fed to both halves, so that no word of a state is lost between
//! them. States that share a hash are taken for one: among ten million states, two different ones do so with a
//! probability below 10^-24. It does not defend against inputs chosen to collide; nobody chooses them here.

use std::hash::{BuildHasherDefault, Hasher};

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// A hasher that yields 128 bits.
#[derive(Clone, Copy, Default)]
pub(super) struct Hasher128 {
    upper: u64,
    lower: u64,
}

impl Hasher128 {
    /// Takes in one word.
    pub(super) fn word(&mut self, word: u64) {
        self.upper ^= word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
        self.upper =
            self.upper.rotate_left(27).wrapping_add(self.lower).wrapping_mul(5).wrapping_add(0x52dc_e729);
        self.lower ^= word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
        self.lower =
            self.lower.rotate_left(31).wrapping_add(self.upper).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }

    /// All 128 bits.
    pub(super) fn finish128(&self) -> u128 {
        let upper = spread(self.upper.wrapping_add(self.lower));
        let lower = spread(self.lower.wrapping_add(upper));
        u128::from(upper.wrapping_add(lower)) << 64 | u128::from(lower)
    }
}

/// Lets every bit decide over every other.
fn spread(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

impl Hasher for Hasher128 {
    fn finish(&self) -> u64 {
        self.finish128() as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }

    fn write_u8(&mut self, x: u8) {
        self.word(u64::from(x));
    }

    fn write_u32(&mut self, x: u32) {
        self.word(u64::from(x));
    }

    fn write_u64(&mut self, x: u64) {
        self.word(x);
    }

    fn write_usize(&mut self, x: usize) {
        self.word(x as u64);
    }

    fn write_isize(&mut self, x: isize) {
        self.word(x as u64);
    }
}

/// A map whose order of iteration nobody may rely on, but whose speed everybody does.
pub(super) type FastMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Hasher128>>;

/// The set of states that were seen, by their hashes: open addressing in one table of 16 bytes a slot.
pub(super) struct SeenSet {
    slots: Vec<u128>,
    len: usize,
}

impl SeenSet {
    pub(super) fn new() -> Self {
        Self { slots: vec![0; 1 << 16], len: 0 }
    }

    /// Adds a hash. Says whether it is new.
    pub(super) fn insert(&mut self, hash: u128) -> bool {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            let bigger = vec![0; self.slots.len() * 2];
            for old in std::mem::replace(&mut self.slots, bigger).into_iter().filter(|old| *old != 0) {
                let at = self.find(old);
                self.slots[at] = old;
            }
        }
        let hash = hash.max(1); // Zero means that a slot is free.
        let at = self.find(hash);
        let is_new = self.slots[at] == 0;
        if is_new {
            self.slots[at] = hash;
            self.len += 1;
        }
        is_new
    }

    /// Where it is, or the free slot where it belongs. One in four slots is free, so the search ends.
    fn find(&self, hash: u128) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != 0 && self.slots[at] != hash {
            at = (at + 1) & mask;
        }
        at
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u128>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_what_was_put_in_and_nothing_else() {
        let mut set = SeenSet::new();
        let hash = |n: u64| {
            let mut hasher = Hasher128::default();
            hasher.word(n);
            hasher.finish128()
        };
        for n in 0..200_000 {
            assert!(set.insert(hash(n)), "{n} is new");
        }
        for n in 0..200_000 {
            assert!(!set.insert(hash(n)), "{n} is known");
        }
        assert!(set.insert(0), "a hash of zero is as good as any other");
        assert!(!set.insert(0));
    }

    #[test]
    fn every_word_and_its_place_decide_the_hash() {
        let hash = |words: &[u64]| {
            let mut hasher = Hasher128::default();
            words.iter().for_each(|word| hasher.word(*word));
            hasher.finish128()
        };
        let all = [vec![], vec![0], vec![0, 0], vec![1, 0], vec![0, 1], vec![1, 1], vec![1]];
        let hashes: std::collections::BTreeSet<u128> = all.iter().map(|words| hash(words)).collect();
        // An empty list and a list of one zero are told apart as well.
        assert_eq!(hashes.len(), all.len());
    }
}
