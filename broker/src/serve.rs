//! `broker serve`: one broker, until a signal or until it cannot go on.

use raft_core::NodeId;

use crate::cli::{Failure, ServeArgs};
use crate::cluster::{Broker, BrokerConfig, StartBrokerError, TopicDefaults};

/// Runs a broker until SIGINT or SIGTERM; then it stops cleanly.
///
/// # Errors
/// When it cannot start, or the managers refuse it.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    let data = args.data.display().to_string();
    let mut stop = Signals::listen()?;
    let broker = Broker::start(config(args)).await?;
    tracing::info!(
        id = %broker.handle().id(), kafka = %broker.kafka(), peer = %broker.peer(), data, "serve: started, joining"
    );
    let failure = tokio::select! {
        () = stop.next() => None,
        refused = broker.refused() => Some(Failure::new(refused.to_string())),
        () = broker.ended() => Some(Failure::new("the broker's node stopped by itself").hint("its log says why")),
    };
    tracing::info!("serve: stopping");
    broker.stop().await;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

fn config(args: ServeArgs) -> BrokerConfig {
    BrokerConfig {
        id: NodeId::new(args.id),
        listen: args.listen,
        kafka: args.kafka,
        advertise: args.advertise,
        managers: args.managers,
        data: args.data,
        defaults: TopicDefaults {
            partitions: args.default_partitions,
            create_on_first_use: args.auto_create_topics,
        },
        raft: raft_core::Options::default(),
        wal: raft_wal::Options::default(),
    }
}

impl From<StartBrokerError> for Failure {
    fn from(error: StartBrokerError) -> Self {
        let failure = Failure::new(error.to_string());
        match error {
            StartBrokerError::Kafka { .. } => {
                failure.hint("choose another address with --kafka, or stop what uses this one")
            }
            StartBrokerError::Unreachable { .. } => failure.hint(
                "listen on an address that others can reach; for Kafka clients, --advertise HOST:PORT may name it",
            ),
            StartBrokerError::Node(raft_net::StartError::Bind { .. }) => {
                failure.hint("choose another address with --listen, or stop what uses this one")
            }
            _ => failure,
        }
    }
}

/// The signals that ask this process to end.
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes over SIGINT and SIGTERM from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |why| Failure::new(format!("cannot listen for signals: {why}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
