//! Portable snapshots. An input without a valid checksum gets one, so that damaged contents are reached. What loads
//! must be usable: as a live state, as a base, and saved again.
#![no_main]

use gptz::session::{Session, Snapshot};
use libfuzzer_sys::fuzz_target;

const METHODS: [&str; 3] = [
    "mix:orders=0-2,word=0,match=1,sparse=0,mem=64K",
    "gru:embed=16,hidden=16,bptt=2,stride=2,replay=1",
    "cfg:hidden=32,layers=1,intermediate=16,decay_rank=4,a_rank=4,v_rank=4,g_rank=4,head_size=32,seed=1,train=adam,lr=0.02",
];

fn use_it(snapshot: Snapshot) {
    let snapshot = std::sync::Arc::new(snapshot);
    snapshot.save().unwrap();
    for method in METHODS {
        let mut session = Session::create(method).unwrap();
        if session.restore(&snapshot).is_ok() {
            session.feed(b"some text, some text", None).unwrap();
            session.predict(&mut [0.0; 256]).unwrap();
            session.snapshot().unwrap().save().unwrap();
            session.set_base(Some(snapshot.clone())).unwrap();
            session.cross_entropy(b"more text", None).unwrap();
        }
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(snapshot) = Snapshot::load(data) {
        use_it(snapshot);
    } else if let Some((body, _)) = data.split_last_chunk::<4>() {
        let mut forged = body.to_vec();
        forged.extend(crc32fast::hash(body).to_le_bytes());
        if let Ok(snapshot) = Snapshot::load(&forged) {
            use_it(snapshot);
        }
    }
});
