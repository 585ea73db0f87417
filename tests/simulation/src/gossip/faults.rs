//! What goes wrong among nodes that gossip.

use std::rc::Rc;

use zoocache_core::{DomainId, Header, Timestamp};

use super::Run;
use super::store::Row;
use super::tails::forged;
use super::terms::Poison;
use crate::truth::LEAVES;

const HOUR_US: u64 = 3_600_000_000;

impl Run {
    /// Lets something go wrong, for a while or for ever.
    pub(super) fn fault(self: &Rc<Self>) {
        let (world, judge) = (&self.world, &self.judge);
        judge.count(|counts| counts.faults += 1);
        let machine = usize::try_from(world.below(self.setup.processes as u64)).unwrap_or(0);
        let for_ns = world.below(20 * self.terms.think_ns.max(self.terms.delay_ns));
        match world.below(12) {
            0..3 => {
                if self.kill(machine) {
                    world.pause(world.below(1 + for_ns / 4));
                    let from = if world.one_in(3) { None } else { self.any_saved(machine) };
                    self.start(machine, from);
                }
            }
            3 | 4 => self.save(machine),
            5 => {
                judge.tell(|| format!("machine {machine} is cut off for {} ms", for_ns / 1_000_000));
                self.post.cut_off(world, machine, for_ns);
            }
            6 => {
                if let Some(node) = self.node(machine) {
                    judge.tell(|| {
                        format!("process {} stands still for {} ms", node.place, for_ns / 1_000_000)
                    });
                    world.stop(node.place, for_ns);
                }
            }
            7 | 8 => self.set_clock(machine),
            9 => {
                let key = self.key();
                judge.tell(|| format!("the store loses key {key}"));
                self.store.lose(key);
            }
            10 => self.mistake(),
            _ => self.poison(),
        }
    }

    fn set_clock(&self, machine: usize) {
        let clock = &self.clocks[machine];
        let went_forth = clock.set(&self.world);
        self.judge.tell(|| format!("the clock of machine {machine} is set to {}", clock.now_us(&self.world)));
        if went_forth {
            self.marks_may_have_ended(machine);
        }
    }

    fn marks_may_have_ended(&self, machine: usize) {
        let concerned = self.node(machine).map(|node| node.place);
        self.judge.marks_may_have_ended(|place| Some(place) == concerned);
    }

    /// Somebody of another domain uses the same keys: whose positions say nothing here.
    fn mistake(&self) {
        let key = self.key();
        let Some(row) = self.store.any(&self.world, key) else { return };
        let (header, _) = Header::decode(&row.header).expect("invariant: nodes wrote it");
        let machine = usize::try_from(self.world.below(self.clocks.len() as u64)).unwrap_or(0);
        let as_of = Timestamp::from_micros(self.clocks[machine].now_us(&self.world));
        self.judge.tell(|| format!("key {key} is stored by somebody of another domain"));
        let foreign = Header { domain: DomainId(0xbad), as_of, ..header };
        self.store.slip(key, Row { header: foreign.encode(), ..row });
    }

    /// A clock is hours ahead, or a message's time.
    pub(super) fn poison(&self) {
        match self.terms.poison {
            Poison::Nobody => {}
            Poison::Clock(machine) => {
                let hours = 1 + self.world.below(48);
                self.judge.tell(|| format!("the clock of machine {machine} is {hours} h ahead"));
                self.clocks[machine].poison(hours * HOUR_US);
                self.marks_may_have_ended(machine);
            }
            Poison::Message => {
                let message = Rc::new(forged(self, LEAVES[self.leaf()]));
                self.judge.tell(|| format!("there is a forged message {message:?}"));
                for to in 0..self.setup.processes {
                    self.post.send(&self.world, &self.terms, (to, to), &message);
                }
            }
        }
    }
}
