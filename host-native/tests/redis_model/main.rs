//! Every interleaving of two clients of a Redis server that loses its last writes once, in a failover or a restart
//! with old data, or has its data put back in place.
//!
//! Both read, compute and invalidate; messages are lost, and a connection too. Read strongly, or from a near cache
//! within a bound, nothing is ever served that was invalidated before (P1, P1-delta), nor what the reader has
//! invalidated itself, whatever became of the call (P5). Each mutant must break that, or the model proves nothing.
//!
//! Left out: announced changes, keys that are replaced, locks, and the numbers of entries.

#[path = "../common/search.rs"]
mod search;

mod client;
mod server;
mod steps;

use client::{Client, Doing, MAX_AGE};
use server::{Data, Server};

const MAX_WRITES: usize = 2;

/// What is left out or swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Chosen,
    /// A message that does not follow on what is known counts as if it did.
    GapIgnored,
    /// An earlier clock, a range without one and a broken chain are taken for good.
    RegressionIgnored,
    /// Entries of other incarnations are judged as of one's own.
    DomainNotCompared,
    /// Nobody asks which process wrote the table.
    BindingIgnored,
    /// What is invalidated here may be served until the server has answered.
    OwnNotPending,
    /// An invalidation that could not be sent is forgotten.
    FailedDropped,
    /// What the server told counts from when it arrived.
    FreshFromReply,
    /// An invalidation of one's own moves `applied`, whatever came before it.
    OwnOverGap,
    /// Entries are stored whether or not they are fresh.
    PutUnchecked,
}

/// What may go wrong with the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Disaster {
    /// Another process has the data as it was; all connections are lost, and its clock is behind.
    Failover,
    /// The same process has the data as it was.
    Restore,
    /// None: a client loses its connection.
    Cut,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct World {
    pub(crate) is_bounded: bool,
    pub(crate) server: Server,
    pub(crate) clients: [Client; 2],
    /// How many invalidations are left, of either tag.
    pub(crate) writes: u8,
    /// The source of truth: how often it was written.
    pub(crate) number: u8,
    /// How long ago the invalidation of each write has returned, if it has.
    pub(crate) promised: [Option<u8>; MAX_WRITES],
    /// Promised before the data was put back in place, and lost with it until somebody tells who knew more.
    pub(crate) suspended: u8,
    pub(crate) disaster: Option<Disaster>,
    /// What the data will be after it.
    pub(crate) saved: Option<Data>,
}

#[derive(Debug, Default)]
pub(crate) struct Found {
    near_hits: usize,
    stored_hits: usize,
    hits_after: usize,
    stale: usize,
}

impl World {
    /// Both clients have entered the first incarnation.
    fn new(is_bounded: bool, disaster: Disaster, writes: u8) -> Self {
        let mut server = Server::default();
        let clients = [(), ()].map(|()| {
            let mut client = Client::new(disaster == Disaster::Restore);
            let entered = server.hello(client.seen(None), Protocol::Chosen);
            client.entered = Some(entered);
            let range = server.range(entered, 0, Protocol::Chosen);
            client.take_range(range, 0, false, Protocol::Chosen);
            client
        });
        Self {
            is_bounded,
            server,
            clients,
            writes,
            number: 0,
            promised: [None; MAX_WRITES],
            suspended: 0,
            disaster: Some(disaster),
            saved: None,
        }
    }

    /// What a read of this client that begins now must not fall behind.
    pub(crate) fn need(&self, place: usize) -> u8 {
        let least = if self.is_bounded { MAX_AGE } else { 0 };
        let counts = |age: &Option<u8>| age.is_some_and(|age| age >= least);
        let promised = self
            .promised
            .iter()
            .rposition(counts)
            .map_or(0, |write| u8::try_from(write).expect("few writes") + 1);
        let promised = if promised > self.suspended { promised } else { 0 };
        promised.max(self.clients[place].promised)
    }

    /// The data is put back in place: what was promised and is lost with it counts for those only who made it, until
    /// somebody who knows more has read.
    pub(crate) fn suspend(&mut self, data: Data) {
        self.suspended = self.number;
        for client in &mut self.clients {
            let is_known = client.incarnation == data.table.incarnation;
            let knew_more = is_known && client.applied > data.table.clock;
            client.knew_more = if knew_more { self.server.time } else { 0 };
            let promised = client.promised;
            client.doing.need_mut().into_iter().for_each(|need| *need = promised);
        }
    }

    /// Makes worlds the same that differ in nothing that counts any more.
    pub(crate) fn forget(&mut self) {
        let least = if self.is_bounded { MAX_AGE } else { 0 };
        let counts = self.promised.iter().rposition(|age| age.is_some_and(|age| age >= least));
        if let Some(latest) = counts {
            self.promised[..latest].fill(None);
        }
        if !self.is_bounded {
            self.clients.iter_mut().for_each(|client| client.asked_ago = MAX_AGE);
        }
    }

    pub(crate) fn grow_older(&mut self) {
        let older = |age: &mut u8| *age = (*age + 1).min(MAX_AGE);
        self.promised.iter_mut().flatten().for_each(older);
        for client in &mut self.clients {
            older(&mut client.asked_ago);
            if let Doing::Fetched { ago, .. } | Doing::Answered { ago, .. } | Doing::Synced { ago, .. } =
                &mut client.doing
            {
                older(ago);
            }
        }
    }
}

fn explore(is_bounded: bool, disaster: Disaster, writes: u8, protocol: Protocol) -> Found {
    let mut found = Found::default();
    let explored = search::explore([World::new(is_bounded, disaster, writes)], |world, next| {
        steps::all(world, protocol, next, &mut found);
        found.stale > 0
    });
    println!("{protocol:?}, bounded {is_bounded}, {disaster:?}: {} states, {found:?}", explored.states);
    if protocol == Protocol::Chosen {
        for world in explored.way {
            let doing = world.clients.each_ref().map(|client| client.doing);
            println!("{:?}\n    {doing:?}", world.server.data);
        }
    }
    found
}

/// With debug assertions two would take long; mutants are found soon.
const WRITES: u8 = if cfg!(debug_assertions) { 1 } else { 2 };

fn holds(is_bounded: bool, disaster: Disaster, writes: u8, protocol: Protocol) {
    let found = explore(is_bounded, disaster, writes, protocol);
    assert_eq!(found.stale, 0, "{found:?}");
    assert!(found.stored_hits > 1_000 && found.hits_after > 100, "vacuous: {found:?}");
    assert!(!is_bounded || found.near_hits > 1_000, "vacuous: {found:?}");
}

#[test]
fn strong_through_a_cut() {
    holds(false, Disaster::Cut, WRITES, Protocol::Chosen);
}

#[test]
fn strong_through_a_failover() {
    holds(false, Disaster::Failover, WRITES, Protocol::Chosen);
}

#[test]
fn strong_when_data_is_put_back() {
    holds(false, Disaster::Restore, WRITES, Protocol::Chosen);
}

#[test]
fn bounded_through_a_cut() {
    holds(true, Disaster::Cut, WRITES, Protocol::Chosen);
}

#[test]
fn bounded_through_a_failover() {
    holds(true, Disaster::Failover, 1, Protocol::Chosen);
}

#[test]
fn each_mutant_is_found() {
    for (protocol, is_bounded, disaster, writes) in [
        (Protocol::GapIgnored, false, Disaster::Cut, 2),
        (Protocol::RegressionIgnored, false, Disaster::Restore, 2),
        (Protocol::DomainNotCompared, false, Disaster::Failover, 2),
        (Protocol::BindingIgnored, true, Disaster::Failover, 1),
        (Protocol::OwnNotPending, true, Disaster::Cut, 1),
        (Protocol::FailedDropped, true, Disaster::Cut, 1),
        (Protocol::FreshFromReply, true, Disaster::Cut, 1),
        (Protocol::OwnOverGap, true, Disaster::Cut, 2),
    ] {
        let found = explore(is_bounded, disaster, writes, protocol);
        assert!(found.stale > 0, "{protocol:?}: {found:?}");
    }
}

/// It keeps corpses from being stored; whoever reads one judges it anyway.
#[test]
fn storing_without_looking_costs_only_room() {
    holds(false, Disaster::Failover, WRITES, Protocol::PutUnchecked);
    holds(true, Disaster::Failover, 1, Protocol::PutUnchecked);
}
