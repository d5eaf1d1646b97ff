//! Who a log directory is: its disk, and the cluster that disk belongs to.
//!
//! A wiped directory is formatted anew and so gets another disk id; its old votes cannot be cast again (thesis
//! §3.8). Three states are kept apart: absent with no groups (fresh), valid, and everything else (refused).
//! Invariant: the file is replaced whole, by a durable rename, and the cluster is set once.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;

use bytes::Bytes;
use raft_core::DiskId;

use crate::error::IdentityError;
use crate::fs::{DiskRequest, Fs};
use crate::layout;

const MAGIC: &[u8; 8] = b"FLOTDISK";
const VERSION: u32 = 1;
const LEN: usize = 52;

/// Names a cluster for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(u128);

impl ClusterId {
    /// Wraps a random 128-bit number made when the cluster was.
    pub const fn new(id: u128) -> Self {
        Self(id)
    }

    /// The random number.
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:08x}", (self.0 >> 96) as u32)
    }
}

/// Who a log directory is. Durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Drawn when the directory was formatted; never changes.
    pub disk: DiskId,
    /// The cluster it joined; `None` until then, never changes afterwards.
    pub cluster: Option<ClusterId>,
}

impl Identity {
    /// An identity for a directory that is being formatted, from the operating system's randomness.
    pub(crate) fn draw() -> Self {
        let half = |salt: u8| u128::from(RandomState::new().hash_one(salt));
        Self { disk: DiskId::new((half(0) << 64) | half(1)), cluster: None }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&u32::from(self.cluster.is_some()).to_le_bytes());
        out.extend_from_slice(&self.disk.as_u128().to_le_bytes());
        out.extend_from_slice(&self.cluster.map_or(0, ClusterId::as_u128).to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        let u128_at = |at: usize| u128::from_le_bytes(bytes[at..at + 16].try_into().unwrap_or_default());
        if &bytes[..8] != MAGIC || u32_at(8) != VERSION || u32_at(48) != crc32fast::hash(&bytes[..48]) {
            return None;
        }
        let cluster = match u32_at(12) {
            0 => None,
            1 => Some(ClusterId(u128_at(32))),
            _ => return None,
        };
        Some(Self { disk: DiskId::new(u128_at(16)), cluster })
    }

    /// Reads the file; `None` when there is none.
    pub(crate) fn load(fs: &dyn Fs, dir: &Path) -> Result<Option<Self>, IdentityError> {
        match fs.read_at(&dir.join(layout::IDENTITY), 0, LEN + 1) {
            Ok(bytes) => Self::decode(&bytes).map(Some).ok_or(IdentityError::Damaged),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the file. Durable on return.
    pub(crate) fn store(&self, fs: &dyn Fs, dir: &Path) -> io::Result<()> {
        let path = layout::path(dir, layout::IDENTITY_NEW);
        if fs.list(dir)?.iter().any(|name| name == layout::IDENTITY_NEW) {
            fs.execute(&DiskRequest::RemoveFile { path: path.clone() })?;
        }
        fs.execute(&DiskRequest::Create { path: path.clone() })?;
        let data = vec![Bytes::from(self.encode())];
        fs.execute(&DiskRequest::Write { path: path.clone(), offset: 0, data })?;
        fs.execute(&DiskRequest::SyncData { path: path.clone() })?;
        fs.execute(&DiskRequest::Rename { from: path, to: layout::path(dir, layout::IDENTITY) })?;
        fs.execute(&DiskRequest::SyncDir { path: dir.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_encoding_and_any_flipped_bit_is_refused() {
        for cluster in [None, Some(ClusterId::new(7)), Some(ClusterId::new(u128::MAX))] {
            let identity = Identity { disk: DiskId::new(0x0123_4567_89ab_cdef << 64), cluster };
            let bytes = identity.encode();
            assert_eq!(Identity::decode(&bytes), Some(identity));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Identity::decode(&flipped), None, "bit {bit}");
            }
        }
    }

    #[test]
    fn two_formattings_draw_two_identities() {
        assert_ne!(Identity::draw(), Identity::draw());
    }
}
