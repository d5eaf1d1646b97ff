//! Bytes of the core of one idle follower, boxed: all that it holds on the heap, without its log's entries and without
//! what all replicas of a process share. Counted by what is freed when a thousand of them are dropped.

use std::alloc::System;
use std::time::Duration;

use raft_core_peers::idle::{Idle, Ours, RaftRs, Voters};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const GROUPS: usize = 1_000;

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn bytes_of_a_follower(mut groups: impl Idle) -> usize {
    groups.pass(Duration::from_secs(2));
    let mut followers = groups.into_followers();
    // The last one holds what is shared.
    let rest = followers.split_off(GROUPS);
    let before = held();
    followers.clear();
    let bytes = (before - held()) / GROUPS;
    drop(rest);
    bytes
}

fn main() {
    println!("| an idle follower's core | bytes |");
    println!("| --- | --- |");
    for voters in [Voters::Shared, Voters::Own] {
        let whose = match voters {
            Voters::Shared => "voters shared with groups on the same nodes",
            Voters::Own => "voters of its own",
        };
        println!(
            "| raft-core, asleep, {whose} | {} |",
            bytes_of_a_follower(Ours::asleep(GROUPS + 1, voters))
        );
        println!("| raft-core, awake, {whose} | {} |", bytes_of_a_follower(Ours::awake(GROUPS + 1, voters)));
    }
    println!("| raft-rs 0.7.0 | {} |", bytes_of_a_follower(RaftRs::awake(GROUPS + 1)));
}
