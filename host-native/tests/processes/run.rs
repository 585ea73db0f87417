//! Starts the workers, kills some of them, and waits for all.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::channel;
use std::time::Duration;

use fastrand::Rng;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use super::history::{RECORD_BYTES, records};
use super::truth::now_ns;
use super::{CHANGE, TAGS, WORKERS};

/// What workers in Python run, from the top of the repository.
const PYTHON_WORKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/processes/worker.py");

/// Stands in the names of the histories of forked children.
const CHILD: &str = "-child-";

pub(crate) struct Run {
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    pub(crate) reads: u64,
    pub(crate) kills: u64,
    /// The interpreter of half of the workers.
    pub(crate) python: Option<String>,
    started: u64,
}

struct Worker {
    child: Child,
    history: PathBuf,
    place: usize,
    quota: u64,
}

impl Drop for Worker {
    /// When another one has failed: nobody goes on.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Run {
    /// Makes the folder and the source in it.
    pub(crate) fn new(
        folder: PathBuf,
        seed: u64,
        (reads, kills): (u64, u64),
        python: Option<String>,
    ) -> Self {
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        fs::write(folder.join("truth"), [0; TAGS * 4]).expect("can be written");
        fs::write(folder.join("running"), []).expect("can be written");
        Self { folder, seed, reads, kills, python, started: 0 }
    }

    fn command(&self, is_python: bool) -> Command {
        match &self.python {
            Some(python) if is_python => {
                let mut command = Command::new(python);
                command.arg(PYTHON_WORKER);
                command
            }
            _ => Command::new(std::env::current_exe().expect("a program")),
        }
    }

    fn start(&mut self, place: usize, quota: u64) -> Worker {
        let history = self.folder.join(format!("history-{}", self.started));
        let seed = self.seed.wrapping_add(self.started) % 1_000_000_007;
        self.started += 1;
        let child = self
            .command(place % 2 == 1)
            .arg("worker")
            .args([&self.folder, &history])
            .args([quota.to_string(), seed.to_string(), place.to_string()])
            .spawn()
            .expect("a worker starts");
        Worker { child, history, place, quota }
    }

    fn start_again(&mut self, worker: &mut Worker) {
        let done = records(&worker.history).iter().filter(|record| record.is_read()).count();
        *worker = self.start(worker.place, worker.quota.saturating_sub(done as u64).max(1));
    }

    /// How far the run is.
    fn lines(&self) -> u64 {
        let bytes = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
        self.histories().iter().map(bytes).sum::<u64>() / RECORD_BYTES as u64
    }

    /// Runs the workers to the end, killing some of them on the way. Says how many, and how many killed themselves.
    pub(crate) fn drive(&mut self) -> (u64, u64) {
        let mut rng = Rng::with_seed(self.seed);
        let quota = self.reads / WORKERS as u64 + 1;
        let mut workers: Vec<_> = (0..WORKERS).map(|place| self.start(place, quota)).collect();
        let (_never, pause) = channel::<()>();
        let deadline_ns = now_ns() + (120 + self.reads / 500) * 1_000_000_000;
        let (mut killed, mut died) = (0, 0);
        while !workers.is_empty() {
            let _ = pause.recv_timeout(Duration::from_millis(rng.u64(5..40)));
            if killed < self.kills && self.lines() * self.kills >= self.reads * 4 / 5 * killed {
                let worker = rng.usize(..workers.len());
                let worker = &mut workers[worker];
                worker.child.kill().expect("it is ours");
                worker.child.wait().expect("it is ours");
                killed += 1;
                self.start_again(worker);
            }
            workers.retain_mut(|worker| match worker.child.try_wait().expect("it is ours") {
                None => true,
                Some(status) if status.signal() == Some(Signal::KILL.as_raw()) => {
                    died += 1;
                    self.start_again(worker);
                    true
                }
                Some(status) => {
                    assert!(status.success(), "a worker failed: {status}, {}", worker.history.display());
                    false
                }
            });
            if let Some(worker) = workers.first() {
                let history = worker.history.display();
                assert!(
                    now_ns() < deadline_ns,
                    "{} workers hang, the first is that of {history}",
                    workers.len()
                );
            }
        }
        self.wait_for_children();
        // The marks of dead workers stand until their deadlines.
        let _ = pause.recv_timeout(CHANGE);
        (killed, died)
    }

    /// What a worker forked may live longer than it. Each holds a lock.
    fn wait_for_children(&self) {
        let running = File::open(self.folder.join("running")).expect("it was made");
        flock(&running, FlockOperation::LockExclusive).expect("a local file");
    }

    /// What a Python worker finds after all have ended.
    pub(crate) fn last_look_of_python(&self) {
        if self.python.is_some() {
            let history = self.folder.join("history-last-of-python");
            let status = self.command(true).arg("last").args([&self.folder, &history]).status();
            let status = status.expect("a worker starts");
            assert!(status.success(), "the last worker failed: {status}");
        }
    }

    /// How many children of workers left a history.
    pub(crate) fn forked(&self) -> usize {
        let histories = self.histories();
        histories.iter().filter(|path| path.display().to_string().contains(CHILD)).count()
    }

    /// The histories of all workers and of their children.
    pub(crate) fn histories(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.folder).expect("it was made");
        let files = files.map(|file| file.expect("it can be listed").path());
        files.filter(|path| is_history(path)).collect()
    }
}

fn is_history(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("history-"))
}
