//! The protections that can be switched off, each on the ground where it is needed. Without one of them a promise must be
//! broken, and the checker must notice: else neither the protection nor the checker proves anything.

/// A protection, by the name that the code knows.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    /// Where: the name of a ground.
    pub(crate) ground: &'static str,
    /// What is done wrong without it.
    pub(crate) mistake: &'static str,
}

const fn on(ground: &'static str, name: &'static str, mistake: &'static str) -> Mutant {
    Mutant { name, ground, mistake }
}

/// All of them.
pub(crate) const MUTANTS: &[Mutant] = &[
    on("memory", "stamp_after_epoch", "the epoch is raised before the stamps are written"),
    on("memory", "late_proof", "a proof is stamped with an epoch that was read after the walk"),
    on("memory", "applied_as_epoch", "the position that is applied is used as the epoch"),
    on("memory", "late_as_of", "`as_of` is read at the end of a computation"),
    on("memory", "detached_handle", "a tag is forgotten although a handle to it exists"),
    on("memory", "below_not_raised", "what lies above a tag does not learn of its invalidation"),
    on("memory", "equal_is_stale", "a stamp that equals `as_of` counts as later"),
    on("memory", "ignore_pending", "announced changes are not seen by readers"),
    on("memory", "trust_leader", "a waiter takes the leader's result without judging it"),
    on("memory", "newer_as_of", "what is computed from a stale value counts as of its own beginning"),
    on("redis", "last_commit_wins", "a computation is stored over what was stored while it ran"),
    on(
        "folder",
        "saw_number",
        "a reader remembers the number it saw, and not that of the transaction it used",
    ),
    on("folder", "tags_before_entry", "the log is read before the entry, and not after it"),
    on(
        "folder",
        "floor_after_rows",
        "rows are removed in one transaction, and the floor is raised in the next",
    ),
    on("folder", "floor_before_row", "the floor is read before the rows, in a transaction of its own"),
    on("folder", "trust_empty", "who opens a folder takes its clock, and not its rows"),
    on("folder", "no_replaced", "others are not told of a key that is replaced"),
    on("folder", "ignore_marks_folder", "announced changes in the folder are not followed"),
    on("folder", "stay_in_boot", "a restart of the machine is not noticed"),
    on("gossip", "keep_sender_time", "a message is stamped with its sender's time"),
    on("gossip", "no_window", "entries that were sealed elsewhere are taken by their positions as they are"),
    on("gossip", "accept_drift", "a time that is far ahead moves the clock"),
    on("gossip", "drop_drifted", "an invalidation whose time is refused is dropped"),
    on("gossip", "ignore_domain", "entries of another domain count as of one's own"),
    on("gossip", "prune_without_floor", "a tag that is forgotten leaves no floor"),
    on("gossip", "ignore_pending", "announced changes are not seen by readers"),
    on("gossip", "below_not_raised", "what lies above a tag does not learn of its invalidation"),
    on("redis", "ignore_gap", "a message that does not follow on what is known counts as complete"),
    on("redis", "no_rollback_check", "data that went back is not noticed"),
    on("redis", "ignore_binding", "another process of the server is not noticed"),
    on("redis", "keep_incarnation", "a table that was lost begins again under its old name"),
    on("redis", "trust_empty", "who enters a domain takes its clock, and not its rows"),
    on("redis", "ignore_domain", "entries of another domain count as of one's own"),
    on("redis", "not_pending", "one's own invalidation is not in force before the server has answered"),
    on("redis", "drop_failed", "an invalidation that could not be sent is forgotten"),
    on("redis", "ignore_marks", "announced changes in the table are not followed"),
    on("redis", "sent_at_reply", "what a look at the table showed counts from its answer on"),
    on("redis", "no_deadline", "a near cache goes on without news"),
    on("redis", "trust_connection", "what was told while there was no connection is not asked for"),
    on("redis", "clock_back", "positions follow the server's clock when it is set back"),
    on("redis", "client_clock", "positions are those of a machine whose clock is behind"),
    on("redis", "ignore_floor", "rows that were forgotten leave no floor"),
    on("redis", "put_over_deleted", "what was deleted is stored by a computation that began before"),
];
