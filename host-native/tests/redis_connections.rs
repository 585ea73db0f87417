//! How a server is reached, and what is said when it is not.

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::redis::Server;
use common::{Number, Scratch, on, until, value};
use zoocache::{Builder, Cache, Error, ServerError};

fn open(url: &str) -> Result<Cache<u64>, Error> {
    Cache::builder().redis(url, Number).build()
}

fn works(builder: Builder<u64>) {
    let cache = builder.build().expect("a server that answers");
    assert_eq!(cache.get_or_compute("a", &on(&["t"]), value(1)).expect("computes"), 1);
    assert_eq!(cache.get("a"), Some(1));
    cache.invalidate(&["t"]).expect("can be told");
    assert_eq!(cache.get("a"), None);
    assert_eq!(cache.stats().storage_errors, 0);
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("openssl is there");
    assert!(done.success(), "openssl {arguments}");
}

#[test]
fn over_tls_the_server_must_be_who_it_says_it_is() {
    let keys = Scratch::new();
    std::fs::create_dir_all(keys.path()).expect("can be made");
    std::fs::write(keys.path().join("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1")
        .expect("can be written");
    openssl(keys.path(), "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca");
    openssl(keys.path(), "req -newkey rsa:2048 -nodes -keyout it.key -out it.csr -subj /CN=localhost");
    openssl(
        keys.path(),
        "x509 -req -in it.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out it.crt -days 2 -extfile ext",
    );
    let port = free_port().to_string();
    let file = |name: &str| keys.path().join(name).display().to_string();
    let (certificate, key, ca) = (file("it.crt"), file("it.key"), file("ca.crt"));
    let server = Server::with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "optional",
    ]);
    works(Cache::builder().redis(format!("rediss://localhost:{port}/0?ssl_ca_certs={ca}"), Number));
    let client = format!("ssl_certfile={certificate}&ssl_keyfile={key}");
    works(Cache::builder().redis(format!("rediss://localhost:{port}/0?ssl_ca_certs={ca}&{client}"), Number));
    // One that nobody has vouched for is away for good; the cache goes on without it.
    let stranger = open(&format!("rediss://localhost:{port}/0")).expect("goes on");
    assert_eq!(stranger.get_or_compute("a", &on(&["t"]), value(2)).expect("computes"), 2);
    assert!(stranger.stats().storage_errors > 0);
    drop(server);
}

#[test]
fn a_user_and_a_password_are_used_and_never_shown() {
    let server = Server::start();
    server.ask(&["ACL", "SETUSER", "app", "on", ">s3cr3t/%25", "~*", "&*", "+@all"]);
    server.ask(&["ACL", "SETUSER", "default", "off"]);
    let socket = server.socket().display().to_string();
    works(Cache::builder().redis(format!("unix://{socket}?user=app&pass=s3cr3t%2F%2525"), Number));
    let refused = open(&format!("unix://{socket}?user=app&pass=wr0ng")).expect_err("refused");
    assert!(matches!(refused, Error::Server(ServerError::Refused { .. })), "{refused:?}");
    let unreadable = [
        "redis://app:wr0ng@host:port/0",
        "redis://app:wr0ng@/x",
        "rediss://app:wr0ng@host/0?ssl_ca_certs=/no/such/file",
        "redis+sentinel://app:wr0ng@host",
        "http://app:wr0ng@host",
        "redis://app:wr0ng@host/no",
    ];
    let errors = unreadable.map(|url| open(url).expect_err("no address"));
    for error in errors.iter().chain([&refused]) {
        for shown in [format!("{error}"), format!("{error:?}")] {
            assert!(!shown.contains("wr0ng") && !shown.contains("app:"), "{shown}");
        }
    }
    let away = open("redis://app:wr0ng@127.0.0.1:1/0").expect("goes on without it");
    let queued = away.invalidate(&["t"]).expect_err("nobody to tell");
    assert!(!format!("{queued} {queued:?} {away:?}").contains("wr0ng"));
}

#[test]
fn who_may_not_listen_catches_up_by_what_it_reads() {
    let server = Server::with(&["--user", "deaf", "on", "nopass", "~*", "resetchannels", "+@all"]);
    let deaf = format!("{}?user=deaf&pass=x", server.url());
    let deaf = Cache::builder().redis(deaf, Number).build().expect("a server that answers");
    let other = server.bounded();
    assert_eq!(deaf.get_or_compute("a", &on(&["t:1"]), value(1)).expect("computes"), 1);
    assert_eq!((deaf.get("a"), deaf.stats().catch_ups), (Some(1), 0));
    other.invalidate(&["t:1"]).expect("can be told");
    assert_eq!(other.get_or_compute("b", &on(&["t:1"]), value(2)).expect("computes"), 2);
    // Sealed by somebody who knew more: so this node reads what it has missed before it judges anything.
    assert_eq!(deaf.get("b"), Some(2));
    assert_eq!((deaf.get("a"), deaf.stats().catch_ups), (None, 1));
}

struct Sentinel {
    child: Child,
    port: u16,
    _scratch: Scratch,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sentinel(of: u16) -> Sentinel {
    let (scratch, port) = (Scratch::new(), free_port());
    std::fs::create_dir_all(scratch.path()).expect("can be made");
    let settings = format!("port {port}\nsentinel monitor main 127.0.0.1 {of} 1\n");
    std::fs::write(scratch.path().join("sentinel.conf"), settings).expect("can be written");
    let child = Command::new("redis-server")
        .args(["sentinel.conf", "--sentinel"])
        .current_dir(scratch.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts");
    Sentinel { child, port, _scratch: scratch }
}

#[test]
fn sentinels_say_who_the_master_is() {
    let port = free_port();
    let _server = Server::with(&["--port", &port.to_string()]);
    let sentinel = sentinel(port);
    let url = format!("redis+sentinel://127.0.0.1:{}/main/0", sentinel.port);
    until("the sentinel answers", || {
        open(&url)
            .is_ok_and(|cache| cache.stats().storage_errors == 0 && { cache.invalidate(&["t"]).is_ok() })
    });
    works(Cache::builder().redis(url, Number));
}

#[test]
fn in_a_cluster_the_node_that_has_the_slot_is_found_again_after_it_moved() {
    let ports = [free_port(), free_port()];
    let start = |port: u16| {
        Server::with(&[
            "--port",
            &port.to_string(),
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "2000",
        ])
    };
    let nodes = ports.map(start);
    nodes[0].ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    nodes[1].ask(&["CLUSTER", "MEET", "127.0.0.1", &ports[0].to_string()]);
    let is_whole = |server: &Server| match server.ask(&["CLUSTER", "INFO"]) {
        redis::Value::BulkString(info) => {
            let info = String::from_utf8_lossy(&info).into_owned();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2")
        }
        redis::Value::VerbatimString { text, .. } => text.contains("cluster_state:ok"),
        _ => false,
    };
    until("the nodes have met", || nodes.iter().all(is_whole));
    // Asked of the node that does not have the slot.
    let url = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", ports[1], ports[0]);
    works(Cache::builder().redis(url.clone(), Number));
    let cache = open(&url).expect("a cluster that answers");
    let get = |number| cache.get_or_compute("a", &on(&["t"]), value(number)).expect("computes");
    assert_eq!((get(1), get(2)), (1, 1));
    let id = |server: &Server| match server.ask(&["CLUSTER", "MYID"]) {
        redis::Value::BulkString(id) => String::from_utf8(id).expect("text"),
        other => panic!("{other:?}"),
    };
    let redis::Value::Int(slot) = nodes[0].ask(&["CLUSTER", "KEYSLOT", "{zoocache}:V"]) else {
        panic!("a slot")
    };
    let (slot, owner) = (slot.to_string(), id(&nodes[1]));
    for node in [&nodes[1], &nodes[0]] {
        node.ask(&["FLUSHALL"]);
        node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &owner]);
    }
    until("it is found", || cache.invalidate(&["t"]).is_ok() && get(3) == 3 && get(4) == 3);
}
