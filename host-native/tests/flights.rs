//! P9: one computation per key at a time, whoever asks; nobody waits for ever, or for what was true before.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::scope;
use std::time::Duration;

use common::{DEADLINE, builder, cache, on, until, value};
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::{join, join_all};
use zoocache::{Cache, Error, Join, Policy, Waited};

/// A computation that says when it has begun and waits until it is told what to return.
struct Gate {
    began: Mutex<Receiver<()>>,
    go: Sender<u64>,
    inner: Mutex<(Sender<()>, Receiver<u64>)>,
}

impl Gate {
    fn new() -> Self {
        let (entered, began) = channel();
        let (go, told) = channel();
        Self { began: Mutex::new(began), go, inner: Mutex::new((entered, told)) }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands for a computation")]
    fn compute(&self) -> Result<u64, Error> {
        let inner = self.inner.lock().unwrap();
        inner.0.send(()).unwrap();
        Ok(inner.1.recv_timeout(DEADLINE).unwrap())
    }

    fn wait_until_begun(&self) {
        self.began.lock().unwrap().recv_timeout(DEADLINE).unwrap();
    }

    fn finish(&self, value: u64) {
        self.go.send(value).unwrap();
    }
}

fn waits(cache: &Cache<u64>, number: u64) {
    until("callers wait", || cache.stats().waits >= number);
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn many_threads_make_one_computation() {
    let (cache, _) = cache();
    let (computations, gate) = (AtomicU64::new(0), Gate::new());
    scope(|scope| {
        let ask = || {
            cache.get_or_compute("k", &Policy::default(), |_| {
                computations.fetch_add(1, Ordering::Relaxed);
                gate.compute()
            })
        };
        let threads: Vec<_> = (0..200).map(|_| scope.spawn(ask)).collect();
        waits(&cache, 199);
        gate.finish(7);
        assert!(threads.into_iter().all(|thread| thread.join().unwrap().unwrap() == 7));
    });
    assert_eq!(computations.into_inner(), 1);
}

#[test]
fn many_tasks_make_one_computation() {
    let (cache, _) = cache();
    let (go, told) = oneshot::channel::<u64>();
    let (told, policy) = (Mutex::new(Some(told)), Policy::default());
    let tasks = (0..200).map(|_| {
        cache.get_or_compute_async("k", &policy, async |_| {
            let told = told.lock().unwrap().take().expect("computed once");
            Ok::<_, Error>(told.await.unwrap())
        })
    });
    let finish = async { go.send(7).unwrap() };
    let (values, ()) = block_on(join(join_all(tasks), finish));
    assert!(values.into_iter().all(|value| value.unwrap() == 7));
    assert_eq!((cache.stats().computations, cache.stats().waits), (1, 199));
}

#[test]
fn threads_and_tasks_share_flights() {
    let (cache, _) = cache();
    let (gate, policy) = (Gate::new(), Policy::default());
    scope(|scope| {
        let thread = scope.spawn(|| cache.get_or_compute("by thread", &policy, |_| gate.compute()));
        gate.wait_until_begun();
        let task = scope.spawn(|| {
            block_on(cache.get_or_compute_async("by thread", &policy, async |_| Ok::<_, Error>(0)))
        });
        waits(&cache, 1);
        gate.finish(1);
        assert_eq!((thread.join().unwrap().unwrap(), task.join().unwrap().unwrap()), (1, 1));

        let (go, told) = oneshot::channel::<u64>();
        let (entered, began) = channel();
        let shared = cache.clone();
        let leading = move || {
            let load = async |_| {
                entered.send(()).unwrap();
                Ok::<_, Error>(told.await.unwrap())
            };
            block_on(shared.get_or_compute_async("by task", &Policy::default(), load))
        };
        let task = scope.spawn(leading);
        began.recv_timeout(DEADLINE).unwrap();
        let thread = scope.spawn(|| cache.get_or_compute("by task", &policy, value(0)));
        waits(&cache, 2);
        go.send(2).unwrap();
        assert_eq!((thread.join().unwrap().unwrap(), task.join().unwrap().unwrap()), (2, 2));
    });
}

#[test]
fn waiters_get_the_leaders_own_error() {
    let (cache, _) = cache();
    let gate = Gate::new();
    scope(|scope| {
        let ask = || {
            cache.get_or_compute("k", &Policy::default(), |_| {
                gate.compute()?;
                Err::<u64, Error>(cache.invalidate(&["not a tag"]).unwrap_err())
            })
        };
        let threads: Vec<_> = (0..10).map(|_| scope.spawn(ask)).collect();
        waits(&cache, 9);
        gate.finish(0);
        let errors: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap().unwrap_err()).collect();
        let first = errors[0].as_failure().unwrap();
        assert!(errors.iter().all(|error| Arc::ptr_eq(error.as_failure().unwrap(), first)));
        assert!(matches!(first.downcast_ref(), Some(Error::Tag(_))));
    });
    assert_eq!(cache.stats().errors, 1);
    assert_eq!(cache.get_or_compute("k", &Policy::default(), value(1)).unwrap(), 1);
}

#[test]
fn a_panic_hands_over_to_a_waiter() {
    let (cache, _) = cache();
    let gate = Gate::new();
    scope(|scope| {
        let leader = scope.spawn(|| {
            catch_unwind(AssertUnwindSafe(|| {
                let load = |_: &zoocache::Fill| -> Result<u64, Error> {
                    gate.compute()?;
                    panic!("of the computation")
                };
                cache.get_or_compute("k", &Policy::default(), load)
            }))
        });
        gate.wait_until_begun();
        let waiter = scope.spawn(|| cache.get_or_compute("k", &Policy::default(), value(2)));
        waits(&cache, 1);
        gate.finish(0);
        assert!(leader.join().unwrap().is_err());
        assert_eq!(waiter.join().unwrap().unwrap(), 2);
    });
}

/// Panics at every event.
struct Rude;

impl zoocache::Observer for Rude {
    fn on_event(&self, _: &zoocache::Event<'_>) {
        panic!("of the observer");
    }
}

#[test]
fn foreign_code_that_panics_at_the_end_hands_over_too() {
    let first = AtomicU64::new(0);
    let weigher = move |_: &u64| match first.fetch_add(1, Ordering::Relaxed) {
        0 => panic!("of the weigher"),
        _ => 8,
    };
    let cache = builder().0.weigher(weigher).build().unwrap();
    let ask = || cache.get_or_compute("k", &Policy::default(), value(1));
    assert!(catch_unwind(AssertUnwindSafe(ask)).is_err());
    assert_eq!(ask().unwrap(), 1);
    assert_eq!(cache.stats().waits, 0);

    let cache = builder().0.observer(Arc::new(Rude)).build().unwrap();
    let Ok(Join::Lead(leader)) = cache.join(b"k", None, false) else { panic!("not the leader") };
    let Ok(Join::Wait(waiter)) = cache.join(b"k", None, false) else { panic!("not a waiter") };
    assert!(catch_unwind(AssertUnwindSafe(|| leader.finish(1, None))).is_err());
    assert!(matches!(waiter.try_take(), Some(Waited::Entry(entry)) if *entry.value() == 1));
    assert_eq!(cache.get("k"), Some(1));
}

#[test]
fn a_dropped_task_hands_over() {
    let (cache, _) = cache();
    let policy = Policy::default();
    let forever = || {
        cache.get_or_compute_async("k", &policy, async |_| std::future::pending::<Result<u64, Error>>().await)
    };
    drop(forever()); // before its first poll
    let mut waiter = pin!(cache.get_or_compute_async("k", &policy, async |_| Ok::<_, Error>(1)));
    {
        let mut leader = pin!(forever());
        assert!(poll_once(leader.as_mut()).is_pending());
        assert!(poll_once(waiter.as_mut()).is_pending());
        assert_eq!(cache.stats().waits, 1);
    }
    assert_eq!(block_on(waiter).unwrap(), 1);
    assert_eq!(cache.get("k"), Some(1));
}

/// A waker that does nothing but be counted.
struct Count;

impl std::task::Wake for Count {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn dropped_waiters_disturb_nobody_and_leave_nothing() {
    let (cache, _) = cache();
    let policy = Policy::default();
    let wakers = Arc::new(Count);
    let Ok(Join::Lead(leader)) = cache.join(b"k", None, false) else { panic!("not the leader") };
    for _ in 0..100 {
        let mut waiter = pin!(cache.get_or_compute_async("k", &policy, async |_| Ok::<_, Error>(1)));
        let waker = Waker::from(wakers.clone());
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    // The thread that keeps the deadlines lets go of them a moment later.
    until("their wakers are gone with them", || Arc::strong_count(&wakers) == 1);
    let (_, stored) = leader.finish(5, None);
    assert!(stored);
    assert_eq!(cache.get("k"), Some(5));
}

#[test]
fn a_leader_and_all_waiters_may_be_dropped() {
    let (cache, _) = cache();
    let policy = Policy::default();
    for _ in 0..10 {
        let mut tasks: Vec<_> = (0..10)
            .map(|_| {
                Box::pin(cache.get_or_compute_async("k", &policy, async |_| {
                    std::future::pending::<Result<u64, Error>>().await
                }))
            })
            .collect();
        for task in &mut tasks {
            assert!(poll_once(task.as_mut()).is_pending());
        }
    }
    assert_eq!(cache.get_or_compute("k", &policy, value(1)).unwrap(), 1);
}

#[test]
fn who_asks_after_an_invalidation_gets_what_was_computed_after_it() {
    let (cache, _) = cache();
    let (source, gates) = (AtomicU64::new(1), [Gate::new(), Gate::new()]);
    let computations = AtomicU64::new(0);
    let policy = on(&["a:b"]);
    scope(|scope| {
        let ask = || {
            cache.get_or_compute("k", &policy, |_| {
                let seen = source.load(Ordering::SeqCst);
                if let Some(gate) =
                    gates.get(usize::try_from(computations.fetch_add(1, Ordering::SeqCst)).unwrap())
                {
                    gate.compute()?;
                }
                Ok::<_, Error>(seen)
            })
        };
        let early = scope.spawn(ask);
        gates[0].wait_until_begun();
        source.store(2, Ordering::SeqCst);
        cache.invalidate(&["a"]).unwrap();
        let late: Vec<_> = (0..5).map(|_| scope.spawn(ask)).collect();
        waits(&cache, 5);
        gates[0].finish(0);
        // Of those who waited for the stale computation one computes again. That one goes stale too,
        // and its result is nevertheless good for all who asked before it began.
        gates[1].wait_until_begun();
        waits(&cache, 9);
        source.store(3, Ordering::SeqCst);
        cache.invalidate(&["a"]).unwrap();
        gates[1].finish(0);
        assert_eq!(early.join().unwrap().unwrap(), 1);
        assert!(late.into_iter().all(|thread| thread.join().unwrap().unwrap() == 2));
    });
    assert_eq!(computations.into_inner(), 2, "nobody waited for a third");
    assert_eq!(cache.get("k"), None);
}

#[test]
fn who_waited_too_long_computes_for_himself() {
    for timeout in [Duration::from_millis(1), Duration::from_millis(20)] {
        let cache = builder().0.flight_timeout(timeout).build().unwrap();
        let (gate, policy) = (Gate::new(), Policy::default());
        scope(|scope| {
            let slow = scope.spawn(|| cache.get_or_compute("k", &policy, |_| gate.compute()));
            gate.wait_until_begun();
            assert_eq!(cache.get_or_compute("k", &policy, value(2)).unwrap(), 2);
            assert_eq!(cache.get("k"), Some(2));
            cache.delete("k");
            let waiter = cache.get_or_compute_async("k", &policy, async |_| Ok::<_, Error>(3));
            assert_eq!(block_on(waiter).unwrap(), 3);
            gate.finish(1);
            assert_eq!(slow.join().unwrap().unwrap(), 1);
        });
        assert_eq!(cache.get("k"), Some(3), "what was committed first stays");
        assert_eq!(cache.stats().timeouts, 1);
    }
}

#[test]
fn a_task_times_out_too_and_the_longest_timeout_does_not_overflow() {
    let cache = builder().0.flight_timeout(Duration::from_millis(5)).build().unwrap();
    let Ok(Join::Lead(_leader)) = cache.join(b"k", None, false) else { panic!("not the leader") };
    let policy = Policy::default();
    assert_eq!(block_on(cache.get_or_compute_async("k", &policy, async |_| Ok::<_, Error>(3))).unwrap(), 3);
    assert_eq!(cache.stats().timeouts, 1);

    let cache = builder().0.flight_timeout(Duration::MAX).build().unwrap();
    let gate = Gate::new();
    scope(|scope| {
        scope.spawn(|| cache.get_or_compute("k", &policy, |_| gate.compute()));
        gate.wait_until_begun();
        let thread = scope.spawn(|| cache.get_or_compute("k", &policy, value(0)));
        let task =
            scope.spawn(|| block_on(cache.get_or_compute_async("k", &policy, async |_| Ok::<_, Error>(0))));
        until("both wait", || cache.stats().waits == 2 || task.is_finished() || thread.is_finished());
        gate.finish(4);
        assert_eq!((thread.join().unwrap().unwrap(), task.join().unwrap().unwrap()), (4, 4));
    });
}

#[test]
fn a_key_that_asks_for_itself_is_an_error_at_once() {
    let (cache, _) = cache();
    let policy = Policy::default();
    let is_recursion = |result: Result<u64, Error>| {
        let error = result.unwrap_err();
        let mut cause: &(dyn std::error::Error + 'static) = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        assert!(error.to_string().contains("asked for \"a\" again"), "{error}");
    };
    is_recursion(cache.get_or_compute("a", &policy, |_| cache.get_or_compute("a", &policy, value(1))));
    is_recursion(cache.get_or_compute("a", &policy, |_| {
        cache.get_or_compute("b", &policy, |_| cache.get_or_compute("a", &policy, value(1)))
    }));
    is_recursion(block_on(cache.get_or_compute_async("a", &policy, async |_| {
        let again = cache.get_or_compute_async("a", &policy, async |_| Ok::<_, Error>(1));
        let (again, one) = join(again, async { 1 }).await;
        again.map(|again| again + one)
    })));
    is_recursion(block_on(cache.get_or_compute_async("a", &policy, async |_| {
        cache.get_or_compute("b", &policy, |_| cache.get_or_compute("a", &policy, value(1)))
    })));
    assert_eq!(cache.get_or_compute("a", &policy, value(1)).unwrap(), 1);
}

#[test]
fn computations_that_wait_for_one_another_end() {
    for _ in 0..50 {
        let (cache, _) = cache();
        let (both, policy) = (Barrier::new(2), Policy::default());
        // Each asks for the other's key, but only where nobody is asking for it already.
        let crosswise = |own: &'static str, other: &'static str, answer: u64| {
            cache.get_or_compute(own, &policy, |_| {
                both.wait();
                let nested = cache.get_or_compute(other, &policy, value(answer))?;
                Ok::<_, Error>(nested)
            })
        };
        scope(|scope| {
            let one = scope.spawn(|| crosswise("a", "b", 1));
            let two = scope.spawn(|| crosswise("b", "a", 2));
            let (one, two) = (one.join().unwrap().unwrap(), two.join().unwrap().unwrap());
            assert!([(1, 1), (2, 2), (1, 2)].contains(&(one, two)), "{one} {two}");
        });
        assert_eq!(cache.stats().timeouts, 0);
    }
}

#[test]
fn gathered_tasks_that_wait_for_one_another_end() {
    let (cache, _) = cache();
    let policy = Policy::default();
    let crosswise = async |own: &'static str, other: &'static str| {
        let load = async |_| {
            let mut yielded = false;
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            cache.get_or_compute_async(other, &policy, async |_| Ok::<_, Error>(1)).await
        };
        cache.get_or_compute_async(own, &policy, load).await.unwrap()
    };
    let outer = cache.get_or_compute_async("outer", &policy, async |_| {
        let (one, two) = join(crosswise("a", "b"), crosswise("b", "a")).await;
        Ok::<_, Error>(one + two)
    });
    assert_eq!(block_on(outer).unwrap(), 2);
    assert_eq!(cache.stats().timeouts, 0);
}

#[test]
fn a_put_during_a_computation_stays() {
    let (cache, _) = cache();
    let load = |_: &zoocache::Fill| {
        assert!(cache.put("k", 2, &Policy::default()));
        Ok::<_, Error>(1)
    };
    assert_eq!(cache.get_or_compute("k", &Policy::default(), load).unwrap(), 1);
    assert_eq!(cache.get("k"), Some(2));
    assert!(cache.put("k", 3, &Policy::default()));
    assert_eq!(cache.get("k"), Some(3), "and replaces what is fresh");
}

#[test]
fn a_put_that_is_refused_removes_what_it_was_to_replace() {
    let (cache, _) = cache();
    cache.put("k", 1, &Policy::default());
    let mark = cache.change(&[common::tag_of("a")], DEADLINE).unwrap();
    assert!(!cache.put("k", 2, &on(&["a"])));
    assert_eq!(cache.get("k"), None);
    cache.settle(mark).unwrap();
}

#[test]
fn a_delete_during_a_computation_wins() {
    let (cache, _) = cache();
    cache.put("k", 0, &Policy::default());
    cache.invalidate(&["x"]).unwrap();
    assert!(cache.delete("k"));
    assert!(!cache.delete("k"));
    let load = |_: &zoocache::Fill| {
        cache.delete("k");
        Ok::<_, Error>(1)
    };
    cache.get_or_compute("k", &Policy::default(), load).unwrap();
    assert_eq!(cache.get("k"), None);
}

#[test]
fn a_delete_concerns_its_own_key_only() {
    let (cache, _) = cache();
    let load = |_: &zoocache::Fill| {
        for other in 0..1_000 {
            cache.delete(format!("other {other}"));
        }
        Ok::<_, Error>(1)
    };
    cache.get_or_compute("k", &Policy::default(), load).unwrap();
    assert_eq!(cache.get("k"), Some(1));
}

#[test]
fn after_a_fork_nobody_waits_for_the_parents_threads() {
    let (cache, _) = cache();
    let Ok(Join::Lead(leader)) = cache.join(b"k", None, false) else { panic!("not the leader") };
    cache.after_fork();
    assert_eq!(cache.get_or_compute("k", &Policy::default(), value(1)).unwrap(), 1);
    leader.finish(2, None);
    assert!(cache.get("k").is_some());
}

#[test]
fn a_result_that_went_stale_is_only_for_those_who_asked_before_it_began() {
    let (cache, _) = cache();
    let Ok(Join::Lead(leader)) = cache.join(b"k", None, false) else { panic!("not the leader") };
    leader.declare(&on(&["a"]));
    let [first, second] = [false, true].map(|second_round| match cache.join(b"k", None, second_round) {
        Ok(Join::Wait(waiter)) => waiter,
        other => panic!("not a waiter: {other:?}"),
    });
    assert!(first.try_take().is_none());
    leader.finish(1, None);
    assert!(matches!(first.try_take(), Some(Waited::Entry(entry)) if *entry.value() == 1));
    cache.invalidate(&["a"]).unwrap();
    assert!(matches!(first.try_take(), Some(Waited::Again)));
    assert!(matches!(second.try_take(), Some(Waited::Entry(entry)) if *entry.value() == 1));
}
