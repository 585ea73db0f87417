//! A real server of a test's own, on a socket in a folder of its own, gone at the end.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("zoocache-twin-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("can be made");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "socket", "--save", ""])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts; install it: apt-get install redis-server");
        let server = Self { child, folder };
        server.wait();
        server
    }

    fn wait(&self) {
        let (_never, wake) = std::sync::mpsc::channel::<()>();
        for _ in 0..30_000 {
            if self.client("").get_connection().is_ok() {
                return;
            }
            let _ = wake.recv_timeout(Duration::from_millis(1));
        }
        panic!("waited in vain for the server");
    }

    fn client(&self, options: &str) -> redis::Client {
        let url = format!("unix://{}{options}", self.folder.join("socket").display());
        redis::Client::open(url).expect("an address")
    }

    pub(crate) fn connect(&self) -> redis::Connection {
        self.client("?protocol=resp3").get_connection().expect("it answers")
    }

    /// For hearing what is published.
    pub(crate) fn ear(&self) -> redis::Connection {
        self.client("").get_connection().expect("it answers")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
