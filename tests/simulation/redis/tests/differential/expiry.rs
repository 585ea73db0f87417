//! Keys that expire while they are looked at.

use redis::Value;

use crate::twins::{Twins, words};

/// Looks at so many, on a busy machine too, where most have expired before anybody looks.
const LOOKS: u32 = 100;

/// What the real server answers lies between what the simulated one answers just before and just after.
pub(crate) fn compare(twins: &mut Twins) {
    let mut living = 0;
    while living < LOOKS {
        for key in 0..40 {
            set(twins, key);
        }
        let mut keys: Vec<u32> = (0..40).collect();
        while !keys.is_empty() {
            keys.retain(|key| {
                let [life, text] = ["PTTL", "GET"].map(|command| ask(twins, &format!("{command} {key}")));
                let lives = life != Value::Int(-2) || text != Value::Nil;
                living += u32::from(lives);
                lives
            });
        }
    }
}

/// With a life that begins in the same millisecond for both.
fn set(twins: &mut Twins, key: u32) {
    let command = words(&format!("SET {key} v PX {}", 10 + key));
    loop {
        let before_us = twins.now_us();
        assert_eq!(twins.real(&command), Value::Okay);
        if twins.now_us() / 1_000 == before_us / 1_000 {
            assert_eq!(twins.simulated.call(before_us, &command), Value::Okay);
            return;
        }
    }
}

fn ask(twins: &mut Twins, command: &str) -> Value {
    let command = words(command);
    let before_us = twins.now_us();
    let real = twins.real(&command);
    let after_us = twins.now_us();
    let [before, after] = [before_us, after_us].map(|now_us| twins.simulated.call(now_us, &command));
    let is_between = match (&before, &real, &after) {
        (Value::Int(before), Value::Int(real), Value::Int(after)) => (after..=before).contains(&real),
        _ => real == before || real == after,
    };
    assert!(is_between, "{command:?}: {before:?} {real:?} {after:?}");
    real
}
