//! Three replicas in one process: a leader is elected, a command is replicated and applied on all three.
//!
//! `cargo run -p raft-core --example three_replicas`

use std::collections::VecDeque;

use raft_core::{Configuration, DiskId, Envelope, Event, NodeId, Options, Replica, ReplicaId, Time};

fn main() {
    let ids = [1, 2, 3].map(|node| ReplicaId::new(NodeId::new(node), DiskId::new(node.into())));
    let voters = Configuration::new(ids).expect("three different nodes");
    let mut now = Time::ZERO;
    let mut replicas =
        ids.map(|id| Replica::new(id, voters.clone(), Options::default(), id.node.as_u64(), now));
    let mut network: VecDeque<Envelope<&str>> = VecDeque::new();
    let mut done = [Vec::new(), Vec::new(), Vec::new()];
    let mut has_proposed = false;

    while done.iter().any(|applied| applied.is_empty()) {
        // Time passes; whoever waits for it is told.
        now = now.after(Options::default().heartbeat_interval);
        for replica in &mut replicas {
            replica.tick(now);
            if replica.raft().is_serving() && !has_proposed {
                let proposed = replica.propose(now, "hello, raft").expect("it leads");
                println!("node {} leads and proposes entry {}", replica.raft().me().node, proposed.last);
                has_proposed = true;
            }
        }
        // What the replicas ask for is done: messages are carried, commands applied.
        loop {
            for (replica, applied) in replicas.iter_mut().zip(&mut done) {
                while let Some(event) = replica.poll() {
                    match event {
                        Event::Send(envelope) => network.push_back(envelope),
                        Event::Apply { id, command } => {
                            println!("node {} applies {id}: {command}", replica.raft().me().node);
                            applied.push(command);
                        }
                        _ => {}
                    }
                }
            }
            let Some(envelope) = network.pop_front() else { break };
            let to = replicas.iter_mut().find(|replica| replica.raft().me().node == envelope.to);
            if let Some(replica) = to {
                replica.receive(now, envelope);
            }
        }
    }
    println!("all three have applied it, {now} s after the start");
}
