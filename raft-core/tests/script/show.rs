//! One line of text for each thing a core decides, says or is. See the legend in `tests/scripts/README.md`.

use raft_core::{
    AppendOutcome, AppendRequest, Content, Effect, HardState, LogChange, Membership, Message, Raft,
    ReplicaId, RoleKind, SoftState, TermRuns,
};

/// A line for an effect of the replica on `node`.
pub(crate) fn effect(node: u64, raft: &Raft, effect: &Effect) -> String {
    format!("{node} {}", decision(raft, effect))
}

fn decision(raft: &Raft, effect: &Effect) -> String {
    match effect {
        Effect::Persist(write) => persist(raft, write.hard_state, &write.log),
        Effect::Send { to, message } => format!("send {to} {}", self::message(message)),
        Effect::Commit { index } => format!("commit {index}"),
        Effect::ReadReady { read, index } => format!("read {} ready at {index}", read.0),
        Effect::ReadFailed { read, .. } => format!("read {} failed", read.0),
        Effect::RoleChanged(state) => format!("role {}", role(*state)),
        Effect::Truncated { after } => format!("truncated after {after}"),
        Effect::MembershipActive { index } => {
            let membership = raft.membership_at(*index).cloned().unwrap_or_default();
            format!("membership {} at {index}", self::membership(&membership))
        }
        Effect::MembershipCommitted { index } => format!("membership committed at {index}"),
        Effect::NeedSnapshot { peer, at_least } => format!("needs snapshot for {peer} from {at_least}"),
        Effect::InstallSnapshot { from, snapshot } => {
            let members = self::membership(&snapshot.membership);
            format!("install snapshot {} {members} of {from}", snapshot.last)
        }
        Effect::TransferAborted { to } => format!("transfer to {to} aborted"),
        Effect::Withdraw { term } => format!("withdraw t{term}"),
        Effect::Fault { law } => format!("fault: {law}"),
    }
}

fn persist(raft: &Raft, hard_state: Option<HardState>, log: &LogChange) -> String {
    let mut parts = vec![];
    if let Some(HardState { term, vote }) = hard_state {
        parts.push(format!("t{term} vote {}", vote.map_or("none".into(), name)));
    }
    match log {
        LogChange::Unchanged => {}
        LogChange::Append { cut, entries, content } => {
            if let Some(after) = cut {
                parts.push(format!("cut after {after}"));
            }
            let what = match content {
                Content::Payloads => {
                    let (after, last) = (entries.before().index, entries.last_index());
                    memberships(raft.memberships_between(after, last))
                }
                Content::Noop => " noop".into(),
                Content::Membership(members) => format!(" membership {}", membership(members)),
            };
            parts.push(format!("{}{what}", runs(entries)));
        }
        LogChange::Restart { after } => parts.push(format!("restart after {after}")),
    }
    format!("persist {}", parts.join(", "))
}

pub(crate) fn message(message: &Message) -> String {
    match message {
        Message::PreVote(m) => format!("pre-vote t{} last {}", m.term, m.last),
        Message::PreVoteReply(m) => format!("pre-vote {} t{}", yes(m.granted), m.term),
        Message::Vote(m) => format!("vote t{} last {}", m.term, m.last),
        Message::VoteReply(m) => format!("vote {} t{}", yes(m.granted), m.term),
        Message::Append(m) => append(m),
        Message::AppendReply(m) => {
            let what = match m.outcome {
                AppendOutcome::Matched { matched } => format!("matched {matched}"),
                AppendOutcome::Conflict { prev, hint } => format!("conflict {prev} hint {hint}"),
                AppendOutcome::Installing => "installing".into(),
            };
            format!("{what} t{} round {}", m.term, m.round)
        }
        Message::ReadIndex(m) => format!("read-index? t{}", m.term),
        Message::ReadIndexReply(m) => {
            format!("read-index {} t{}", m.index.map_or("refused".into(), |i| i.to_string()), m.term)
        }
        Message::Snapshot(m) => format!(
            "snapshot {} {} t{} round {}",
            m.snapshot.last,
            membership(&m.snapshot.membership),
            m.term,
            m.round
        ),
        Message::TimeoutNow(m) => format!("campaign-now t{} last {}", m.term, m.last),
        Message::Sleep(m) => format!("sleep? t{} at {} round {}", m.term, m.last, m.round),
        Message::SleepReply(m) => {
            format!("sleep {} t{} at {} round {}", yes(m.asleep), m.term, m.last, m.round)
        }
        Message::Wake(m) => format!("wake t{}", m.term),
        Message::Doubt(m) => format!("held? t{} after {} to {}", m.term, m.after, m.extent),
        Message::DoubtReply(m) => {
            format!("held {} t{} after {} to {}", yes(m.holds), m.term, m.after, m.extent)
        }
    }
}

fn append(m: &AppendRequest) -> String {
    let entries = match m.entries.is_empty() {
        true => String::new(),
        false => format!(": {}{}", runs(&m.entries), memberships(&m.memberships)),
    };
    format!("append t{} after {}{entries} commit {} round {}", m.term, m.entries.before(), m.commit, m.round)
}

fn memberships(list: &[(raft_core::LogIndex, Membership)]) -> String {
    list.iter().map(|(at, members)| format!(" membership {} at {at}", membership(members))).collect()
}

/// `5..7@1, 8@2`: entries 5 to 7 of term 1 and entry 8 of term 2.
fn runs(entries: &TermRuns) -> String {
    let all = entries.runs();
    let ends = all.iter().skip(1).map(|run| run.first.prev()).chain([entries.last_index()]);
    let shown = all.iter().zip(ends).map(|(run, end)| match run.first == end {
        true => format!("{end}@{}", run.term),
        false => format!("{}..{end}@{}", run.first, run.term),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

/// The node, with a prime for each time its disk was replaced.
fn name(replica: ReplicaId) -> String {
    let times = replica.disk.as_u128() as u8;
    format!("{}{}", replica.node, "'".repeat(times.into()))
}

fn names(list: impl IntoIterator<Item = ReplicaId>) -> String {
    list.into_iter().map(name).collect::<Vec<_>>().join(",")
}

/// `{1,2,3}`; joint `{1,2,4 from 1,2,3}`; with learners `{1,2,3 +4}` and, to replace 3, `{1,2,3 +4 for 3}`.
pub(crate) fn membership(of: &Membership) -> String {
    let mut text = names(of.voters().voters().iter().copied());
    if let Some(outgoing) = of.outgoing() {
        text += &format!(" from {}", names(outgoing.voters().iter().copied()));
    }
    for learner in of.learners() {
        text += &format!(" +{}", name(learner.replica));
        if let Some(replaced) = learner.replaces {
            text += &format!(" for {}", name(replaced));
        }
    }
    format!("{{{text}}}")
}

fn role(state: SoftState) -> String {
    let of = match (state.role, state.leader) {
        (RoleKind::Follower, Some(leader)) => format!(" of {leader}"),
        _ => String::new(),
    };
    format!("{}{of} t{}", state.role, state.term)
}

/// A line for all that can be seen of a replica.
pub(crate) fn state(node: u64, raft: &Raft) -> String {
    let mut text = format!(
        "{node} {} log {} commit {} durable {} {}",
        role(raft.soft_state()),
        raft.log().last_id(),
        raft.commit(),
        raft.durable(),
        membership(raft.membership()),
    );
    if raft.log().before().index.as_u64() > 0 {
        text += &format!(" start {}", raft.log().before());
    }
    for (is_so, what) in [
        (raft.is_serving(), " serving"),
        (raft.is_asleep(), " asleep"),
        (raft.is_in_doubt(), " in doubt"),
        (raft.next_deadline().is_none(), " no deadline"),
    ] {
        if is_so {
            text += what;
        }
    }
    if let Some(to) = raft.transferring_to() {
        text += &format!(" handing over to {to}");
    }
    text
}
