//! The simulator is tested by bugs that others really had: each must be found, and soon.
//!
//! A mutant is run with one seed after another until a law breaks, several times with seeds from different bases; what
//! counts is how many seeds it took. The medians last seen are kept in a table, by which a quick check knows which
//! mutants are found fast. Invariant: a seed counts only if no law
//! breaks on it without the mutant.

use std::collections::BTreeMap;
use std::fmt;

use super::{Law, Recorder, Setup};

/// Says where the names of mutants are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoMutant(pub String);

impl fmt::Display for NoMutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no mutant {}; `sim mutants --list` lists them", self.0)
    }
}

impl std::error::Error for NoMutant {}

/// The number of the mutant with this name, as in `m06`.
///
/// # Errors
/// When the copy of the core has no such mutant: to switch it on would change nothing, and every run would look clean.
pub fn mutant_named(name: &str) -> Result<u8, NoMutant> {
    let digits = name.strip_prefix('m').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .filter(|number| raft_core_mutated::mutant::ALL.iter().any(|info| info.number == *number))
        .ok_or_else(|| NoMutant(name.to_string()))
}

/// How hard to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effort {
    /// How many times to look for each mutant, each time from another seed on.
    pub restarts: u64,
    /// How many seeds to try each time.
    pub max_seeds: u64,
}

/// How one mutant fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its number.
    pub number: u8,
    /// How many seeds it took each time, in order of size; `None` when it was not found.
    pub seeds: Vec<Option<u64>>,
    /// The laws that caught it, and how often.
    pub laws: BTreeMap<Law, u64>,
}

impl Verdict {
    /// Whether it was found each time.
    pub fn is_found(&self) -> bool {
        self.seeds.iter().all(Option::is_some)
    }

    /// The median of the seeds it took; `None` when it was not found half of the time.
    pub fn median(&self) -> Option<u64> {
        self.seeds.get(self.seeds.len() / 2).copied().flatten()
    }

    /// The most seeds it took; `None` when it was not found once.
    pub fn worst(&self) -> Option<u64> {
        self.seeds.last().copied().flatten()
    }
}

/// The seed from which the search of this number begins: far apart, so that no two try the same.
pub(crate) fn base(restart: u64) -> u64 {
    restart * 1_000_000
}

/// Looks for one mutant.
pub fn hunt(number: u8, effort: &Effort) -> Verdict {
    let mut seeds = Vec::new();
    let mut laws = BTreeMap::new();
    for restart in 0..effort.restarts {
        let found = (0..effort.max_seeds).find_map(|tried| {
            let setup = Setup::draw(base(restart) + tried);
            let outcome = super::run_mutant(Some(number), &setup, Recorder::off());
            let law = outcome.breach?.law;
            // A seed that breaks a law by itself says nothing about the mutant.
            let is_sound = super::run_mutant(None, &setup, Recorder::off()).breach.is_none();
            is_sound.then_some((tried + 1, law))
        });
        if let Some((_, law)) = found {
            *laws.entry(law).or_insert(0) += 1;
        }
        seeds.push(found.map(|(tried, _)| tried));
    }
    // Those that were never found took the most.
    seeds.sort_by_key(|tried| tried.unwrap_or(u64::MAX));
    Verdict { number, seeds, laws }
}

/// The table of medians, as it is kept: number, median, worst, laws; one mutant a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(BTreeMap<u8, Row>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    median: Option<u64>,
    worst: Option<u64>,
    laws: String,
}

/// Why a text is no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTable(String);

impl fmt::Display for NoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no table of mutants: {}", self.0)
    }
}

impl std::error::Error for NoTable {}

impl Table {
    /// Reads it.
    ///
    /// # Errors
    /// Names the line that is none.
    pub fn parse(text: &str) -> Result<Self, NoTable> {
        let mut rows = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let bad = || NoTable(format!("line {line:?}"));
            let mut words = line.split('\t');
            let mut word = || words.next().ok_or_else(bad);
            let number = word()?.strip_prefix('m').and_then(|n| n.parse().ok()).ok_or_else(bad)?;
            let mut seeds = || match word()? {
                "-" => Ok(None),
                text => text.parse().map(Some).map_err(|_| bad()),
            };
            let (median, worst) = (seeds()?, seeds()?);
            rows.insert(number, Row { median, worst, laws: words.next().unwrap_or("").to_string() });
        }
        Ok(Self(rows))
    }

    /// The median last seen.
    pub fn median(&self, number: u8) -> Option<u64> {
        self.0.get(&number)?.median
    }

    /// Takes in what was seen now.
    pub fn update(&mut self, verdict: &Verdict) {
        let laws: Vec<String> = verdict.laws.keys().map(Law::to_string).collect();
        let row = Row { median: verdict.median(), worst: verdict.worst(), laws: laws.join(" ") };
        self.0.insert(verdict.number, row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Seeds until each mutant was found, written by `sim mutants --write`.")?;
        writeln!(f, "# mutant\tmedian\tworst\tlaws")?;
        for (number, row) in &self.0 {
            let seeds = |seeds: Option<u64>| seeds.map_or("-".to_string(), |seeds| seeds.to_string());
            writeln!(f, "m{number:02}\t{}\t{}\t{}", seeds(row.median), seeds(row.worst), row.laws)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_back_as_it_was_written() {
        let mut table = Table::default();
        let laws = [(Law::L4, 2), (Law::R8, 1)].into_iter().collect();
        table.update(&Verdict { number: 6, seeds: vec![Some(1), Some(2), Some(9)], laws });
        table.update(&Verdict { number: 41, seeds: vec![Some(4), None, None], laws: BTreeMap::new() });
        assert_eq!(Table::parse(&table.to_string()), Ok(table.clone()));
        assert_eq!((table.median(6), table.median(41), table.median(7)), (Some(2), None, None));
        assert!(Table::parse("m6 1 2").is_err());
    }

    #[test]
    fn only_mutants_that_exist_have_a_number() {
        for info in raft_core_mutated::mutant::ALL {
            assert_eq!(mutant_named(&format!("m{:02}", info.number)), Ok(info.number));
        }
        for name in ["m99", "m0", "m300", "06", "m+6", "m", ""] {
            assert_eq!(mutant_named(name), Err(NoMutant(name.to_string())));
        }
    }

    #[test]
    fn an_unmutated_copy_runs_as_the_original_does() {
        for seed in [3, 4] {
            let setup = Setup::draw(seed);
            let copy = crate::core::run_mutant(None, &setup, Recorder::off());
            let original = crate::core::run(&setup, Recorder::off());
            assert_eq!((copy.hash, copy.counts), (original.hash, original.counts));
        }
    }

    #[test]
    fn an_acknowledgement_before_the_fsync_is_found_at_once() {
        let verdict = hunt(6, &Effort { restarts: 1, max_seeds: 20 });
        assert!(verdict.is_found(), "{verdict:?}");
        assert!(verdict.laws.contains_key(&Law::L4), "{verdict:?}");
    }
}
