//! Bugs that were found in review; each test failed before its fix.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, index};
use raft_core::Restored;

#[test]
fn a_disk_slower_than_an_election_still_elects_in_the_end() {
    // One fsync is on its way at a time and takes 600 ms; what is asked for meanwhile goes with the next.
    let mut cluster = Cluster::new(1);
    cluster.slow_disks = vec![1];
    let mut in_flight = None;
    for step in 0..6_000u64 {
        cluster.run(Duration::from_millis(10));
        if step % 60 == 0 {
            if let Some(token) = in_flight.take() {
                let now = cluster.now;
                cluster.raft(1).persisted(now, token);
                cluster.drain(1);
            }
            in_flight = cluster.at(1).writes.drain(..).next_back().map(|(write, _)| write.token);
        }
        if cluster.raft(1).is_serving() {
            return;
        }
    }
    let term = cluster.raft(1).hard_state().term;
    panic!("no leader within a minute; the term is {term} by now");
}

#[test]
fn a_voter_that_lost_what_it_acknowledged_is_not_asked_for_it_without_a_pause() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, 10);
    cluster.run(Duration::from_millis(300));
    let follower = (1..=3).find(|n| *n != leader).unwrap();
    cluster.crash(follower);
    // A disk that lied about fsync, or an old image of it.
    let disk = cluster.at(follower).disk.clone();
    let mut log = disk.log.clone();
    log.truncate(index(5));
    cluster.at(follower).disk = Restored { log, ..disk };
    cluster.restart(follower);
    cluster.run(Duration::from_millis(150));
}

#[test]
fn voters_whose_disks_are_slower_than_an_election_still_elect_in_the_end() {
    let mut cluster = Cluster::new(3);
    cluster.slow_disks = vec![1, 2, 3];
    let mut in_flight = [None; 4];
    for step in 0..12_000u64 {
        cluster.run(Duration::from_millis(10));
        for node in 1..=3u64 {
            if (step + node * 17).is_multiple_of(40) {
                if let Some(token) = in_flight[node as usize].take() {
                    let now = cluster.now;
                    cluster.raft(node).persisted(now, token);
                    cluster.drain(node);
                }
                in_flight[node as usize] =
                    cluster.at(node).writes.drain(..).next_back().map(|(write, _)| write.token);
            }
        }
        cluster.settle();
        if cluster.leader().is_some() {
            return;
        }
    }
    let term = cluster.raft(1).hard_state().term;
    panic!("no leader within two minutes; the term is {term} by now");
}
