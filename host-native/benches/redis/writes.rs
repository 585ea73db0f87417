//! What do an invalidation and a computation cost that every machine learns of?

use crate::load::{VALUE, filled, policy, tag};
use crate::report::Row;
use crate::server::{Raw, Server};
use crate::timing::{Effort, contender, interleave};

pub(crate) fn rows(server: &Server, effort: &Effort) -> Vec<Row> {
    let cache = filled(server.builder("writes"), 100);
    let raw = Raw::filled(server, 100);
    let tags = [tag(7)];
    let (mut computed, mut put) = (0_u64, 0_u64);
    let contenders = [
        contender(|| cache.invalidate_tags(&tags).unwrap()),
        contender(|| {
            computed += 1;
            let key = computed.to_le_bytes();
            cache.get_or_compute(key, &policy(8), |_| Ok::<_, zoocache::Error>(VALUE.to_vec())).unwrap()
        }),
        contender(|| raw.get(7)),
        contender(|| {
            put += 1;
            raw.ask::<()>(redis::cmd("SET").arg(put % 100).arg(&VALUE));
        }),
    ];
    let [invalidate, miss, get, set] = interleave(contenders, effort);
    vec![
        Row::of("invalidate, 3 deep", &invalidate, ("SET through the same client", &set)),
        Row::of("miss: look, compute, store", &miss, ("GET through the same client", &get)),
    ]
}
