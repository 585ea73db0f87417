//! Each protection that the models above are about is left out once, and must be missed: else they prove nothing.
//!
//! A switch is read from the environment, so each runs in a process of its own.

use std::process::Command;

/// What is left out, the tests that must fail, and what they say.
const MUTANTS: [(&str, &[&str], &str); 8] = [
    (
        "stamp_after_epoch",
        &["invalidate_while_a_proved_entry_is_judged", "programs::programs_on_an_entry_that_is_proved"],
        "for ever|an old value is served",
    ),
    (
        "late_proof",
        &["invalidate_while_an_entry_is_walked", "programs::programs_on_an_entry_that_is_walked"],
        "for ever|an old value is served",
    ),
    ("applied_as_epoch", &["apply_a_row_over_a_gap_while_an_entry_is_judged"], "proved for ever"),
    (
        "prune_without_floor",
        &["programs::programs_on_entries_outside", "prune_while_judging_and_interning"],
        "old value is served|under-reported",
    ),
    (
        "detached_handle",
        &["programs::programs_on_entries_in_memory", "prune_while_judging_and_interning"],
        "fresh for ever|a handle to an orphan",
    ),
    (
        "below_not_raised",
        &["invalidate_below_a_subtree_while_it_is_walked", "programs::programs_on_entries_in_memory"],
        "for ever",
    ),
    ("equal_is_stale", &["programs::programs_on_entries_in_memory"], "a false death|nothing is ever a hit"),
    ("ignore_pending", &["announce_while_an_entry_is_walked"], "for ever"),
];

#[test]
fn each_mutant_is_found() {
    let program = std::env::current_exe().expect("a test is a program");
    for (mutant, tests, says) in MUTANTS {
        for test in tests {
            let run = Command::new(&program)
                .args(["--exact", test])
                .env("ZOOCACHE_MUTANT", mutant)
                .output()
                .expect("it runs");
            let said = String::from_utf8_lossy(&run.stdout);
            assert!(!run.status.success(), "{mutant} survives {test}");
            assert!(says.split('|').any(|says| said.contains(says)), "{mutant} in {test}: {said}");
            println!("{mutant}: found by {test}");
        }
    }
}
