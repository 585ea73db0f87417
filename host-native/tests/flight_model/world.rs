//! The cache, its callers, and what they must not be given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use zoocache::{Cache, Failure, Join, Leader, Lookup, Policy, Waited, Waiter};

use crate::common::runs::Choices;

/// What a computation made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    /// What it read of the source of truth.
    number: u64,
    /// The step at which it began.
    began: usize,
}

#[derive(Debug)]
struct Failed(Value);

impl std::fmt::Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "no value: {:?}", self.0)
    }
}

impl std::error::Error for Failed {}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

enum Doing {
    Nothing,
    Leads { leader: Leader<Value>, began: usize, number: u64 },
    Waits { waiter: Waiter<Value>, woken: Arc<Woken>, is_abandoned: bool },
    JoinsAgain,
    Done,
}

/// What a caller may not be given less than.
#[derive(Debug, Clone, Copy, Default)]
struct Need {
    /// Of the latest write whose invalidation had returned when the caller asked.
    number: u64,
    /// No computation is good that began before: of what was deleted, stored on purpose, or seen by somebody already.
    began: usize,
}

struct Caller {
    doing: Doing,
    need: Need,
    /// Computations that it has waited for to their ends, for nothing.
    in_vain: usize,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Ask(usize),
    Finish(usize),
    Take(usize),
    JoinAgain(usize),
    // What need not happen:
    Write,
    Invalidate,
    Store,
    Delete,
    Evict,
    Cancel(usize),
    Fail(usize),
    GiveUp(usize),
}

pub(crate) struct World<'a> {
    cache: &'a Cache<Value>,
    key: String,
    policy: &'a Policy,
    callers: Vec<Caller>,
    now: usize,
    /// The source of truth.
    number: u64,
    is_invalidation_due: bool,
    /// For whoever asks now.
    need: Need,
    disturbances: usize,
    way: Vec<Step>,
    found: &'a mut Found,
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("after {:?}", self.way);
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) runs: usize,
    pub(crate) steps: usize,
    pub(crate) hits: usize,
    /// Results of others that were taken; failures among them.
    pub(crate) shared: usize,
    pub(crate) failures: usize,
    /// Results of others that were not good enough.
    pub(crate) refused: usize,
    pub(crate) handed_over: usize,
    pub(crate) gave_up: usize,
}

impl<'a> World<'a> {
    /// Of so many callers, who all want what the key names; that is also its tag.
    pub(crate) fn new(
        cache: &'a Cache<Value>,
        policy: &'a Policy,
        key: String,
        (callers, disturbances): (usize, usize),
        found: &'a mut Found,
    ) -> Self {
        let caller = || Caller { doing: Doing::Nothing, need: Need::default(), in_vain: 0 };
        Self {
            cache,
            key,
            policy,
            callers: std::iter::repeat_with(caller).take(callers).collect(),
            now: 0,
            number: 0,
            is_invalidation_due: false,
            need: Need::default(),
            disturbances,
            way: Vec::new(),
            found,
        }
    }
}

impl World<'_> {
    /// What may happen now. Callers are alike, so they ask in order.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let asking = self.callers.iter().position(|caller| matches!(caller.doing, Doing::Nothing));
        steps.extend(asking.map(Step::Ask));
        for (place, caller) in self.callers.iter().enumerate() {
            match &caller.doing {
                Doing::Leads { .. } => steps.push(Step::Finish(place)),
                Doing::Waits { woken, .. } if woken.0.load(Ordering::Relaxed) => {
                    steps.push(Step::Take(place));
                }
                Doing::JoinsAgain => steps.push(Step::JoinAgain(place)),
                Doing::Nothing | Doing::Waits { .. } | Doing::Done => {}
            }
        }
        let is_over = self.callers.iter().all(|caller| matches!(caller.doing, Doing::Done));
        assert!(is_over || !steps.is_empty(), "somebody waits for ever");
        if is_over {
            return steps;
        }
        if self.is_invalidation_due {
            steps.push(Step::Invalidate);
        }
        if self.disturbances > 0 {
            steps.extend((!self.is_invalidation_due).then_some(Step::Write));
            steps.extend([Step::Store, Step::Delete, Step::Evict]);
            for (place, caller) in self.callers.iter().enumerate() {
                match caller.doing {
                    Doing::Leads { .. } => steps.extend([Step::Cancel(place), Step::Fail(place)]),
                    Doing::Waits { .. } => steps.push(Step::GiveUp(place)),
                    Doing::Nothing | Doing::JoinsAgain | Doing::Done => {}
                }
            }
        }
        steps
    }

    pub(crate) fn run(&mut self, step: Step, choices: &mut Choices) {
        self.now += 1;
        self.found.steps += 1;
        self.way.push(step);
        match step {
            Step::Ask(place) => {
                self.callers[place].need = self.need;
                if let Lookup::Hit(entry) = self.cache.lookup_near(self.key.as_bytes()) {
                    let value = *entry.value();
                    self.hit(self.need, value);
                    self.callers[place].doing = Doing::Done;
                } else {
                    self.join(place);
                }
            }
            Step::JoinAgain(place) => self.join(place),
            Step::Take(place) => self.take(place),
            Step::Finish(place) => {
                let (leader, value) = self.computed(place, choices);
                drop(leader.finish(value, None));
            }
            Step::Invalidate => {
                self.is_invalidation_due = false;
                self.cache.invalidate(&[&self.key]).expect("positions are left");
                self.need.number = self.number;
            }
            disturbance => {
                self.disturbances -= 1;
                self.disturb(disturbance, choices);
            }
        }
    }

    fn disturb(&mut self, step: Step, choices: &mut Choices) {
        match step {
            Step::Write => {
                self.number += 1;
                self.is_invalidation_due = true;
            }
            Step::Store => {
                let value = Value { number: self.number, began: self.now };
                self.cache.put(&self.key, value, self.policy);
                self.need.began = self.now;
            }
            Step::Delete => {
                self.cache.delete(&self.key);
                self.need.began = self.now;
            }
            // There is room for one, and what was stored twice would be kept longer.
            Step::Evict => {
                let value = Value { number: 0, began: 0 };
                self.cache.put(format!("{} {}", self.key, self.now), value, &Policy::default());
            }
            Step::Cancel(place) => {
                let before: Vec<bool> = self.callers.iter().map(is_woken).collect();
                self.callers[place].doing = Doing::Done;
                for (caller, was_woken) in self.callers.iter_mut().zip(before) {
                    let is_woken = is_woken(caller);
                    if let Doing::Waits { is_abandoned, .. } = &mut caller.doing {
                        *is_abandoned |= is_woken && !was_woken;
                    }
                }
            }
            Step::Fail(place) => {
                let (leader, value) = self.computed(place, choices);
                leader.fail(Failure::from(Box::<dyn std::error::Error + Send + Sync>::from(Failed(value))));
            }
            Step::GiveUp(place) => {
                if let Doing::Waits { waiter, .. } = &self.callers[place].doing {
                    waiter.give_up();
                }
                self.found.gave_up += 1;
                let leader = self.cache.lead_alone(self.key.as_bytes(), None, false);
                self.lead(place, leader);
            }
            other => unreachable!("{other:?} is no disturbance"),
        }
    }

    fn join(&mut self, place: usize) {
        let is_again = matches!(self.callers[place].doing, Doing::JoinsAgain);
        match self.cache.join(self.key.as_bytes(), None, is_again).expect("no recursion") {
            Join::Hit(entry) => {
                let value = *entry.value();
                self.hit(self.callers[place].need, value);
                self.callers[place].doing = Doing::Done;
            }
            Join::Lead(leader) => {
                self.found.handed_over += usize::from(is_again);
                self.lead(place, leader);
            }
            Join::Wait(waiter) => {
                let woken = Arc::new(Woken::default());
                assert!(waiter.poll(&Waker::from(Arc::clone(&woken))).is_none(), "waits for what has ended");
                self.callers[place].doing = Doing::Waits { waiter, woken, is_abandoned: false };
            }
        }
    }

    fn lead(&mut self, place: usize, leader: Leader<Value>) {
        leader.declare(self.policy);
        self.callers[place].doing = Doing::Leads { leader, began: self.now, number: self.number };
    }

    /// Ends a computation: it has read the source at any time since it began.
    fn computed(&mut self, place: usize, choices: &mut Choices) -> (Leader<Value>, Value) {
        let doing = std::mem::replace(&mut self.callers[place].doing, Doing::Done);
        let Doing::Leads { leader, began, number } = doing else { unreachable!("it leads") };
        let versions = usize::try_from(self.number - number + 1).expect("few writes");
        let number = number + choices.choose(versions) as u64;
        (leader, Value { number, began })
    }

    fn take(&mut self, place: usize) {
        let doing = std::mem::replace(&mut self.callers[place].doing, Doing::Done);
        let Doing::Waits { waiter, is_abandoned, .. } = doing else { unreachable!("it waits") };
        let caller = &mut self.callers[place];
        let need = caller.need;
        match waiter.try_take().expect("it was woken") {
            Waited::Entry(entry) => self.shared(need, *entry.value()),
            Waited::Value(value) => self.shared(need, *value),
            Waited::Failed(failure) => {
                self.found.failures += 1;
                let Failed(value) = failure.downcast_ref().expect("what was told");
                self.shared(need, *value);
            }
            Waited::Again => {
                self.found.refused += usize::from(!is_abandoned);
                caller.in_vain += usize::from(!is_abandoned);
                // What comes next is the third, whoever makes it.
                assert!(caller.in_vain < 2, "two computations were not enough");
                caller.doing = Doing::JoinsAgain;
            }
        }
    }

    fn shared(&mut self, need: Need, value: Value) {
        self.found.shared += 1;
        assert_good(need, value);
    }

    fn hit(&mut self, need: Need, value: Value) {
        self.found.hits += 1;
        assert_good(need, value);
        self.need.began = self.need.began.max(value.began);
    }

    /// When all callers have got something.
    pub(crate) fn end(mut self) {
        self.now += 1;
        if let Lookup::Hit(entry) = self.cache.lookup(self.key.as_bytes()) {
            let value = *entry.value();
            self.hit(self.need, value);
        }
        match self.cache.join(self.key.as_bytes(), None, false).expect("no recursion") {
            Join::Hit(_) => {}
            Join::Wait(_) => panic!("a flight is left behind"),
            Join::Lead(leader) => {
                leader.declare(self.policy);
                drop(leader.finish(Value { number: self.number, began: self.now }, None));
                assert!(self.cache.get(&self.key).is_some(), "nothing is ever a hit");
            }
        }
    }
}

fn is_woken(caller: &Caller) -> bool {
    matches!(&caller.doing, Doing::Waits { woken, .. } if woken.0.load(Ordering::Relaxed))
}

fn assert_good(need: Need, value: Value) {
    assert!(value.number >= need.number, "invalidated before it was asked for: {value:?}, {need:?}");
    assert!(value.began >= need.began, "older than what could be known: {value:?}, {need:?}");
}
