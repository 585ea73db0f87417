//! The nodes of a run, their proxies and their server.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};

use super::check::Source;
use super::control::{Control, Phase};
use super::history::{lines, records};
use super::journal::{Journal, Span};
use super::netns::Namespace;
use super::proxy::Proxy;
use super::roles::{Mix, Role};
use super::server::{Persistence, Server, compile_clock, stop};
use super::truth::now_ns;
use super::{MAX_STALENESS, NODES, TAGS, pause};

/// The node that lives in a network namespace of its own, where that is allowed.
pub(crate) const APART: usize = 5;

pub(crate) struct Node {
    child: Child,
    place: usize,
    role: Role,
}

impl Drop for Node {
    /// When another one has failed: nobody goes on.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Ground {
    pub(crate) folder: PathBuf,
    pub(crate) server: Server,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) journal: Journal,
    pub(crate) namespace: Option<Namespace>,
    pub(crate) is_calm: bool,
    clock: Option<PathBuf>,
    nodes: Vec<Node>,
    control: Control,
    /// A protection that the nodes do without.
    mutant: Option<&'static str>,
    seed: u64,
    histories: Vec<(PathBuf, usize, Role)>,
    servers: u64,
    /// How many nodes were killed, and how many killed themselves.
    pub(crate) killed: (u64, u64),
}

impl Ground {
    /// Makes the folder and starts everything.
    pub(crate) fn new(folder: PathBuf, seed: u64, mix: Mix, mutant: Option<&'static str>) -> Self {
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        fs::write(folder.join("truth"), [0; TAGS * 4]).expect("can be written");
        let (clock, control) = (compile_clock(&folder), Control::make(&folder));
        fs::create_dir(folder.join("server-0")).expect("can be made");
        let server = Server::start(&folder.join("server-0"), Persistence::Nothing, clock.as_deref());
        let namespace = Namespace::make();
        let mut ground = Self {
            server,
            proxies: Vec::new(),
            journal: Journal::default(),
            namespace,
            is_calm: false,
            clock,
            nodes: Vec::new(),
            control,
            mutant,
            seed,
            histories: Vec::new(),
            servers: 1,
            killed: (0, 0),
            folder,
        };
        let target = ground.target();
        for place in 0..NODES {
            let apart = ground.namespace.as_ref().filter(|_| place == APART);
            let host = apart.map_or("127.0.0.1", |namespace| namespace.host.as_str());
            ground.proxies.push(Proxy::start(host, target));
        }
        for (place, role) in mix.roles().into_iter().enumerate() {
            let node = ground.start(place, role);
            ground.nodes.push(node);
        }
        ground
    }

    fn target(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.server.port))
    }

    /// Another server, beside the one that is in use.
    pub(crate) fn another_server(&mut self) -> Server {
        let folder = self.folder.join(format!("server-{}", self.servers));
        self.servers += 1;
        fs::create_dir(&folder).expect("can be made");
        Server::start(&folder, Persistence::Nothing, self.clock.as_deref())
    }

    /// Lets all nodes find `server` where the one before was, which is gone.
    pub(crate) fn fail_over_to(&mut self, server: Server) {
        self.server = server;
        let target = self.target();
        for proxy in &self.proxies {
            proxy.change(|weather| weather.target = target);
            proxy.cut();
        }
    }

    fn start(&mut self, place: usize, role: Role) -> Node {
        let started = self.histories.len() as u64;
        let history = self.folder.join(format!("history-{started}-{place}-{}", role.name()));
        let program = std::env::current_exe().expect("a program");
        let apart = self.namespace.as_ref().filter(|_| place == APART);
        let mut command = match apart {
            Some(namespace) => namespace.command(&program.display().to_string()),
            None => Command::new(program),
        };
        command
            .arg("worker")
            .args([self.folder.as_os_str(), history.as_os_str()])
            .args([role.name(), place.to_string(), format!("redis://{}/0", self.proxies[place].address)])
            .arg((self.seed.wrapping_add(started) % 1_000_000_007).to_string())
            .stdin(Stdio::null());
        match self.mutant {
            Some(mutant) => command.env("ZOOCACHE_MUTANT", mutant),
            None => command.env_remove("ZOOCACHE_MUTANT"),
        };
        let child = command.spawn().expect("a node starts");
        self.histories.push((history, place, role));
        Node { child, place, role }
    }

    fn pid(&self, place: usize) -> Pid {
        Pid::from_child(&self.nodes[place].child)
    }

    /// Kills nodes, which are not there until [`start_dead`](Self::start_dead).
    pub(crate) fn kill(&mut self, places: &[usize]) {
        for place in places {
            let node = &mut self.nodes[*place];
            node.child.kill().expect("it is ours");
            node.child.wait().expect("it is ours");
            self.killed.0 += 1;
        }
    }

    /// Starts the nodes again that are not there.
    pub(crate) fn start_dead(&mut self) {
        for place in 0..self.nodes.len() {
            let Some(status) = self.nodes[place].child.try_wait().expect("it is ours") else { continue };
            assert!(
                status.signal() == Some(Signal::KILL.as_raw()),
                "a node failed: {status}, place {place} in {}",
                self.folder.display()
            );
            let role = self.nodes[place].role;
            self.nodes[place] = self.start(place, role);
        }
    }

    /// Lets things go on for a while; nodes that killed themselves are started again.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = now_ns() + u64::try_from(time.as_nanos()).expect("not so long");
        while now_ns() < until {
            pause(Duration::from_millis(10).min(time));
            let dead = |node: &mut Node| node.child.try_wait().is_ok_and(|status| status.is_some());
            let died = self.nodes.iter_mut().filter_map(|node| dead(node).then_some(())).count();
            self.killed.1 += died as u64;
            self.start_dead();
        }
    }

    /// As [`wait`](Self::wait), without starting anybody.
    pub(crate) fn wait_alone(time: Duration) {
        pause(time);
    }

    pub(crate) fn wait_ms(&mut self, rng: &mut Rng, ms: std::ops::Range<u64>) {
        self.wait(Duration::from_millis(rng.u64(ms)));
    }

    /// Stops nodes while `meanwhile` happens.
    pub(crate) fn while_stopped<T>(&mut self, places: &[usize], meanwhile: impl FnOnce(&mut Self) -> T) -> T {
        let from_ns = now_ns();
        for place in places {
            stop(self.pid(*place));
        }
        let done = meanwhile(self);
        for place in places {
            kill_process(self.pid(*place), Signal::CONT).expect("it is ours");
        }
        // They are not all running at once.
        self.journal.stops.push(Span { from_ns, to_ns: now_ns() + 50_000_000 });
        done
    }

    /// Notes that `who` (None: nobody) could reach Redis from `from_ns` until now.
    pub(crate) fn was_closed(&mut self, who: Option<usize>, from_ns: u64) {
        self.journal.closed.push((who, Span::since(from_ns)));
    }

    pub(crate) fn lost(&mut self, from_ns: u64) {
        // Nodes notice it only when they ask.
        let span = Span { from_ns, to_ns: now_ns() + 500_000_000 };
        self.journal.losses.push(span);
    }

    pub(crate) fn set_calm(&mut self, is_calm: bool) {
        self.is_calm = is_calm;
        self.control.write(Phase::Run, is_calm);
    }

    /// Lets nodes only read.
    pub(crate) fn set_still(&self) {
        self.control.write(Phase::Quiet, true);
    }

    /// Ends what proxies do.
    pub(crate) fn clear_up(&self) {
        self.proxies.iter().for_each(Proxy::clear_up);
    }

    /// Ends all: what was queued is replayed, then each node looks at everything once more and ends. Returns since
    /// when what was queued is promised to all.
    pub(crate) fn end(&mut self) -> u64 {
        self.clear_up();
        self.wait(MAX_STALENESS);
        self.control.write(Phase::Quiet, false);
        self.wait(super::RECOVERY);
        let promised_ns = now_ns();
        self.control.write(Phase::Look, false);
        let deadline_ns = now_ns() + 60_000_000_000;
        for node in &mut self.nodes {
            loop {
                if let Some(status) = node.child.try_wait().expect("it is ours") {
                    assert!(status.success(), "node {} failed: {status}", node.place);
                    break;
                }
                assert!(now_ns() < deadline_ns, "node {} hangs", node.place);
                pause(Duration::from_millis(5));
            }
        }
        promised_ns
    }

    /// How many lines the histories have.
    pub(crate) fn lines(&self) -> u64 {
        self.histories.iter().map(|(history, ..)| lines(history)).sum()
    }

    /// All histories.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let read = |(path, place, role): &(PathBuf, usize, Role)| Source {
            place: *place,
            role: *role,
            records: records(path),
        };
        self.histories.iter().map(read).collect()
    }

    pub(crate) fn write_journal(&self) {
        let journal: &Path = &self.folder.join("journal");
        fs::write(journal, self.journal.to_string()).expect("can be written");
    }
}
