//! A node in one of its lives: an engine, and entries in memory. What a host does around the calls of the engine.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use zoocache_core::{Applied, ClockError, Engine, Invalidation, Sealed, Tag, Timestamp};

use super::Run;
use crate::truth::Versions;
use crate::value::Value;
use crate::world::Place;

/// An entry in memory.
pub(super) struct Near {
    pub(super) sealed: Sealed,
    pub(super) value: Arc<Value>,
    /// What a value that is computed from it is as of at most.
    pub(super) as_of: Timestamp,
    /// 0 is never.
    pub(super) expires_us: u64,
}

/// A change that was announced and has neither been settled nor expired.
#[derive(Clone)]
pub(super) struct Announced {
    pub(super) tag: &'static str,
    pub(super) since_ns: u64,
    pub(super) timeout_us: u64,
    /// How far the clock had been set forth until then.
    pub(super) forth_us: u64,
}

pub(super) struct Node {
    pub(super) place: Place,
    pub(super) machine: usize,
    /// In messages.
    pub(super) id: u64,
    pub(super) engine: RefCell<Engine>,
    pub(super) near: RefCell<BTreeMap<usize, Near>>,
    /// What these keys are computed from must be as of this at least, so that the next result can be kept.
    pub(super) renewed: RefCell<BTreeMap<usize, Timestamp>>,
    pub(super) inbox: RefCell<VecDeque<Rc<Invalidation>>>,
    pub(super) announced: RefCell<Vec<Announced>>,
    /// Up to here others were told.
    pub(super) told: Cell<Timestamp>,
    /// Up to here each process was asked.
    pub(super) asked: RefCell<BTreeMap<Place, Timestamp>>,
}

pub(super) fn tag(text: &str) -> Tag {
    if text.is_empty() { Tag::root() } else { Tag::parse(text).expect("invariant: these are tags") }
}

impl Node {
    pub(super) fn new(place: Place, machine: usize, engine: Engine) -> Self {
        let told = engine.stats().clock;
        Self {
            place,
            machine,
            id: engine.config().node_id,
            engine: RefCell::new(engine),
            near: RefCell::default(),
            renewed: RefCell::default(),
            inbox: RefCell::default(),
            announced: RefCell::default(),
            told: Cell::new(told),
            asked: RefCell::default(),
        }
    }

    /// Is its process dead, or the run over?
    pub(super) fn is_over(&self, run: &Run) -> bool {
        run.world.is_dead(self.place) || run.is_over()
    }

    /// Calls the engine, at the time that its clock shows. Nothing happens meanwhile.
    pub(super) fn call<R>(&self, run: &Run, call: impl FnOnce(&mut Engine, u64) -> R) -> R {
        let now_us = run.clocks[self.machine].now_us(&run.world);
        let mut engine = self.engine.borrow_mut();
        let before = engine.stats();
        let result = call(&mut engine, now_us);
        let expired = engine.stats().marks_expired - before.marks_expired;
        if expired > 0 {
            // They come first, whatever the call was for.
            let made = engine.tail(before.clock).messages;
            let own = made.into_iter().filter(|message| message.origin == self.id);
            for message in own.take(usize::try_from(expired).unwrap_or(0)) {
                self.mark_expired(run, &message);
            }
        }
        result
    }

    /// The change counts as made, now.
    fn mark_expired(&self, run: &Run, message: &Invalidation) {
        let tags: Vec<String> = message.tags.iter().map(Tag::to_string).collect();
        run.judge.tell(|| format!("lets the announced change of {tags:?} expire, at {}", message.at));
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let versions = run.judge.versions_now(&tags);
        self.made(run, message.at, versions);
        self.announced
            .borrow_mut()
            .retain(|mark| !message.tags.contains(&tag(mark.tag.trim_end_matches(":*"))));
    }

    /// It has made an invalidation when these were the versions.
    pub(super) fn made(&self, run: &Run, at: Timestamp, versions: Versions) {
        run.promises.name(self.id, at.as_micros(), versions);
        run.promises.can_tell(self.place, &versions);
        run.judge.knows(self.place, &versions);
    }

    pub(super) fn invalidate(&self, run: &Run, tags: &[&'static str]) {
        let invalidation = run.judge.invalidation_begins(self.place, tags);
        let parsed: Vec<_> = tags.iter().map(|text| tag(text)).collect();
        let is_all = *tags == ["*"];
        let at =
            self.call(
                run,
                |engine, now_us| {
                    if is_all { engine.clear(now_us) } else { engine.invalidate(&parsed, now_us) }
                },
            );
        self.has_made(run, &invalidation, at);
    }

    /// An invalidation that was called has returned.
    pub(super) fn has_made(
        &self,
        run: &Run,
        invalidation: &crate::judge::Invalidation,
        at: Result<Timestamp, ClockError>,
    ) {
        match at {
            Ok(at) => {
                run.judge.tell(|| format!("it is at {at}"));
                self.made(run, at, invalidation.versions());
                run.judge.invalidation_returns(invalidation, false);
            }
            Err(error) => run.judge.broken("clock", format!("process {}: {error}", self.place)),
        }
    }

    /// Applies a message.
    pub(super) fn hear(&self, run: &Run, message: &Invalidation) {
        let applied = self.call(run, |engine, now_us| engine.apply(message, now_us));
        let name = || format!("message {} of {}", message.at, message.origin);
        match applied {
            Ok(applied) => {
                let how = match applied {
                    Applied::At(at) => format!("at {at}"),
                    Applied::Drifted { at, .. } => format!("at {at}, its time was refused"),
                    _ => "again".to_owned(),
                };
                run.judge.tell(|| format!("process {} has applied {}, {how}", self.place, name()));
                if let Some(versions) = run.promises.versions(message) {
                    run.promises.can_tell(self.place, &versions);
                    run.judge.knows(self.place, &versions);
                }
            }
            Err(error) => run.judge.broken("clock", format!("process {}, {}: {error}", self.place, name())),
        }
    }

    /// Applies what comes, until its process is killed.
    pub(super) fn listen(&self, run: &Run) {
        while !self.is_over(run) {
            let message = self.inbox.borrow_mut().pop_front();
            match message {
                Some(message) => {
                    self.hear(run, &message);
                    run.world.step();
                    self.tell(run);
                }
                None => run.world.wait(None),
            }
        }
    }

    /// Tells the others what they were not told yet.
    pub(super) fn tell(&self, run: &Run) {
        if run.world.is_dead(self.place) {
            return;
        }
        let tail = self.engine.borrow().tail(self.told.get());
        if !tail.is_complete {
            run.judge.broken("tail", format!("process {} has forgotten what it was to tell", self.place));
        }
        self.told.set(tail.to);
        for message in tail.messages {
            if message.origin == self.id || run.terms.sends_on {
                let message = Rc::new(message);
                for to in (0..run.setup.processes).filter(|to| *to != self.machine) {
                    run.post.send(&run.world, &run.terms, (self.machine, to), &message);
                }
            }
        }
    }
}
