//! What stands between a node and its server, and does to their connections what networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use zoocache::lock::Mutex;

use super::frames::Frames;
use super::pause;

/// How often those who wait look around.
const TICK: Duration = Duration::from_millis(5);

/// What is done to connections.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "any of them together with any other")]
pub(crate) struct Weather {
    /// Where the server is.
    pub(crate) target: SocketAddr,
    /// Connections are refused.
    pub(crate) refuses: bool,
    /// Nothing gets through, in either direction, and nobody is told.
    pub(crate) holds: bool,
    /// Requests get through, replies do not. Who waited for one is cut off at the end.
    pub(crate) swallows: bool,
    /// What was published does not get through; the rest does.
    pub(crate) mutes: bool,
    /// How long requests and replies take longer, and by how much longer each is than the one before.
    pub(crate) request_delay: Duration,
    pub(crate) reply_delay: Duration,
    pub(crate) growth: Duration,
}

impl Weather {
    fn fair(target: SocketAddr) -> Self {
        let none = Duration::ZERO;
        let is = false;
        Self {
            target,
            refuses: is,
            holds: is,
            swallows: is,
            mutes: is,
            request_delay: none,
            reply_delay: none,
            growth: none,
        }
    }
}

/// What a proxy did, so that nobody takes a fault for injected that met no connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) cut: u64,
    pub(crate) held: u64,
    pub(crate) swallowed: u64,
    pub(crate) muted: u64,
    pub(crate) delayed: u64,
}

/// One connection through the proxy: both of its ends.
struct Pair {
    node: TcpStream,
    server: TcpStream,
    /// It lost replies, so what follows would answer other requests.
    is_spoilt: bool,
}

impl Pair {
    /// Both ends are told that the connection was reset.
    fn cut(&self) {
        for end in [&self.node, &self.server] {
            let _ = set_socket_linger(end, Some(Duration::ZERO));
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

struct State {
    weather: Weather,
    done: Done,
    pairs: Vec<Arc<Mutex<Pair>>>,
    is_over: bool,
}

/// A proxy, which ends with this.
pub(crate) struct Proxy {
    state: Arc<Mutex<State>>,
    pub(crate) address: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.lock().is_over = true;
        self.cut();
    }
}

impl Proxy {
    /// Listens at `host` for nodes, and connects them to `target`.
    pub(crate) fn start(host: &str, target: SocketAddr) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let weather = Weather::fair(target);
        let state = State { weather, done: Done::default(), pairs: Vec::new(), is_over: false };
        let state = Arc::new(Mutex::new(state));
        let theirs = Arc::clone(&state);
        thread::spawn(move || accept(listener, address, &theirs));
        Self { state, address }
    }

    /// Changes the weather.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.state.lock().weather);
    }

    /// Ends all bad weather, except that of a server that is elsewhere.
    pub(crate) fn clear_up(&self) {
        let mut state = self.state.lock();
        state.weather = Weather::fair(state.weather.target);
        state.pairs.retain(|pair| {
            let pair = pair.lock();
            if pair.is_spoilt {
                pair.cut();
            }
            !pair.is_spoilt
        });
    }

    /// Resets all connections. Says how many.
    pub(crate) fn cut(&self) -> usize {
        let mut state = self.state.lock();
        let pairs = std::mem::take(&mut state.pairs);
        for pair in &pairs {
            pair.lock().cut();
        }
        state.done.cut += pairs.len() as u64;
        pairs.len()
    }

    /// Ends one direction of all connections: what the servers say (true), or what the nodes say.
    pub(crate) fn half_close(&self, replies: bool) -> usize {
        let state = self.state.lock();
        for pair in &state.pairs {
            let pair = pair.lock();
            let end = if replies { &pair.node } else { &pair.server };
            let _ = end.shutdown(Shutdown::Write);
        }
        state.pairs.len()
    }

    pub(crate) fn done(&self) -> Done {
        self.state.lock().done
    }
}

fn accept(listener: TcpListener, address: SocketAddr, state: &Arc<Mutex<State>>) {
    let mut listener = Some(listener);
    loop {
        let (is_over, refuses) = {
            let state = state.lock();
            (state.is_over, state.weather.refuses)
        };
        if is_over {
            return;
        }
        // Nobody who listens, nobody who accepts.
        if refuses {
            if listener.take().is_some() {
                state.lock().done.refused += 1;
            }
            pause(TICK);
            continue;
        }
        if listener.is_none() {
            listener = TcpListener::bind(address).ok();
        }
        let Some(listening) = &listener else {
            pause(TICK);
            continue;
        };
        listening.set_nonblocking(true).expect("a socket");
        match listening.accept() {
            Ok((node, _)) => {
                node.set_nonblocking(false).expect("a socket");
                let state = Arc::clone(state);
                thread::spawn(move || connect(node, &state));
            }
            Err(_) => pause(TICK),
        }
    }
}

/// Connects a node, once the weather allows it.
fn connect(node: TcpStream, state: &Arc<Mutex<State>>) {
    let Some(Weather { target, .. }) = fair_enough(state, |weather| weather.holds) else { return };
    let Ok(server) = TcpStream::connect_timeout(&target, Duration::from_secs(1)) else {
        let _ = set_socket_linger(&node, Some(Duration::ZERO));
        return;
    };
    let _ = (node.set_nodelay(true), server.set_nodelay(true));
    let twice = |end: &TcpStream| end.try_clone().expect("a socket can be held twice");
    let (from_node, to_server, from_server, to_node) =
        (twice(&node), twice(&server), twice(&server), twice(&node));
    let pair = Arc::new(Mutex::new(Pair { node, server, is_spoilt: false }));
    {
        let mut state = state.lock();
        state.done.accepted += 1;
        state.pairs.push(Arc::clone(&pair));
    }
    let way = Way { state: Arc::clone(state), pair, is_reply: false };
    let back = Way { state: Arc::clone(state), pair: Arc::clone(&way.pair), is_reply: true };
    thread::spawn(move || way.carry(from_node, to_server));
    back.carry(from_server, to_node);
}

/// Waits while `is_foul`. None when all is over.
fn fair_enough(state: &Mutex<State>, is_foul: impl Fn(&Weather) -> bool) -> Option<Weather> {
    let mut was_held = false;
    loop {
        let mut now = state.lock();
        if now.is_over {
            return None;
        }
        if !is_foul(&now.weather) {
            return Some(now.weather);
        }
        if !was_held {
            now.done.held += 1;
            was_held = true;
        }
        drop(now);
        pause(TICK);
    }
}

/// One direction of a connection.
struct Way {
    state: Arc<Mutex<State>>,
    pair: Arc<Mutex<Pair>>,
    is_reply: bool,
}

impl Way {
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; 64 << 10];
        let (mut frames, mut grown) = (Frames::default(), Duration::ZERO);
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let Some(weather) = fair_enough(&self.state, |weather| weather.holds) else { break };
            if self.is_reply && weather.swallows {
                self.pair.lock().is_spoilt = true;
                self.state.lock().done.swallowed += 1;
                continue;
            }
            let delay = if self.is_reply { weather.reply_delay } else { weather.request_delay };
            if delay.is_zero() {
                grown = Duration::ZERO;
            } else {
                self.state.lock().done.delayed += 1;
                pause(delay + grown);
                grown += weather.growth;
            }
            let sent = if self.is_reply {
                let (through, muted) = frames.pass(&bytes[..read], weather.mutes);
                if muted > 0 {
                    self.state.lock().done.muted += muted;
                }
                to.write_all(&through)
            } else {
                to.write_all(&bytes[..read])
            };
            if sent.is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
        if self.is_reply {
            self.state.lock().pairs.retain(|pair| !Arc::ptr_eq(pair, &self.pair));
        }
    }
}
