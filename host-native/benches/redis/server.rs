//! A server of the benchmark's own, caches on it, and the same client without a cache around it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};
use tokio::runtime::Runtime;
use zoocache::{Builder, Cache};

use crate::load::{Plain, VALUE, Value};

pub(crate) struct Server {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("zoocache-bench-redis-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts; install it: apt-get install redis-server");
        let server = Self { child, port, folder };
        let client = redis::Client::open(server.url()).unwrap();
        while client.get_connection().is_err() {
            std::thread::yield_now();
        }
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn builder(&self, prefix: &str) -> Builder<Value> {
        Cache::builder().redis(self.url(), Plain).prefix(prefix)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The client that the cache uses, used in the same way: one connection, read and written by one thread of its own.
pub(crate) struct Raw {
    runtime: Runtime,
    connection: MultiplexedConnection,
}

impl Raw {
    pub(crate) fn new(server: &Server) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = redis::Client::open(server.url()).unwrap();
        let connection = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
        Self { runtime, connection }
    }

    pub(crate) fn filled(server: &Server, entries: u64) -> Self {
        let raw = Self::new(server);
        for number in 0..entries {
            raw.ask::<()>(redis::cmd("SET").arg(number).arg(&VALUE));
        }
        raw
    }

    pub(crate) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let mut connection = self.connection.clone();
        self.runtime.block_on(command.query_async(&mut connection)).unwrap()
    }

    pub(crate) fn get(&self, number: u64) -> Value {
        self.ask(redis::cmd("GET").arg(number))
    }
}
