//! What the standard library cannot do with a process: fork it, leave the child, wait for it.

#![expect(unsafe_code, reason = "the standard library cannot fork")]

/// Seconds that a child may take; one that hangs is ended by a signal.
const CHILD: u32 = 60;

mod system {
    unsafe extern "C" {
        pub(super) safe fn fork() -> i32;
        pub(super) safe fn alarm(seconds: u32) -> u32;
    }
}

unsafe extern "C" {
    pub(crate) safe fn _exit(status: i32) -> !;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
}

/// 0 in the child.
pub(crate) fn fork() -> i32 {
    let pid = system::fork();
    if pid == 0 {
        system::alarm(CHILD);
    }
    pid
}

pub(crate) fn wait_for(pid: i32) -> i32 {
    let mut status = -1;
    // SAFETY: `status` lives until the call returns.
    let waited = unsafe { waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    status
}
