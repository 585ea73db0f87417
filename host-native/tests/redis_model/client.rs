//! A client: what it knows, and how it learns.

use super::Protocol;
use super::server::{Entry, Minted, Range, Seen, Tag};

/// How long a look at the table counts, and how old a write gets.
pub(crate) const MAX_AGE: u8 = 1;

/// What a client is doing. What it does between two answers of the server is one step: nothing that happens meanwhile
/// makes it worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Doing {
    Nothing,
    /// Reads, and needs this number at least: has asked for the entry and what has changed, and was given the entry.
    Fetched {
        need: u8,
        entry: Option<Entry>,
        ago: u8,
        is_early: bool,
    },
    /// Was told what has changed.
    Answered {
        need: u8,
        entry: Option<Entry>,
        range: Range,
        ago: u8,
        is_early: bool,
    },
    /// Has to ask again before it can judge the entry.
    Syncs {
        need: u8,
        entry: Option<Entry>,
        lost: Option<u8>,
    },
    Synced {
        need: u8,
        entry: Option<Entry>,
        lost: Option<u8>,
        range: Range,
        ago: u8,
        is_early: bool,
    },
    /// Has computed an entry.
    Stores {
        entry: Entry,
    },
    /// Has written the source of truth, and asks to invalidate.
    Sends {
        tag: Tag,
        number: u8,
    },
    Told {
        number: u8,
        minted: Minted,
    },
}

impl Doing {
    /// What a read that goes on needs.
    pub(crate) fn need_mut(&mut self) -> Option<&mut u8> {
        match self {
            Self::Fetched { need, .. }
            | Self::Answered { need, .. }
            | Self::Syncs { need, .. }
            | Self::Synced { need, .. } => Some(need),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Known,
    Lost,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "what it knows, each for itself")]
pub(crate) struct Client {
    /// The incarnation that its connection has entered, if it has one.
    pub(crate) entered: Option<u8>,
    pub(crate) incarnation: u8,
    pub(crate) applied: u8,
    pub(crate) floor: u8,
    /// Of the tag that the entry depends on.
    pub(crate) stamp: u8,
    /// Positions of rows that were seen, as bits; where data goes back in no other way, none.
    chain: u32,
    has_chain: bool,
    is_broken: bool,
    pub(crate) is_unsure: bool,
    /// How long ago the latest look was asked for.
    pub(crate) asked_ago: u8,
    /// Own invalidations on their way.
    pub(crate) pending: u8,
    /// Of these, those that have failed.
    pub(crate) owed: u8,
    /// Of an incarnation that is not entered yet, and how many marks each ends.
    waiting: Vec<(Minted, u8)>,
    pub(crate) near: Option<Entry>,
    pub(crate) bells: Vec<Minted>,
    pub(crate) doing: Doing,
    /// Of the latest write whose `invalidate` has returned here, whatever it said.
    pub(crate) promised: u8,
    /// It knew more than what the data was put back to: told of a position after this one it must notice. 0 if not.
    pub(crate) knew_more: u8,
    was_told: bool,
    /// A read goes on that must notice.
    pub(crate) tells: bool,
}

impl Client {
    pub(crate) fn new(has_chain: bool) -> Self {
        Self {
            entered: None,
            incarnation: 0,
            applied: 0,
            floor: 0,
            stamp: 0,
            chain: 0,
            has_chain,
            is_broken: false,
            is_unsure: true,
            asked_ago: MAX_AGE,
            pending: 0,
            owed: 0,
            waiting: Vec::new(),
            near: None,
            bells: Vec::new(),
            doing: Doing::Nothing,
            promised: 0,
            knew_more: 0,
            was_told: false,
            tells: false,
        }
    }

    pub(crate) fn seen(&self, given_up: Option<u8>) -> Seen {
        Seen { applied: self.applied, given_up }
    }

    pub(crate) fn from(&self) -> u8 {
        if self.entered == Some(self.incarnation) { self.applied } else { 0 }
    }

    /// Something may have been missed; what has been asked for already may not show it.
    pub(crate) fn doubt(&mut self) {
        self.is_unsure = true;
        if let Doing::Fetched { is_early, .. }
        | Doing::Answered { is_early, .. }
        | Doing::Synced { is_early, .. } = &mut self.doing
        {
            *is_early = true;
        }
    }

    pub(crate) fn is_current(&self) -> bool {
        self.asked_ago < MAX_AGE && !self.is_unsure
    }

    pub(crate) fn is_fresh(&self, entry: Entry, protocol: Protocol) -> bool {
        let is_own = entry.incarnation == self.incarnation || protocol == Protocol::DomainNotCompared;
        is_own && self.floor <= entry.as_of && self.stamp <= entry.as_of && self.pending == 0
    }

    fn see(&mut self, at: u8) {
        self.chain |= u32::from(self.has_chain) << at;
    }

    /// Nothing lies between these positions.
    fn follows(&mut self, before: u8, at: u8, protocol: Protocol) -> bool {
        let between = ((1 << at) - 1) & !((1 << (before + 1)) - 1);
        self.is_broken |= before < at && self.chain & between != 0;
        !self.is_broken || protocol == Protocol::RegressionIgnored
    }

    fn stamp(&mut self, tag: Tag, at: u8) {
        if tag == Tag::Ours {
            self.stamp = self.stamp.max(at);
        }
    }

    pub(crate) fn take_range(&mut self, range: Range, ago: u8, is_early: bool, protocol: Protocol) -> Taken {
        let is_own = self.incarnation == range.incarnation;
        if self.entered != Some(range.incarnation) || (!is_own && range.from > 0) {
            return Taken::Other;
        }
        let Some(clock) = range.clock else { return Taken::Lost };
        if is_own && !self.follows(clock, clock, protocol) {
            return Taken::Lost;
        }
        if !is_own {
            self.incarnation = range.incarnation;
            (self.applied, self.floor, self.stamp) = (range.floor, range.floor, 0);
            (self.chain, self.is_broken) = (0, false);
        }
        self.see(clock);
        self.floor = self.floor.max(range.floor);
        self.stamp(Tag::Ours, range.rows[0]);
        self.applied = self.applied.max(clock);
        if !is_early {
            self.is_unsure = false;
        }
        let ago = if protocol == Protocol::FreshFromReply { 0 } else { ago };
        self.asked_ago = self.asked_ago.min(ago);
        for (minted, many) in std::mem::take(&mut self.waiting) {
            if minted.incarnation == range.incarnation {
                self.take_minted(minted, many, protocol);
            } else {
                // What they covered is gone with their incarnation.
                self.pending -= many;
            }
        }
        Taken::Known
    }

    /// Does a read that begins now notice that data went back?
    pub(crate) fn must_notice(&self, clock: u8) -> bool {
        self.knew_more > 0 && (self.was_told || clock < self.applied)
    }

    pub(crate) fn take_bell(&mut self, told: Minted, protocol: Protocol) {
        self.was_told |= self.knew_more > 0 && told.at > self.knew_more;
        if self.incarnation != told.incarnation || !self.follows(told.before, told.at, protocol) {
            return self.doubt();
        }
        if told.at <= self.applied {
            return;
        }
        let has_gap = told.before > self.applied && protocol != Protocol::GapIgnored;
        if has_gap {
            self.doubt();
        }
        self.see(told.at);
        self.stamp(told.tag, told.at);
        if !has_gap {
            self.applied = told.at;
        }
    }

    /// Ends what `many` invalidations of its own kept from being served, which are now one row.
    pub(crate) fn take_minted(&mut self, minted: Minted, many: u8, protocol: Protocol) {
        if self.incarnation != minted.incarnation {
            self.doubt();
            self.waiting.push((minted, many));
            return;
        }
        self.stamp(minted.tag, minted.at);
        self.pending -= many;
        let is_gap = minted.before > self.applied && protocol != Protocol::OwnOverGap;
        if !self.follows(minted.before, minted.at, protocol) || is_gap {
            return self.doubt();
        }
        self.see(minted.at);
        self.applied = self.applied.max(minted.at);
    }

    /// How many invalidations of its own one of this tag keeps in mind.
    pub(crate) fn marks(tag: Tag, protocol: Protocol) -> u8 {
        u8::from(tag == Tag::Ours && protocol != Protocol::OwnNotPending)
    }

    /// Its connection is lost, and with it what was on its way.
    pub(crate) fn cut(&mut self, protocol: Protocol) {
        self.entered = None;
        self.bells.clear();
        match self.doing {
            Doing::Fetched { .. } => self.doing = Doing::Nothing,
            Doing::Sends { tag, number } => self.fail(tag, number, protocol),
            Doing::Told { number, minted } => self.fail(minted.tag, number, protocol),
            _ => {}
        }
        self.doubt();
    }

    /// `invalidate` returns with an error: it is sent as soon as possible.
    fn fail(&mut self, tag: Tag, number: u8, protocol: Protocol) {
        self.doing = Doing::Nothing;
        if tag == Tag::Other {
            return;
        }
        self.promised = self.promised.max(number);
        if protocol == Protocol::FailedDropped {
            self.pending -= 1;
        } else {
            self.owed += 1;
        }
    }
}
