//! What befalls a world, drawn from its seed: actions by chapters of two simulated seconds, until enough has happened.
//!
//! Invariant: the actions of a chapter depend on the seed, the knobs and the chapter's number alone. The first chapter
//! has two crashes and a cut, if it does not end early; a run goes on until there were such.

use super::action::{Action, Shape, Survival, Victim, What};
use super::knobs::{Class, Knobs, MS, Micros};
use crate::rng::{Rng, Stream};

/// How long a chapter is.
pub(crate) const CHAPTER: Micros = 2_000 * MS;

/// Draws the actions of a chapter, in the order of time.
pub(crate) fn chapter(seed: u64, number: u64, knobs: &Knobs) -> Vec<Action> {
    let mut nemesis = Rng::new(seed.wrapping_add(number << 48), Stream::Nemesis);
    let mut load = Rng::new(seed.wrapping_add(number << 48), Stream::Workload);
    let begin = number * CHAPTER;
    let mut actions = Vec::new();
    let mut lulls = Vec::new();
    if knobs.has(Class::Lull) && nemesis.chance(500) {
        let from = begin + nemesis.below(CHAPTER);
        lulls.push((from, from + nemesis.between(5, 20) * knobs.election_timeout / 2));
    }
    requests(&mut load, knobs, begin, &lulls, &mut actions);
    faults(&mut nemesis, knobs, begin, &lulls, &mut actions);
    if number == 0 {
        for _ in 0..2 {
            actions.push(Action { at: begin + nemesis.below(CHAPTER), what: crash(&mut nemesis) });
        }
        actions.push(Action { at: begin + nemesis.below(CHAPTER), what: cut(&mut nemesis, knobs) });
    }
    actions.sort_by_key(|action| action.at);
    if nemesis.chance(knobs.peace) {
        let at = begin + nemesis.below(CHAPTER);
        // What was to happen meanwhile happens afterwards, all at once, so the rest of the chapter is left out.
        actions.retain(|action| action.at < at);
        actions.push(Action { at, what: What::Peace });
    }
    actions
}

fn requests(
    rng: &mut Rng,
    knobs: &Knobs,
    begin: Micros,
    lulls: &[(Micros, Micros)],
    actions: &mut Vec<Action>,
) {
    let mut at = begin;
    loop {
        at += rng.below(2 * knobs.request_interval) + 1;
        if at >= begin + CHAPTER {
            return;
        }
        if lulls.iter().any(|(from, to)| (*from..*to).contains(&at)) {
            continue;
        }
        let key = rng.below(knobs.keys) as u8;
        let what = if rng.chance(knobs.reads) {
            let to = match rng.below(4) {
                0 => Victim::Leader,
                1 => Victim::Deposed,
                _ => Victim::Node(rng.below(8) as u8),
            };
            What::Read { to, key }
        } else {
            let to = match rng.below(16) {
                0 => Victim::Deposed,
                1 => Victim::Node(rng.below(8) as u8),
                _ => Victim::Leader,
            };
            let count = if rng.chance(850) { 1 } else { rng.between(2, 6) as u8 };
            What::Write { to, key, count }
        };
        actions.push(Action { at, what });
    }
}

fn faults(
    rng: &mut Rng,
    knobs: &Knobs,
    begin: Micros,
    lulls: &[(Micros, Micros)],
    actions: &mut Vec<Action>,
) {
    let classes: Vec<Class> = Class::ALL.into_iter().filter(|class| knobs.has(*class)).collect();
    let mut at = begin;
    loop {
        at += rng.below(2 * knobs.fault_interval) + 1;
        if at >= begin + CHAPTER {
            return;
        }
        // In a lull faults are rare, that groups may fall asleep.
        if lulls.iter().any(|(from, to)| (*from..*to).contains(&at)) && rng.chance(800) {
            continue;
        }
        let Some(class) = rng.pick(&classes) else { return };
        let what = match class {
            Class::Crash => crash(rng),
            Class::Cut => cut(rng, knobs),
            Class::Pause => What::Pause { victim: victim(rng), lasts: span(rng, knobs) },
            Class::Stall => What::Stall { victim: victim(rng), lasts: span(rng, knobs) },
            Class::Full => What::Full { victim: victim(rng), lasts: span(rng, knobs) },
            Class::Wipe => What::Wipe { victim: victim(rng), down: span(rng, knobs) },
            Class::Damage => {
                What::Damage { victim: victim(rng), lose: rng.between(1, 6) as u8, down: span(rng, knobs) }
            }
            Class::Add => What::Add { node: rng.below(8) as u8 },
            Class::Remove => What::Remove { victim: victim(rng) },
            Class::Replace => What::Replace { node: rng.below(8) as u8, victim: victim(rng) },
            Class::Transfer => What::Transfer { to: rng.chance(500).then(|| rng.below(8) as u8) },
            Class::Suspect => What::Suspect { victim: victim(rng), node: rng.below(8) as u8 },
            Class::Lull => What::Repair,
        };
        actions.push(Action { at, what });
        if knobs.has(Class::Wipe) && rng.chance(500) {
            actions.push(Action { at: at + rng.below(500 * MS), what: What::Repair });
        }
        if knobs.compact_every > 0 && rng.chance(300) {
            actions.push(Action { at, what: What::Compact { victim: victim(rng) } });
        }
    }
}

fn crash(rng: &mut Rng) -> What {
    let after = if rng.chance(400) { 0 } else { rng.between(0, 12) as u8 };
    let survival = [Survival::None, Survival::Prefix, Survival::All][rng.below(3) as usize];
    let down = if rng.chance(500) { rng.between(0, 20) * MS } else { rng.between(20, 1_000) * MS };
    What::Crash { victim: victim(rng), after, survival, down: down as u32 }
}

fn cut(rng: &mut Rng, knobs: &Knobs) -> What {
    let node = rng.below(8) as u8;
    let shape = match rng.below(7) {
        0 => Shape::Isolate,
        1 => Shape::Split(rng.below(256) as u8),
        2 => Shape::Bridge,
        3 => Shape::Deaf,
        4 => Shape::Mute,
        5 => Shape::Pair(node),
        _ => Shape::OneWay(node),
    };
    What::Cut { victim: victim(rng), shape, lasts: span(rng, knobs) }
}

/// From a blink to several election timeouts.
fn span(rng: &mut Rng, knobs: &Knobs) -> u32 {
    let timeout = knobs.election_timeout;
    let longest = [timeout / 2, timeout * 2, timeout * 6][rng.below(3) as usize];
    rng.between(MS, longest) as u32
}

fn victim(rng: &mut Rng) -> Victim {
    match rng.below(4) {
        0 | 1 => Victim::Leader,
        2 => Victim::Other(rng.between(1, 4) as u8),
        _ => Victim::Node(rng.below(8) as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_chapter_has_two_crashes_and_a_cut_and_is_in_order() {
        for seed in 0..100 {
            let knobs = Knobs::draw(&mut Rng::new(seed, Stream::Plan));
            let actions = chapter(seed, 0, &knobs);
            let count = |is: fn(&What) -> bool| actions.iter().filter(|a| is(&a.what)).count();
            let is_whole = !actions.iter().any(|action| action.what == What::Peace);
            assert!(!is_whole || count(|what| matches!(what, What::Crash { .. })) >= 2);
            assert!(!is_whole || count(|what| matches!(what, What::Cut { .. })) >= 1);
            assert!(actions.windows(2).all(|pair| pair[0].at <= pair[1].at));
            assert_eq!(actions, chapter(seed, 0, &knobs));
            assert_ne!(actions, chapter(seed, 1, &knobs));
        }
    }
}
