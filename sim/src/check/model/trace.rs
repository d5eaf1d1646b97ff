//! A counterexample in words: what happened to whom, and what became of it.

use std::fmt::Write as _;

use super::raft_core::Message;

use super::image::{Log, brief};
use super::input::Input;
use super::replica::Replica;
use super::scope::Budget;
use super::state::{Action, Connections, State};
use super::world::World;

/// A step that is told.
#[derive(Clone, Copy)]
pub(super) enum Told<'a> {
    /// It leads to this state.
    Leads(Action, &'a State),
    /// It breaks a law.
    Breaks(Action),
}

/// Tells a step from `before` on.
pub(super) fn tell(world: &World, before: &State, step: Told<'_>) -> String {
    match step {
        Told::Breaks(action) => what(world, before, action),
        Told::Leads(action, after) => {
            let mut text = what(world, before, action);
            let replica = world.replica(after.replicas[action.at]);
            // Writing to a string does not fail.
            let _ = write!(text, "\n      now {}", describe(replica));
            for message in &after.network {
                let count = |state: &State| state.network.iter().filter(|other| *other == message).count();
                let packet = world.packet(*message);
                if count(after) > count(before) && usize::from(packet.from) == action.at + 1 {
                    let _ = write!(text, "\n      to {}: {}", packet.to, say(&packet.message));
                }
            }
            text
        }
    }
}

fn what(world: &World, before: &State, action: Action) -> String {
    let number = action.at + 1;
    let late = |is_late: bool| if is_late { ", after a long silence" } else { "" };
    let reset = match action.connections {
        Connections::Kept => "",
        Connections::Reset => "; what was on the way is lost",
    };
    match action.input {
        Input::Deliver { message, is_late } => {
            let packet = world.packet(message);
            let again = match action.budget {
                Some(Budget::Duplicates) => ", while one more of it stays in flight,",
                Some(Budget::Overtakes) => ", before others that were sent earlier,",
                _ => "",
            };
            format!(
                "replica {number} gets from {}{again} {}{}",
                packet.from,
                say(&packet.message),
                late(is_late)
            )
        }
        Input::Tick { is_late } => {
            format!("replica {number} is told that its time has come{}", late(is_late))
        }
        Input::Complete { writes: 1 } => format!("replica {number}'s oldest write is durable and reported"),
        Input::Complete { writes } => {
            format!("replica {number}'s {writes} oldest writes are durable, reported as one")
        }
        Input::Crash { writes, steps } => {
            let pending = world.replica(before.replicas[action.at]).pending.len();
            format!(
                "replica {number} crashes and starts again; of {pending} unreported writes {writes} were done, and of the \
                 next {steps} steps{reset}"
            )
        }
        Input::Damage { left } => {
            format!(
                "replica {number} crashes, its disk loses all of the log but {left} entries, and it starts again{reset}"
            )
        }
        Input::Lose { message } => {
            let packet = world.packet(message);
            format!("to replica {number} from {} is lost {}", packet.from, say(&packet.message))
        }
        Input::Propose => format!("replica {number} is asked to propose an entry"),
        Input::Change { number: change } => {
            let changes = &world.setting.scope.changes;
            let change = changes.get(usize::from(change)).map(ToString::to_string).unwrap_or_default();
            format!("replica {number} is asked to {change}")
        }
        Input::Transfer { to } => format!("replica {number} is asked to hand leadership to {to}"),
        Input::Unreachable { peer } => {
            format!("replica {number} is told that its connection to {peer} was lost{reset}")
        }
    }
}

/// A replica in a line.
fn describe(replica: &Replica) -> String {
    let raft = &replica.raft;
    let log = Log::of(raft);
    let mut text = format!(
        "{}, {}, log {log}, commit {}; on disk {}, {}",
        raft.soft_state().role,
        brief(raft.hard_state()),
        raft.commit(),
        brief(replica.image.hard_state),
        replica.image.log
    );
    if let Some(extent) = replica.image.doubt {
        let _ = write!(text, ", in doubt up to {extent}");
    }
    if !replica.pending.is_empty() {
        let _ = write!(text, "; {} writes on their way", replica.pending.len());
    }
    text
}

/// A message, as short as it can be told.
fn say(message: &Message) -> String {
    let word = |granted: bool| if granted { "yes" } else { "no" };
    match message {
        Message::PreVote(m) => format!("PreVote: term {}, last entry {}", m.term, m.last),
        Message::PreVoteReply(m) => format!("PreVoteReply: {}, term {}", word(m.granted), m.term),
        Message::Vote(m) => format!("Vote: term {}, last entry {}", m.term, m.last),
        Message::VoteReply(m) => format!("VoteReply: {}, term {}", word(m.granted), m.term),
        Message::Append(m) => {
            let (log, after) = (Log::read(&m.entries, &m.memberships), m.entries.before());
            format!("Append: term {}, {log} after {after}, commit {}", m.term, m.commit)
        }
        Message::AppendReply(m) => format!("AppendReply: term {}, {:?}", m.term, m.outcome),
        Message::TimeoutNow(m) => format!("TimeoutNow: term {}, last entry {}", m.term, m.last),
        Message::Doubt(m) => format!("Doubt: term {}, from {} to {}", m.term, m.after, m.extent),
        Message::DoubtReply(m) => {
            let held = if m.holds { "held" } else { "not held" };
            format!("DoubtReply: term {}, from {} to {} {held}", m.term, m.after, m.extent)
        }
        other => format!("{other:?}"),
    }
}
