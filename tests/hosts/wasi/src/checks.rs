//! Counts what is as it should be, and says what is not.

use std::fmt::Debug;

#[derive(Default)]
pub(crate) struct Checks {
    passed: usize,
    all: usize,
}

impl Checks {
    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    pub(crate) fn equal<T: PartialEq + Debug>(&mut self, what: &str, found: T, expected: T) {
        self.all += 1;
        if found == expected {
            self.passed += 1;
        } else {
            println!("{what}: {found:?}, where {expected:?} was expected");
        }
    }

    pub(crate) fn holds(&mut self, what: &str, holds: bool) {
        self.equal(what, holds, true);
    }

    pub(crate) fn have_passed(&self) -> bool {
        self.passed == self.all
    }
}

impl std::fmt::Display for Checks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} of {} checks", self.passed, self.all)
    }
}
