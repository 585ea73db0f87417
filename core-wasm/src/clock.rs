//! Positions in the order of invalidations, and the clock that mints them.
//!
//! A [`Timestamp`] is Unix microseconds made unique by +1 (a hybrid logical clock folded into one
//! number). Invariant: a [`Clock`] never goes back, never wraps, and cannot be pushed ahead by a
//! remote by more than its drift bound. It does not read time: every call takes `now_us`.

use core::fmt;

use crate::mutant;

/// A position in the order of invalidations of one domain: unique microseconds, 0 = never.
///
/// ```
/// use zoocache_core::Timestamp;
///
/// assert!(Timestamp::ZERO < Timestamp::from_micros(1));
/// assert_eq!(Timestamp::checked(u64::MAX), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Never.
    pub const ZERO: Self = Self(0);
    /// The largest valid number of microseconds: exact in a double, reached in 2255.
    pub const MAX_VALID: u64 = (1 << 53) - 1;
    /// The last position there can be; also "no bound".
    pub const MAX: Self = Self(Self::MAX_VALID);

    /// The position of `micros`, or the last one if that is more than [`Self::MAX_VALID`].
    pub const fn from_micros(micros: u64) -> Self {
        if micros > Self::MAX_VALID { Self::MAX } else { Self(micros) }
    }

    /// The position of `micros` if that is valid: for what comes from outside.
    pub const fn checked(micros: u64) -> Option<Self> {
        if micros > Self::MAX_VALID { None } else { Some(Self(micros)) }
    }

    /// Unix microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The position `micros` earlier, or [`Self::ZERO`].
    #[must_use]
    pub const fn saturating_sub(self, micros: u64) -> Self {
        Self(self.0.saturating_sub(micros))
    }

    /// The position `micros` later, or [`Self::MAX`].
    #[must_use]
    pub const fn saturating_add(self, micros: u64) -> Self {
        Self::from_micros(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// The clock cannot mint another position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClockError {
    /// The last valid position has been handed out.
    Exhausted,
}

impl fmt::Display for ClockError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted => {
                write!(formatter, "Clock exhausted: no position after {} is valid", Timestamp::MAX_VALID)
            }
        }
    }
}

impl core::error::Error for ClockError {}

/// A remote time lies too far ahead; it did not move the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriftError {
    /// What the remote claimed.
    pub remote: Timestamp,
    /// The physical time it was compared with.
    pub now_us: u64,
    /// How far ahead it might have been.
    pub max_drift_us: u64,
}

impl fmt::Display for DriftError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Remote time {} refused: more than {} us ahead of {}",
            self.remote, self.max_drift_us, self.now_us
        )
    }
}

impl core::error::Error for DriftError {}

/// A hybrid logical clock whose counter is folded into the microseconds.
///
/// ```
/// use zoocache_core::{Clock, Timestamp};
///
/// let mut clock = Clock::new(500_000);
/// assert_eq!(clock.tick(1_000)?, Timestamp::from_micros(1_000));
/// assert_eq!(clock.tick(10)?, Timestamp::from_micros(1_001)); // never back
/// # Ok::<(), zoocache_core::ClockError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Clock {
    last: Timestamp,
    max_drift_us: u64,
}

impl Clock {
    /// A clock that has handed out nothing yet.
    pub const fn new(max_drift_us: u64) -> Self {
        Self { last: Timestamp::ZERO, max_drift_us }
    }

    /// The last position handed out or observed.
    pub const fn last(&self) -> Timestamp {
        self.last
    }

    /// A new position: `max(last + 1, now)`; a `now_us` that is no valid time says nothing.
    ///
    /// # Errors
    /// [`ClockError::Exhausted`] after [`Timestamp::MAX`]; the clock stays as it is.
    pub fn tick(&mut self, now_us: u64) -> Result<Timestamp, ClockError> {
        let next = Timestamp::checked(self.last.0 + 1).ok_or(ClockError::Exhausted)?;
        self.last = next.max(Timestamp::checked(now_us).unwrap_or(Timestamp::ZERO));
        Ok(self.last)
    }

    /// The receive event of a remote position: `max(last, remote) + 1`, above everything handed out.
    ///
    /// # Errors
    /// [`DriftError`] when `remote` is more than the drift bound ahead of `now_us`, or leaves no
    /// position after it. The clock does not move then; the caller still owes the invalidation a
    /// local [`Clock::tick`].
    pub fn observe(&mut self, remote: Timestamp, now_us: u64) -> Result<Timestamp, DriftError> {
        let physical = Timestamp::checked(now_us).unwrap_or(self.last);
        let refused = DriftError { remote, now_us, max_drift_us: self.max_drift_us };
        if remote > physical.saturating_add(self.max_drift_us) && !mutant::is_on("accept_drift") {
            return Err(refused);
        }
        let next = Timestamp::checked(self.last.max(remote).0 + 1).ok_or(refused)?;
        self.last = next;
        Ok(next)
    }

    /// Moves the clock to a position of the domain's log, which is trusted.
    pub(crate) fn advance(&mut self, to: Timestamp) {
        self.last = self.last.max(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tick_without_physical_time_counts() {
        let mut clock = Clock::new(500_000);
        assert_eq!(clock.tick(u64::MAX), Ok(Timestamp(1)));
        assert_eq!(clock.tick(Timestamp::MAX_VALID + 1), Ok(Timestamp(2)));
    }

    #[test]
    fn a_tick_saturates_with_an_error() {
        let mut clock = Clock::new(500_000);
        assert_eq!(clock.tick(Timestamp::MAX_VALID), Ok(Timestamp::MAX));
        assert_eq!(clock.tick(5), Err(ClockError::Exhausted));
        assert_eq!(clock.last(), Timestamp::MAX);
    }

    #[test]
    fn a_remote_too_far_ahead_does_not_move_the_clock() {
        let mut clock = Clock::new(500_000);
        clock.tick(1_000_000).expect("in range");
        assert!(clock.observe(Timestamp::MAX, 1_000_000).is_err());
        assert!(clock.observe(Timestamp(1_500_001), 1_000_000).is_err());
        assert_eq!(clock.last(), Timestamp(1_000_000));
        assert_eq!(clock.observe(Timestamp(1_500_000), 1_000_000), Ok(Timestamp(1_500_001)));
        assert_eq!(clock.observe(Timestamp(5), 1_000_000), Ok(Timestamp(1_500_002)));
    }

    proptest! {
        #[test]
        fn positions_only_rise(steps in prop::collection::vec((any::<bool>(), any::<u64>(), any::<u64>()), 0..200)) {
            let mut clock = Clock::new(500_000);
            for (remote, at, now) in steps {
                let before = clock.last();
                let at = if remote {
                    clock.observe(Timestamp::from_micros(at), now).ok()
                } else {
                    clock.tick(now).ok()
                };
                prop_assert!(at.is_none_or(|at| at > before && at == clock.last()));
                prop_assert!(clock.last() >= before);
            }
        }
    }
}
