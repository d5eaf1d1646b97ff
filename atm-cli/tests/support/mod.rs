//! Three real `atm` processes on free loopback ports, and the things a test does to them.
//!
//! Whatever happens, no process is left behind; when a test fails, it prints what the ATMs logged.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long to wait for anything. Far beyond what it takes; reached only when it does not happen.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Nine processes at once on a small machine would make elections a lottery.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Three ATMs, numbered 1 to 3.
pub(crate) struct Atms {
    dir: TempDir,
    ports: [u16; 3],
    running: [Option<Child>; 3],
    _alone: MutexGuard<'static, ()>,
}

/// How an `atm` process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it printed to standard output, without the last line end.
    pub(crate) out: String,
    /// What it printed to standard error.
    pub(crate) err: String,
}

/// A port that was free a moment ago, below those that systems give to outgoing connections, so that nothing takes it
/// while an ATM is restarted. Each call has another.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() % 10_000) as u16;
    let mut candidates =
        std::iter::repeat_with(|| 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000) % 10_000);
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

impl Atms {
    /// Chooses ports and directories; starts nothing.
    pub(crate) fn prepare() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = [(); 3].map(|()| free_port());
        let dir = tempfile::tempdir().unwrap();
        println!("ATMs 1, 2, 3 on ports {ports:?} of 127.0.0.1, data in {}", dir.path().display());
        Self { dir, ports, running: [None, None, None], _alone: alone }
    }

    /// Three running ATMs that have a leader.
    pub(crate) fn start() -> Self {
        let mut atms = Self::prepare();
        for id in 1..=3 {
            atms.spawn(id);
        }
        let started = Instant::now();
        let leader = atms.leader();
        println!("ATM {leader} leads {:?} after the start", started.elapsed());
        atms
    }

    /// Starts an ATM whose standard input is empty.
    pub(crate) fn spawn(&mut self, id: usize) {
        let log = File::options().create(true).append(true).open(self.log(id)).unwrap();
        let mut command = self.atm(id);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running[id - 1] = Some(command.spawn().unwrap());
    }

    /// Starts an ATM, types these lines into it and ends its input. Returns where its replies come out.
    pub(crate) fn spawn_typing(&mut self, id: usize, lines: &str) -> ChildStdout {
        let log = File::options().create(true).append(true).open(self.log(id)).unwrap();
        let mut command = self.atm(id);
        command.args(["--timeout", "60s"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let replies = child.stdout.take().unwrap();
        self.running[id - 1] = Some(child);
        replies
    }

    /// Kills an ATM with SIGKILL.
    pub(crate) fn kill(&mut self, id: usize) {
        let mut child = self.running[id - 1].take().expect("only a running ATM is killed");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends an ATM SIGTERM and returns its exit code.
    pub(crate) fn terminate(&mut self, id: usize) -> Option<i32> {
        self.signal(id, "TERM");
        let mut child = self.running[id - 1].take().expect("only a running ATM is stopped");
        let code = until("the ATM ends", || child.try_wait().unwrap()).code();
        self.running[id - 1] = None;
        code
    }

    /// Freezes an ATM with SIGSTOP.
    pub(crate) fn freeze(&self, id: usize) {
        self.signal(id, "STOP");
    }

    /// Lets a frozen ATM go on.
    pub(crate) fn thaw(&self, id: usize) {
        self.signal(id, "CONT");
    }

    /// Runs `atm ... exec LINE` for this ATM.
    pub(crate) fn exec(&self, id: usize, line: &str) -> Ended {
        self.exec_with(id, line, &[])
    }

    /// Runs `atm ... exec LINE FLAGS` for this ATM.
    pub(crate) fn exec_with(&self, id: usize, line: &str, flags: &[&str]) -> Ended {
        let started = Instant::now();
        let ended = Ended::from(self.atm(id).arg("exec").arg(line).args(flags).output().unwrap());
        println!("atm {id}: {line}: {} ({}, {:?})", ended.out, ended.code, started.elapsed());
        ended
    }

    /// Executes a command as a careful person does: again when nothing was done for want of a majority, and with
    /// `retry` as long as the outcome is unknown. Returns the sentence and the exit code, which is 0 or 1.
    pub(crate) fn settle(&self, id: usize, line: &str) -> (String, i32) {
        let mut words = line;
        until("the outcome is known", || {
            let ended = self.exec(id, words);
            match ended.code {
                3 => words = "retry",
                1 if ended.out.starts_with("no majority") => {}
                0 | 1 => return Some((ended.out, ended.code)),
                _ => panic!("{words}: {ended:?}"),
            }
            None
        })
    }

    /// What a reading answers, once there is a majority to confirm it.
    pub(crate) fn read(&self, id: usize, line: &str) -> String {
        until("the bank answers", || {
            let ended = self.exec(id, line);
            (ended.code == 0).then_some(ended.out)
        })
    }

    /// The whole history as an ATM shows it, ids included.
    pub(crate) fn history(&self, id: usize) -> Value {
        until("the history is answered", || {
            let ended = self.exec_with(id, "history 1000", &["--json"]);
            (ended.code == 0).then(|| serde_json::from_str(&ended.out).unwrap())
        })
    }

    /// What an ATM sees.
    pub(crate) fn status(&self, id: usize) -> Option<Value> {
        let ended = self.exec_with(id, "status", &["--json"]);
        (ended.code == 0).then(|| serde_json::from_str(&ended.out).unwrap())
    }

    /// The ATM that leads and serves, once there is one.
    pub(crate) fn leader(&self) -> usize {
        let running: Vec<usize> = (1..=3).filter(|id| self.running[id - 1].is_some()).collect();
        until("a leader serves", || {
            running.iter().copied().find(|&id| {
                self.status(id).is_some_and(|status| status["replica"]["serving"] == Value::Bool(true))
            })
        })
    }

    fn atm(&self, id: usize) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atm"));
        let peers = [1, 2, 3].map(|id| format!("{id}={}", self.address(id))).join(",");
        command.args(["--id", &id.to_string(), "--listen", &self.address(id), "--peers", &peers]);
        command.arg("--data").arg(self.dir.path().join(format!("atm-{id}")));
        command.env_remove("RUST_LOG");
        command
    }

    fn address(&self, id: usize) -> String {
        format!("127.0.0.1:{}", self.ports[id - 1])
    }

    fn log(&self, id: usize) -> PathBuf {
        self.dir.path().join(format!("atm-{id}.log"))
    }

    fn signal(&self, id: usize, signal: &str) {
        let child = self.running[id - 1].as_ref().expect("only a running ATM gets a signal");
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }
}

impl Drop for Atms {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for id in 1..=3 {
                println!("--- ATM {id} ---\n{}", fs::read_to_string(self.log(id)).unwrap_or_default());
            }
        }
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap().trim_end().to_owned(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Waits until `look` finds something, and fails when that takes longer than [`LONG`].
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < LONG, "waited for {LONG:?}, but not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
