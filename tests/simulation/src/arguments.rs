//! What the program is asked to do.

use crate::setup::Ground;

/// Seeds of a run that names none: some minutes on two cores.
const SEEDS: u64 = 10_000;
/// Seeds after which a mutant that has broken nothing has survived.
const MUTANT_SEEDS: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Seeds,
    Story(u64),
    Mutants,
    /// Part of the seeds, for another process that asked for it.
    Work,
}

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) order: Order,
    pub(crate) from: u64,
    pub(crate) seeds: u64,
    /// Every so many of them.
    pub(crate) every: u64,
    /// Stop at the first that breaks a promise.
    pub(crate) first: bool,
    pub(crate) ground: Option<Ground>,
}

impl Arguments {
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut read = Self { order: Order::Seeds, from: 0, seeds: 0, every: 1, first: false, ground: None };
        for word in words {
            let number =
                |value: &str| value.parse::<u64>().map_err(|_| format!("{word:?}: {value:?} is no number"));
            match word.split_once('=') {
                None if word == "mutants" => read.order = Order::Mutants,
                None if word == "work" => read.order = Order::Work,
                None if word == "first" => read.first = true,
                Some(("seed", value)) => read.order = Order::Story(number(value)?),
                Some(("seeds", value)) => read.seeds = number(value)?,
                Some(("from", value)) => read.from = number(value)?,
                Some(("every", value)) => read.every = number(value)?.max(1),
                Some(("ground", value)) => read.ground = Some(Ground::named(value)?),
                _ => {
                    let known = "seeds=N, from=N, seed=N, ground=NAME and mutants";
                    return Err(format!("{word:?} means nothing here; give {known}"));
                }
            }
        }
        if read.seeds == 0 && read.order != Order::Work {
            read.seeds = if read.order == Order::Mutants { MUTANT_SEEDS } else { SEEDS };
        }
        Ok(read)
    }
}
