//! One ATM: the node, its terminal and its control socket, from start to stop.
//!
//! Only here is anything printed: replies to standard output, one after the other; everything else, hints and
//! wrong usage included, to standard error.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use raft_core::NodeId;
use raft_net::{Membership, NodeConfig, NodeHandle, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::command::Command;
use crate::console::{Console, Typed, read_lines};
use crate::control::{BindError, ControlSocket, Identity, hand_over};
use crate::machine::BankMachine;
use crate::patience::Patience;
use crate::peers::Peers;
use crate::prompt::{Colors, Editor, redraw_on_change};
use crate::reply::Reply;
use crate::session::{QUIT_ELSEWHERE, Session};

/// How long the node may take to stop, and the terminal to be given back.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Which ATM this is and how it speaks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its number.
    pub id: NodeId,
    /// Where it listens for the other ATMs.
    pub listen: SocketAddr,
    /// All ATMs of the bank.
    pub peers: Peers,
    /// Its data directory; created when absent.
    pub data: PathBuf,
    /// How long a command waits for the bank.
    pub patience: Patience,
    /// How replies are written.
    pub format: Format,
}

/// How replies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As sentences.
    Text,
    /// As one JSON object on one line each.
    Json,
}

/// Why flags do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The ATM is not in its own list.
    #[error("ATM {id} is not in --peers; list all ATMs there, this one included, as 1=127.0.0.1:6001,2=...")]
    NotListed {
        /// Which.
        id: NodeId,
    },
}

/// Why an ATM did not start or did not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The node did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The control socket could not be opened.
    #[error(transparent)]
    Control(#[from] BindError),
    /// The system gave no thread or no signal handler.
    #[error("the system refuses what an ATM needs to run: {0}")]
    System(#[from] io::Error),
    /// The node stopped by itself. Its log says why.
    #[error("the node stopped by itself; the lines above say why")]
    NodeStopped,
}

impl Config {
    /// Checks that the flags fit together.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.peers.contains(self.id) { Ok(()) } else { Err(ConfigError::NotListed { id: self.id }) }
    }

    fn identity(&self) -> Identity {
        Identity { id: self.id, listen: self.listen }
    }

    fn node(&self) -> NodeConfig {
        NodeConfig {
            id: self.id,
            listen: self.listen,
            dir: self.data.clone(),
            founders: self.peers.addresses().clone(),
            membership: Membership::Founder,
            admit_learners: false,
            raft: Default::default(),
            wal: Default::default(),
        }
    }
}

/// Runs an ATM until it is told to stop: by `quit` or Ctrl-D in a terminal, by SIGINT or SIGTERM anywhere. At the
/// end of a pipe it stays a member of the bank.
///
/// # Errors
/// See [`RunError`].
pub async fn run(config: Config) -> Result<(), RunError> {
    let signals = Signals::new()?;
    let (handle, address) = raft_net::start(config.node(), Box::new(BankMachine::default())).await?;
    let session = Arc::new(Session::new(handle.clone(), config.peers.addresses().keys().copied().collect()));
    let control = ControlSocket::bind(&config.data)?;
    eprintln!("ATM {} listens on {address}, data in {}", config.id, config.data.display());

    let mut terminal = Terminal::open(&handle, &session)?;
    let ending = tokio::select! {
        () = terminal.converse(&session, &config) => Ok(()),
        () = signals.wait() => Ok(()),
        () = ended(&handle) => Err(RunError::NodeStopped),
        never = control.serve(config.identity(), session.clone()) => match never {},
    };
    if timeout(STOP_TIME, terminal.close()).await.is_err() {
        tracing::warn!("the terminal is not given back in time");
    }
    if timeout(STOP_TIME, handle.stop()).await.is_err() {
        tracing::warn!("the node does not stop in time; what was answered is on the disk");
    }
    ending
}

/// Hands one line to the ATM that runs under the same flags, and returns its reply.
pub async fn exec(config: &Config, line: &str) -> Reply {
    match line.parse() {
        Ok(command @ (Command::Help | Command::Quit)) => match command {
            Command::Help => Reply::Done(crate::reply::Report::Help),
            _ => Reply::usage(QUIT_ELSEWHERE),
        },
        Ok(command) => hand_over(config.identity(), &config.data, &command, config.patience).await,
        Err(error) => Reply::usage(error),
    }
}

/// Prints a reply. Where nobody reads, nothing is said: what was done is done.
pub fn say(reply: &Reply, format: Format) {
    let _ = match (format, reply) {
        (Format::Json, _) => writeln!(io::stdout(), "{}", reply.to_json()),
        (Format::Text, Reply::Usage { .. }) => writeln!(io::stderr(), "{reply}"),
        (Format::Text, _) => writeln!(io::stdout(), "{reply}"),
    };
    if let (Format::Text, Some(hint)) = (format, reply.hint()) {
        let _ = writeln!(io::stderr(), "Hint: {hint}");
    }
}

/// Where commands are typed, and what its end means.
struct Terminal {
    console: Console,
    kind: TerminalKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TerminalKind {
    /// A person sits there; when they go, the ATM stops.
    Prompt,
    /// Lines come from a pipe or a file; at its end the ATM stays.
    Pipe,
}

impl Terminal {
    fn open(handle: &NodeHandle, session: &Arc<Session>) -> io::Result<Self> {
        if io::stdin().is_terminal() && io::stderr().is_terminal() {
            let mut editor = Editor::new(session.clone(), Colors::from_environment());
            tokio::spawn(redraw_on_change(handle.clone(), session.clone(), editor.redraw()));
            eprintln!("help shows the commands; quit or Ctrl-D stops this ATM");
            let console = Console::open(move |typing, hang_up| editor.read(&typing, hang_up))?;
            Ok(Self { console, kind: TerminalKind::Prompt })
        } else {
            let console = Console::open(|typing, _| {
                if let Err(error) = read_lines(io::stdin().lock(), &typing) {
                    tracing::warn!(%error, "read standard input");
                }
            })?;
            Ok(Self { console, kind: TerminalKind::Pipe })
        }
    }

    /// Answers what is typed. Returns when the ATM should stop.
    async fn converse(&mut self, session: &Session, config: &Config) {
        while let Some(Typed { line, answered }) = self.console.next().await {
            let reply = match line.and_then(|line| line.parse()) {
                Ok(Command::Quit) => return,
                Ok(command) => session.execute(command, config.patience).await,
                Err(error) => Reply::usage(error),
            };
            say(&reply, config.format);
            drop(answered);
        }
        match self.kind {
            TerminalKind::Prompt => {}
            TerminalKind::Pipe => std::future::pending().await,
        }
    }

    /// Gives a terminal back. The reader of a pipe is left where it is: nothing can wake it.
    async fn close(self) {
        match self.kind {
            TerminalKind::Prompt => self.console.close().await,
            TerminalKind::Pipe => {}
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Returns when the node's task is gone.
async fn ended(handle: &NodeHandle) {
    let mut changes = handle.changes();
    while changes.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(id: u64) -> Config {
        Config {
            id: NodeId::new(id),
            listen: ([127, 0, 0, 1], 6001).into(),
            peers: "1=127.0.0.1:6001,2=127.0.0.1:6002".parse().unwrap(),
            data: "absent".into(),
            patience: Patience::default(),
            format: Format::Text,
        }
    }

    #[test]
    fn an_atm_stands_in_its_own_list() {
        assert_eq!(config(2).validate(), Ok(()));
        assert_eq!(config(3).validate(), Err(ConfigError::NotListed { id: NodeId::new(3) }));
    }

    #[tokio::test]
    async fn exec_tells_wrong_usage_without_asking_an_atm() {
        for line in ["", "deposit alice", "deposit alice -5", "steal alice 5", "quit"] {
            assert_eq!(exec(&config(1), line).await.exit_code(), 2, "{line:?}");
        }
        assert_eq!(exec(&config(1), "help").await.exit_code(), 0);
    }
}
