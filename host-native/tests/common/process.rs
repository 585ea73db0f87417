//! What the standard library cannot do with a process: fork it, leave the child, wait for it.

#![expect(unsafe_code, reason = "the standard library cannot fork")]

unsafe extern "C" {
    pub(crate) safe fn fork() -> i32;
    pub(crate) safe fn _exit(status: i32) -> !;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
}

pub(crate) fn wait_for(pid: i32) -> i32 {
    let mut status = -1;
    // SAFETY: `status` lives until the call returns.
    let waited = unsafe { waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    status
}
