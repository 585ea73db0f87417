//! Trips to the server, made by the thread that needs the answer: it waits, and holds no lock.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, RedisResult, Value, pipe};
use zoocache_core::{DomainId, MarkId, Tag, Timestamp};

use super::attend::Reply;
use super::error::ServerError;
use super::fetch::{Fetched, Request};
use super::inbox::{Item, Minted};
use super::line::{ANSWER, Connection, hello};
use super::outbox::Owed;
use super::range::{PAGE, Range, ask};
use super::row::{self, Row, tag_row};
use super::script::{CHANGE, CLEAR, DELETE, EXTEND, INVALIDATE, PUT, REMOVE, Script, TIDY, UNLOCK};
use super::take_in::Taken;
use super::wait::wait_for;
use super::{Feed, hand, mutant, trips, with};
use crate::clock::boot_ns;
use crate::timings::Trip;

/// How often a trip is made again when the domain changes meanwhile.
const ATTEMPTS: usize = 4;
/// The most rows of one reply, however many share one position.
const LARGEST_PAGE: usize = 1 << 20;

/// What became of an entry that was to be stored.
pub(crate) enum Stored {
    Done,
    /// Something it depends on was invalidated.
    Stale,
    /// Another entry is there, or none where one was expected.
    Other(Option<Vec<u8>>),
}

/// An entry that is to be stored.
pub(crate) struct NewEntry<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) as_of: Timestamp,
    /// The number of the entry that may be replaced, as its bytes begin; empty for none.
    pub(crate) expected: &'a [u8],
    pub(crate) live_ms: u64,
    /// The token of a lock that is given back; 0 for none.
    pub(crate) token: u64,
    /// Do others have to forget the key?
    pub(crate) replaces: bool,
    /// Is it stored also if the key was replaced or deleted since the computation began?
    pub(crate) supersedes: bool,
    pub(crate) bytes: &'a [u8],
    /// What it depends on: each tag and everything above it.
    pub(crate) tags: &'a [Tag],
}

impl Feed {
    pub(super) fn wait<T>(
        &self,
        connection: &Connection,
        trip: Trip,
        reply: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, ServerError> {
        let answered = || wait_for(reply, ANSWER);
        let made = trips::make(|| match &self.timings {
            Some(timings) => timings.time(trip, answered),
            None => answered(),
        });
        let Some(replied) = made else {
            return Err(ServerError::NotAsked);
        };
        match replied {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(error)) => {
                let error = ServerError::of(&self.address, &error);
                if matches!(error, ServerError::Away { .. }) {
                    self.line.load().break_off(connection.number, error.clone());
                }
                Err(error)
            }
            None => {
                // Whoever asks next need not wait as long.
                self.line.load().break_off(connection.number, self.timed_out());
                Err(self.timed_out())
            }
        }
    }

    pub(super) fn connection(&self) -> Result<Arc<Connection>, ServerError> {
        if trips::are_refused() {
            return Err(ServerError::NotAsked);
        }
        let line = self.line.load();
        if line.is_beginning() {
            trips::make(|| line.patiently(&self.address)).unwrap_or(Err(ServerError::NotAsked))
        } else {
            line.connection(&self.address)
        }
    }

    /// Sends one command and waits for its answer.
    pub(crate) fn ask(&self, command: &Cmd) -> Result<Value, ServerError> {
        let connection = self.connection()?;
        self.wait(&connection, Trip::Write, connection.ask(command))
    }

    fn run(&self, script: &Script, keys: &[&str], arguments: &[&[u8]]) -> Result<Vec<Value>, ServerError> {
        let connection = self.connection()?;
        self.wait(&connection, Trip::Write, connection.run(script, keys, arguments))
    }

    /// Runs a script on the table of the domain; again, in the new incarnation, if the table was lost. Its first
    /// argument is the incarnation.
    fn run_inside(
        &self,
        script: &Script,
        more_keys: &[&str],
        arguments: &[&[u8]],
        patiently: bool,
    ) -> Result<(u128, Vec<Value>), ServerError> {
        let mut keys = vec![self.names.table.as_str(), self.names.bell.as_str()];
        keys.extend(more_keys);
        for _ in 0..ATTEMPTS {
            let line = self.line.load_full();
            let connection = if patiently || line.is_beginning() {
                line.patiently(&self.address)
            } else {
                line.connection(&self.address)
            }?;
            let incarnation = row::incarnation_text(connection.incarnation);
            let mut all = vec![incarnation.as_bytes()];
            all.extend(arguments);
            match self.wait(&connection, Trip::Write, connection.run(script, &keys, &all)) {
                Ok(reply) if matches!(Reply::read(&reply), Reply::Lost) => {
                    self.enter_anew(&connection, None)?;
                }
                Ok(reply) => return Ok((connection.incarnation, reply)),
                Err(ServerError::Failed { cause, .. }) if cause.contains("WRONGTYPE") => {
                    self.enter_anew(&connection, None)?;
                }
                Err(ServerError::Away { .. }) if patiently => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.failed("the table of the domain is lost again and again"))
    }

    /// Runs a script that mints a position. One that is not later than all that was known when it was asked for shows that the
    /// server has data of earlier, and its clock is behind: that incarnation is given up, and the script runs in the next.
    fn mint_inside(
        &self,
        script: &Script,
        more_keys: &[&str],
        arguments: &[&[u8]],
        patiently: bool,
    ) -> Result<(u128, Vec<Value>), ServerError> {
        for _ in 0..ATTEMPTS {
            let seen = self.seen();
            let (incarnation, reply) = self.run_inside(script, more_keys, arguments, patiently)?;
            let is_known = |at: Timestamp| seen.incarnation == incarnation && at <= seen.clock;
            if !matches!(Reply::read(&reply), Reply::Done(at, _) if is_known(at))
                || mutant::is_on("no_rollback_check")
            {
                return Ok((incarnation, reply));
            }
            let connection = self.connection()?;
            if connection.incarnation == incarnation {
                self.enter_anew(&connection, Some(incarnation))?;
            }
        }
        Err(self.failed("the server goes back again and again"))
    }

    /// The table was lost: enters the incarnation that is there now, or a new one; a new one in any case if that one is
    /// `given_up`.
    fn enter_anew(&self, connection: &Connection, given_up: Option<u128>) -> Result<(), ServerError> {
        let entered = self.wait(connection, Trip::Read, hello(self, connection, given_up))?;
        let line = self.line.load();
        // First: nobody reads on as if nothing had happened.
        line.inbox.put_doubt();
        line.enter(connection, entered);
        Ok(())
    }

    /// Brings the engine up to date for a read that began at `began_ns`, or for as long as the consistency says.
    pub(crate) fn catch_up(&self) -> Result<(), ServerError> {
        self.take_in();
        if self.is_current() { Ok(()) } else { self.sync() }
    }

    /// Brings the engine up to what is known on the server now.
    pub(crate) fn sync(&self) -> Result<(), ServerError> {
        let mut lost = None;
        for _ in 0..ATTEMPTS {
            self.take_in();
            if self.has_asked_for_this_read() {
                return Ok(());
            }
            let connection = self.connection()?;
            let range = self.read_range(&connection)?;
            match self.take(range) {
                Taken::Known => return Ok(()),
                Taken::Other => {}
                Taken::Lost => {
                    // Twice the same one: something that is no row of ours stands there, and would for ever.
                    let given_up = lost.replace(connection.incarnation);
                    self.enter_anew(&connection, given_up)?;
                }
            }
        }
        Err(self.failed("the domain changes again and again"))
    }

    /// Reads all of the table that is not known, page by page. A row that is invalidated again meanwhile moves to
    /// the end, so none is passed over; each page begins with the position that ended the one before.
    fn read_range(&self, connection: &Connection) -> Result<Range, ServerError> {
        let incarnation = connection.incarnation;
        let (from, asked_ns) = (self.from(incarnation), boot_ns());
        let (mut next, mut limit, mut rows) = (from, PAGE, Vec::new());
        loop {
            let reply =
                match self.wait(connection, Trip::Read, connection.ask(&ask(&self.names.table, next, limit)))
                {
                    // Not a table at all.
                    Err(ServerError::Failed { .. }) => Value::Nil,
                    reply => reply?,
                };
            let mut range = Range::read(&reply, (incarnation, next), limit, asked_ns);
            let last = range.rows.last().map(|(_, at)| *at);
            let is_cut_off = range.is_cut_off;
            rows.append(&mut range.rows);
            if !is_cut_off || limit >= LARGEST_PAGE {
                return Ok(Range { from, rows, is_cut_off: false, ..range });
            }
            match last {
                Some(last) if last > next => next = last,
                // A whole page of one position.
                _ => limit *= 8,
            }
        }
    }

    /// The entry of a key, with which the engine also learns what has changed: from what was fetched for this read,
    /// or by a trip.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Fetched, ServerError> {
        if self.outbox.load().is_deleting(key) {
            // What is there was deleted here, and the server does not know yet.
            return Ok(Fetched::nothing(self.number(), key));
        }
        let fetched = match hand::take(self.number(), key) {
            Some(fetched) => fetched,
            None => self.fetch(key)?,
        };
        let range = fetched.range.lock().take();
        if let Some(range) = range {
            self.take_early(range);
        }
        Ok(fetched)
    }

    /// Takes in what a read brought with it.
    pub(super) fn take_early(&self, range: Range) {
        self.take_in();
        if self.take(range) != Taken::Known {
            // Whoever judges the entry reads the table as a whole first.
            self.line.load().inbox.put_doubt();
        }
    }

    fn fetch(&self, key: &[u8]) -> Result<Fetched, ServerError> {
        let connection = self.connection()?;
        let request = Request::new(self, &connection, &[key], false);
        let reply = self.wait(&connection, Trip::Read, request.send(&connection))?;
        let mut answer = request.read(self, &[(key, None)], reply)?;
        answer.fetched.pop().ok_or_else(|| self.failed("an unexpected reply"))
    }

    /// Invalidates tags for everybody, and ends the marks that keep this process from serving what they cover. If it
    /// cannot be sent now, the marks stand, and it is sent as soon as possible.
    pub(crate) fn invalidate(
        &self,
        tags: &[Tag],
        change: Option<(u64, Vec<u8>)>,
        mark: MarkId,
    ) -> Result<Timestamp, ServerError> {
        let owed = Arc::new(Owed { tags: tags.to_vec(), changes: change.into_iter().collect() });
        let mut arguments = owed.arguments();
        arguments.push(self.calling.node().into_bytes());
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        self.told(&INVALIDATE, &arguments, mark, &owed)
    }

    /// Makes everything stale for everybody.
    pub(crate) fn clear(&self, mark: MarkId) -> Result<Timestamp, ServerError> {
        let owed = Arc::new(Owed { tags: vec![Tag::root()], ..Owed::default() });
        let node = self.calling.node();
        self.told(&CLEAR, &[node.as_bytes()], mark, &owed)
    }

    fn told(
        &self,
        script: &Script,
        arguments: &[&[u8]],
        mark: MarkId,
        owed: &Arc<Owed>,
    ) -> Result<Timestamp, ServerError> {
        self.owe(mark, owed);
        match self.minted(script, &[&self.names.history], arguments, (vec![mark], owed), true) {
            Ok((at, _)) => {
                self.take_in();
                let is_elsewhere = self.engine.domain() != DomainId(self.connection_incarnation());
                if is_elsewhere || self.has_gone_back() {
                    // Who only writes would never enter the domain, and its marks would stand for ever. Nor would it tell
                    // anybody that data went back.
                    let _ = self.sync();
                }
                Ok(at)
            }
            Err(cause) => {
                self.owe_failed(&[mark]);
                Err(ServerError::Queued { cause: Box::new(cause) })
            }
        }
    }

    fn connection_incarnation(&self) -> u128 {
        self.line.load().present().map_or(0, |connection| connection.incarnation)
    }

    /// Announces a change for everybody, for which this process's engine has a mark; returns its row.
    pub(crate) fn announce_change(
        &self,
        id: u64,
        tags: &[Tag],
        timeout_us: u64,
        mark: MarkId,
    ) -> Result<Vec<u8>, ServerError> {
        // First: when it is told of, it is known to be this mark.
        self.announce_own(id, mark);
        let announced = self.announced_change(id, tags, timeout_us);
        if announced.is_err() {
            self.forget_own(id, mark);
        }
        announced
    }

    fn announced_change(&self, id: u64, tags: &[Tag], timeout_us: u64) -> Result<Vec<u8>, ServerError> {
        let (id, timeout) = (format!("{id:016x}"), timeout_us.to_string());
        let tags = row::mark_tags(tags);
        let arguments = [id.as_bytes(), timeout.as_bytes(), &tags];
        let nothing = Arc::new(Owed::default());
        let (at, reply) = self.minted(&CHANGE, &[], &arguments, (Vec::new(), &nothing), true)?;
        self.take_in();
        match reply.into_iter().nth(3) {
            Some(Value::BulkString(row)) => {
                // Not only when it is told of: a domain that is lost meanwhile must not lose it.
                if let Row::Mark(mark) = Row::read(&row) {
                    self.note_mark(&mark, at);
                }
                Ok(row)
            }
            _ => Err(self.failed("an unexpected reply")),
        }
    }

    /// Runs a script that mints a position, which is taken in next.
    fn minted(
        &self,
        script: &Script,
        more_keys: &[&str],
        arguments: &[&[u8]],
        (marks, owed): (Vec<MarkId>, &Arc<Owed>),
        patiently: bool,
    ) -> Result<(Timestamp, Vec<Value>), ServerError> {
        let (incarnation, reply) = self.mint_inside(script, more_keys, arguments, patiently)?;
        let Reply::Done(at, before) = Reply::read(&reply) else {
            return Err(self.failed("an unexpected reply"));
        };
        self.line.load().inbox.put(Item::Minted(Minted {
            incarnation,
            at,
            before,
            is_row: true,
            marks,
            owed: Arc::clone(owed),
        }));
        Ok((at, reply))
    }

    /// Stores an entry, if it is fresh and what is stored is what is expected.
    pub(crate) fn put(&self, new: &NewEntry<'_>) -> Result<Stored, ServerError> {
        let (entry, lock) = (self.names.entry(new.key), self.names.lock(new.key));
        let forget = row::key_row(new.key);
        let (replaces, yields) = (u8::from(new.replaces), u8::from(!new.supersedes));
        let flags = format!("{replaces}{yields}");
        let token = if new.token == 0 { String::new() } else { new.token.to_string() };
        let (as_of, live) = (new.as_of.as_micros().to_string(), new.live_ms.to_string());
        let node = self.node().to_string();
        let tags: Vec<Vec<u8>> = new.tags.iter().map(tag_row).collect();
        let mut arguments = vec![
            as_of.as_bytes(),
            new.expected,
            live.as_bytes(),
            token.as_bytes(),
            &forget,
            new.bytes,
            node.as_bytes(),
            flags.as_bytes(),
        ];
        arguments.extend(tags.iter().map(Vec::as_slice));
        let (incarnation, mut reply) = self.mint_inside(&PUT, &[&entry, &lock], &arguments, false)?;
        match &reply[..] {
            [Value::BulkString(what)] if what == b"stale" => Ok(Stored::Stale),
            [Value::BulkString(what), ..] if what == b"other" => match reply.pop() {
                Some(Value::BulkString(bytes)) => Ok(Stored::Other(Some(bytes))),
                _ => Ok(Stored::Other(None)),
            },
            values => {
                let Reply::Done(at, before) = Reply::read(values) else {
                    return Err(self.failed("an unexpected reply"));
                };
                let minted = Minted {
                    incarnation,
                    at,
                    before,
                    is_row: new.replaces,
                    marks: Vec::new(),
                    owed: Arc::default(),
                };
                // Taken in by the next read: values that go are not dropped where stores are held up.
                self.line.load().inbox.put(Item::Minted(minted));
                Ok(Stored::Done)
            }
        }
    }

    /// Deletes an entry, and lets the others forget it. Returns what was stored. If it cannot be done now, it counts as
    /// done for this process, and is done as soon as possible.
    pub(crate) fn delete(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ServerError> {
        let (entry, node) = (self.names.entry(key), self.node().to_string());
        let arguments = [&row::key_row(key)[..], node.as_bytes()];
        let nothing = Arc::new(Owed::default());
        match self.minted(&DELETE, &[&entry], &arguments, (Vec::new(), &nothing), true) {
            Ok((_, reply)) => match reply.into_iter().nth(3) {
                Some(Value::BulkString(bytes)) => Ok(Some(bytes)),
                _ => Ok(None),
            },
            Err(cause) => {
                self.outbox.rcu(|outbox| with(outbox, |outbox| outbox.delete(key)));
                self.line.load().wake.notify_one();
                Err(ServerError::Queued { cause: Box::new(cause) })
            }
        }
    }

    /// Gives a lock back.
    pub(crate) fn unlock(&self, lock: &str, token: u64) -> Result<(), ServerError> {
        let token = token.to_string();
        self.run(&UNLOCK, &[lock, &self.names.bell], &[token.as_bytes()]).map(drop)
    }

    /// Lets entries live for so many milliseconds, by their names, unless they live longer anyway.
    pub(crate) fn extend(&self, lives: &[(String, u64)]) -> Result<(), ServerError> {
        let names: Vec<&str> = lives.iter().map(|(name, _)| name.as_str()).collect();
        let times: Vec<String> = lives.iter().map(|(_, ms)| ms.to_string()).collect();
        let times: Vec<&[u8]> = times.iter().map(String::as_bytes).collect();
        self.run(&EXTEND, &names, &times).map(drop)
    }

    /// Removes entries, by their names, that still have these numbers. Says how many.
    pub(crate) fn remove(&self, dead: &[(Vec<u8>, u64)]) -> Result<usize, ServerError> {
        if dead.is_empty() {
            return Ok(0);
        }
        let names = dead.iter().map(|(name, _)| std::str::from_utf8(name).unwrap_or_default());
        let numbers: Vec<String> = dead.iter().map(|(_, number)| format!("{number:016}")).collect();
        let numbers: Vec<&[u8]> = numbers.iter().map(String::as_bytes).collect();
        match self.run(&REMOVE, &names.collect::<Vec<_>>(), &numbers)?.first() {
            Some(Value::Int(removed)) => Ok(usize::try_from(*removed).unwrap_or(0)),
            _ => Ok(0),
        }
    }

    /// The beginnings of some texts, by their names.
    pub(crate) fn heads(&self, names: &[Vec<u8>], bytes: usize) -> Result<Vec<Option<Vec<u8>>>, ServerError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut heads = pipe();
        for name in names {
            heads.cmd("GETRANGE").arg(name).arg(0).arg(bytes - 1);
        }
        let connection = self.connection()?;
        let replies = self.wait(&connection, Trip::Read, connection.send(&heads))?;
        let text = |reply| match reply {
            Value::BulkString(text) => Some(text),
            _ => None,
        };
        Ok(replies.into_iter().map(text).collect())
    }

    /// How many bytes some texts have, and how many milliseconds they still live, by their names.
    pub(crate) fn sizes(&self, names: &[Vec<u8>]) -> Result<Vec<(u64, Option<u64>)>, ServerError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut sizes = pipe();
        for name in names {
            sizes.cmd("STRLEN").arg(name).cmd("PTTL").arg(name);
        }
        let connection = self.connection()?;
        let replies = self.wait(&connection, Trip::Read, connection.send(&sizes))?;
        let number = |reply: &Value| match reply {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        Ok(replies.chunks_exact(2).map(|pair| (number(&pair[0]).unwrap_or(0), number(&pair[1]))).collect())
    }

    /// Blocks until the lock of a key is given back, or for `pause`.
    pub(crate) fn wait_for_lock(&self, key: &[u8], pause: Duration) {
        self.line.load_full().unlocked.wait(self.names.lock(key).as_bytes(), pause);
    }

    /// Forgets rows that are older than `age_us`, a little at a time.
    pub(crate) fn tidy(&self, age_us: u64) -> Result<(), ServerError> {
        const STEP: usize = 500;
        /// More wait for the next call: forks wait for this one.
        const STEPS: usize = 20;
        let (age, step) = (age_us.to_string(), STEP.to_string());
        let mut passed = 0;
        for _ in 0..STEPS {
            let pass = passed.to_string();
            let arguments = [age.as_bytes(), step.as_bytes(), pass.as_bytes()];
            let (_, reply) = self.run_inside(&TIDY, &[], &arguments, false)?;
            let Reply::Done(removed, marks) = Reply::read(&reply) else { return Ok(()) };
            let (removed, marks) = (removed.as_micros(), marks.as_micros());
            passed += marks;
            if (removed + marks) < STEP as u64 {
                break;
            }
        }
        Ok(())
    }
}
