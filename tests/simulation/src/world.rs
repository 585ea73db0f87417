//! The scheduler: which task runs next, when it is suspended, and what time it is. All of it follows from the seed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use fastrand::Rng;
use zoocache::simulation::Locals;

use crate::machine::Machine;
use crate::stack::{Stackful, suspend};

/// A run that takes longer goes in circles.
const MAX_RESUMES: u64 = 3_000_000;

/// Where a task runs.
pub(crate) type Place = usize;

/// A task of nobody's: faults, the end of the run.
pub(crate) const NOWHERE: Place = 0;

enum State {
    Ready,
    /// It looks again when something else has happened since, or when the time has come.
    Blocked {
        since: u64,
        until_ns: Option<u64>,
    },
}

struct Task {
    place: Place,
    state: State,
    locals: Locals,
    stack: Option<Stackful>,
}

/// One simulated world. Everything in it shares one thread.
pub(crate) struct World {
    random: RefCell<Rng>,
    now_ns: Cell<u64>,
    tasks: RefCell<Vec<Option<Task>>>,
    /// The task that runs.
    current: Cell<Option<usize>>,
    /// Resumes that were more than a look.
    progress: Cell<u64>,
    resumes: Cell<u64>,
    /// Steps until the next switch, and one in how many switches.
    steps_left: Cell<u32>,
    steps_per_switch: u32,
    processes: RefCell<Vec<Process>>,
    /// Has the task that runs done anything since it was resumed?
    has_acted: Cell<bool>,
    /// Room for the tasks that can go on, and those that can look again.
    choices: RefCell<(Vec<usize>, Vec<usize>)>,
    /// How the run went: to be compared with another of the same seed.
    trace: Cell<u64>,
}

/// What runs on a machine until it is killed.
struct Process {
    machine: Arc<Machine>,
    stopped_until_ns: u64,
    is_dead: bool,
}

impl World {
    pub(crate) fn new(seed: u64, steps_per_switch: u32) -> Rc<Self> {
        let nowhere =
            Process { machine: Arc::new(Machine::new(0, 0, 0)), stopped_until_ns: 0, is_dead: false };
        Rc::new(Self {
            random: RefCell::new(Rng::with_seed(seed)),
            now_ns: Cell::new(0),
            tasks: RefCell::default(),
            current: Cell::new(None),
            progress: Cell::new(1),
            resumes: Cell::new(0),
            steps_left: Cell::new(steps_per_switch),
            steps_per_switch,
            processes: RefCell::new(vec![nowhere]),
            has_acted: Cell::new(false),
            choices: RefCell::default(),
            trace: Cell::new(0xcbf2_9ce4_8422_2325),
        })
    }

    /// A number below `bound`.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().u64(..bound.max(1))
    }

    pub(crate) fn one_in(&self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// The time since the beginning, which no clock shows.
    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    /// A process more, on a machine.
    pub(crate) fn add_process(&self, machine: &Arc<Machine>) -> Place {
        machine.set_time(self.now_ns());
        let mut processes = self.processes.borrow_mut();
        processes.push(Process { machine: Arc::clone(machine), stopped_until_ns: 0, is_dead: false });
        processes.len() - 1
    }

    pub(crate) fn machine(&self, place: Place) -> Arc<Machine> {
        Arc::clone(&self.processes.borrow()[place].machine)
    }

    /// Lets a process stand still, but not its machine's clocks.
    pub(crate) fn stop(&self, place: Place, for_ns: u64) {
        self.processes.borrow_mut()[place].stopped_until_ns = self.now_ns() + for_ns;
    }

    /// Ends a process. Its tasks run on until they notice, and nobody sees anything of what they do.
    pub(crate) fn kill(&self, place: Place) {
        self.processes.borrow_mut()[place].is_dead = true;
    }

    pub(crate) fn is_dead(&self, place: Place) -> bool {
        self.processes.borrow()[place].is_dead
    }

    /// The number of the task that runs.
    pub(crate) fn task(&self) -> usize {
        self.current.get().unwrap_or(usize::MAX)
    }

    /// Where the task that runs does.
    pub(crate) fn here(&self) -> Place {
        let tasks = self.tasks.borrow();
        self.current.get().and_then(|task| tasks[task].as_ref()).map_or(NOWHERE, |task| task.place)
    }

    /// Begins a task.
    pub(crate) fn begin(&self, place: Place, work: impl FnOnce() + 'static) {
        let stack = Some(Stackful::new(Box::new(work)));
        let task = Task { place, state: State::Ready, locals: Locals::default(), stack };
        let mut tasks = self.tasks.borrow_mut();
        match tasks.iter_mut().find(|task| task.is_none()) {
            Some(free) => *free = Some(task),
            None => tasks.push(Some(task)),
        }
    }

    /// Lets the task that runs wait, for others to run.
    pub(crate) fn pause(&self, ns: u64) {
        let until_ns = self.now_ns() + ns;
        while self.now_ns() < until_ns {
            self.wait(Some(until_ns));
        }
    }

    /// Waits until a condition holds; `false` if it does not for so long.
    pub(crate) fn wait_until(&self, ns: u64, mut condition: impl FnMut() -> bool) -> bool {
        let until_ns = self.now_ns() + ns;
        while !condition() {
            if self.now_ns() >= until_ns {
                return false;
            }
            self.wait(Some(until_ns));
        }
        true
    }

    /// A place at which another task may run.
    #[inline]
    pub(crate) fn step(&self) {
        self.has_acted.set(true);
        let left = self.steps_left.get();
        if left > 0 {
            self.steps_left.set(left - 1);
            return;
        }
        if self.current.get().is_some() {
            let next = self.below(2 * u64::from(self.steps_per_switch));
            self.steps_left.set(u32::try_from(next).unwrap_or(0));
            self.suspend_as(State::Ready);
        }
    }

    /// Waits for something to happen, or for a time.
    pub(crate) fn wait(&self, until_ns: Option<u64>) {
        self.suspend_as(State::Blocked { since: self.progress.get(), until_ns });
    }

    fn suspend_as(&self, state: State) {
        let Some(current) = self.current.get() else { return };
        if let Some(task) = &mut self.tasks.borrow_mut()[current] {
            task.state = state;
        }
        suspend();
    }

    /// Runs until no task is left.
    ///
    /// # Errors
    /// When none of those that are left can go on, or they go round for ever.
    pub(crate) fn run(&self) -> Result<(), String> {
        while let Some(task) = self.next()? {
            self.resume(task);
        }
        Ok(())
    }

    fn next(&self) -> Result<Option<usize>, String> {
        if self.resumes.get() > MAX_RESUMES {
            return Err(format!("the run goes on for ever: {MAX_RESUMES} switches"));
        }
        let choices = &mut *self.choices.borrow_mut();
        let (ready, looking) = (&mut choices.0, &mut choices.1);
        loop {
            let now_ns = self.now_ns();
            ready.clear();
            looking.clear();
            let mut next_ns = u64::MAX;
            {
                let (tasks, processes) = (self.tasks.borrow(), self.processes.borrow());
                let mut left = 0;
                for (number, task) in tasks.iter().enumerate() {
                    let Some(task) = task else { continue };
                    left += 1;
                    let stopped_until_ns = processes[task.place].stopped_until_ns;
                    if stopped_until_ns > now_ns {
                        next_ns = next_ns.min(stopped_until_ns);
                        continue;
                    }
                    match task.state {
                        State::Ready => ready.push(number),
                        State::Blocked { until_ns: Some(until_ns), .. } if until_ns <= now_ns => {
                            ready.push(number);
                        }
                        State::Blocked { since, until_ns } => {
                            if since < self.progress.get() {
                                looking.push(number);
                            }
                            next_ns = next_ns.min(until_ns.unwrap_or(u64::MAX));
                        }
                    }
                }
                if left == 0 {
                    return Ok(None);
                }
            }
            // Those that look again do so in vain, mostly.
            let from = if looking.is_empty() || (!ready.is_empty() && !self.one_in(8)) {
                &*ready
            } else {
                &*looking
            };
            if !from.is_empty() {
                let index = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
                return Ok(Some(from[index]));
            }
            if next_ns == u64::MAX {
                return Err("all tasks wait for one another".to_owned());
            }
            self.set_time(next_ns);
        }
    }

    fn set_time(&self, now_ns: u64) {
        self.now_ns.set(now_ns);
        for process in self.processes.borrow().iter() {
            process.machine.set_time(now_ns);
        }
    }

    fn resume(&self, number: usize) {
        let Some((mut stack, mut locals)) = self.tasks.borrow_mut()[number].as_mut().and_then(|task| {
            task.state = State::Ready;
            Some((task.stack.take()?, std::mem::take(&mut task.locals)))
        }) else {
            return;
        };
        self.resumes.set(self.resumes.get() + 1);
        self.set_time(self.now_ns() + self.below(2_000));
        self.note(number as u64 ^ self.now_ns() << 8);
        self.current.set(Some(number));
        self.has_acted.set(false);
        locals.swap();
        let has_ended = stack.resume();
        locals.swap();
        self.current.set(None);
        let mut tasks = self.tasks.borrow_mut();
        if has_ended {
            tasks[number] = None;
            self.progress.set(self.progress.get() + 1);
        } else if let Some(task) = &mut tasks[number] {
            (task.stack, task.locals) = (Some(stack), locals);
            // Whoever only looked and waits on has changed nothing.
            if self.has_acted.get() {
                self.progress.set(self.progress.get() + 1);
            }
        }
    }

    /// Notes something that another run of the seed must do, too.
    pub(crate) fn note(&self, what: u64) {
        self.trace.set((self.trace.get() ^ what).wrapping_mul(0x0000_0100_0000_01b3));
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace.get()
    }
}
