//! A run as a space-time diagram: one self-contained page, time downwards, a lane for each node.
//!
//! Lanes are coloured by role; arrows are messages, coloured by term, and end in a cross when they are lost; dots are
//! fsyncs; what is down, asleep or paused is shaded, and so are cuts, in a lane of their own; the curves on the right
//! are what each node knows as committed. Everything says what it is when the mouse rests on it. Moments with nothing in
//! them are shortened. Invariant: the page needs nothing but itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::knobs::Micros;
use super::record::{Links, Noted, Record};
use super::report::Outcome;

/// More than this is no picture any more: the end is shown.
const MAX_RECORDS: usize = 12_000;

const LEFT: f64 = 300.0;
const LANE: f64 = 130.0;
const TOP: f64 = 70.0;
const CURVES: f64 = 260.0;

/// Draws a run of which records were kept.
pub fn page(title: &str, nodes: usize, outcome: &Outcome) -> String {
    let all = &outcome.records;
    // Pings between hosts say little and come often.
    let pings: BTreeSet<u32> = all
        .iter()
        .filter_map(|noted| match noted.record {
            Record::Sent { number, term: 0, .. } => Some(number),
            _ => None,
        })
        .collect();
    let is_shown = |noted: &&Noted| match noted.record {
        Record::Sent { number, .. } | Record::Received { number, .. } | Record::Lost { number, .. } => {
            !pings.contains(&number)
        }
        _ => true,
    };
    let shown: Vec<&Noted> = all.iter().filter(is_shown).collect();
    let skipped = shown.len().saturating_sub(MAX_RECORDS);
    let shown = &shown[skipped..];
    let times = Times::new(shown);
    let mut page = Page { svg: String::new(), times, nodes };
    page.lanes(all, shown.first().map_or(0, |noted| noted.at));
    page.cuts(all);
    page.messages(shown);
    page.points(shown);
    page.curves(shown);
    let (width, height) = (page.right() + CURVES + 40.0, page.times.end() + 80.0);
    let note = if skipped > 0 {
        format!("The first {skipped} of {} records are left out.", skipped + shown.len())
    } else {
        String::new()
    };
    let verdict = match &outcome.breach {
        Some(breach) => format!("<p class=breach>{}</p>", escape(&breach.to_string())),
        None => "<p>No law was broken.</p>".into(),
    };
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>\
         {verdict}<p>{LEGEND} {note}</p><svg width={width:.0} height={height:.0} xmlns='http://www.w3.org/2000/svg'>{}\
         </svg></html>\n",
        page.svg,
        title = escape(title),
    )
}

const STYLE: &str = "body{font:13px sans-serif;margin:16px;background:#fff;color:#222}h1{font-size:17px}\
.breach{color:#b00020;font-weight:bold;max-width:70em}text{font:10px monospace;fill:#222}text.head{font:bold 13px \
sans-serif}line.m{stroke-width:1.1}line.m:hover{stroke-width:4}circle:hover{r:6}line.pin{stroke:#b00020;stroke-width:2;\
stroke-dasharray:6 3}text.pin{fill:#b00020;font-weight:bold}text.act{fill:#7a3e00}";

const LEGEND: &str = "Time runs downwards. Lanes: grey follower, yellow pre-candidate, orange candidate, green leader, lilac \
asleep, blue paused, black down. Arrows: messages by term, a cross where one is lost. Dots: fsyncs. Right: commit indexes.";

/// Where each moment stands on the page: in order, with long silences cut short.
struct Times(BTreeMap<Micros, f64>);

impl Times {
    fn new(shown: &[&Noted]) -> Self {
        let mut places = BTreeMap::new();
        let (mut y, mut last) = (TOP, None);
        for noted in shown {
            if last == Some(noted.at) {
                continue;
            }
            let gap = last.map_or(0, |last: Micros| noted.at.saturating_sub(last));
            y += 4.0 + (gap as f64 / 150.0).min(26.0);
            places.insert(noted.at, y);
            last = Some(noted.at);
        }
        Self(places)
    }

    /// The place of a moment; of one between two, that of the later.
    fn y(&self, at: Micros) -> f64 {
        self.0.range(at..).next().map_or_else(|| self.end(), |(_, y)| *y)
    }

    fn end(&self) -> f64 {
        self.0.values().next_back().copied().unwrap_or(TOP)
    }
}

struct Page {
    svg: String,
    times: Times,
    nodes: usize,
}

/// How a node is, for the colour of its lane.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    is_down: bool,
    is_paused: bool,
    is_asleep: bool,
    role: &'static str,
    term: u64,
}

impl Look {
    fn colour(self) -> &'static str {
        match self {
            Look { is_down: true, .. } => "#333",
            Look { is_paused: true, .. } => "#a9c8f5",
            Look { is_asleep: true, .. } => "#d9c7ee",
            Look { role: "leader", .. } => "#a8dba8",
            Look { role: "candidate", .. } => "#ffb870",
            Look { role: "pre-candidate", .. } => "#fff0a0",
            _ => "#e4e4e4",
        }
    }

    fn name(self) -> String {
        match self {
            Look { is_down: true, .. } => "down".into(),
            Look { role, term, is_paused, is_asleep, .. } => {
                let more = if is_paused {
                    ", paused"
                } else if is_asleep {
                    ", asleep"
                } else {
                    ""
                };
                format!("{role} of term {term}{more}")
            }
        }
    }

    fn follow(&mut self, record: &Record) {
        match record {
            Record::Boot { .. } => {
                *self = Look { is_down: false, is_paused: false, is_asleep: false, role: "follower", ..*self }
            }
            Record::Died => self.is_down = true,
            Record::Paused => self.is_paused = true,
            Record::Resumed => self.is_paused = false,
            Record::Sleep { is_asleep } => self.is_asleep = *is_asleep,
            Record::Role { role, term, .. } => (self.role, self.term) = (role, *term),
            _ => {}
        }
    }
}

impl Page {
    fn x(&self, node: usize) -> f64 {
        LEFT + LANE * (node as f64 + 0.5)
    }

    fn right(&self) -> f64 {
        LEFT + LANE * self.nodes as f64
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.svg.write_fmt(text);
    }

    fn lanes(&mut self, all: &[Noted], from: Micros) {
        for node in 0..self.nodes {
            let x = self.x(node);
            self.put(format_args!(
                "<text class=head x={:.0} y=40 text-anchor=middle>node {}</text>",
                x,
                node + 1
            ));
            let mut look =
                Look { is_down: true, is_paused: false, is_asleep: false, role: "follower", term: 0 };
            let mut since = TOP;
            for noted in all.iter().filter(|noted| noted.node == node) {
                let before = look;
                look.follow(&noted.record);
                if look != before && noted.at >= from {
                    let y = self.times.y(noted.at);
                    self.lane(x, since, y, before);
                    since = y;
                }
            }
            let end = self.times.end();
            self.lane(x, since, end + 10.0, look);
        }
    }

    fn lane(&mut self, x: f64, from: f64, to: f64, look: Look) {
        if to > from {
            let (colour, name, height) = (look.colour(), look.name(), to - from);
            self.put(format_args!(
                "<rect x={:.1} y={from:.1} width=14 height={height:.1} fill='{colour}'><title>{name}</title></rect>",
                x - 7.0
            ));
        }
    }

    fn cuts(&mut self, all: &[Noted]) {
        let mut open: Vec<(u64, Micros)> = Vec::new();
        let mut done: Vec<(u64, Micros, Micros)> = Vec::new();
        for noted in all {
            match noted.record {
                Record::Cut { links } => open.push((links, noted.at)),
                Record::Mend { links } => {
                    if let Some(place) = open.iter().position(|(cut, _)| *cut == links) {
                        let (links, at) = open.remove(place);
                        done.push((links, at, noted.at));
                    }
                }
                Record::Healed => {
                    done.extend(open.drain(..).map(|(links, at)| (links, at, noted.at)));
                }
                _ => {}
            }
        }
        done.extend(open.into_iter().map(|(links, at)| (links, at, Micros::MAX)));
        for (links, from, to) in done {
            let (y, end) = (self.times.y(from), self.times.y(to));
            if end > y {
                let (x, width, height) = (LEFT - 30.0, self.right() - LEFT + 30.0, end - y);
                self.put(format_args!(
                    "<rect x={x:.0} y={y:.1} width={width:.0} height={height:.1} fill='#d33' opacity='.08'><title>cut: \
                     {}</title></rect>",
                    escape(&Links(links).to_string())
                ));
            }
        }
    }

    fn messages(&mut self, shown: &[&Noted]) {
        let mut sent: BTreeMap<u32, (&Noted, usize, u64, &str)> = BTreeMap::new();
        for noted in shown {
            if let Record::Sent { number, to, term, text } = &noted.record {
                sent.insert(*number, (noted, *to, *term, text));
            }
        }
        let mut arrived: BTreeMap<u32, bool> = BTreeMap::new();
        for noted in shown {
            let (number, is_lost) = match noted.record {
                Record::Received { number, .. } => (number, false),
                Record::Lost { number, .. } => (number, true),
                _ => continue,
            };
            if let Some(&(from, to, term, text)) = sent.get(&number) {
                arrived.insert(number, true);
                self.arrow(from, (to, noted.at), term, text, is_lost);
            }
        }
        for (number, (from, to, term, text)) in sent {
            if !arrived.contains_key(&number) {
                self.arrow(from, (to, from.at), term, text, true);
            }
        }
    }

    fn arrow(&mut self, from: &Noted, to: (usize, Micros), term: u64, text: &str, is_lost: bool) {
        let (x1, y1, x2) = (self.x(from.node), self.times.y(from.at), self.x(to.0));
        let mut y2 = self.times.y(to.1);
        if is_lost {
            y2 = y2.min(y1 + 40.0).max(y1 + 8.0);
        }
        let part = if is_lost { 0.6 } else { 1.0 - 8.0 / (x2 - x1).abs().max(9.0) };
        let (xe, ye) = (x1 + (x2 - x1) * part, y1 + (y2 - y1) * part);
        let (hue, fate) = (term * 67 % 360, if is_lost { ", lost" } else { "" });
        self.put(format_args!(
            "<line class=m x1={x1:.1} y1={y1:.1} x2={xe:.1} y2={ye:.1} stroke='hsl({hue},70%,42%)'{}><title>{} to {}: \
             {}{fate}</title></line>",
            if is_lost { " stroke-dasharray='4 3'" } else { "" },
            from.node + 1,
            to.0 + 1,
            escape(text)
        ));
        let d = 3.5;
        if is_lost {
            self.put(format_args!(
                "<path d='M{:.1} {:.1}l7 7m0-7l-7 7' stroke='#b00020' fill=none />",
                xe - d,
                ye - d
            ));
        } else {
            let side = if x2 > x1 { -d * 1.6 } else { d * 1.6 };
            self.put(format_args!("<path d='M{xe:.1} {ye:.1}l{side:.1} -3v6z' fill='hsl({hue},70%,42%)'/>"));
        }
    }

    /// Fsyncs, actions, and the breach.
    fn points(&mut self, shown: &[&Noted]) {
        for noted in shown {
            let y = self.times.y(noted.at);
            let seconds = format!("{}.{:06}", noted.at / 1_000_000, noted.at % 1_000_000);
            match &noted.record {
                Record::Durable { last } => {
                    let x = self.x(noted.node);
                    self.put(format_args!(
                        "<circle cx={x:.1} cy={y:.1} r=2.6><title>{seconds} fsync: log to {last}</title></circle>"
                    ));
                }
                Record::Committed { .. } | Record::Boot { .. } | Record::Died | Record::Note(_)
                    if noted.node < self.nodes =>
                {
                    let text = match &noted.record {
                        Record::Note(text) => text.clone(),
                        other => other.to_string(),
                    };
                    let x = self.x(noted.node) + 10.0;
                    let short: String = text.chars().take(18).collect();
                    self.put(format_args!(
                        "<text x={x:.1} y={:.1}>{}<title>{seconds} {}</title></text>",
                        y + 3.0,
                        escape(&short),
                        escape(&text)
                    ));
                }
                Record::Action(_) | Record::Healed | Record::Note(_) => {
                    let text = escape(&noted.record.to_string());
                    self.put(format_args!("<text class=act x=4 y={:.1}>{seconds} {text}</text>", y + 3.0));
                }
                Record::Breach(text) => {
                    let (right, text) = (self.right(), escape(text));
                    let at = if noted.node < self.nodes { self.x(noted.node) } else { LEFT };
                    self.put(format_args!(
                        "<line class=pin x1=0 y1={y:.1} x2={right:.1} y2={y:.1} /><circle cx={at:.1} cy={y:.1} r=8 \
                         fill=none stroke='#b00020' stroke-width=3 /><text class=pin x=4 y={:.1}>{text}</text>",
                        y + 16.0
                    ));
                }
                _ => {}
            }
        }
    }

    fn curves(&mut self, shown: &[&Noted]) {
        let commits = |noted: &&Noted| match noted.record {
            Record::Committed { index } => Some(index),
            _ => None,
        };
        let (low, high) = (shown.iter().filter_map(commits).min(), shown.iter().filter_map(commits).max());
        let (Some(low), Some(high)) = (low, high) else { return };
        let (left, wide) = (self.right() + 20.0, f64::from(high - low).max(1.0));
        let head = format!("committed, {low} to {high}");
        self.put(format_args!("<text class=head x={left:.0} y=40>{head}</text>"));
        for node in 0..self.nodes {
            let mut points = String::new();
            for noted in shown.iter().filter(|noted| noted.node == node) {
                if let Some(index) = commits(noted) {
                    let x = left + f64::from(index - low) / wide * (CURVES - 20.0);
                    // Writing to a string does not fail.
                    let _ = write!(points, "{x:.1},{:.1} ", self.times.y(noted.at));
                }
            }
            let hue = node * 360 / self.nodes;
            self.put(format_args!(
                "<polyline points='{points}' fill=none stroke='hsl({hue},70%,45%)' stroke-width=1.6><title>node \
                 {}</title></polyline>",
                node + 1
            ));
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Recorder, Setup};

    #[test]
    fn a_page_has_a_lane_a_node_arrows_crosses_and_no_links_to_elsewhere() {
        let setup = Setup { min_steps: 300, ..Setup::draw(2) };
        let outcome = crate::core::run(&setup, Recorder::on());
        let nodes = setup.knobs.nodes as usize;
        let page = page("a <run>", nodes, &outcome);
        assert_eq!(page.matches("class=head").count(), nodes + 1);
        assert!(page.contains("<line class=m") && page.contains("<circle") && page.contains("a &lt;run&gt;"));
        assert!(!page.contains("src=") && !page.contains("href="));
    }

    #[test]
    fn a_breach_is_pinned() {
        let setup = Setup::draw(3);
        let outcome = crate::core::run_mutant(Some(6), &setup, Recorder::on());
        assert!(outcome.breach.is_some());
        let page = page("m06", setup.knobs.nodes as usize, &outcome);
        assert!(page.contains("line class=pin") && page.contains("class=breach"));
    }
}
