//! The engine against a naive model (`world.rs`), in random programs. The fuzz targets run others of them.
#![cfg(not(loom))]

mod world;

use proptest::prelude::*;
use zoocache_core::Tag;

use world::{Step, World};

fn tag() -> impl Strategy<Value = Tag> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..4);
    (path, prop::bool::weighted(0.25)).prop_map(|(path, subtree)| match (path.join(":"), subtree) {
        (path, false) if path.is_empty() => Tag::root(),
        (path, true) if path.is_empty() => Tag::parse("*").expect("valid"),
        (path, false) => Tag::parse(&path).expect("valid"),
        (path, true) => Tag::parse(&(path + ":*")).expect("valid"),
    })
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<usize>;
    let tags = || prop::collection::vec(tag(), 1..3);
    prop_oneof![
        6 => Just(Step::Begin),
        1 => index().prop_map(Step::Abandon),
        9 => (index(), tag()).prop_map(|(fill, tag)| Step::Depend(fill, tag)),
        2 => (index(), index()).prop_map(|(fill, entry)| Step::Absorb(fill, entry)),
        6 => (index(), prop::option::weighted(0.1, index())).prop_map(|(fill, bound)| Step::Seal(fill, bound)),
        6 => tags().prop_map(Step::Invalidate),
        1 => Just(Step::Clear),
        3 => (tags(), 0..2_000_u64).prop_map(|(tags, ttl)| Step::Change(tags, ttl)),
        3 => index().prop_map(Step::Settle),
        3 => (0..20_000_u64).prop_map(Step::Time),
        1 => any::<u64>().prop_map(Step::Time),
        10 => index().prop_map(Step::Judge),
        2 => index().prop_map(Step::Evict),
        2 => index().prop_map(Step::Store),
        4 => index().prop_map(Step::JudgeStored),
        2 => index().prop_map(Step::Admit),
        1 => tag().prop_map(Step::Hold),
        1 => index().prop_map(Step::Release),
        5 => (prop::option::of(index()), 0..9_usize).prop_map(|(horizon, budget)| Step::Prune(horizon, budget)),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_those_of_the_model(outside: bool, steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new(outside);
        for step in steps {
            world.take(step);
        }
        world.finish();
    }
}
