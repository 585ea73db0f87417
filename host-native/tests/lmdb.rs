//! Caches that share an LMDB folder. Each cache has an engine and a near cache of its own, so two of them in one
//! process see of one another what two processes do; `processes` has real ones.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::pair::{Pair, builder, compute, pair, with_table};
use common::{NOON_US, Scratch, Told, on, tag_of};
use zoocache::codec::{CodecError, ValueCodec};
use zoocache::{Cache, EntryState, Error, Event, Fill, FolderError, ManualClock, Observer, Tag, Timestamp};

#[test]
fn what_one_computes_the_other_finds() {
    let Pair { one, two, .. } = pair();
    assert_eq!(compute(&one, "k", &on(&["a:b"]), 1), 1);
    assert_eq!(compute(&two, "k", &on(&["a:b"]), 2), 1);
    assert_eq!((two.stats().computations, two.stats().shared_hits), (0, 1));
    assert_eq!(two.get("k"), Some(1), "from its near cache");
    assert_eq!((two.stats().shared_hits, two.stats().entries), (1, 1));
}

#[test]
fn what_one_invalidates_is_stale_for_the_other_at_its_next_read() {
    for invalidated in ["a:b", "a", "*"] {
        let Pair { one, two, .. } = pair();
        compute(&one, "k", &on(&["a:b"]), 1);
        compute(&one, "other", &on(&["c"]), 1);
        assert_eq!((two.get("k"), two.get("other")), (Some(1), Some(1)));
        let at = one.invalidate(&[invalidated]).expect("valid tag");
        assert_eq!((one.get("k"), two.get("k")), (None, None), "{invalidated}");
        assert_eq!(two.get("other").is_some(), invalidated != "*");
        assert!(two.has_reached(at));
        assert_eq!(compute(&two, "k", &on(&["a:b"]), 2), 2);
        assert_eq!(one.get("k"), Some(2));
    }
}

#[test]
fn a_subtree_goes_stale_by_what_another_invalidates_below_it() {
    let Pair { one, two, .. } = pair();
    compute(&one, "list", &on(&["store:*"]), 1);
    assert_eq!(two.get("list"), Some(1));
    two.invalidate(&["store:product:7"]).expect("valid tag");
    assert_eq!(one.get("list"), None);
}

#[test]
fn an_invalidation_by_another_during_a_computation_keeps_its_result_out() {
    let Pair { one, two, .. } = pair();
    let result = one.get_or_compute("k", &on(&["a"]), |_| {
        two.invalidate(&["a"])?;
        Ok::<_, Error>(1)
    });
    assert_eq!(result.expect("its caller gets it"), 1);
    assert_eq!((one.get("k"), two.get("k")), (None, None));
}

#[test]
fn of_overlapping_computations_the_first_to_commit_wins() {
    let Pair { one, two, .. } = pair();
    let slow = one.lead_alone(b"k", None, false);
    assert_eq!(compute(&two, "k", &on(&["a"]), 2), 2);
    assert!(!slow.finish(1, None).1);
    assert_eq!((one.get("k"), two.get("k")), (Some(2), Some(2)));
}

#[test]
fn what_is_put_or_deleted_replaces_what_others_remember() {
    let Pair { one, two, .. } = pair();
    assert!(one.put("k", 1, &on(&["a"])));
    assert_eq!((one.get("k"), two.get("k")), (Some(1), Some(1)));
    assert!(two.put("k", 2, &on(&["a"])));
    assert_eq!((one.get("k"), two.get("k")), (Some(2), Some(2)));
    let slow = two.lead_alone(b"k", None, false);
    assert!(one.delete("k"));
    assert_eq!((one.get("k"), two.get("k")), (None, None));
    assert!(!slow.finish(3, None).1, "deleted while it was computed");
    assert!(!one.delete("k"));
    // A refresh replaces a fresh entry too.
    compute(&one, "k", &on(&["a"]), 4);
    assert_eq!(two.get("k"), Some(4));
    assert!(one.lead_refresh(b"k").expect("nobody computes it").finish(5, None).1);
    assert_eq!((one.get("k"), two.get("k")), (Some(5), Some(5)));
}

#[test]
fn clear_is_for_all() {
    let Pair { one, two, .. } = pair();
    compute(&one, "k", &on(&["a"]), 1);
    assert_eq!(two.get("k"), Some(1));
    one.clear().expect("positions are left");
    assert_eq!((one.get("k"), two.get("k"), one.stats().entries), (None, None, 0));
}

#[test]
fn clear_removes_nothing_that_was_stored_after_it_invalidated_everything() {
    /// Lets another process store something between the two.
    struct Between(Cache<u64>);
    impl Observer for Between {
        fn on_event(&self, event: &Event<'_>) {
            if let Event::Invalidated { .. } = event {
                compute(&self.0, "k", &on(&["a"]), 2);
            }
        }
    }
    let (scratch, clock) = (Scratch::new(), Arc::new(ManualClock::at(NOON_US)));
    let open = || builder(scratch.path(), &clock);
    let two = open().build().expect("opens");
    let one = open().observer(Arc::new(Between(two.clone()))).build().expect("opens");
    compute(&one, "k", &on(&["a"]), 1);
    compute(&one, "other", &on(&["a"]), 1);
    one.clear().expect("positions are left");
    // Else it would be computed anew here, and the other would go on with the older value.
    assert_eq!((one.get("k"), two.get("k"), one.stats().entries), (Some(2), Some(2), 1));
}

#[test]
fn what_others_cannot_be_told_of_is_not_deleted() {
    let Pair { one, two, clock, .. } = pair();
    compute(&one, "k", &on(&["a"]), 1);
    assert_eq!(two.get("k"), Some(1));
    clock.set_wall_us(Timestamp::MAX_VALID);
    one.invalidate(&["b"]).expect("the last position");
    assert!(!one.delete("k"));
    // Else it would be computed anew here, and the other would go on with the older value.
    assert_eq!((compute(&one, "k", &on(&["a"]), 2), two.get("k")), (1, Some(1)));
}

#[test]
fn what_was_fresh_is_fresh_after_a_restart_and_what_was_stale_stale() {
    let Pair { one, two, clock, scratch } = pair();
    compute(&one, "fresh", &on(&["a"]), 1);
    compute(&one, "stale", &on(&["b"]), 1);
    two.invalidate(&["b"]).expect("valid tag");
    drop((one, two));
    // The wall clock was put back meanwhile: positions rise all the same.
    clock.set_wall_us(NOON_US - 3_600_000_000);
    let again = builder(scratch.path(), &clock).build().expect("opens again");
    assert_eq!((again.get("fresh"), again.get("stale")), (Some(1), None));
    again.invalidate(&["a"]).expect("valid tag");
    assert_eq!(again.get("fresh"), None);
}

#[test]
fn rows_too_old_to_be_kept_leave_a_floor() {
    let (scratch, clock) = (Scratch::new(), Arc::new(ManualClock::at(NOON_US)));
    let open = || builder(scratch.path(), &clock).max_age(Duration::from_mins(1)).build().expect("opens");
    let one = open();
    compute(&one, "stale", &on(&["a"]), 1);
    one.invalidate(&["a"]).expect("valid tag");
    clock.advance_ms(1);
    compute(&one, "k", &on(&["b"]), 1);
    clock.advance_ms(61_000);
    one.invalidate(&["c"]).expect("valid tag");
    assert_eq!(one.get("k"), Some(1));
    one.sweep();
    let two = open();
    assert_eq!((one.get("stale"), two.get("stale")), (None, None));
    assert_eq!(two.get("k"), Some(1), "it is as of the invalidation that was forgotten");
}

#[test]
fn while_a_change_is_announced_nobody_serves_or_stores_what_it_covers() {
    let Pair { one, two, .. } = pair();
    compute(&one, "k", &on(&["a:b"]), 1);
    compute(&one, "other", &on(&["c"]), 1);
    assert_eq!((two.get("k"), two.get("other")), (Some(1), Some(1)));
    let mark = one.change(&[tag_of("a")], Duration::from_secs(30)).expect("can be written");
    assert_eq!((one.get("k"), two.get("k"), two.get("other")), (None, None, Some(1)));
    assert_eq!(compute(&two, "k", &on(&["a:b"]), 2), 2);
    assert_eq!(two.get("k"), None, "not stored");
    one.settle(mark).expect("it is announced");
    assert_eq!((one.get("k"), two.get("k")), (None, None));
    compute(&two, "k", &on(&["a:b"]), 3);
    assert_eq!((one.get("k"), two.get("k")), (Some(3), Some(3)));
    assert!(matches!(two.settle(mark), Err(Error::Settle(_))));
}

#[test]
fn a_change_whose_process_died_ends_at_its_deadline() {
    let Pair { one, two, clock, scratch } = pair();
    compute(&two, "k", &on(&["a"]), 1);
    let mark = one.change(&[tag_of("a")], Duration::from_secs(30)).expect("can be written");
    clock.advance_ms(29_999);
    let three = builder(scratch.path(), &clock).build().expect("opens");
    assert_eq!((two.get("k"), three.get("k")), (None, None));
    clock.advance_ms(1);
    assert_eq!((two.get("k"), three.get("k")), (None, None), "it counts as made");
    compute(&two, "k", &on(&["a"]), 2);
    assert_eq!((two.get("k"), three.get("k")), (Some(2), Some(2)));
    // It lives after all, and is late: the change may have been made after the deadline.
    one.settle(mark).expect("its own");
    assert_eq!((two.get("k"), three.get("k")), (None, None));
}

#[test]
fn entries_expire_everywhere_and_their_rows_are_freed() {
    let Pair { one, two, clock, .. } = pair();
    compute(&one, "k", &on(&["a"]).ttl(Duration::from_secs(10)), 1);
    clock.advance_ms(6_000);
    assert_eq!(two.get("k"), Some(1));
    clock.advance_ms(4_000);
    assert_eq!((one.get("k"), two.get("k")), (None, None));
    assert_eq!(one.stats().entries, 1);
    one.sweep();
    assert_eq!(one.stats().entries, 0);
}

#[test]
fn stale_rows_that_nobody_reads_are_freed() {
    let Pair { one, two, .. } = pair();
    for key in 0..600 {
        one.put(format!("{key}"), key, &on(&[if key % 2 == 0 { "even" } else { "odd" }]));
    }
    two.invalidate(&["even"]).expect("valid tag");
    one.sweep();
    assert_eq!((one.stats().entries, one.get("1"), one.get("2")), (300, Some(1), None));
}

#[test]
fn limits_hold_for_all_together() {
    let (scratch, clock) = (Scratch::new(), Arc::new(ManualClock::at(NOON_US)));
    let open = || builder(scratch.path(), &clock).max_entries(10).build().expect("opens");
    let (one, two) = (open(), open());
    for key in 0..20 {
        one.put(format!("{key}"), key, &on(&["a"]));
        two.put(format!("{key}'"), key, &on(&["a"]));
    }
    assert_eq!(one.stats().entries, 10);
    assert_eq!(
        builder(scratch.path(), &clock).build().expect("opens").get("19"),
        Some(19),
        "the oldest went"
    );
}

#[test]
fn many_large_entries_find_room() {
    struct Text;
    impl ValueCodec<Vec<u8>> for Text {
        fn encode(&self, value: &Vec<u8>) -> Result<Vec<u8>, CodecError> {
            Ok(value.clone())
        }
        fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
            Ok(bytes.to_vec())
        }
    }
    let scratch = Scratch::new();
    let told = Arc::new(Told::default());
    let open = || {
        Cache::<Vec<u8>>::builder().observer(told.clone()).lmdb(scratch.path(), Text).build().expect("opens")
    };
    let (one, two) = (open(), open());
    let mut noise = fastrand::Rng::with_seed(7);
    let large: Vec<u8> = std::iter::repeat_with(|| noise.u8(..)).take(1 << 20).collect();
    for key in 0..40 {
        assert!(one.put(format!("{key}"), large.clone(), &on(&["a"])), "{key}");
    }
    assert_eq!(two.get("39").as_ref(), Some(&large));
    assert_eq!(*told.all(), [""; 0]);
}

#[test]
fn a_value_without_bytes_is_computed_and_not_stored() {
    let Pair { one, two, .. } = pair();
    assert_eq!(compute(&one, "k", &on(&["a"]), 666), 666);
    assert_eq!((one.get("k"), two.get("k")), (None, None));
    assert_eq!(one.stats().storage_errors, 1);
    // What it was to replace is out of date.
    assert!(one.put("k", 1, &on(&["a"])));
    assert_eq!(two.get("k"), Some(1));
    assert!(!one.put("k", 666, &on(&["a"])));
    assert_eq!((one.get("k"), two.get("k")), (None, None));
}

#[test]
fn a_copy_of_a_folder_begins_empty() {
    let Pair { one, two, clock, scratch } = pair();
    compute(&one, "k", &on(&["a"]), 1);
    drop((one, two));
    let copy = Scratch::new();
    std::fs::copy(scratch.path().join("boot"), copy.path().join("boot")).expect("can be copied");
    for room in ["tags", "entries"] {
        std::fs::create_dir(copy.path().join(room)).expect("can be made");
        let data = format!("{room}/data.mdb");
        std::fs::copy(scratch.path().join(&data), copy.path().join(&data)).expect("can be copied");
    }
    let copied = builder(copy.path(), &clock).build().expect("opens");
    assert_eq!(copied.get("k"), None);
    assert_eq!(compute(&copied, "k", &on(&["a"]), 2), 2);
    let original = builder(scratch.path(), &clock).build().expect("opens");
    assert_eq!((original.get("k"), copied.get("k")), (Some(1), Some(2)));
}

#[test]
fn a_damaged_file_gives_an_empty_cache_that_says_so() {
    for room in ["tags", "entries"] {
        for (kept, noise) in [(0, 100), (100, 0), (8_192, 0), (0, 20_000), (20_480, 0)] {
            let Pair { one, two, clock, scratch } = pair();
            for key in 0..200 {
                one.put(format!("{key}"), key, &on(&["a"]));
                one.invalidate(&[format!("t:{key}")]).expect("valid tag");
            }
            drop((one, two));
            let path = scratch.path().join(room).join("data.mdb");
            let mut bytes = std::fs::read(&path).expect("there");
            bytes.truncate(kept);
            bytes.extend(std::iter::repeat_n(0xA5, noise));
            std::fs::write(&path, bytes).expect("can be written");
            let told = Arc::new(Told::default());
            let cache = builder(scratch.path(), &clock).observer(told.clone()).build();
            let cache = cache.unwrap_or_else(|error| panic!("{room} {kept} {noise}: {error}"));
            assert_eq!((cache.get("7"), told.all().len()), (None, 1), "{room} {kept}");
            assert_eq!(compute(&cache, "7", &on(&["a"]), 8), 8);
            assert_eq!(cache.get("7"), Some(8));
        }
    }
}

#[test]
fn a_damaged_row_is_a_miss() {
    for place in (0..90).step_by(5) {
        let Pair { one, two, clock, scratch } = pair();
        compute(&one, "k", &on(&["a"]), 1);
        drop((one, two));
        with_table(scratch.path(), "entries", "rows", |_, bytes| {
            let place = place % bytes.len();
            bytes[place] ^= 0x40;
        });
        let again = builder(scratch.path(), &clock).build().expect("opens");
        assert_eq!(again.get("k"), None, "byte {place}");
        assert_eq!(compute(&again, "k", &on(&["a"]), 2), 2);
        assert_eq!(again.get("k"), Some(2));
    }
}

#[test]
fn a_folder_of_a_newer_format_is_refused() {
    for room in ["tags", "entries"] {
        let Pair { one, two, clock, scratch } = pair();
        drop((one, two));
        with_table(scratch.path(), room, "meta", |key, bytes| {
            if key == b"format" {
                *bytes = 99_u64.to_be_bytes().to_vec();
                // What a row ends in: a checksum of its key and contents.
                let sum = blake3::Hasher::new().update(key).update(bytes).finalize();
                bytes.extend_from_slice(&sum.as_bytes()[..8]);
            }
        });
        let error = builder(scratch.path(), &clock).build().expect_err("newer");
        let Error::Folder(FolderError::Newer { found: 99, readable, .. }) = error else { panic!("{error}") };
        assert_eq!(readable, 2);
    }
}

#[test]
fn a_folder_that_cannot_be_is_refused_with_a_remedy() {
    let (scratch, clock) = (Scratch::new(), Arc::new(ManualClock::at(NOON_US)));
    let error = builder(&scratch.path().join("no/such"), &clock).build().expect_err("no parent");
    assert!(matches!(error, Error::Folder(FolderError::Missing { .. })), "{error}");
    assert!(builder(&scratch.path().join("made"), &clock).build().is_ok());
    std::fs::write(scratch.path().join("file"), "").expect("can be written");
    let error = builder(&scratch.path().join("file"), &clock).build().expect_err("a file");
    assert!(matches!(error, Error::Folder(FolderError::Failed { .. })), "{error}");
}

#[test]
fn closing_and_opening_the_same_folder_leaks_nothing() {
    let (scratch, clock) = (Scratch::new(), Arc::new(ManualClock::at(NOON_US)));
    for round in 0..20 {
        let cache = builder(scratch.path(), &clock).build().expect("opens");
        assert_eq!(cache.get("k"), (round > 0).then_some(0));
        compute(&cache, "k", &on(&["a"]), round);
    }
}

#[test]
fn what_rests_in_the_folder_is_explained_and_counted_by_all() {
    let Pair { one, two, clock, .. } = pair();
    for (key, tag) in [("a", "shop:1:x"), ("b", "shop:1:*"), ("c", "shop:2")] {
        compute(&one, key, &on(&[tag]), 1);
    }
    one.put("soon", 1, &on(&["shop:1"]).ttl(Duration::from_secs(5)));
    clock.advance_ms(3_000);
    let soon = two.explain("soon");
    assert_eq!((soon.state, soon.age_ms, soon.expires_in_ms), (EntryState::Fresh, 3_000, Some(2_000)));
    assert_eq!(two.affected(&tag_of("shop:1:x")), 2);
    assert_eq!(two.affected(&tag_of("shop:1")), 3);
    assert_eq!(two.affected(&Tag::root()), 4);
    clock.advance_ms(3_000);
    assert_eq!(two.explain("soon").state, EntryState::Expired);
    one.invalidate(&["shop:1:x"]).expect("can be written");
    assert!(two.latest(&tag_of("shop:1:x")) > Timestamp::ZERO);
    let explained = two.explain("b");
    assert_eq!(explained.state, EntryState::Stale);
    let cause = explained.cause.expect("there is one");
    assert_eq!((cause.tag, cause.node), ("shop:1:x".to_owned(), format!("pid:{}", std::process::id())));
    let mut fresh = Vec::new();
    two.visit(&mut |key, is_fresh| {
        if is_fresh {
            fresh.push(String::from_utf8_lossy(key).into_owned());
        }
    });
    assert_eq!(fresh, ["c"]);
    assert_eq!(two.explain("nothing").state, EntryState::Absent);
    let mark = one.change(&[tag_of("shop:2")], Duration::from_mins(1)).expect("can be written");
    assert_eq!(two.explain("c").state, EntryState::Changing);
    one.settle(mark).expect("is there");
}

#[test]
fn what_another_invalidates_while_it_is_computed_counts_as_born_stale() {
    let Pair { one, two, .. } = pair();
    let computed = one.get_or_compute("k", &on(&["a"]), |_: &Fill| {
        two.invalidate(&["a"])?;
        Ok::<_, Error>(1)
    });
    assert_eq!((computed.expect("computes"), one.stats().born_stale, one.get("k")), (1, 1, None));
}

#[test]
fn a_read_that_only_reads_the_log_waits_for_nobody() {
    let Pair { one, two, clock, .. } = pair();
    compute(&one, "k", &on(&["a"]), 1);
    assert!(one.keep_up() && two.keep_up());
    assert!(!one.would_wait());
    two.invalidate(&["a"]).expect("can be written");
    assert!(!one.would_wait(), "what another has written is only to be read");
    let _mark = two.change(&[tag_of("a")], Duration::from_secs(5)).expect("can be written");
    assert_eq!(one.get("k"), None);
    assert!(!one.would_wait());
    // Whoever looks after the deadline turns the mark into an invalidation.
    clock.advance_ms(6_000);
    assert!(one.would_wait());
    assert!(one.keep_up());
    assert!(!one.would_wait());
}
