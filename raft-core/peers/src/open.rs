//! Three nodes of the crate `openraft` on one tokio runtime of the current thread.
//!
//! Chosen because each was found to be as fast or faster here than its alternative: a runtime of the current thread (two
//! threads wake each other), the features `singlethreaded` (no locks), `storage-v2` and `single-term-leader` (smaller
//! ids), nodes without data, a [`Responder`] without a channel of its own, proposals that do not wait for each other
//! (`client_write_ff`), appends of up to 4,096 entries, no snapshots, heartbeats far apart, and no log level compiled
//! in. Calls between nodes are direct.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::Future;
use std::ops::{Bound, RangeBounds};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use openraft::error::{
    Fatal, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, ClientWriteResult, SnapshotResponse, VoteRequest,
    VoteResponse, responder::Responder,
};
use openraft::storage::{LogFlushed, RaftLogStorage, RaftStateMachine, Snapshot};
use openraft::{
    Config, EmptyNode, Entry, EntryPayload, LogId, LogState, RaftLogId, RaftLogReader, RaftSnapshotBuilder,
    SnapshotMeta, SnapshotPolicy, StorageError, StoredMembership, Vote,
};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::Group;
use crate::store::Log;
use crate::work::{Client, Machine, assert_same};

openraft::declare_raft_types!(
    /// The types that openraft is built over.
    pub Types:
        D = Payload,
        R = u64,
        Node = EmptyNode,
        SnapshotData = (),
        Responder = Completion,
);

thread_local! {
    static COMPLETED: RefCell<Completed> = RefCell::new(Completed::default());
}

/// The answers that the client has not taken, oldest first, and the client if it waits for one.
#[derive(Default)]
struct Completed {
    answers: VecDeque<u64>,
    waiting: Option<Waker>,
}

/// Completes one proposal. All run on one thread, so that this needs no channel of its own.
pub struct Completion(());

impl Responder<Types> for Completion {
    type Receiver = ();

    fn from_app_data(payload: Payload) -> (Payload, Self, ()) {
        (payload, Self(()), ())
    }

    fn send(self, result: ClientWriteResult<Types>) {
        COMPLETED.with_borrow_mut(|completed| {
            completed.answers.push_back(result.expect("a leader").data);
            if let Some(waiting) = completed.waiting.take() {
                waiting.wake();
            }
        });
    }
}

/// The next answer.
async fn completed() -> u64 {
    std::future::poll_fn(|context| {
        COMPLETED.with_borrow_mut(|completed| match completed.answers.pop_front() {
            Some(answer) => Poll::Ready(answer),
            None => {
                completed.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        })
    })
    .await
}

/// The bytes of one entry.
#[derive(Clone, Debug)]
pub struct Payload(Bytes);

type NodeId = u64;
type Failure = StorageError<NodeId>;
type Raft = openraft::Raft<Types>;

/// One node's log. Its clones are the same log.
#[derive(Clone, Default)]
pub struct Store(Rc<RefCell<Inner>>);

struct Inner {
    log: Log<Entry<Types>>,
    vote: Option<Vote<NodeId>>,
    leads: bool,
}

impl Default for Inner {
    fn default() -> Self {
        Self { log: Log::starting_at(0), vote: None, leads: false }
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<Types>>, Failure> {
        let inner = self.0.borrow();
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        let (start, end) = (start.max(inner.log.first()), end.min(inner.log.next()));
        if start >= end {
            return Ok(Vec::new());
        }
        Ok(inner.log.range(start..end).cloned().collect())
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, Failure> {
        let inner = self.0.borrow();
        let last = inner.log.next().checked_sub(1).and_then(|last| inner.log.get(last));
        Ok(LogState { last_purged_log_id: None, last_log_id: last.map(|entry| *entry.get_log_id()) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<NodeId>) -> Result<(), Failure> {
        self.0.borrow_mut().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<NodeId>>, Failure> {
        Ok(self.0.borrow().vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), Failure>
    where
        I: IntoIterator<Item = Entry<Types>>,
    {
        {
            let inner = &mut *self.0.borrow_mut();
            for mut entry in entries {
                // What the leader's client proposed was copied for this log.
                if let EntryPayload::Normal(Payload(bytes)) = &mut entry.payload
                    && !inner.leads
                {
                    *bytes = inner.log.keep(bytes);
                }
                inner.log.push(entry);
            }
        }
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<NodeId>) -> Result<(), Failure> {
        self.0.borrow_mut().log.truncate_from(log_id.index);
        Ok(())
    }

    async fn purge(&mut self, _: LogId<NodeId>) -> Result<(), Failure> {
        Ok(())
    }
}

/// One node's state machine. Its clones are the same machine.
#[derive(Clone, Default)]
pub struct Applier(Rc<RefCell<Applied>>);

#[derive(Default)]
struct Applied {
    machine: Machine,
    last: Option<LogId<NodeId>>,
    membership: StoredMembership<NodeId, EmptyNode>,
}

impl RaftStateMachine<Types> for Applier {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<NodeId>>, StoredMembership<NodeId, EmptyNode>), Failure> {
        let applied = self.0.borrow();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<u64>, Failure>
    where
        I: IntoIterator<Item = Entry<Types>>,
    {
        let applied = &mut *self.0.borrow_mut();
        let entries = entries.into_iter();
        let mut answers = Vec::with_capacity(entries.size_hint().0);
        for entry in entries {
            applied.last = Some(entry.log_id);
            answers.push(match entry.payload {
                EntryPayload::Normal(Payload(bytes)) => applied.machine.apply(&bytes),
                EntryPayload::Blank => 0,
                EntryPayload::Membership(membership) => {
                    applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                    0
                }
            });
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<()>, Failure> {
        Ok(Box::new(()))
    }

    async fn install_snapshot(
        &mut self,
        _: &SnapshotMeta<NodeId, EmptyNode>,
        _: Box<()>,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, Failure> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<Types> for Applier {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, Failure> {
        unreachable!("the policy never asks for one")
    }
}

/// Who can be called, by id from 1. Calls are direct: nothing is encoded.
#[derive(Clone, Default)]
struct Network(Rc<RefCell<Vec<Raft>>>);

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: NodeId, _: &EmptyNode) -> Link {
        Link { target, network: self.clone(), raft: None }
    }
}

struct Link {
    target: NodeId,
    network: Network,
    raft: Option<Raft>,
}

impl Link {
    fn raft(&mut self) -> &Raft {
        self.raft.get_or_insert_with(|| self.network.0.borrow()[self.target as usize - 1].clone())
    }
}

type RpcError = RPCError<NodeId, EmptyNode, RaftError<NodeId>>;

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        let target = self.target;
        self.raft().append_entries(rpc).await.map_err(|e| RPCError::RemoteError(RemoteError::new(target, e)))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        _: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RpcError> {
        let target = self.target;
        self.raft().vote(rpc).await.map_err(|e| RPCError::RemoteError(RemoteError::new(target, e)))
    }

    async fn full_snapshot(
        &mut self,
        _: Vote<NodeId>,
        _: Snapshot<Types>,
        _: impl Future<Output = ReplicationClosed> + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<Types, Fatal<NodeId>>> {
        Err(StreamingError::Unreachable(Unreachable::new(&std::io::Error::other("there are no snapshots"))))
    }
}

/// The group. Node 1 leads.
pub struct Cluster {
    runtime: Runtime,
    tasks: LocalSet,
    nodes: Vec<Raft>,
    stores: Vec<Store>,
    appliers: Vec<Applier>,
    client: Client,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// Three nodes, the first of which leads.
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let tasks = LocalSet::new();
        let stores: Vec<Store> = (0..3).map(|_| Store::default()).collect();
        let appliers: Vec<Applier> = (0..3).map(|_| Applier::default()).collect();
        let config = Config {
            heartbeat_interval: 1_000,
            election_timeout_min: 5_000,
            election_timeout_max: 10_000,
            max_payload_entries: 4_096,
            snapshot_policy: SnapshotPolicy::Never,
            ..Config::default()
        };
        let config = Arc::new(config.validate().expect("a valid configuration"));
        let network = Network::default();
        let nodes = tasks.block_on(&runtime, async {
            for id in 1..=3 {
                let (store, applier) = (stores[id - 1].clone(), appliers[id - 1].clone());
                let raft = Raft::new(id as u64, config.clone(), network.clone(), store, applier).await;
                network.0.borrow_mut().push(raft.expect("a node"));
            }
            let nodes = network.0.borrow().clone();
            let members: std::collections::BTreeSet<u64> = [1, 2, 3].into();
            nodes[0].initialize(members).await.expect("a pristine group");
            let leads = nodes[0].wait(Some(Duration::from_secs(10)));
            leads.state(openraft::ServerState::Leader, "node 1 leads").await.expect("a leader");
            nodes
        });
        stores[0].0.borrow_mut().leads = true;
        Self { runtime, tasks, nodes, stores, appliers, client: Client::default() }
    }
}

impl Group for Cluster {
    fn run(&mut self, depth: usize, entries: u64) {
        let end = self.client.proposed() + entries;
        let Self { runtime, tasks, nodes, stores, appliers, client } = self;
        tasks.block_on(runtime, async {
            let leader = &nodes[0];
            while client.proposed() < end || client.outstanding() > 0 {
                while client.proposed() < end && client.outstanding() < depth {
                    let bytes = stores[0].0.borrow_mut().log.keep(client.propose());
                    leader.client_write_ff(Payload(bytes)).await.expect("a running leader");
                }
                client.complete(completed().await);
            }
            let last = stores[0].0.borrow().log.next() - 1;
            for node in nodes.iter() {
                node.wait(Some(Duration::from_secs(10)))
                    .applied_index(Some(last), "the run")
                    .await
                    .expect("all applied");
            }
        });
        let machine = |at: usize| appliers[at].0.borrow().machine.clone();
        assert_same([&machine(0), &machine(1), &machine(2)], end);
    }
}
