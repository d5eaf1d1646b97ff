//! The one thread that writes: does what the log asks, in order, and says when it is durable.
//!
//! Invariant: after the first error nothing more is written and nothing more is reported. A flush that failed is
//! never tried again, because the kernel may then say that all is well although the data is gone.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;

use raft_core::NodeId;
use raft_wal::{DiskRequest, Fs, RealFs, Round};
use tokio::sync::mpsc;

/// The exit code of a process whose disk failed: `EX_IOERR` of sysexits.h.
const EXIT_IO_ERROR: i32 = 74;
/// The node has one batch on its way at a time; the second place is for the last mark.
const BATCHES: usize = 2;

/// A request that the disk did not carry out.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not {request} {}: {why}. What the disk holds is not known now, so this process ends and nothing is \
     retried; start it again, and if that fails too, replace the disk and let the node join anew",
    .path.display()
)]
pub struct DiskFailure {
    /// What was asked, in one word.
    pub request: &'static str,
    /// Of what.
    pub path: PathBuf,
    /// The system's reason.
    pub why: io::Error,
}

/// The disk of a node, and what happens when it fails.
#[derive(Clone)]
pub struct DiskHooks {
    /// Where the log lies.
    pub fs: Arc<dyn Fs>,
    /// Called once on the first failure, on any thread. It is expected not to return; when it does, the node stops
    /// without another write, and what was asked of it ends as unknown.
    pub on_error: Arc<dyn Fn(&DiskFailure) + Send + Sync>,
}

impl Default for DiskHooks {
    /// The machine's disk; a failure is logged and ends the process with exit code 74.
    fn default() -> Self {
        let end = |failure: &DiskFailure| {
            tracing::error!(%failure, "disk failed");
            std::process::exit(EXIT_IO_ERROR);
        };
        Self { fs: Arc::new(RealFs::new()), on_error: Arc::new(end) }
    }
}

/// Requests whose completion makes a round durable.
pub(crate) struct Batch {
    pub(crate) round: Round,
    pub(crate) requests: Vec<DiskRequest>,
}

/// The disk failed; [`DiskHooks::on_error`] has been called.
#[derive(Debug)]
pub(crate) struct Failed;

/// The thread, as the node's task sees it.
pub(crate) struct DiskThread {
    batches: std_mpsc::SyncSender<Batch>,
    done: mpsc::Receiver<Result<Round, Failed>>,
    thread: JoinHandle<()>,
}

impl DiskThread {
    pub(crate) fn start(node: NodeId, hooks: DiskHooks) -> io::Result<Self> {
        let (batches, queue) = std_mpsc::sync_channel(BATCHES);
        let (report, done) = mpsc::channel(BATCHES);
        let thread = std::thread::Builder::new()
            .name(format!("disk-{node}"))
            .spawn(move || write_batches(&hooks, &queue, &report))?;
        Ok(Self { batches, done, thread })
    }

    /// Hands over a batch. Does nothing once the disk has failed.
    pub(crate) fn write(&self, batch: Batch) {
        let _ = self.batches.send(batch);
    }

    /// The next round that is durable, or the failure.
    pub(crate) async fn done(&mut self) -> Result<Round, Failed> {
        self.done.recv().await.unwrap_or(Err(Failed))
    }

    /// Waits for what was handed over and ends the thread.
    pub(crate) async fn stop(self) {
        drop(self.batches);
        drop(self.done);
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}

fn write_batches(
    hooks: &DiskHooks,
    queue: &std_mpsc::Receiver<Batch>,
    report: &mpsc::Sender<Result<Round, Failed>>,
) {
    for Batch { round, requests } in queue {
        let result = write_batch(&*hooks.fs, &requests);
        if let Err(failure) = &result {
            (hooks.on_error)(failure);
        }
        let is_failed = result.is_err();
        let reported = report.blocking_send(result.map(|()| round).map_err(|_| Failed));
        if is_failed || reported.is_err() {
            return;
        }
    }
}

fn write_batch(fs: &dyn Fs, requests: &[DiskRequest]) -> Result<(), DiskFailure> {
    for request in requests {
        fs.execute(request).map_err(|why| DiskFailure {
            request: request.name(),
            path: request.path().to_path_buf(),
            why,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;

    /// Notes what it is asked; fails to sync the file `bad`.
    #[derive(Default)]
    struct Noting(Mutex<Vec<String>>);

    impl Fs for Noting {
        fn execute(&self, request: &DiskRequest) -> io::Result<()> {
            let line = format!("{} {}", request.name(), request.path().display());
            self.0.lock().unwrap().push(line.clone());
            if line == "sync-data bad" { Err(io::Error::other("gone")) } else { Ok(()) }
        }

        fn read_at(&self, _: &Path, _: u64, _: usize) -> io::Result<Vec<u8>> {
            Ok(Vec::new())
        }

        fn list(&self, _: &Path) -> io::Result<Vec<String>> {
            Ok(Vec::new())
        }

        fn len(&self, _: &Path) -> io::Result<u64> {
            Ok(0)
        }

        fn lock(&self, _: &Path) -> io::Result<Box<dyn Send + Sync>> {
            Ok(Box::new(()))
        }
    }

    fn sync(name: &str) -> DiskRequest {
        DiskRequest::SyncData { path: Path::new(name).into() }
    }

    #[tokio::test]
    async fn after_a_failed_flush_nothing_is_written_and_nothing_is_reported() {
        let fs = Arc::new(Noting::default());
        let failures = Arc::new(Mutex::new(Vec::new()));
        let noted = failures.clone();
        let on_error = move |failure: &DiskFailure| noted.lock().unwrap().push(failure.path.clone());
        let hooks = DiskHooks { fs: fs.clone(), on_error: Arc::new(on_error) };
        let mut disk = DiskThread::start(NodeId::new(1), hooks).unwrap();

        disk.write(Batch { round: Round::ZERO, requests: vec![sync("a"), sync("b")] });
        assert_eq!(disk.done().await.unwrap(), Round::ZERO);
        disk.write(Batch { round: Round::ZERO, requests: vec![sync("c"), sync("bad"), sync("d")] });
        assert!(disk.done().await.is_err());
        disk.write(Batch { round: Round::ZERO, requests: vec![sync("e")] });
        assert!(disk.done().await.is_err());
        disk.stop().await;

        let asked = ["sync-data a", "sync-data b", "sync-data c", "sync-data bad"];
        assert_eq!(*fs.0.lock().unwrap(), asked);
        assert_eq!(*failures.lock().unwrap(), [PathBuf::from("bad")]);
    }
}
