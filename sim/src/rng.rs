//! Randomness that a seed repeats: one stream per purpose, so that a draw for the network moves no crash.
//!
//! Xoshiro256** (Blackman and Vigna) seeded by SplitMix64. Not for secrets. Invariant: the numbers of a stream
//! depend on seed, stream and the draws from that stream alone.

/// What a stream is for. Each has its own numbers under the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Which faults this seed has, and how much of each.
    Plan,
    /// Latencies, and which late frames arrive.
    Network,
    /// When faults strike and whom.
    Nemesis,
    /// What the clients ask, where and when.
    Workload,
    /// The order of events of the same moment.
    Ties,
    /// What the processes draw for themselves: boot numbers and election jitter.
    Process,
    /// Latencies and losses of the disk of one host, counted from 0.
    Disk(u64),
}

impl Stream {
    fn number(self) -> u64 {
        match self {
            Self::Plan => 1,
            Self::Network => 2,
            Self::Nemesis => 3,
            Self::Workload => 4,
            Self::Ties => 5,
            Self::Process => 6,
            Self::Disk(host) => 16 + host,
        }
    }
}

/// A generator of one stream.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The stream `stream` of `seed`, from its beginning.
    pub fn new(seed: u64, stream: Stream) -> Self {
        let mut state = mix(seed) ^ stream.number().wrapping_mul(0xd1b5_4a32_d192_ed03);
        let mut draw = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(state)
        };
        Self([draw(), draw(), draw(), draw()])
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in `[0, bound)`; zero when `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.any()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `[low, high]`, both inclusive; `low` when `high` is not above it.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Whether something happens that happens `permille` times in a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// One of the items. `None` when there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// A duration of at least `base`, rarely much longer: `base` plus a draw up to `spread`, doubled again and
    /// again with the odds of one in four.
    pub fn tailed(&mut self, base: u64, spread: u64) -> u64 {
        let doublings = (self.any().trailing_ones() / 2).min(6);
        base + (self.below(spread + 1) << doublings)
    }
}

/// Stirs a number until each bit depends on all: the finalizer of SplitMix64 (Steele et al. 2014).
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A 64-bit hash of bytes, for comparing contents and for naming histories. The same on every machine; no defence
/// against an adversary.
pub(crate) fn hash_bytes(start: u64, bytes: &[u8]) -> u64 {
    let mut hash = start ^ (bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = fold(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(fold(hash, u64::from_le_bytes(last)))
}

/// Adds a number to a running hash.
pub(crate) fn fold(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash ^ value ^ 0xa076_1d64_78bd_642f) * 0xe703_7ed1_a0b4_28db;
    (product as u64) ^ ((product >> 64) as u64) ^ value.rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_each_stream_and_streams_differ() {
        let draw = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [rng.any(), rng.any(), rng.any()]
        };
        assert_eq!(draw(7, Stream::Network), draw(7, Stream::Network));
        assert_ne!(draw(7, Stream::Network), draw(7, Stream::Nemesis));
        assert_ne!(draw(7, Stream::Network), draw(8, Stream::Network));
        assert_ne!(draw(7, Stream::Disk(0)), draw(7, Stream::Disk(1)));
    }

    #[test]
    fn bounds_are_kept() {
        let mut rng = Rng::new(1, Stream::Plan);
        for _ in 0..1_000 {
            assert!(rng.below(3) < 3);
            assert!((5..=9).contains(&rng.between(5, 9)));
            assert_eq!(rng.between(4, 4), 4);
            assert!(rng.tailed(10, 5) >= 10);
        }
        assert_eq!(rng.below(0), 0);
        assert!(rng.pick::<u8>(&[]).is_none());
    }

    #[test]
    fn hashes_differ_by_content_and_length() {
        assert_ne!(hash_bytes(0, b""), hash_bytes(0, b"\0"));
        assert_ne!(hash_bytes(0, b"abcdefgh"), hash_bytes(0, b"abcdefgi"));
        assert_eq!(hash_bytes(3, b"abcdefghi"), hash_bytes(3, b"abcdefghi"));
    }
}
