//! What can be typed. Names and flags are a contract: add, don't rename.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use manager::{HostPort, PeerList};

/// A Kafka-protocol broker whose every partition is a Raft group.
#[derive(Debug, Parser)]
#[command(name = "broker", version, before_help = EXAMPLES, max_term_width = 110)]
pub struct BrokerCli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What a broker's command line can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one broker of a cluster, until a signal.
    Serve(ServeArgs),
    /// Run a whole cluster in this process, to try things out: three managers and three brokers.
    Dev(DevArgs),
    /// Create, list, describe and delete topics, through any broker.
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Look into the log of a partition.
    #[command(subcommand)]
    Log(LogCommand),
}

/// How to run one broker.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// This broker's id: unique over managers and brokers, and for ever the same with the same data.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(..=manager::metadata::MAX_BROKER_ID))]
    pub id: u64,
    /// Where other nodes of the cluster reach it.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: SocketAddr,
    /// Where it listens for Kafka clients.
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: SocketAddr,
    /// The address that Kafka clients are told to connect to, when it is not the one of --kafka.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<HostPort>,
    /// The managers of the cluster and their peer addresses.
    #[arg(long, value_name = "ID=HOST:PORT,...")]
    pub managers: PeerList,
    /// Its data directory; created when absent.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Create topics when a client first asks for them.
    #[arg(long)]
    pub auto_create_topics: bool,
    /// Partitions of a topic whose creator does not say how many.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub default_partitions: u32,
}

/// How to run a cluster in one process.
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// Keep the data here; without it, it goes to a temporary directory that is removed at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Kafka port of the first broker; the others follow.
    #[arg(long, value_name = "PORT", default_value_t = 9092, value_parser = port_of_three())]
    pub kafka_port: u16,
    /// Peer port of the first broker; the others follow.
    #[arg(long, value_name = "PORT", default_value_t = 7001, value_parser = port_of_three())]
    pub peer_port: u16,
    /// Peer port of the first manager; the others follow.
    #[arg(long, value_name = "PORT", default_value_t = 7101, value_parser = port_of_three())]
    pub manager_port: u16,
    /// HTTP port of the first manager; the others follow.
    #[arg(long, value_name = "PORT", default_value_t = 8101, value_parser = port_of_three())]
    pub http_port: u16,
    /// Take twelve ports in a row from here instead: kafka, brokers, managers, http.
    #[arg(long, value_name = "PORT", conflicts_with_all = ["kafka_port", "peer_port", "manager_port", "http_port"],
          value_parser = clap::value_parser!(u16).range(1..=65_523))]
    pub base_port: Option<u16>,
    /// Partitions of a topic whose creator does not say how many.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub default_partitions: u32,
}

fn port_of_three() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=65_533)
}

/// What can be done with topics.
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create a topic. Returns once every partition has a leader.
    Create {
        /// Its name.
        name: String,
        /// How many partitions; without it, the broker's default.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        partitions: Option<u32>,
        /// How many replicas each; without it 3, or as many as there are brokers.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=7))]
        replicas: Option<u16>,
        /// Where to ask.
        #[command(flatten)]
        at: Bootstrap,
    },
    /// List the topics.
    List {
        /// Where to ask.
        #[command(flatten)]
        at: Bootstrap,
    },
    /// Show a topic's partitions: who leads them, who holds them.
    Describe {
        /// Its name.
        name: String,
        /// Where to ask.
        #[command(flatten)]
        at: Bootstrap,
    },
    /// Delete a topic and all its records, for ever. Asks first when typed in a terminal.
    Delete {
        /// Its name.
        name: String,
        /// Don't ask.
        #[arg(long)]
        yes: bool,
        /// Where to ask.
        #[command(flatten)]
        at: Bootstrap,
    },
}

/// Which broker to ask, and how to print the answer.
#[derive(Clone, Debug, Args)]
pub struct Bootstrap {
    /// Kafka address of any broker; of several, separated by commas, the first that answers is asked.
    #[arg(long, value_name = "HOST:PORT,...", default_value = "127.0.0.1:9092")]
    pub bootstrap: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What can be done with logs.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print the log of a partition as text, one line for each entry. Only reads, also beside a running broker.
    /// Replicas of a partition print the same.
    Dump {
        /// The data directory of a broker.
        data_dir: PathBuf,
        /// The topic.
        #[arg(long)]
        topic: String,
        /// The partition.
        #[arg(long, value_name = "N")]
        partition: u32,
    },
}

const EXAMPLES: &str = "\
Examples:
  broker dev                                       a cluster to play with
  broker topic create lines --partitions 6         a topic, by way of 127.0.0.1:9092
  broker topic describe lines --json
  broker log dump DATA_DIR --topic lines --partition 0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_the_contract_are_understood() {
        let lines = [
            "broker serve --id 1 --listen 127.0.0.1:7001 --kafka 127.0.0.1:9092 --advertise localhost:9092 \
             --managers 101=127.0.0.1:7101,102=127.0.0.1:7102,103=127.0.0.1:7103 --data DIR",
            "broker topic create NAME --partitions 6 --replicas 3 --bootstrap 127.0.0.1:9092",
            "broker topic list --bootstrap 127.0.0.1:9092 --json",
            "broker topic describe NAME --bootstrap 127.0.0.1:9092",
            "broker topic delete NAME --bootstrap 127.0.0.1:9092",
            "broker log dump DATA_DIR --topic NAME --partition 0",
            "broker dev",
            "broker dev --data DIR --kafka-port 19092",
            "broker dev --base-port 20000",
        ];
        for line in lines {
            let parsed = BrokerCli::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_starts() {
        let lines = [
            "broker",
            "broker serve --id 1",
            "broker serve --id 2147483648 --listen 127.0.0.1:1 --kafka 127.0.0.1:2 --managers 1=a:1 --data D",
            "broker serve --id 1 --listen 127.0.0.1:1 --kafka 127.0.0.1:2 --managers nonsense --data D",
            "broker topic create lines --partitions 0",
            "broker topic create lines --replicas 8",
            "broker dev --base-port 20000 --kafka-port 9092",
            "broker dev --kafka-port 65534",
        ];
        for line in lines {
            let parsed = BrokerCli::try_parse_from(line.split_whitespace());
            assert_eq!(parsed.map(|_| ()).map_err(|error| error.exit_code()), Err(2), "{line}");
        }
    }
}
