//! A Redis server of a test's own: on a socket in a folder of its own, gone at the end.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use zoocache::{Builder, Cache, Consistency};

use super::{Number, Scratch, until};

pub(crate) struct Server {
    child: Child,
    options: Vec<String>,
    pub(crate) scratch: Scratch,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(options: &[&str]) -> Self {
        let scratch = Scratch::new();
        std::fs::create_dir_all(scratch.path()).expect("can be made");
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let child = run(&scratch, &options);
        let server = Self { child, options, scratch };
        server.wait();
        server
    }

    fn wait(&self) {
        until("the server answers", || self.try_ask(&["PING"]).is_some());
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.scratch.path().join("socket")
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    pub(crate) fn start_again(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        self.child = run(&self.scratch, &self.options);
        self.wait();
    }

    fn try_ask(&self, command: &[&str]) -> Option<redis::Value> {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client.get_connection().ok()?;
        let mut ask = redis::cmd(command[0]);
        ask.arg(&command[1..]);
        ask.query(&mut connection).ok()
    }

    pub(crate) fn ask(&self, command: &[&str]) -> redis::Value {
        self.try_ask(command).expect("the server answers")
    }

    pub(crate) fn builder(&self) -> Builder<u64> {
        Cache::builder().redis(self.url(), Number)
    }

    pub(crate) fn bounded(&self) -> Cache<u64> {
        self.builder().build().expect("a server that answers")
    }

    pub(crate) fn strong(&self) -> Cache<u64> {
        self.builder().consistency(Consistency::Strong).build().expect("a server that answers")
    }
}

fn run(scratch: &Scratch, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--unixsocket", "socket", "--save", "", "--enable-debug-command", "yes"])
        .args(options)
        .current_dir(scratch.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts; install it: apt-get install redis-server")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
