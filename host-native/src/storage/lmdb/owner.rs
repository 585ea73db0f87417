//! Which process something belongs to, and whether that process is still there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use crate::lock::Mutex;

/// A process. Its number is used again after its death, but not with the same start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pid: u64,
    /// In ticks after the machine's start; 0 if it cannot be told.
    pub(super) start: u64,
    /// The inode of the namespace that `pid` belongs to; 0 if it cannot be told.
    pub(super) namespace: u64,
}

impl Owner {
    /// This process.
    pub(super) fn current() -> Self {
        static CURRENT: Mutex<Option<Owner>> = Mutex::new(None);
        let pid = u64::from(std::process::id());
        // In a forked child what is remembered is of the parent.
        let mut current = CURRENT.lock();
        let known = current.filter(|owner| owner.pid == pid);
        *current.insert(known.unwrap_or_else(|| Self::read(pid)))
    }

    fn read(pid: u64) -> Self {
        let unknown = Self { pid, start: 0, namespace: 0 };
        let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return unknown };
        // Where `/proc` is of another namespace than this process, its numbers say nothing.
        if stat.split(' ').next() != Some(pid.to_string().as_str()) {
            return unknown;
        }
        let (Some(Seen { start, .. }), Ok(namespace)) = (seen(&stat), fs::metadata("/proc/self/ns/pid"))
        else {
            return unknown;
        };
        Self { pid, start, namespace: namespace.ino() }
    }

    /// Is it certain that the process has ended? Of a process of another namespace nothing is.
    pub(super) fn is_dead(&self) -> bool {
        if self.namespace == 0 || self.namespace != Self::current().namespace {
            return false;
        }
        match fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(stat) => seen(&stat).is_some_and(|seen| seen.has_ended || seen.start != self.start),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

struct Seen {
    /// It is dead and its parent has not asked yet.
    has_ended: bool,
    start: u64,
}

/// Reads `/proc/<pid>/stat`. The second field, a name in brackets, may contain anything.
fn seen(stat: &str) -> Option<Seen> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X" | "x");
    // The 22nd, counted from the first; the state is the third.
    Some(Seen { has_ended, start: fields.nth(18)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_others_of_its_number_do_not() {
        let own = Owner::current();
        assert!(own.start != 0 && own.namespace != 0, "{own:?}");
        assert!(!own.is_dead());
        assert!(Owner { start: own.start + 1, ..own }.is_dead());
        assert!(!Owner { start: own.start + 1, namespace: own.namespace + 1, ..own }.is_dead());
        assert!(!Owner { start: own.start + 1, namespace: 0, ..own }.is_dead());
    }

    #[test]
    fn who_was_killed_is_dead_whether_or_not_the_parent_has_asked() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("there is `sleep`");
        let pid = u64::from(child.id());
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        let owner = Owner { pid, start: seen(&stat).expect("fields").start, ..Owner::current() };
        assert!(!owner.is_dead());
        child.kill().expect("it is ours");
        while !owner.is_dead() {
            std::thread::yield_now();
        }
        child.wait().expect("it is ours");
        assert!(owner.is_dead());
    }

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_field() {
        let stat = "7 (a) Z 1 (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let seen = seen(stat).expect("fields");
        assert_eq!((seen.start, seen.has_ended), (4711, false));
    }
}
