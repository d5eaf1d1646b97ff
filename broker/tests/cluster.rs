//! A whole cluster in this process, spoken to over TCP as any Kafka client would.

mod support;

use broker::kafka::Backend;
use broker::record::CheckedBatch;
use support::{
    Cluster, DEADLINE, OUT_OF_ORDER_SEQUENCE_NUMBER, Producer, TOPIC_ALREADY_EXISTS,
    UNKNOWN_TOPIC_OR_PARTITION, create_topic, delete_topic, fetch, leader, led_topic, metadata, produce,
    produce_to_leader, read_all, until,
};

fn texts(lines: &[(i64, String)]) -> Vec<&str> {
    lines.iter().map(|(_, line)| line.as_str()).collect()
}

#[test]
fn a_topic_is_created_written_read_and_deleted_through_any_broker() {
    let cluster = Cluster::start();
    assert_eq!(create_topic(&cluster.kafka(1), "lines", 3, 3), 0);
    assert_eq!(create_topic(&cluster.kafka(2), "lines", 3, 3), TOPIC_ALREADY_EXISTS);
    // Created means that the asked broker knows a leader for each partition, at once.
    let shown = metadata(&cluster.kafka(1), Some(&["lines"]), false);
    assert_eq!(shown.brokers.len(), 3);
    assert!(shown.topics[0].partitions.iter().all(|partition| partition.leader_id.0 > 0));
    let mut leaders: Vec<i32> =
        shown.topics[0].partitions.iter().map(|partition| partition.leader_id.0).collect();
    leaders.sort_unstable();
    assert_eq!(leaders, [1, 2, 3], "leaders are spread");

    let producer = Producer::new(&cluster.kafka(3));
    let batch = producer.batch(0, &["one", "two", "three"]);
    assert_eq!(produce_to_leader(&cluster.kafka(2), "lines", 1, &batch), Ok(0));
    let batch = producer.batch(3, &["four"]);
    assert_eq!(produce_to_leader(&cluster.kafka(2), "lines", 1, &batch), Ok(3));
    let lines = read_all(&cluster.kafka(1), "lines", 1, 4);
    assert_eq!(texts(&lines), ["one", "two", "three", "four"]);
    assert_eq!(lines.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 1, 2, 3]);

    // From within a batch the rest of it comes.
    let leads = leader(&cluster.kafka(1), "lines", 1);
    assert_eq!(fetch(&cluster.kafka(leads), "lines", 1, 2).as_deref().map(texts), Ok(vec!["three", "four"]));

    assert_eq!(delete_topic(&cluster.kafka(3), "lines"), 0);
    assert_eq!(delete_topic(&cluster.kafka(3), "lines"), UNKNOWN_TOPIC_OR_PARTITION);
    until("the topic is gone everywhere", || {
        let gone = |id| metadata(&cluster.kafka(id), None, false).topics.is_empty();
        (1..=3).all(gone).then_some(())
    });
    assert_eq!(create_topic(&cluster.kafka(1), "lines", 1, 3), 0, "the name is free again");
    // The winner may be known here a moment before it is ready to serve, as clients know.
    let read = until("the new topic is served", || {
        let leads = leader(&cluster.kafka(1), "lines", 0);
        fetch(&cluster.kafka(leads), "lines", 0, 0).ok()
    });
    assert_eq!(read, [], "nothing of the old topic is left");
}

#[test]
fn a_retry_is_answered_with_its_first_offset_also_by_a_new_leader() {
    let mut cluster = Cluster::start();
    assert_eq!(create_topic(&cluster.kafka(1), "lines", 1, 3), 0);
    let producer = Producer::new(&cluster.kafka(1));
    let batches: Vec<_> = (0..6).map(|number| producer.batch(number * 2, &["a", "b"])).collect();
    let leads = leader(&cluster.kafka(1), "lines", 0);
    for (at, batch) in (0..).zip(&batches) {
        assert_eq!(produce(&cluster.kafka(leads), "lines", 0, batch.clone()), Ok(at * 2));
    }
    for (at, batch) in (0..).zip(&batches).skip(1) {
        assert_eq!(produce(&cluster.kafka(leads), "lines", 0, batch.clone()), Ok(at * 2));
    }
    let too_old = Err(OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(produce(&cluster.kafka(leads), "lines", 0, batches[0].clone()), too_old);

    cluster.stop_broker(leads);
    let other = cluster.brokers()[0];
    let other = cluster.kafka(other);
    for (at, batch) in (0..).zip(&batches).skip(1) {
        assert_eq!(produce_to_leader(&other, "lines", 0, batch), Ok(at * 2));
    }
    assert_eq!(produce_to_leader(&other, "lines", 0, &batches[0]), too_old);
    let lines = read_all(&other, "lines", 0, 12);
    assert_eq!(lines.len(), 12, "a retry is written once");
}

#[test]
fn a_stopped_broker_takes_nothing_with_it_and_comes_back_with_the_same_log() {
    let mut cluster = Cluster::start();
    assert_eq!(create_topic(&cluster.kafka(1), "lines", 1, 3), 0);
    let producer = Producer::new(&cluster.kafka(1));
    let mut expected = Vec::new();
    let mut send = |bootstrap: &str, count: i32| {
        for _ in 0..count {
            let number = expected.len() as i32;
            let line = format!("line {number}");
            let batch = producer.batch(number, &[&line]);
            assert_eq!(produce_to_leader(bootstrap, "lines", 0, &batch), Ok(i64::from(number)));
            expected.push(line);
        }
    };
    send(&cluster.kafka(1), 20);
    let stopped = leader(&cluster.kafka(1), "lines", 0);
    cluster.stop_broker(stopped);
    let running = cluster.brokers()[0];
    send(&cluster.kafka(running), 20);
    cluster.restart_broker(stopped);
    send(&cluster.kafka(stopped), 5);
    let lines = read_all(&cluster.kafka(running), "lines", 0, 45);
    assert_eq!(texts(&lines), expected);

    let dump = |id: i32| {
        let data = cluster.data(id).display().to_string();
        let (code, out, err) = broker(&["log", "dump", &data, "--topic", "lines", "--partition", "0"]);
        assert_eq!(code, Some(0), "{err}");
        out
    };
    until("the same log on all three", || {
        let first = dump(1);
        let complete = first.lines().filter(|line| line.contains("kind=batch")).count() == 45;
        (complete && dump(2) == first && dump(3) == first).then_some(())
    });
    let last = dump(1).lines().last().map(str::to_owned).unwrap_or_default();
    assert!(last.contains("offsets=44..44") && last.ends_with("crc=ok"), "{last}");
}

#[test]
fn all_six_nodes_come_back_with_everything_that_was_acknowledged() {
    let mut cluster = Cluster::start();
    assert_eq!(create_topic(&cluster.kafka(1), "lines", 2, 3), 0);
    let producer = Producer::new(&cluster.kafka(1));
    for partition in 0..2 {
        for number in 0..10 {
            let batch = producer.batch(number, &["line"]);
            let offset = produce_to_leader(&cluster.kafka(1), "lines", partition, &batch);
            assert_eq!(offset, Ok(i64::from(number)));
        }
    }
    cluster.restart();
    for partition in 0..2 {
        assert_eq!(read_all(&cluster.kafka(2), "lines", partition, 10).len(), 10);
        let retried = produce_to_leader(&cluster.kafka(3), "lines", partition, &producer.batch(9, &["line"]));
        assert_eq!(retried, Ok(9), "who wrote what is known, too");
    }
    let another = Producer::new(&cluster.kafka(1));
    assert_ne!(another.id, producer.id, "no producer id is given twice");
}

#[test]
fn a_broker_that_was_away_learns_of_a_delete_and_removes_the_data() {
    let mut cluster = Cluster::start();
    assert_eq!(create_topic(&cluster.kafka(1), "lines", 2, 3), 0);
    cluster.stop_broker(3);
    let group_dirs = |cluster: &Cluster| {
        let groups = std::fs::read_dir(cluster.data(3).join("groups")).expect("a log directory");
        groups.count()
    };
    assert_eq!(group_dirs(&cluster), 3, "two partitions and the metadata");
    assert_eq!(delete_topic(&cluster.kafka(1), "lines"), 0);
    assert_eq!(group_dirs(&cluster), 3);
    cluster.restart_broker(3);
    until("the data is gone", || (group_dirs(&cluster) == 1).then_some(()));
}

#[test]
fn batches_handed_over_one_after_another_come_in_that_order_however_many_are_under_way() {
    let cluster = Cluster::start();
    assert_eq!(create_topic(&cluster.kafka(1), "lines", 1, 3), 0);
    let producer = Producer::new(&cluster.kafka(1));
    let leads = until("a leader that is ready", || {
        let leads = leader(&cluster.kafka(1), "lines", 0);
        fetch(&cluster.kafka(leads), "lines", 0, 0).ok().map(|_| leads)
    });
    cluster.on_broker(leads, async |broker| {
        let mut pending = Vec::new();
        for number in 0..2_000 {
            let batch = producer.batch(number, &["line"]);
            let batch = CheckedBatch::parse(batch, 1 << 20).expect("a good batch");
            let started = broker.backend().start_produce("lines", 0, batch, DEADLINE).await;
            pending.push(started.expect("it is taken"));
        }
        for (number, pending) in (0..).zip(pending) {
            assert_eq!(pending.await.map(|produced| produced.base_offset.as_i64()), Ok(number));
        }
    });
}

#[test]
fn topics_are_created_on_first_use() {
    let cluster = Cluster::start();
    let shown = metadata(&cluster.kafka(2), Some(&["fresh"]), false);
    assert_eq!(shown.topics[0].error_code, UNKNOWN_TOPIC_OR_PARTITION);
    until("the topic is there", || {
        let shown = metadata(&cluster.kafka(2), Some(&["fresh"]), true);
        (shown.topics[0].error_code == 0).then_some(())
    });
    assert_eq!(led_topic(&cluster.kafka(2), "fresh").partitions.len(), 2);
}

/// Runs the binary: exit code, standard output, standard error.
fn broker(arguments: &[&str]) -> (Option<i32>, String, String) {
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (run.status.code(), text(run.stdout), text(run.stderr))
}

#[test]
fn the_command_line_creates_lists_describes_and_deletes_topics() {
    let cluster = Cluster::start();
    let at = cluster.kafka(1);
    let (code, out, err) = broker(&["topic", "create", "lines", "--partitions", "6", "--bootstrap", &at]);
    assert_eq!((code, out.as_str()), (Some(0), "created topic lines: 6 partitions of 3 replicas\n"), "{err}");

    let (code, out, err) = broker(&["topic", "create", "lines", "--partitions", "6", "--bootstrap", &at]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("Error: ") && err.contains("exists") && err.contains("Hint: "), "{err}");

    let (code, out, err) = broker(&["topic", "list", "--bootstrap", &at]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out.lines().nth(1).map(|row| row.split_whitespace().collect()),
        Some(vec!["lines", "6", "3", "0"])
    );

    let (code, out, err) = broker(&["topic", "describe", "lines", "--json", "--bootstrap", &at]);
    assert_eq!(code, Some(0), "{err}");
    let described: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let partitions = described["partitions"].as_array().expect("partitions");
    assert_eq!(partitions.len(), 6);
    for partition in partitions {
        assert_eq!(partition["replicas"].as_array().map(Vec::len), Some(3));
        assert!(partition["leader"].is_number());
    }

    let (code, _, err) = broker(&["topic", "describe", "other", "--bootstrap", &at]);
    assert_eq!(code, Some(1));
    assert!(err.contains("Hint: `broker topic list`"), "{err}");

    let (code, out, err) = broker(&["topic", "delete", "lines", "--bootstrap", &at]);
    assert_eq!((code, out.as_str()), (Some(0), "deleted topic lines\n"), "{err}");
    let (code, _, _) = broker(&["topic", "delete", "lines", "--bootstrap", &at]);
    assert_eq!(code, Some(1));
}

#[test]
fn without_a_broker_the_command_line_says_what_to_do() {
    let _turn = support::turn();
    let (code, out, err) = broker(&["topic", "list", "--bootstrap", "127.0.0.1:1"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("cannot reach a broker at 127.0.0.1:1") && err.contains("Hint: "), "{err}");
    let (code, _, _) = broker(&["topic", "frobnicate"]);
    assert_eq!(code, Some(2));
    let nowhere = tempfile::tempdir().expect("a directory");
    let nowhere = nowhere.path().display().to_string();
    let (code, _, err) = broker(&["log", "dump", &nowhere, "--topic", "lines", "--partition", "0"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("Error: ") && err.contains("Hint: "), "{err}");
}
