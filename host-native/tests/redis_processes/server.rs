//! A redis-server of our own: in a folder of its own, on a free port, started, killed, stopped, rolled back.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Cmd, Connection, FromRedisValue, RedisResult};
use rustix::process::{Pid, Signal, kill_process};

use super::{pause, wait_until};

/// Where the clock of servers is set. One file for all that share a folder.
const SHIFT: &str = "clock";

/// What a server writes to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    Nothing,
    /// Only when it is told to.
    Rdb,
    /// Every write, before it is answered.
    Aof,
}

impl Persistence {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Nothing | Self::Rdb => &["--appendonly", "no", "--save", ""],
            Self::Aof => &["--appendonly", "yes", "--appendfsync", "always", "--save", ""],
        }
    }
}

/// A running redis-server, which ends with this.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    folder: PathBuf,
    preload: Option<PathBuf>,
    persistence: Persistence,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Says how to install it when it is missing.
    pub(crate) fn must_be_there() {
        let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        assert!(
            version.is_ok_and(|status| status.success()),
            "redis-server is missing; install it, on Debian or Ubuntu with: apt-get install redis-server"
        );
    }

    /// Starts one in `folder`, which must be there. `preload` is what [`compile_clock`] made.
    pub(crate) fn start(folder: &Path, persistence: Persistence, preload: Option<&Path>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let (folder, preload) = (folder.to_owned(), preload.map(Path::to_owned));
        if preload.is_some() && !folder.join(SHIFT).exists() {
            fs::write(folder.join(SHIFT), 0_i64.to_le_bytes()).expect("the folder can be written");
        }
        let child = spawn(&folder, port, persistence, preload.as_deref());
        let server = Self { child, port, folder, preload, persistence };
        server.wait_until_it_answers();
        server
    }

    fn wait_until_it_answers(&self) {
        let answers = || self.query::<String>(&["PING"]).is_ok_and(|answer| answer == "PONG");
        let log = self.folder.join("log");
        assert!(
            wait_until(Duration::from_secs(20), answers),
            "redis-server does not answer; its log: {}",
            fs::read_to_string(log).unwrap_or_default()
        );
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// As a crash of the process: what it did not write is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    /// After [`kill`](Self::kill), on the same port, with what is on its disk.
    pub(crate) fn start_again(&mut self, persistence: Persistence) {
        self.persistence = persistence;
        let _ = fs::remove_file(self.socket());
        self.child = spawn(&self.folder, self.port, persistence, self.preload.as_deref());
        self.wait_until_it_answers();
    }

    /// Removes what it wrote to its disk.
    pub(crate) fn lose_disk(&self) {
        let _ = fs::remove_file(self.folder.join("dump.rdb"));
        let _ = fs::remove_dir_all(self.folder.join("appendonlydir"));
    }

    /// Stops the process, and returns when it has stopped.
    pub(crate) fn stop(&self) {
        stop(self.pid());
    }

    pub(crate) fn go_on(&self) {
        kill_process(self.pid(), Signal::CONT).expect("it is ours");
    }

    /// Sets the clock of the process off by so much, at once. False when that cannot be done here.
    pub(crate) fn shift_clock(&self, shift_us: i64) -> bool {
        let is_possible = self.preload.is_some();
        if is_possible {
            let file = File::options().write(true).open(self.folder.join(SHIFT)).expect("it was made");
            file.write_all_at(&shift_us.to_le_bytes(), 0).expect("it can be written");
        }
        is_possible
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// A connection past every proxy.
    pub(crate) fn connect(&self) -> RedisResult<Connection> {
        let client = redis::Client::open(format!("redis+unix://{}", self.socket().display()))?;
        let connection = client.get_connection_with_timeout(Duration::from_secs(5))?;
        connection.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(connection)
    }

    /// Sends one command past every proxy.
    pub(crate) fn query<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query(&mut self.connect()?)
    }

    /// The same, which must succeed.
    pub(crate) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.query(words).unwrap_or_else(|error| panic!("redis-server refuses {words:?}: {error}"))
    }

    /// A field of `INFO`.
    pub(crate) fn info(&self, field: &str) -> String {
        let info: String = self.ask(&["INFO", "everything"]);
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    }
}

/// Stops a process, and returns when it has stopped.
pub(crate) fn stop(process: Pid) {
    kill_process(process, Signal::STOP).expect("it is ours");
    let stat = format!("/proc/{}/stat", process.as_raw_nonzero());
    let is_stopped = || {
        let stat = fs::read_to_string(&stat).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    };
    assert!(wait_until(Duration::from_secs(5), is_stopped), "a process does not stop");
}

/// What starts `program`, which the kernel ends with this program where it can be told to.
fn dying_with_us(program: &str) -> Command {
    let knows_how = Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).status();
    if !knows_how.is_ok_and(|status| status.success()) {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

fn spawn(folder: &Path, port: u16, persistence: Persistence, preload: Option<&Path>) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).expect("can be made");
    let mut command = dying_with_us("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--unixsocket", "socket"])
        .args(["--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"])
        .args(persistence.options())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(log.try_clone().expect("a file can be held twice"))
        .stdout(log);
    if let Some(preload) = preload {
        command.env("LD_PRELOAD", preload).env("SHIFTED_CLOCK", folder.join(SHIFT));
    }
    command.spawn().expect("redis-server starts")
}

/// Compiles what shifts the clock of a server. None where there is no C compiler.
pub(crate) fn compile_clock(folder: &Path) -> Option<PathBuf> {
    let made = folder.join("shifted_clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/redis_processes/shifted_clock.c");
    let compiled = Command::new("cc").args(["-O1", "-shared", "-fPIC", source, "-o"]).arg(&made).status();
    compiled.is_ok_and(|status| status.success()).then_some(made)
}

/// Makes `second` a copy of `first` that follows it.
pub(crate) fn replicate(first: &Server, second: &Server) {
    let () = second.ask(&["REPLICAOF", "127.0.0.1", &first.port.to_string()]);
    let is_in_step = || {
        let linked = second.info("master_link_status") == "up";
        linked && second.info("slave_repl_offset") == first.info("master_repl_offset")
    };
    // Writes go on, so the offsets are rarely equal when both are asked: whoever is linked has what was there.
    let has_copy = || {
        is_in_step()
            || second.info("master_sync_in_progress") == "0" && second.info("master_link_status") == "up"
    };
    assert!(wait_until(Duration::from_secs(20), has_copy), "the replica does not follow");
    pause(Duration::from_millis(20));
}
