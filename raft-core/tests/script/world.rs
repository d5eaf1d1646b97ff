//! What the commands of a script do to a cluster.

use std::time::Duration;

use raft_core::{
    BootId, Configuration, Effect, HardState, Learner, Liveness, MembershipChange, Options, ReadId,
    ReplicaId, Restored, RoleKind, Snapshot, StorageHealth,
};

use super::show;
use crate::cluster::{Cluster, id, incarnation, index, log_of, ms, node, term};

type Outcome = Result<(), String>;

#[derive(Default)]
pub(crate) struct World {
    options: Options,
    cluster: Option<Cluster>,
}

impl World {
    /// Runs one command. Says what happened, a line for each effect.
    pub(crate) fn run(&mut self, command: &str) -> Result<Vec<String>, String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["option", name, value] => self.option(name, value)?,
            ["nodes", count] => {
                let mut cluster = Cluster::with_options(number(count)?, 1, self.options.clone());
                cluster.hosts_serve_snapshots = false;
                cluster.observer = Some(show::effect);
                self.cluster = Some(cluster);
            }
            _ => {
                let cluster = self.cluster.as_mut().ok_or("begin with `nodes`")?;
                Commands { c: cluster }.run(&words)?;
            }
        }
        Ok(self.cluster.as_mut().map(|cluster| std::mem::take(&mut cluster.seen)).unwrap_or_default())
    }

    fn option(&mut self, name: &str, value: &str) -> Outcome {
        let amount = number(value)?;
        match name {
            "inflight-appends" => self.options.max_inflight_appends = amount as usize,
            "append-entries" => self.options.max_append_bytes = amount,
            "promotion-lag" => self.options.promotion_lag = amount,
            "uncommitted-entries" => self.options.max_uncommitted_entries = amount,
            _ => return Err("no such option".into()),
        }
        self.options.validate().map_err(|why| why.to_string())
    }
}

struct Commands<'a> {
    c: &'a mut Cluster,
}

impl Commands<'_> {
    fn run(&mut self, words: &[&str]) -> Outcome {
        match *words {
            ["log", at, "terms", ref terms @ ..] => self.log(at, terms),
            ["blank", at] => self.open_blank(at),
            ["learner", at] => {
                self.c.add_learner(number(at)?);
                self.drain_all()
            }
            ["elect", at] => self.elect(at),
            ["timeout", at] => self.timeout(at),
            ["tick", at, time] => self.tick(at, time),
            ["pass", time] => {
                self.c.now = self.c.now.after(duration(time)?);
                Ok(())
            }
            ["run", time] => self.quietly(|this| {
                this.c.run(duration(time)?);
                Ok(())
            }),
            ["settle"] => self.quietly(|this| {
                this.c.settle();
                Ok(())
            }),
            ["deliver", ref what @ ..] => self.deliver(what),
            ["late", link] => self.late(link),
            ["double", link] => self.double(link),
            ["drop", ref what @ ..] => self.drop_messages(what),
            ["cut", link] if link.contains("->") => {
                self.c.cut.push(self::link(link)?);
                Ok(())
            }
            ["cut", one, other] => {
                let (one, other) = (number(one)?, number(other)?);
                self.c.cut.extend([(one, other), (other, one)]);
                Ok(())
            }
            ["isolate", at] => {
                self.c.isolate(number(at)?);
                Ok(())
            }
            ["heal"] => {
                self.c.heal();
                Ok(())
            }
            ["state", ref nodes @ ..] => self.state(nodes),
            ["wire"] => self.wire(),
            _ => self.run_host(words),
        }
    }

    /// What a host does.
    fn run_host(&mut self, words: &[&str]) -> Outcome {
        match *words {
            ["slow", at] => {
                self.c.slow_disks.push(number(at)?);
                Ok(())
            }
            ["write", at] => {
                self.c.finish_write(self.up(at)?);
                Ok(())
            }
            ["write", at, "all"] => {
                self.c.finish_writes(self.up(at)?);
                Ok(())
            }
            ["fast", at] => {
                let at = self.up(at)?;
                self.c.slow_disks.retain(|slow| *slow != at);
                self.c.finish_writes(at);
                Ok(())
            }
            ["crash", at] => {
                self.c.crash(self.up(at)?);
                Ok(())
            }
            ["restart", at] => {
                let at = self.down(at)?;
                self.c.restart(at);
                self.c.drain(at);
                Ok(())
            }
            ["damage", at, "keep", keep] => {
                let at = self.down(at)?;
                self.c.damage(at, number(keep)?);
                Ok(())
            }
            ["wipe", at] => {
                let at = self.down(at)?;
                self.c.restart_with_empty_disk(at);
                Ok(())
            }
            ["compact", at, to] => {
                self.c.compact(self.up(at)?, number(to)?);
                Ok(())
            }
            ["limit", at] => {
                let (at, now) = (self.up(at)?, self.c.now);
                let limit = self.c.raft(at).compaction_limit(now);
                self.say(format!("{at} may compact to {limit}"));
                Ok(())
            }
            ["snapshot", from, "to", peer, "at", last] => self.offer(from, peer, last),
            ["installed", at] => {
                let at = self.up(at)?;
                if !self.c.install(at) {
                    return Err("it was not asked to install anything".into());
                }
                self.c.drain(at);
                Ok(())
            }
            ["install-failed", at] => {
                let at = self.up(at)?;
                let snapshot =
                    self.c.at(at).installing.take().ok_or("it was not asked to install anything")?;
                self.c.raft(at).snapshot_failed(snapshot.last);
                self.c.drain(at);
                Ok(())
            }
            ["watch"] => {
                self.c.hosts_watch_nodes = true;
                self.c.tell_liveness();
                Ok(())
            }
            ["liveness", at, of, "silent"] => self.liveness(at, of, Liveness::Silent),
            ["liveness", at, of, "live", boot] => {
                self.liveness(at, of, Liveness::Live(BootId::new(number(boot)?)))
            }
            ["unreachable", at, of] => {
                let (at, of, now) = (self.up(at)?, number(of)?, self.c.now);
                self.c.raft(at).peer_unreachable(now, node(of));
                self.c.drain(at);
                Ok(())
            }
            ["withdrew", at, of, in_term] => {
                let (at, of, now) = (self.up(at)?, number(of)?, self.c.now);
                let in_term = number(in_term.trim_start_matches('t'))?;
                self.c.raft(at).leader_withdrew(now, node(of), term(in_term));
                self.c.drain(at);
                Ok(())
            }
            ["storage", at, health] => self.storage(at, health),
            _ => self.run_user(words),
        }
    }

    /// What the users of a group ask for.
    fn run_user(&mut self, words: &[&str]) -> Outcome {
        match *words {
            ["propose", at] => self.propose(at, 1),
            ["propose", at, count] => self.propose(at, number(count.trim_start_matches('x'))?),
            ["read", at, name] => {
                let (at, name, now) = (self.up(at)?, number(name)?, self.c.now);
                if let Err(why) = self.c.raft(at).read(now, ReadId(name)) {
                    self.say(format!("{at} refused: {why:?}"));
                }
                self.c.drain(at);
                Ok(())
            }
            ["transfer", at] => self.transfer(at, None),
            ["transfer", at, to] => self.transfer(at, Some(number(to)?)),
            ["change", at, ref change @ ..] => self.change(at, change),
            _ => Err("no such command".into()),
        }
    }

    fn say(&mut self, line: String) {
        self.c.seen.push(line);
    }

    fn known(&self, at: &str) -> Result<u64, String> {
        let at = number(at)?;
        self.c.replicas.contains_key(&at).then_some(at).ok_or_else(|| format!("there is no node {at}"))
    }

    fn up(&self, at: &str) -> Result<u64, String> {
        let at = self.known(at)?;
        self.c.replicas[&at].is_up.then_some(at).ok_or_else(|| format!("node {at} is down"))
    }

    fn down(&self, at: &str) -> Result<u64, String> {
        let at = self.known(at)?;
        (!self.c.replicas[&at].is_up).then_some(at).ok_or_else(|| format!("node {at} is up; crash it first"))
    }

    fn drain_all(&mut self) -> Outcome {
        for at in self.c.nodes() {
            self.c.drain(at);
        }
        Ok(())
    }

    /// Leaves out what is sent and written, which is too much to read where much happens.
    fn quietly(&mut self, what: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        what(self)?;
        self.c.seen.retain(|line| {
            let kind = line.split(' ').nth(1).unwrap_or_default();
            kind != "send" && kind != "persist"
        });
        Ok(())
    }

    fn log(&mut self, at: &str, terms: &[&str]) -> Outcome {
        let at = self.known(at)?;
        let terms = terms.iter().map(|term| number(term)).collect::<Result<Vec<u64>, _>>()?;
        let hard_state = HardState { term: term(terms.last().copied().unwrap_or(0)), vote: None };
        let base = self.c.at(at).base.clone();
        self.c.open(at, base, Restored { hard_state, log: log_of(&terms), ..Restored::default() });
        Ok(())
    }

    fn open_blank(&mut self, at: &str) -> Outcome {
        self.c.add_blank(number(at)?);
        Ok(())
    }

    /// Lets so much time pass that nobody believes in a leader, and `at` be the first to campaign, until it serves.
    fn elect(&mut self, at: &str) -> Outcome {
        let at = self.up(at)?;
        self.quietly(|this| {
            for _ in 0..9 {
                if this.c.role(at) == RoleKind::Leader && this.c.raft(at).is_serving() {
                    return Ok(());
                }
                this.c.now = this.c.now.after(this.c.options.election_timeout);
                let deadline = this.c.raft(at).next_deadline().ok_or("it waits for nothing")?;
                this.c.now = this.c.now.max(deadline);
                let now = this.c.now;
                this.c.raft(at).tick(now);
                this.c.settle();
            }
            Err("it was not elected".into())
        })
    }

    /// Lets time pass up to the next deadline of `at`.
    fn timeout(&mut self, at: &str) -> Outcome {
        let at = self.up(at)?;
        let deadline = self.c.raft(at).next_deadline().ok_or("it waits for nothing")?;
        self.c.now = self.c.now.max(deadline);
        let now = self.c.now;
        self.c.raft(at).tick(now);
        self.c.drain(at);
        Ok(())
    }

    fn tick(&mut self, at: &str, time: &str) -> Outcome {
        let at = self.up(at)?;
        self.c.now = self.c.now.after(duration(time)?);
        let now = self.c.now;
        self.c.raft(at).tick(now);
        self.c.drain(at);
        Ok(())
    }

    fn take(&mut self, link: (u64, u64), is_oldest: bool) -> Option<raft_core::Message> {
        let is_it = |(from, to, _): &(u64, u64, raft_core::Message)| (*from, *to) == link;
        let at = match is_oldest {
            true => self.c.wire.iter().position(is_it),
            false => self.c.wire.iter().rposition(is_it),
        };
        self.c.wire.remove(at?).map(|(_, _, message)| message)
    }

    fn deliver(&mut self, what: &[&str]) -> Outcome {
        if what == ["all"] {
            let waiting = self.c.wire.len();
            for _ in 0..waiting {
                let Some((from, to, message)) = self.c.wire.pop_front() else { break };
                self.c.deliver(from, to, message);
            }
            return Ok(());
        }
        let (link, count) = self.some_of(what)?;
        for _ in 0..count {
            let message = self.take(link, true).ok_or("there is no such message")?;
            self.c.deliver(link.0, link.1, message);
        }
        Ok(())
    }

    /// `1->2`, `1->2 all` or `1->2 x3`.
    fn some_of(&self, what: &[&str]) -> Result<((u64, u64), usize), String> {
        match *what {
            [link] => Ok((self::link(link)?, 1)),
            [link, "all"] => {
                let link = self::link(link)?;
                Ok((link, self.c.wire.iter().filter(|(from, to, _)| (*from, *to) == link).count()))
            }
            [link, count] => Ok((self::link(link)?, number(count.trim_start_matches('x'))? as usize)),
            _ => Err("name a link, such as 1->2".into()),
        }
    }

    fn late(&mut self, link: &str) -> Outcome {
        let link = self::link(link)?;
        let message = self.take(link, false).ok_or("there is no such message")?;
        self.c.deliver(link.0, link.1, message);
        Ok(())
    }

    fn double(&mut self, link: &str) -> Outcome {
        let (from, to) = self::link(link)?;
        let found = self.c.wire.iter().find(|message| (message.0, message.1) == (from, to));
        let (_, _, message) = found.cloned().ok_or("there is no such message")?;
        self.c.deliver(from, to, message);
        Ok(())
    }

    fn drop_messages(&mut self, what: &[&str]) -> Outcome {
        if what == ["all"] {
            self.c.wire.clear();
            return Ok(());
        }
        let (link, count) = self.some_of(what)?;
        for _ in 0..count {
            self.take(link, true).ok_or("there is no such message")?;
        }
        Ok(())
    }

    fn state(&mut self, nodes: &[&str]) -> Outcome {
        let nodes: Vec<u64> = match nodes {
            [] => self.c.replicas.keys().copied().collect(),
            _ => nodes.iter().map(|at| self.known(at)).collect::<Result<_, _>>()?,
        };
        for at in nodes {
            let line = match self.c.replicas[&at].is_up {
                true => show::state(at, &self.c.replicas[&at].raft),
                false => format!("{at} down"),
            };
            self.say(line);
        }
        Ok(())
    }

    fn wire(&mut self) -> Outcome {
        let lines: Vec<String> = self
            .c
            .wire
            .iter()
            .map(|(from, to, message)| format!("{from}->{to} {}", show::message(message)))
            .collect();
        self.c.seen.extend(lines);
        Ok(())
    }

    fn offer(&mut self, from: &str, peer: &str, last: &str) -> Outcome {
        let (from, peer, last) = (self.up(from)?, number(peer)?, number(last)?);
        let raft = self.c.raft(from);
        let of_term = raft.log().term_at(index(last)).unwrap_or_default();
        let membership = raft.membership_at(index(last)).cloned().unwrap_or_default();
        let snapshot = Snapshot { last: id(last, of_term.as_u64()), membership };
        if let Err(why) = raft.offer_snapshot(node(peer), snapshot) {
            self.say(format!("{from} refused: {why}"));
        }
        self.c.drain(from);
        Ok(())
    }

    fn liveness(&mut self, at: &str, of: &str, liveness: Liveness) -> Outcome {
        let (at, of, now) = (self.up(at)?, number(of)?, self.c.now);
        self.c.raft(at).node_liveness(now, node(of), liveness);
        self.c.drain(at);
        Ok(())
    }

    fn storage(&mut self, at: &str, health: &str) -> Outcome {
        let health = match health {
            "good" => StorageHealth::Good,
            "stalled" => StorageHealth::Stalled,
            "full" => StorageHealth::Full,
            _ => return Err("it is good, stalled or full".into()),
        };
        let (at, now) = (self.up(at)?, self.c.now);
        self.c.raft(at).storage_health(now, health);
        self.c.drain(at);
        Ok(())
    }

    fn propose(&mut self, at: &str, count: u64) -> Outcome {
        let at = self.up(at)?;
        if let Err(why) = self.c.raft(at).propose(count) {
            self.say(format!("{at} refused: {why:?}"));
        }
        self.c.drain(at);
        Ok(())
    }

    fn transfer(&mut self, at: &str, to: Option<u64>) -> Outcome {
        let (at, now) = (self.up(at)?, self.c.now);
        if let Err(why) = self.c.raft(at).transfer_leadership(now, to.map(node)) {
            self.say(format!("{at} refused: {why}"));
        }
        self.c.drain(at);
        Ok(())
    }

    fn change(&mut self, at: &str, change: &[&str]) -> Outcome {
        let at = self.up(at)?;
        let change = match *change {
            ["add", new] => {
                MembershipChange::AddLearner(Learner { replica: replica_named(new)?, replaces: None })
            }
            ["add", new, "replaces", old] => {
                let replaces = Some(replica_named(old)?);
                MembershipChange::AddLearner(Learner { replica: replica_named(new)?, replaces })
            }
            ["remove-learner", old] => MembershipChange::RemoveLearner(replica_named(old)?),
            ["voters", ref all @ ..] => {
                let all = all.iter().map(|one| replica_named(one)).collect::<Result<Vec<_>, _>>()?;
                MembershipChange::Voters(Configuration::new(all).map_err(|why| why.to_string())?)
            }
            _ => return Err("add, remove-learner or voters?".into()),
        };
        if let Err(why) = self.c.change(at, change) {
            self.say(format!("{at} refused: {why}"));
        }
        Ok(())
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("`{word}` is no number"))
}

/// `300ms` or `2s`.
fn duration(word: &str) -> Result<Duration, String> {
    let (value, unit) = match word.strip_suffix("ms") {
        Some(value) => (value, 1),
        None => (word.strip_suffix('s').ok_or("a time ends in ms or s")?, 1_000),
    };
    Ok(ms(number(value)? * unit))
}

fn link(word: &str) -> Result<(u64, u64), String> {
    let (from, to) = word.split_once("->").ok_or("a link looks like 1->2")?;
    Ok((number(from)?, number(to)?))
}

/// `3`, or `3'` for the node's second disk.
fn replica_named(word: &str) -> Result<ReplicaId, String> {
    let at = number(word.trim_end_matches('\''))?;
    Ok(incarnation(at, word.matches('\'').count() as u64))
}

const _: fn(u64, &raft_core::Raft, &Effect) -> String = show::effect;
