//! What may happen next.

use super::client::{Client, Doing, Taken};
use super::server::{Entry, Minted, Tag};
use super::{Disaster, Found, Protocol, World};

/// More never come about unless something is wrong.
const INCARNATIONS: u8 = 8;

/// Adds all worlds that one step leads to.
pub(crate) fn all(world: &World, protocol: Protocol, next: &mut Vec<World>, found: &mut Found) {
    if world.server.incarnations == INCARNATIONS {
        return;
    }
    for place in 0..2 {
        let step = || Step { then: world.clone(), place, protocol };
        let client = &world.clients[place];
        if client.entered.is_none() {
            next.push(step().connected());
        } else if client.doing == Doing::Nothing {
            next.push(step().reads(found));
            next.extend((world.writes > 0).then(|| step().writes(Tag::Ours)));
            next.extend((world.writes > 0).then(|| step().writes(Tag::Other)));
        } else {
            next.push(step().goes_on(found));
        }
        background(world, place, protocol, next);
    }
    if world.is_bounded {
        let mut then = world.clone();
        then.grow_older();
        next.push(then);
    }
    // What is lost is what came after some moment.
    if world.disaster.is_some_and(|disaster| disaster != Disaster::Cut) && world.saved.is_none() {
        let saves = next.iter().filter(|then| then.server.data != world.server.data);
        let saves: Vec<_> =
            saves.map(|then| World { saved: Some(world.server.data), ..then.clone() }).collect();
        next.extend(saves);
    }
    disasters(world, protocol, next);
    for then in next {
        // They are alike.
        then.clients.sort_unstable();
        then.forget();
    }
}

/// What a client does without being asked, and what becomes of messages to it.
fn background(world: &World, place: usize, protocol: Protocol, next: &mut Vec<World>) {
    let client = &world.clients[place];
    if client.owed > 0 && client.entered.is_some() {
        let mut then = world.clone();
        if let Some(minted) = invalidate(&mut then, place, Tag::Ours, protocol) {
            let client = &mut then.clients[place];
            let many = std::mem::take(&mut client.owed);
            let many = if protocol == Protocol::OwnNotPending { 0 } else { many };
            client.take_minted(minted, many, protocol);
        }
        next.push(then);
    }
    if !client.bells.is_empty() {
        let mut then = world.clone();
        let bell = then.clients[place].bells.remove(0);
        next.push(then.clone());
        then.clients[place].take_bell(bell, protocol);
        next.push(then);
    }
}

fn disasters(world: &World, protocol: Protocol, next: &mut Vec<World>) {
    let mut then = World { disaster: None, saved: None, ..world.clone() };
    match world.disaster {
        Some(Disaster::Cut) => {
            for client in 0..2 {
                let mut then = then.clone();
                then.clients[client].cut(protocol);
                next.push(then);
            }
            return;
        }
        Some(Disaster::Failover) => {
            then.server.process += 1;
            then.server.time = 0;
            then.clients.iter_mut().for_each(|client| client.cut(protocol));
        }
        Some(Disaster::Restore) => then.suspend(world.saved.unwrap_or(world.server.data)),
        None => return,
    }
    then.server.data = world.saved.unwrap_or(world.server.data);
    next.push(then);
}

fn connect(world: &mut World, place: usize, given_up: Option<u8>, protocol: Protocol) {
    let client = &mut world.clients[place];
    client.entered = Some(world.server.hello(client.seen(given_up), protocol));
    client.doubt();
}

/// Runs the script, and rings the bells; if the table was lost, enters what is there now.
fn invalidate(world: &mut World, place: usize, tag: Tag, protocol: Protocol) -> Option<Minted> {
    let entered = world.clients[place].entered?;
    let minted = world.server.invalidate(entered, tag, protocol);
    if let Some(minted) = minted {
        // It does not listen to itself: that would show nothing new.
        let other = &mut world.clients[1 - place];
        if other.entered.is_some() {
            other.bells.push(minted);
        }
    } else {
        connect(world, place, None, protocol);
    }
    minted
}

/// A step of a client, which is connected.
struct Step {
    then: World,
    place: usize,
    protocol: Protocol,
}

impl Step {
    fn client(&mut self) -> &mut Client {
        &mut self.then.clients[self.place]
    }

    fn connected(mut self) -> World {
        connect(&mut self.then, self.place, None, self.protocol);
        self.then
    }

    fn reads(mut self, found: &mut Found) -> World {
        let (is_bounded, protocol) = (self.then.is_bounded, self.protocol);
        let (need, stored) = (self.then.need(self.place), self.then.server.data.entry);
        let client = self.client();
        if !is_bounded || !client.is_current() {
            client.doing = Doing::Fetched { need, entry: stored, ago: 0, is_early: false };
        } else if let Some(entry) = client.near.filter(|entry| client.is_fresh(*entry, protocol)) {
            found.near_hits += 1;
            self.hit(need, entry, found);
        } else {
            self.judge(need, stored, true, found);
        }
        self.then
    }

    fn writes(mut self, tag: Tag) -> World {
        self.then.writes -= 1;
        self.then.number += u8::from(tag == Tag::Ours);
        let (number, marks) = (self.then.number, Client::marks(tag, self.protocol));
        let client = self.client();
        client.pending += marks;
        client.doing = Doing::Sends { tag, number };
        self.then
    }

    fn goes_on(mut self, found: &mut Found) -> World {
        let protocol = self.protocol;
        let client = &mut self.then.clients[self.place];
        let look = |client: &mut Client| {
            client.tells = client.must_notice(self.then.server.data.table.clock);
            let entered = client.entered.expect("it is connected");
            self.then.server.range(entered, client.from(), protocol)
        };
        match client.doing {
            Doing::Nothing => {}
            Doing::Fetched { need, entry, ago, is_early } => {
                client.doing = Doing::Answered { need, entry, range: look(client), ago, is_early };
            }
            Doing::Answered { need, entry, range, ago, is_early } => {
                match client.take_range(range, ago, is_early, protocol) {
                    Taken::Known => self.judge(need, entry, true, found),
                    Taken::Lost | Taken::Other => {
                        client.doubt();
                        client.doing = Doing::Syncs { need, entry, lost: None };
                    }
                }
            }
            Doing::Syncs { need, entry, lost } => {
                let range = look(client);
                client.doing = Doing::Synced { need, entry, lost, range, ago: 0, is_early: false };
            }
            Doing::Synced { need, entry, lost, range, ago, is_early } => {
                match client.take_range(range, ago, is_early, protocol) {
                    Taken::Known => self.judge(need, entry, false, found),
                    Taken::Other => client.doing = Doing::Syncs { need, entry, lost },
                    Taken::Lost => {
                        client.doing = Doing::Syncs { need, entry, lost: client.entered };
                        connect(&mut self.then, self.place, lost, protocol);
                    }
                }
            }
            Doing::Stores { entry } => self.store(entry),
            Doing::Sends { tag, number } => {
                if let Some(minted) = invalidate(&mut self.then, self.place, tag, protocol) {
                    self.client().doing = Doing::Told { number, minted };
                }
            }
            Doing::Told { number, minted } => self.returns(number, minted),
        }
        self.then
    }

    fn judge(&mut self, need: u8, entry: Option<Entry>, may_sync: bool, found: &mut Found) {
        let (is_bounded, protocol, number) = (self.then.is_bounded, self.protocol, self.then.number);
        let client = self.client();
        let is_current = if is_bounded { client.is_current() } else { !client.is_unsure };
        let is_behind =
            |entry: Entry| entry.incarnation == client.incarnation && entry.as_of > client.applied;
        let is_ahead = entry.is_some_and(is_behind);
        if !is_current || (is_ahead && may_sync) {
            client.doing = Doing::Syncs { need, entry, lost: None };
        } else if let Some(entry) = entry.filter(|entry| !is_ahead && client.is_fresh(*entry, protocol)) {
            client.near = is_bounded.then_some(entry);
            found.stored_hits += 1;
            self.hit(need, entry, found);
        } else {
            // Reads the source at once, which is the worst it can do.
            let (incarnation, as_of) = (client.incarnation, client.applied);
            client.doing = Doing::Stores { entry: Entry { number, incarnation, as_of } };
            self.tell();
        }
    }

    fn hit(&mut self, need: u8, entry: Entry, found: &mut Found) {
        found.hits_after += usize::from(self.then.disaster.is_none());
        found.stale += usize::from(entry.number < need);
        self.client().doing = Doing::Nothing;
        self.tell();
    }

    /// A read of one who knew more than what was put back has ended: it has told everybody.
    fn tell(&mut self) {
        if std::mem::take(&mut self.client().tells) {
            self.then.suspended = 0;
        }
    }

    fn store(&mut self, entry: Entry) {
        let (is_bounded, protocol) = (self.then.is_bounded, self.protocol);
        let client = &mut self.then.clients[self.place];
        client.doing = Doing::Nothing;
        let is_born_stale = entry.incarnation != client.incarnation || !client.is_fresh(entry, protocol);
        let entered = client.entered.expect("it is connected");
        if !is_born_stale && self.then.server.put(entered, entry, protocol) && is_bounded {
            client.near = Some(entry);
        }
    }

    fn returns(&mut self, number: u8, minted: Minted) {
        let protocol = self.protocol;
        let client = self.client();
        client.doing = Doing::Nothing;
        client.take_minted(minted, Client::marks(minted.tag, protocol), protocol);
        if minted.tag == Tag::Ours {
            client.promised = client.promised.max(number);
            self.then.promised[usize::from(number) - 1] = Some(0);
        }
    }
}
