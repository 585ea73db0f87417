//! What a node must survive: history that is lost, servers that come back, rights that are missing, tables that are
//! damaged, changes that nobody settles. Each was once a defect.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use common::redis::Server;
use common::{DEADLINE, Number, on, tag_of, until};
use zoocache::codec::{CodecError, ValueCodec};
use zoocache::{Cache, Consistency, Error, ServerError};

fn is_kept_again(cache: &Cache<u64>, key: &str, tag: &str) {
    until("a value is kept again", || {
        cache.put(key, 2, &on(&[tag]));
        cache.get(key) == Some(2)
    });
}

fn text(value: redis::Value) -> String {
    redis::from_redis_value(value).unwrap_or_default()
}

#[test]
fn what_was_invalidated_between_two_losses_does_not_stay_pending() {
    let server = Server::start();
    for cache in [server.bounded(), server.strong()] {
        assert!(cache.put("k", 1, &on(&["a"])));
        server.ask(&["FLUSHALL"]);
        cache.invalidate(&["a"]).expect("can be told");
        server.ask(&["FLUSHALL"]);
        cache.invalidate(&["b"]).expect("can be told");
        is_kept_again(&cache, "k", "a");
    }
    let only_writes = server.strong();
    only_writes.invalidate(&["a"]).expect("can be told");
    server.ask(&["FLUSHALL"]);
    only_writes.invalidate(&["b"]).expect("can be told");
    is_kept_again(&only_writes, "k", "a");
}

#[test]
fn a_change_that_is_never_settled_ends_at_its_deadline_everywhere() {
    let server = Server::start();
    let (one, two) = (server.bounded(), server.strong());
    one.change(&[tag_of("t")], Duration::from_millis(50)).expect("can be told");
    is_kept_again(&two, "two", "t");
    is_kept_again(&one, "one", "t");
}

/// The server's clock was set forth when it was announced, and back since: its deadline is an hour away.
#[test]
fn a_change_is_not_in_force_for_longer_than_it_was_announced_for() {
    let server = Server::start();
    assert!(server.strong().put("k", 1, &on(&["t"])), "there is a domain");
    let now_us: u64 =
        text(server.ask(&["EVAL", "local t = redis.call('TIME') return t[1] .. '000000'", "0"]))
            .parse()
            .expect("a number");
    let mark = format!("m{:016x}{:016}{:016}1:t", 7, now_us + 3_600_000_000, 50_000);
    server.ask(&["ZADD", "{zoocache}:V", "1", &mark]);
    for cache in [server.bounded(), server.strong()] {
        is_kept_again(&cache, "k", "t");
    }
}

/// Its mark used to end at a position that the log had not reached, and might not for long: nothing was kept until then.
#[test]
fn a_change_that_could_not_be_announced_ends_too() {
    let server = Server::start();
    let (one, two) = (server.strong(), server.strong());
    assert!(two.put("k", 1, &on(&["t"])), "there is a domain");
    server.ask(&["ACL", "SETUSER", "default", "-@scripting"]);
    one.change(&[tag_of("t")], Duration::from_millis(50)).expect("it goes on here");
    assert!(!one.put("own", 1, &on(&["t"])), "nothing is kept that it covers");
    server.ask(&["ACL", "SETUSER", "default", "+@scripting"]);
    is_kept_again(&one, "own", "t");
    assert_eq!(two.get("k"), None, "others learn of it in the end");
}

/// The server's clock was set back, and the table was lost: its new clock is earlier than that of the domain that an idle
/// node had entered and not read. It used to ask which domain there is as fast as it could, and to enter none.
#[test]
fn a_domain_with_an_earlier_clock_than_the_one_before_is_entered() {
    const LATER_US: u64 = 3_600_000_000;
    let (server, table) = (Server::start(), "{zoocache}:V");
    let idle = server.strong();
    assert!(idle.put("k", 1, &on(&["t"])), "there is a domain");
    idle.change(&[tag_of("other")], Duration::from_hours(1)).expect("can be told");
    let info = text(server.ask(&["INFO", "replication"]));
    let bound = info.lines().find_map(|line| line.strip_prefix("master_replid:")).expect("redis tells");
    let now_us: u64 =
        text(server.ask(&["EVAL", "return redis.call('TIME')[1] .. '000000'", "0"])).parse().expect("a time");
    let (bound, later) = (format!("!r:{bound}"), (now_us + LATER_US).to_string());
    let clock = format!("~c:{}:{later}", "ab".repeat(16));
    server.ask(&["DEL", table]);
    server.ask(&["ZADD", table, "-1", &bound, &later, &clock, &later, "!f"]);
    until("the idle node has entered it, and told what it knows", || {
        let rows = server.ask(&["ZRANGE", table, "0", "-1"]);
        redis::from_redis_value::<Vec<String>>(rows)
            .is_ok_and(|rows| rows.iter().any(|row| row.starts_with('m')))
    });
    server.ask(&["FLUSHALL"]);
    assert!(server.strong().put("k", 3, &on(&["t"])), "there is a domain that knows nothing of it");
    is_kept_again(&idle, "k", "t");
}

#[test]
fn a_change_that_is_settled_after_its_deadline_invalidates_all_the_same() {
    let server = Server::start();
    for cache in [server.bounded(), server.strong()] {
        let mark = cache.change(&[tag_of("t")], Duration::from_millis(1)).expect("can be told");
        is_kept_again(&cache, "k", "t");
        cache.settle(mark).expect("can be told");
        assert_eq!(cache.get("k"), None);
        is_kept_again(&cache, "k", "t");
    }
}

#[test]
fn without_the_right_to_info_a_cache_says_so_at_once() {
    let server = Server::with(&["--user", "default", "on", "nopass", "~*", "&*", "+@all", "-info"]);
    let refused = server.builder().build().expect_err("a restart could not be noticed");
    assert!(matches!(refused, Error::Server(ServerError::Refused { .. })), "{refused:?}");
    assert!(refused.to_string().contains("INFO"), "{refused}");
}

#[test]
fn a_server_that_was_left_and_come_back_to_is_not_trusted() {
    let (first, second) = (Server::start(), Server::start());
    let link = first.scratch.path().join("link");
    let point = |to: &Server, from: Option<&Server>| {
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(to.socket(), &link).expect("can be linked");
        if let Some(from) = from {
            from.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
            from.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
    };
    point(&first, None);
    let url = format!("unix://{}", link.display());
    let cache =
        Cache::builder().redis(url, Number).consistency(Consistency::Strong).build().expect("answers");
    assert!(cache.put("k", 1, &on(&["t"])));
    assert_eq!(cache.get("k"), Some(1));
    point(&second, Some(&first));
    until("the second is reached", || {
        cache.keep_up() && second.ask(&["EXISTS", "{zoocache}:V"]) == redis::Value::Int(1)
    });
    cache.invalidate(&["t"]).expect("can be told");
    point(&first, Some(&second));
    until("the first is reached again", || {
        cache.keep_up()
            && cache.put("other", 1, &on(&["u"]))
            && first.ask(&["DBSIZE"]) == redis::Value::Int(3)
    });
    assert_eq!(cache.get("k"), None, "this very node invalidated it");
}

#[test]
fn a_server_that_was_demoted_and_promoted_again_is_not_trusted() {
    let port =
        || std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let (one, two) = (port().to_string(), port().to_string());
    let start = |port: &str| Server::with(&["--port", port, "--repl-diskless-sync-delay", "0"]);
    let (first, second) = (start(&one), start(&two));
    let follows =
        |server: &Server| text(server.ask(&["INFO", "replication"])).contains("master_link_status:up");
    second.ask(&["REPLICAOF", "127.0.0.1", &one]);
    until("the second follows", || follows(&second));
    let (reader, writer) = (first.strong(), first.strong());
    assert!(writer.put("k", 1, &on(&["t"])));
    assert_eq!(reader.get("k"), Some(1));
    first.ask(&["WAIT", "1", "5000"]);
    second.ask(&["REPLICAOF", "NO", "ONE"]);
    writer.invalidate(&["t"]).expect("can be told");
    drop(writer);
    first.ask(&["REPLICAOF", "127.0.0.1", &two]);
    until("the first follows", || follows(&first));
    assert_eq!(reader.get("k"), None);
    first.ask(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(reader.get("k"), None);
    is_kept_again(&reader, "k", "t");
}

/// The same process goes on with data of before: as after a backup that is put back by commands.
#[test]
fn data_that_went_back_is_not_trusted_if_who_knows_nothing_of_it_writes_first() {
    for is_row in [true, false] {
        let server = Server::start();
        let knows = server.strong();
        assert!(knows.put("k", 1, &on(&["t"])));
        server.ask(&["SAVE"]);
        knows.invalidate(&["t"]).expect("can be told");
        server.ask(&["DEBUG", "RELOAD", "NOSAVE"]);
        let comes_anew = server.strong();
        assert_eq!(comes_anew.get("k"), Some(1), "nobody who knows more has looked");
        if is_row {
            comes_anew.invalidate(&["u"]).expect("can be told");
        } else {
            assert!(comes_anew.put("other", 1, &on(&["u"])));
        }
        until("who knows more tells all", || {
            assert_eq!(knows.get("k"), None);
            comes_anew.get("k").is_none()
        });
        is_kept_again(&comes_anew, "k", "t");
        assert_eq!(knows.get("k"), Some(2));
    }
}

/// The server's clock was behind what had been given out, as after it was set back: an invalidation got a position that was
/// not later than what it had to make stale.
#[test]
fn an_own_invalidation_counts_although_data_and_clock_went_back() {
    const LATER_US: u64 = 3_600_000_000;
    let (server, table) = (Server::start(), "{zoocache}:V");
    let hour = Consistency::Bounded(Duration::from_hours(1));
    let cache = server.builder().consistency(hour).build().expect("answers");
    assert!(cache.put("before", 1, &on(&["t"])), "there is a domain");
    server.ask(&["SAVE"]);
    let last: Vec<String> =
        redis::from_redis_value(server.ask(&["ZRANGE", table, "-1", "-1", "WITHSCORES"])).expect("a row");
    let clock: u64 = last[1].parse().expect("a position");
    server.ask(&["ZADD", table, &(clock + LATER_US).to_string(), &last[0]]);
    cache.invalidate(&["u"]).expect("can be told");
    assert!(cache.put("k", 1, &on(&["t"])));
    server.ask(&["DEBUG", "RELOAD", "NOSAVE"]);
    cache.invalidate(&["t"]).expect("can be told");
    assert_eq!(cache.get("k"), None);
    is_kept_again(&cache, "k", "t");
}

#[test]
fn no_password_is_told_even_by_a_server_that_quotes_it() {
    let server = Server::with(&["--rename-command", "HELLO", ""]);
    server.ask(&["CONFIG", "SET", "requirepass", "hunter2"]);
    let told = match Cache::builder().redis(format!("{}?pass=hunter2", server.url()), Number).build() {
        Err(error) => format!("{error} {error:?}"),
        Ok(cache) => format!("{:?}", cache.invalidate(&["a"])),
    };
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_right_that_is_missing_makes_no_storm_of_connections() {
    let server = Server::with(&["--user", "default", "on", "nopass", "~*", "&*", "+@all", "-zrangebyscore"]);
    let cache = server.builder().build().expect("goes on");
    let (_never, wake) = channel::<()>();
    let _ = wake.recv_timeout(Duration::from_secs(1));
    let stats = text(server.ask(&["INFO", "stats"]));
    let line = stats.lines().find(|line| line.starts_with("total_connections_received"));
    let count: u64 = line.and_then(|line| line.trim().rsplit(':').next()?.parse().ok()).expect("a number");
    assert!(count < 60, "{count} connections in a second");
    assert_eq!(cache.get("k"), None);
}

#[test]
fn what_is_stale_is_stored_anew_while_others_invalidate() {
    let server = Server::start();
    let (cache, stop) = (server.bounded(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for place in 0..2 {
            let (other, stop) = (server.bounded(), &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    other.invalidate(&[format!("noise:{place}")]).expect("can be told");
                }
            });
        }
        let mut stored = 0;
        for number in 0..100 {
            cache.invalidate(&["x"]).expect("can be told");
            let value = cache.get_or_compute("k", &on(&["x"]), |_| Ok::<_, Error>(number));
            assert_eq!(value.expect("computes"), number);
            stored += u32::from(cache.get("k") == Some(number));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(stored > 90, "{stored} of 100");
    });
}

#[test]
fn a_bus_forgets_old_invalidations() {
    let server = Server::start();
    let builder = Cache::<u64>::builder().bus(server.url()).max_age(Duration::from_millis(1));
    let cache = builder.build().expect("answers");
    for number in 0..100 {
        cache.invalidate(&[format!("t:{number}")]).expect("can be told");
    }
    until("old rows are gone", || {
        cache.sweep();
        let rows: u64 = redis::from_redis_value(server.ask(&["ZCARD", "{zoocache}:V"])).expect("a number");
        rows < 20
    });
}

#[test]
fn a_damaged_table_is_replaced() {
    for (score, row) in [("0.5", "x"), ("1", "~c:0123456789abcdef0123456789abcdef:1"), ("9e15", "~c:ab")] {
        let server = Server::start();
        assert!(server.strong().put("k", 1, &on(&["t"])));
        server.ask(&["ZADD", "{zoocache}:V", score, row]);
        is_kept_again(&server.strong(), "k", "t");
    }
}

#[test]
fn what_is_deleted_while_the_server_is_away_is_deleted() {
    let mut server = Server::start();
    let cache = server.bounded();
    assert!(cache.put("k", 1, &on(&["t"])));
    // Not restarted: what is stored survives.
    server.ask(&["CLIENT", "PAUSE", "3000", "ALL"]);
    assert!(!cache.delete("k"));
    assert_eq!(cache.get("k"), None);
    until("the server answers", || cache.invalidate(&["u"]).is_ok());
    assert_eq!(cache.get("k"), None);
    until("it is deleted for all", || server.strong().get("k").is_none());
    server.kill();
}

/// A value whose end uses the cache.
#[derive(Clone)]
struct Noisy(u64);

static HOOK: OnceLock<Cache<Noisy>> = OnceLock::new();

impl Drop for Noisy {
    fn drop(&mut self) {
        if let Some(cache) = HOOK.get().filter(|_| self.0 == 7) {
            cache.delete("side");
        }
    }
}

struct NoisyCodec;

impl ValueCodec<Noisy> for NoisyCodec {
    fn encode(&self, value: &Noisy) -> Result<Vec<u8>, CodecError> {
        Ok(value.0.to_le_bytes().to_vec())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Noisy, CodecError> {
        Ok(Noisy(u64::from_le_bytes(bytes.try_into()?)))
    }
}

#[test]
fn no_value_is_dropped_where_stores_are_held_up() {
    let server = Server::start();
    let cache = Cache::builder().redis(server.url(), NoisyCodec).build().expect("answers");
    assert!(HOOK.set(cache.clone()).is_ok());
    let (other, stop) = (server.bounded(), AtomicBool::new(false));
    let (done, is_done) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                other.put("k", 7, &on(&["t"]));
            }
        });
        std::thread::spawn(move || {
            for _ in 0..500 {
                // Held in memory now, and replaced by the other at once.
                drop(cache.lookup(b"k"));
                cache.put("z", Noisy(1), &on(&["z"]));
            }
            let _ = done.send(());
        });
        let ended = is_done.recv_timeout(DEADLINE);
        stop.store(true, Ordering::Relaxed);
        assert!(ended.is_ok(), "a deadlock");
    });
}

/// Lets whoever decodes 1 wait until it may go on.
struct SlowCodec {
    began: Mutex<Sender<()>>,
    go_on: Mutex<Receiver<()>>,
}

impl ValueCodec<u64> for SlowCodec {
    fn encode(&self, value: &u64) -> Result<Vec<u8>, CodecError> {
        Ok(value.to_le_bytes().to_vec())
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, CodecError> {
        let value = u64::from_le_bytes(bytes.try_into()?);
        if value == 1 {
            self.began.lock().map_err(|_| "poisoned")?.send(())?;
            self.go_on.lock().map_err(|_| "poisoned")?.recv()?;
        }
        Ok(value)
    }
}

/// The near cache took what a slow reader had read over what a later one had, and hits went back to it.
#[test]
fn what_was_read_earlier_is_not_kept_over_what_was_read_later() {
    let server = Server::with(&["--user", "deaf", "on", "nopass", "~*", "resetchannels", "+@all"]);
    let ((began, has_begun), (go_on, may_go_on)) = (channel(), channel());
    let codec = SlowCodec { began: Mutex::new(began), go_on: Mutex::new(may_go_on) };
    let url = format!("{}?user=deaf&pass=x", server.url());
    let hour = Consistency::Bounded(Duration::from_hours(1));
    let reader = Cache::builder().redis(url, codec).consistency(hour).build().expect("answers");
    let writer = server.bounded();
    writer.put("k", 1, &on(&["t"]));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| reader.get("k"));
        has_begun.recv_timeout(DEADLINE).expect("it is read");
        writer.put("k", 2, &on(&["t"]));
        assert_eq!(reader.get("k"), Some(2));
        go_on.send(()).expect("it waits");
        assert_eq!(slow.join().expect("no panic"), Some(1));
    });
    assert_eq!(reader.get("k"), Some(2), "hits do not go back");
}
