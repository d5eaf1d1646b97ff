//! Sizes that may be chosen.
//!
//! Invariant: what passes [`Options::validate`] keeps every offset in a segment below 4 GiB.

use raft_core::DiskId;

use crate::error::OptionsError;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// Sizes of a [`crate::Wal`]. They may differ from one opening to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A group starts a new segment file before one would grow beyond this, in bytes. Default 64 MiB, at least
    /// 4 KiB, at most 1 GiB. An entry larger than that gets a segment for itself.
    pub segment_bytes: u64,
    /// How many bytes of the newest entries of all groups together are kept in memory. Default 64 MiB; may be 0.
    /// Entries not yet durable are kept in any case.
    pub tail_cache_bytes: u64,
    /// The largest payload of an entry, inclusive, in bytes. Default 16 MiB, at least 1, at most 1 GiB.
    pub max_entry_bytes: u64,
    /// The identity for a directory that is formatted now. `None`, the default, draws a random one; a simulation
    /// gives its own. Ignored when the directory has an identity.
    pub format_as: Option<DiskId>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * MIB,
            tail_cache_bytes: 64 * MIB,
            max_entry_bytes: 16 * MIB,
            format_as: None,
        }
    }
}

impl Options {
    /// Checks the bounds given at each field.
    ///
    /// # Errors
    /// Names the field and its bounds.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let bounds = [
            ("segment_bytes", self.segment_bytes, 4096, GIB),
            ("max_entry_bytes", self.max_entry_bytes, 1, GIB),
        ];
        for (field, value, min, max) in bounds {
            if value < min || value > max {
                return Err(OptionsError { field, value, min, max });
            }
        }
        Ok(())
    }
}
