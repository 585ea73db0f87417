//! Programs of calls, the engine beside the model of `core-wasm/tests/model/world.rs`.

use crate::choices::Choices;
use crate::world::{Step, World};

/// Calls after which a program ends: the model looks at everything for each.
const MAX_STEPS: usize = 400;

/// The engine answers as the model does, whatever is called.
pub fn check(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut world = World::new(choices.byte() % 2 == 1);
    for _ in 0..MAX_STEPS {
        let Some(step) = step(&mut choices) else { break };
        world.take(step);
    }
    world.finish();
}

fn step(choices: &mut Choices<'_>) -> Option<Step> {
    Some(match choices.next()? % 32 {
        0..=2 => Step::Begin,
        3 => Step::Abandon(choices.index()),
        4..=7 => Step::Depend(choices.index(), choices.tag()),
        8 => Step::Absorb(choices.index(), choices.index()),
        9..=11 => Step::Seal(choices.index(), None),
        12 => Step::Seal(choices.index(), Some(choices.index())),
        13..=15 => Step::Invalidate(choices.tags()),
        16 => Step::Clear,
        17 => Step::Change(choices.tags(), choices.number()),
        18 => Step::Settle(choices.index()),
        19 => Step::Time(choices.number()),
        20 => Step::Time(choices.word()),
        21..=22 => Step::Judge(choices.index()),
        23 => Step::Evict(choices.index()),
        24 => Step::Store(choices.index()),
        25..=26 => Step::JudgeStored(choices.index()),
        27 => Step::Admit(choices.index()),
        28 => Step::Hold(choices.tag()),
        29 => Step::Release(choices.index()),
        30 => {
            let horizon = choices.byte();
            Step::Prune((horizon < 128).then_some(usize::from(horizon)), choices.index() % 9)
        }
        _ => Step::Restart,
    })
}
