//! What the tasks around the node share: who this node is now, whom it lets in, and where news goes.
//!
//! Written by the node's task alone, read by listener and dialers at each hand-shake. No lock is held over an
//! `await`. Invariant: a disk stands in the policy for as long as it is a first voter's or connected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use raft_core::{Configuration, DiskId, NodeId, ReplicaId};
use raft_wal::ClusterId;
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::handshake::{Admitted, Hello, Policy, Purpose, RefusalCode, RefusalReason, admit};
use crate::runtime::Membership;
use crate::runtime::counters::{Counters, count};
use crate::runtime::link::Event;

/// Bytes of frames that were read and not yet taken by the node, over all connections.
const INBOX_BYTES: usize = 64 << 20;
/// The same refusal of the same node is logged once in this time.
const QUIET: Duration = Duration::from_secs(10);
/// So many refusals are remembered to keep the log quiet.
const REFUSALS: usize = 256;

pub(crate) struct Shared {
    pub(crate) membership: Membership,
    pub(crate) counters: Arc<Counters>,
    /// To the node's task.
    pub(crate) events: mpsc::Sender<Event>,
    /// A permit for each byte of a frame on its way to the node's task.
    pub(crate) inbox: Arc<Semaphore>,
    /// Names the node in the log: several may run in one process.
    pub(crate) span: tracing::Span,
    /// Wakes the node's task when a peer's queue has room again.
    pub(crate) room: Arc<Notify>,
    serials: AtomicU64,
    standing: RwLock<Standing>,
    refused: Mutex<BTreeMap<(NodeId, RefusalCode), Instant>>,
}

struct Standing {
    me: Hello,
    policy: Policy,
    voters: BTreeMap<NodeId, DiskId>,
    live: BTreeMap<NodeId, DiskId>,
}

impl Standing {
    fn know(&mut self) {
        self.policy.known = self.live.clone();
        self.policy.known.extend(&self.voters);
    }
}

impl Shared {
    pub(crate) fn new(
        membership: Membership,
        me: Hello,
        policy: Policy,
        counters: Arc<Counters>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let voters = me.genesis.iter().flatten().map(|voter| (voter.node, voter.disk)).collect();
        let mut standing = Standing { me, policy, voters, live: BTreeMap::new() };
        standing.know();
        let span = tracing::info_span!(parent: None, "node", id = %standing.me.replica.node);
        Self {
            span,
            membership,
            counters,
            events,
            inbox: Arc::new(Semaphore::new(INBOX_BYTES)),
            room: Arc::new(Notify::new()),
            serials: AtomicU64::new(0),
            standing: RwLock::new(standing),
            refused: Mutex::default(),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Standing) -> T) -> T {
        look(&self.standing.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Standing)) {
        let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut standing);
        standing.know();
    }

    /// This node.
    pub(crate) fn id(&self) -> NodeId {
        self.read(|standing| standing.me.replica.node)
    }

    /// What this node says of itself.
    pub(crate) fn hello(&self, purpose: Purpose) -> Hello {
        self.read(|standing| Hello { purpose, ..standing.me.clone() })
    }

    /// Whether to talk to this caller or called one, as things stand.
    pub(crate) fn admit(&self, theirs: &Hello) -> Result<Admitted, RefusalReason> {
        self.read(|standing| admit(&standing.me, theirs, &standing.policy))
    }

    pub(crate) fn is_founder(&self, node: NodeId) -> bool {
        self.read(|standing| standing.policy.founders.contains(&node))
    }

    pub(crate) fn is_live(&self, node: NodeId) -> bool {
        self.read(|standing| standing.live.contains_key(&node))
    }

    /// The disk belongs to this cluster now, whose first voters are these.
    pub(crate) fn formed(&self, cluster: ClusterId, genesis: &Configuration) {
        let is_founder = self.membership == Membership::Founder;
        self.write(|standing| {
            standing.me.cluster = Some(cluster);
            standing.me.genesis = is_founder.then(|| genesis.voters().to_vec());
            standing.voters = genesis.voters().iter().map(|voter| (voter.node, voter.disk)).collect();
        });
    }

    pub(crate) fn came(&self, peer: ReplicaId) {
        self.write(|standing| {
            standing.live.insert(peer.node, peer.disk);
        });
    }

    pub(crate) fn went(&self, node: NodeId) {
        self.write(|standing| {
            standing.live.remove(&node);
        });
    }

    /// A number for a new connection, greater than all before.
    pub(crate) fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a refusal and logs it, the same one only now and then.
    pub(crate) fn note_refusal(&self, node: NodeId, from: SocketAddr, reason: &RefusalReason) {
        count(&self.counters.refusals);
        if reason.code() == RefusalCode::NotFormed {
            tracing::debug!(%from, %reason, "refuse");
        } else if self.is_news(node, reason.code()) {
            tracing::warn!(%from, %reason, "refuse");
        }
    }

    fn is_news(&self, node: NodeId, code: RefusalCode) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        refused.retain(|_, at| now.duration_since(*at) < QUIET);
        if refused.len() >= REFUSALS || refused.contains_key(&(node, code)) {
            return false;
        }
        refused.insert((node, code), now);
        true
    }
}
