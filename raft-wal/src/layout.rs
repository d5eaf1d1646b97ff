//! Where things lie within a log directory.
//!
//! ```text
//! DIR/LOCK                                held by the owner
//! DIR/identity                            disk and cluster
//! DIR/groups/<group, 16 hex>/<segment number, 20 digits>.seg
//! DIR/groups/<group, 16 hex>.removed      about to vanish
//! ```
//!
//! Invariant: a name is parsed only into what would be printed as exactly that name.

use std::path::Path;
use std::sync::Arc;

use raft_core::GroupId;

pub(crate) const LOCK: &str = "LOCK";
pub(crate) const IDENTITY: &str = "identity";
pub(crate) const IDENTITY_NEW: &str = "identity.new";
pub(crate) const GROUPS: &str = "groups";
pub(crate) const REMOVED: &str = ".removed";

pub(crate) fn path(dir: &Path, name: &str) -> Arc<Path> {
    dir.join(name).into()
}

pub(crate) fn group_dir(groups: &Path, group: GroupId) -> Arc<Path> {
    path(groups, &format!("{:016x}", group.as_u64()))
}

pub(crate) fn removed_dir(groups: &Path, group: GroupId) -> Arc<Path> {
    path(groups, &format!("{:016x}{REMOVED}", group.as_u64()))
}

pub(crate) fn segment_path(group_dir: &Path, number: u64) -> Arc<Path> {
    path(group_dir, &format!("{number:020}.seg"))
}

pub(crate) fn parse_group(name: &str) -> Option<GroupId> {
    let lower = name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (name.len() == 16 && lower).then(|| u64::from_str_radix(name, 16).ok().map(GroupId::from_u64))?
}

pub(crate) fn parse_segment(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}
