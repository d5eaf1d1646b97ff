//! The log of many groups: opens it, takes batches, hands out disk requests, is told what is durable.
//!
//! One owner on one thread; readers on others through [`LogReader`]. Submitting does no I/O. Invariant: a round's
//! requests, executed in order after those of all earlier rounds, make durable what its batch asked for.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use raft_core::{GroupId, HardState, LogId, Term, TermRuns};

use crate::batch::{Batch, Operation};
use crate::entry::{Entry, EntryKind};
use crate::error::{IdentityError, OpenError, ReadError, SubmitError};
use crate::frame::{FRAME_HEADER_LEN, Link, NOTE_MAX, SEGMENT_HEADER_LEN, Seed};
use crate::fs::{DiskRequest, Fs};
use crate::identity::{ClusterId, Identity};
use crate::index::{Index, Shared};
use crate::layout;
use crate::options::Options;
use crate::reader::{self, LogReader};
use crate::recovery::{self, GroupState, Recovered, execute};
use crate::round::{Round, Submitted};
use crate::tail::TailCache;
use crate::writer::{Group, Pen, Plan};

/// What a round wrote to a group: the group, its life, and its last record.
type Written = (GroupId, u64, u64);

/// The logs of all groups of one disk. See the crate's documentation for what its owner owes it.
pub struct Wal {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    groups_dir: Arc<Path>,
    identity: Identity,
    options: Options,
    groups: BTreeMap<GroupId, Group>,
    submitted: Round,
    durable: Round,
    outstanding: VecDeque<(Round, Vec<Written>)>,
    tail: TailCache,
    /// How many groups were opened or created since this was opened.
    instances: u64,
    /// Memory to be used again.
    spare_operations: Vec<(GroupId, Operation)>,
    spare_written: Vec<Vec<Written>>,
    arena: BytesMut,
    /// Held until this is dropped.
    _lock: Box<dyn Send + Sync>,
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal")
            .field("dir", &self.dir)
            .field("identity", &self.identity)
            .field("groups", &self.groups.len())
            .field("submitted", &self.submitted)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

impl Wal {
    /// Opens the log directory `dir`, making and formatting it when it is absent, and reads all groups back, sorted
    /// by id. Takes the directory's lock for as long as the result lives. Blocks on the disk.
    ///
    /// Everything recovered is durable on return: it was synced again, because what a crashed process had written
    /// but not synced looks recovered and is lost at the next power cut (KAFKA-10101).
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing that may have been acknowledged is ever dropped to get the directory open.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path, options: Options) -> Result<(Wal, Vec<GroupState>), OpenError> {
        options.validate()?;
        let io_error = |doing, path: &Path, source| OpenError::Io { doing, path: path.to_path_buf(), source };
        create_dir_durably(&*fs, dir)?;
        let lock = fs.lock(dir).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked { dir: dir.to_path_buf() },
            _ => io_error("lock", dir, error),
        })?;
        let groups_dir = layout::path(dir, layout::GROUPS);
        let names = match fs.list(&groups_dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                execute(&*fs, DiskRequest::CreateDir { path: groups_dir.clone() })?;
                execute(&*fs, DiskRequest::SyncDir { path: dir.into() })?;
                Vec::new()
            }
            Err(error) => return Err(io_error("list", &groups_dir, error)),
        };
        let identity = identify(&*fs, dir, &options, names.is_empty())?;

        let mut wal = Wal {
            tail: TailCache::new(options.tail_cache_bytes),
            dir: dir.to_path_buf(),
            groups: BTreeMap::new(),
            submitted: Round::ZERO,
            durable: Round::ZERO,
            outstanding: VecDeque::new(),
            instances: 0,
            spare_operations: Vec::new(),
            spare_written: Vec::new(),
            arena: BytesMut::new(),
            _lock: lock,
            fs,
            groups_dir,
            identity,
            options,
        };
        for name in names.iter().filter(|name| name.ends_with(layout::REMOVED)) {
            execute(&*wal.fs, DiskRequest::RemoveDir { path: layout::path(&wal.groups_dir, name) })?;
        }
        let mut states = Vec::new();
        for group in names.iter().filter_map(|name| layout::parse_group(name)) {
            if let Some(recovered) = recovery::recover(&*wal.fs, &wal.groups_dir, wal.identity.disk, group)? {
                states.push(wal.adopt(recovered));
            }
        }
        execute(&*wal.fs, DiskRequest::SyncDir { path: wal.groups_dir.clone() })?;
        execute(&*wal.fs, DiskRequest::SyncDir { path: dir.into() })?;
        Ok((wal, states))
    }

    fn adopt(&mut self, recovered: Recovered) -> GroupState {
        let Recovered { state, index, segment, offset, last, claimed, last_real } = recovered;
        self.instances += 1;
        let group = Group {
            instance: self.instances,
            id: state.group,
            disk: self.identity.disk,
            dir: layout::group_dir(&self.groups_dir, state.group),
            hard_state: state.hard_state,
            runs: state.runs.clone(),
            segment: segment.number,
            path: segment.path,
            seed: segment.seed,
            offset,
            last,
            durable: last.sequence,
            claimed,
            last_real,
            shared: Shared::new(self.fs.clone(), state.group, index),
        };
        self.groups.insert(state.group, group);
        state
    }

    /// Who this directory is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Joins the disk to a cluster, for ever. Blocks on the disk; durable on return. Does nothing when it belongs
    /// to that cluster already.
    ///
    /// # Errors
    /// [`IdentityError::Belongs`] when it belongs to another cluster. After [`IdentityError::Io`] the process must
    /// end.
    pub fn set_cluster(&mut self, cluster: ClusterId) -> Result<(), IdentityError> {
        match self.identity.cluster {
            Some(present) if present == cluster => Ok(()),
            Some(present) => Err(IdentityError::Belongs { present, attempted: cluster }),
            None => {
                let identity = Identity { cluster: Some(cluster), ..self.identity.clone() };
                identity.store(&*self.fs, &self.dir)?;
                self.identity = identity;
                Ok(())
            }
        }
    }

    /// An empty batch, with the memory of one submitted earlier.
    pub fn batch(&mut self) -> Batch {
        Batch { operations: std::mem::take(&mut self.spare_operations) }
    }

    /// Takes a batch: checks all of it, gives it a round, and says what to do to the disk. Does no I/O.
    ///
    /// From now on [`Wal::last`], [`Wal::runs`] and reads show its result, although it is not durable before
    /// [`Wal::completed`]. Any number of rounds may be outstanding.
    ///
    /// # Errors
    /// See [`SubmitError`]; then nothing of the batch was done.
    pub fn submit(&mut self, mut batch: Batch) -> Result<Submitted, SubmitError> {
        // Stable: the operations on one group keep their order.
        batch.operations.sort_by_key(|(group, _)| *group);
        for operations in batch.operations.chunk_by(|a, b| a.0 == b.0) {
            self.check(operations)?;
        }

        let round = self.submitted.next();
        let mut written = self.spare_written.pop().unwrap_or_default();
        let mut plan = Plan::default();
        self.arena.reserve(batch.operations.len() * FRAME_HEADER_LEN);
        let mut operations = batch.operations.drain(..).peekable();
        let mut current = None;
        while let Some((id, operation)) = operations.next() {
            let (_, mark, existed) = *match &mut current {
                Some(current) if matches!(*current, (group, _, _) if group == id) => current,
                other => other.insert((id, plan.mark(), self.groups.contains_key(&id))),
            };
            if let Operation::Remove = operation {
                if let Some(group) = self.groups.remove(&id) {
                    let dropped = group.shared.write().remove();
                    self.tail.dropped(dropped);
                }
                plan.back_to(mark);
                if existed {
                    plan.remove(recovery::removal(&self.groups_dir, id));
                }
                continue;
            }
            if let Operation::Create { .. } = operation {
                self.instances += 1;
                let group = new_group(&self.fs, &self.groups_dir, self.identity.disk, id, self.instances);
                plan.create_group(&self.groups_dir, group.dir.clone());
                self.groups.insert(id, group);
            }
            // The check found it, or it was created just now.
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let shared = group.shared.clone();
            let before = group.last.sequence;
            let (added, dropped) = {
                let mut index = shared.write();
                let mut pen =
                    Pen::new(group, &mut index, &mut plan, &mut self.arena, self.options.segment_bytes);
                match operation {
                    Operation::Create { genesis, note } => pen.create(&genesis, &note),
                    operation => pen.write(operation),
                }
                let more = |next: &(GroupId, Operation)| {
                    next.0 == id && !matches!(next.1, Operation::Create { .. } | Operation::Remove)
                };
                while let Some((_, operation)) = operations.next_if(more) {
                    pen.write(operation);
                }
                pen.finish()
            };
            if group.last.sequence > before {
                written.push((id, group.instance, group.last.sequence));
            }
            if added > 0 {
                self.tail.added(&shared, round, group.last.sequence, added);
            }
            self.tail.dropped(dropped);
        }
        drop(operations);
        self.spare_operations = batch.operations;
        self.submitted = round;
        self.outstanding.push_back((round, written));
        Ok(Submitted { round, requests: plan.into_requests() })
    }

    /// Whether the operations, all on one group, can be done one after another.
    fn check(&self, operations: &[(GroupId, Operation)]) -> Result<(), SubmitError> {
        let Some(&(group, _)) = operations.first() else { return Ok(()) };
        let mut view = self.groups.get(&group).map(|group| (group.hard_state, group.runs.last_id()));
        // Only a truncation needs to know the terms of earlier entries.
        let truncates = operations.iter().any(|(_, operation)| matches!(operation, Operation::Truncate(_)));
        let mut runs = match self.groups.get(&group) {
            Some(group) if truncates => group.runs.clone(),
            _ => TermRuns::default(),
        };
        for (_, operation) in operations {
            if let Operation::Create { note, .. } = operation {
                if view.is_some() {
                    return Err(SubmitError::GroupExists { group });
                }
                if note.len() > NOTE_MAX {
                    return Err(SubmitError::NoteTooLarge { group, bytes: note.len() });
                }
                view = Some((HardState::default(), LogId::ZERO));
                runs = TermRuns::default();
                continue;
            }
            let Some((present, last)) = &mut view else { return Err(SubmitError::UnknownGroup { group }) };
            match operation {
                Operation::HardState(attempted) => {
                    let falls = attempted.term < present.term;
                    let wavers = attempted.term == present.term
                        && present.vote.is_some()
                        && attempted.vote != present.vote;
                    if falls || wavers {
                        let (present, attempted) = (Box::new(*present), Box::new(*attempted));
                        return Err(SubmitError::HardStateReversal { group, present, attempted });
                    }
                    *present = *attempted;
                }
                Operation::Truncate(after) => {
                    runs.truncate(*after);
                    *last = runs.last_id();
                }
                Operation::Append(entry) => {
                    self.check_entry(group, *last, entry)?;
                    *last = entry.id;
                    if truncates {
                        runs.append(entry.id.term, 1);
                    }
                }
                Operation::Remove => view = None,
                Operation::Mark | Operation::Create { .. } => {}
            }
        }
        Ok(())
    }

    fn check_entry(&self, group: GroupId, last: LogId, entry: &Entry) -> Result<(), SubmitError> {
        let id = entry.id;
        if id.index != last.index.next()
            || id.index == last.index
            || id.term < last.term
            || id.term == Term::ZERO
        {
            return Err(SubmitError::NotNext { group, last, attempted: id });
        }
        let max = if entry.kind == EntryKind::Noop { 0 } else { self.options.max_entry_bytes };
        let bytes = entry.payload.len() as u64;
        if bytes > max {
            return Err(SubmitError::PayloadTooLarge { group, id, bytes, max });
        }
        if entry.kind == EntryKind::Membership && entry.membership().is_none() {
            return Err(SubmitError::NoMembership { group, id });
        }
        Ok(())
    }

    /// Writes down, for every group that needs it, that what is durable is durable, so that later damage to it
    /// cannot be taken for a torn write. To be executed and completed like any other round. `None` when there is
    /// nothing to write down; that is soon so, for marks are not marked. Goes through all groups.
    pub fn mark(&mut self) -> Option<Submitted> {
        let mut batch = self.batch();
        let unmarked = self.groups.values().filter(|group| group.needs_mark());
        batch.operations.extend(unmarked.map(|group| (group.id, Operation::Mark)));
        if batch.is_empty() {
            self.spare_operations = batch.operations;
            return None;
        }
        // Marks of groups that exist are always accepted.
        self.submit(batch).ok()
    }

    /// Notes that every request of `round` and of all rounds before it has succeeded.
    ///
    /// # Panics
    /// When that round was never handed out: going on would make the host acknowledge what nobody wrote.
    pub fn completed(&mut self, round: Round) {
        assert!(round <= self.submitted, "round {round} was reported durable, but never submitted");
        while self.outstanding.front().is_some_and(|(oldest, _)| *oldest <= round) {
            let Some((_, mut written)) = self.outstanding.pop_front() else { break };
            for (id, instance, sequence) in written.drain(..) {
                if let Some(group) = self.groups.get_mut(&id)
                    && group.instance == instance
                {
                    group.durable = sequence;
                }
            }
            self.spare_written.push(written);
        }
        self.durable = self.durable.max(round);
        self.tail.evict(self.durable);
    }

    /// The last completed round; [`Round::ZERO`] at first.
    pub fn durable(&self) -> Round {
        self.durable
    }

    /// Whether the group exists, durable or not.
    pub fn contains(&self, group: GroupId) -> bool {
        self.groups.contains_key(&group)
    }

    /// The groups that exist, by id.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.groups.keys().copied()
    }

    /// The last entry, durable or not; [`LogId::ZERO`] for an empty log.
    pub fn last(&self, group: GroupId) -> Option<LogId> {
        self.groups.get(&group).map(|group| group.runs.last_id())
    }

    /// The terms of the whole log, durable or not, from [`LogId::ZERO`].
    pub fn runs(&self, group: GroupId) -> Option<&TermRuns> {
        self.groups.get(&group).map(|group| &group.runs)
    }

    /// Term and vote, durable or not.
    pub fn hard_state(&self, group: GroupId) -> Option<HardState> {
        self.groups.get(&group).map(|group| group.hard_state)
    }

    /// As [`LogReader::read`]. Blocks on the disk when the entries are not in memory.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&self, group: GroupId, expected: &TermRuns, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let found = self.groups.get(&group).ok_or(ReadError::UnknownGroup { group })?;
        reader::read(&found.shared, expected, max_bytes)
    }

    /// A reader of the group's log for use on any thread. `None` when there is no such group.
    pub fn reader(&self, group: GroupId) -> Option<LogReader> {
        self.groups.get(&group).map(|group| LogReader::new(group.shared.clone()))
    }
}

fn new_group(fs: &Arc<dyn Fs>, groups: &Path, disk: raft_core::DiskId, id: GroupId, instance: u64) -> Group {
    let dir = layout::group_dir(groups, id);
    Group {
        instance,
        id,
        disk,
        path: layout::segment_path(&dir, 1),
        dir,
        hard_state: HardState::default(),
        runs: TermRuns::default(),
        segment: 0,
        seed: Seed::new(disk, id, 1),
        offset: SEGMENT_HEADER_LEN as u64,
        last: Link::default(),
        durable: 0,
        claimed: 0,
        last_real: 0,
        shared: Shared::new(fs.clone(), id, Index::default()),
    }
}

/// The directory that holds this one's entry.
fn parent_of(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => dir,
    }
}

/// Creates a directory and its missing ancestors, each durable before the next.
fn create_dir_durably(fs: &dyn Fs, dir: &Path) -> Result<(), OpenError> {
    match fs.list(dir) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(OpenError::Io { doing: "list", path: dir.to_path_buf(), source }),
    }
    let parent = parent_of(dir);
    if parent.parent().is_some_and(|above| !above.as_os_str().is_empty()) {
        create_dir_durably(fs, parent)?;
    }
    execute(fs, DiskRequest::CreateDir { path: dir.into() })?;
    execute(fs, DiskRequest::SyncDir { path: parent.into() })
}

fn identify(fs: &dyn Fs, dir: &Path, options: &Options, fresh: bool) -> Result<Identity, OpenError> {
    let refuse = |reason| OpenError::Identity { path: dir.join(layout::IDENTITY), reason };
    match Identity::load(fs, dir).map_err(refuse)? {
        Some(identity) => Ok(identity),
        None if !fresh => Err(refuse(IdentityError::Missing)),
        None => {
            // It may have been created by a process that died before it made that durable.
            execute(fs, DiskRequest::SyncDir { path: parent_of(dir).into() })?;
            let drawn = Identity::draw();
            let identity = Identity { disk: options.format_as.unwrap_or(drawn.disk), ..drawn };
            identity.store(fs, dir).map_err(|error| refuse(error.into()))?;
            Ok(identity)
        }
    }
}
