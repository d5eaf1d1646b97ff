//! `broker topic`: what any Kafka client could ask, in words.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use serde_json::json;

use super::args::{Bootstrap, TopicCommand};
use super::failure::Failure;
use super::table::Table;
use crate::client::{Client, ClientError};

/// How long the broker may take to do what is asked.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much longer the answer is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// Runs one of the commands.
pub(super) fn run(command: TopicCommand, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        TopicCommand::Create { name, partitions, replicas, at } => {
            create(&name, partitions, replicas, &at, out)
        }
        TopicCommand::List { at } => list(&at, out),
        TopicCommand::Describe { name, at } => describe(&name, &at, out),
        TopicCommand::Delete { name, yes, at } => delete(&name, yes, &at, out),
    }
}

/// Connects to the first broker of the list that answers.
fn connect(at: &Bootstrap) -> Result<Client, Failure> {
    let mut addresses = at.bootstrap.split(',').map(str::trim);
    let first = addresses.next().unwrap_or_default();
    let mut connected = Client::connect(first, PATIENCE + GRACE);
    for address in addresses {
        if connected.is_err() {
            connected = Client::connect(address, PATIENCE + GRACE);
        }
    }
    Ok(connected?)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let hint = match &error {
            ClientError::Unreachable { .. } => {
                "start one with `broker dev`, or name another with --bootstrap HOST:PORT"
            }
            ClientError::Broken { .. } => {
                "look with `broker topic list` whether it was done before you try again"
            }
            ClientError::Nonsense { .. } => {
                "--bootstrap must name a broker's Kafka port, not its peer or HTTP port"
            }
        };
        Failure::new(error.to_string()).hint(hint)
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// What a broker refused: in its own words if it sent any, else by the name of the error.
fn refusal(what: &str, code: i16, message: Option<&str>) -> Option<Failure> {
    let error = ResponseError::try_from_code(code)?;
    let why = message.map_or_else(|| error.to_string(), str::to_owned);
    let failure = Failure::new(format!("{what}: {why}"));
    Some(match error {
        ResponseError::TopicAlreadyExists => {
            failure.hint("choose another name, or delete it first: broker topic delete NAME")
        }
        ResponseError::UnknownTopicOrPartition => {
            failure.hint("`broker topic list` shows the topics there are")
        }
        ResponseError::InvalidReplicationFactor => {
            failure.hint("ask for at most as many as there are live brokers")
        }
        ResponseError::InvalidTopicException => {
            failure.hint("use 1 to 249 of: letters, digits, '.', '_' and '-'")
        }
        ResponseError::RequestTimedOut => {
            failure.hint("look with `broker topic describe NAME` before you try again")
        }
        _ if error.is_retriable() => failure.hint("try again in a moment"),
        _ => failure,
    })
}

fn create(
    name: &str,
    partitions: Option<u32>,
    replicas: Option<u16>,
    at: &Bootstrap,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions.map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX)))
        .with_replication_factor(replicas.map_or(-1, |n| i16::try_from(n).unwrap_or(i16::MAX)));
    let request =
        CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(PATIENCE.as_millis() as i32);
    let response = connect(at)?.call(&request, 7)?;
    let Some(result) = response.topics.first() else {
        return Err(Failure::new("the broker answered nothing about the topic"));
    };
    let message = result.error_message.as_deref();
    if let Some(failure) = refusal(&format!("cannot create topic '{name}'"), result.error_code, message) {
        return Err(failure);
    }
    let (partitions, replicas) = (result.num_partitions, result.replication_factor);
    if at.json {
        let topic = json!({"topic": name, "id": result.topic_id.to_string(), "partitions": partitions, "replicas": replicas});
        writeln!(out, "{topic}")?;
    } else {
        writeln!(
            out,
            "created topic {name}: {} of {}",
            count(partitions, "partition"),
            count(replicas.into(), "replica")
        )?;
    }
    Ok(())
}

fn count(number: i32, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn metadata(topics: Option<Vec<&str>>, at: &Bootstrap) -> Result<MetadataResponse, Failure> {
    let topics = topics.map(|names| {
        names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name)))).collect()
    });
    let request = MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false);
    Ok(connect(at)?.call(&request, 9)?)
}

fn name_of(topic: &MetadataResponseTopic) -> &str {
    topic.name.as_ref().map_or("", |name| name.as_str())
}

fn replicas_of(topic: &MetadataResponseTopic) -> usize {
    topic.partitions.iter().map(|partition| partition.replica_nodes.len()).max().unwrap_or(0)
}

fn list(at: &Bootstrap, out: &mut impl Write) -> Result<(), Failure> {
    let mut topics = metadata(None, at)?.topics;
    topics.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    if at.json {
        let topics: Vec<_> = topics
            .iter()
            .map(|topic| {
                json!({"topic": name_of(topic), "partitions": topic.partitions.len(), "replicas": replicas_of(topic)})
            })
            .collect();
        writeln!(out, "{}", json!(topics))?;
        return Ok(());
    }
    if topics.is_empty() {
        eprintln!("There are no topics yet.");
        return Ok(());
    }
    let mut table = Table::new(["TOPIC", "PARTITIONS", "REPLICAS", "LEADERLESS"]);
    for topic in &topics {
        let leaderless = topic.partitions.iter().filter(|partition| partition.leader_id.0 < 0).count();
        table.row([
            name_of(topic).to_owned(),
            topic.partitions.len().to_string(),
            replicas_of(topic).to_string(),
            leaderless.to_string(),
        ]);
    }
    write!(out, "{table}")?;
    Ok(())
}

fn describe(name: &str, at: &Bootstrap, out: &mut impl Write) -> Result<(), Failure> {
    let response = metadata(Some(vec![name]), at)?;
    let Some(topic) = response.topics.into_iter().next() else {
        return Err(Failure::new("the broker answered nothing about the topic"));
    };
    if let Some(failure) = refusal(&format!("cannot describe topic '{name}'"), topic.error_code, None) {
        return Err(failure);
    }
    let mut partitions = topic.partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    let leader =
        |partition: &MetadataResponsePartition| (partition.leader_id.0 >= 0).then_some(partition.leader_id.0);
    let ids =
        |nodes: &[kafka_protocol::messages::BrokerId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
    if at.json {
        let partitions: Vec<_> = partitions
            .iter()
            .map(|partition| {
                json!({
                    "partition": partition.partition_index,
                    "leader": leader(partition),
                    "epoch": partition.leader_epoch,
                    "replicas": ids(&partition.replica_nodes),
                    "in-sync": ids(&partition.isr_nodes),
                })
            })
            .collect();
        writeln!(out, "{}", json!({"topic": name, "partitions": partitions}))?;
        return Ok(());
    }
    let words = |nodes: &[kafka_protocol::messages::BrokerId]| {
        ids(nodes).iter().map(i32::to_string).collect::<Vec<_>>().join(",")
    };
    let mut table = Table::new(["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN-SYNC"]);
    for partition in &partitions {
        table.row([
            partition.partition_index.to_string(),
            leader(partition).map_or_else(|| "none".to_owned(), |id| id.to_string()),
            partition.leader_epoch.to_string(),
            words(&partition.replica_nodes),
            words(&partition.isr_nodes),
        ]);
    }
    write!(out, "{table}")?;
    Ok(())
}

fn delete(name: &str, yes: bool, at: &Bootstrap, out: &mut impl Write) -> Result<(), Failure> {
    if !yes && std::io::stdin().is_terminal() && !confirmed(name)? {
        return Err(Failure::new("nothing was deleted"));
    }
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name(name)])
        .with_timeout_ms(PATIENCE.as_millis() as i32);
    let response = connect(at)?.call(&request, 5)?;
    let Some(result) = response.responses.first() else {
        return Err(Failure::new("the broker answered nothing about the topic"));
    };
    let message = result.error_message.as_deref();
    if let Some(failure) = refusal(&format!("cannot delete topic '{name}'"), result.error_code, message) {
        return Err(failure);
    }
    if at.json {
        writeln!(out, "{}", json!({"topic": name, "deleted": true}))?;
    } else {
        writeln!(out, "deleted topic {name}")?;
    }
    Ok(())
}

fn confirmed(name: &str) -> Result<bool, Failure> {
    eprint!("Delete topic {name} and all its records, for ever? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
