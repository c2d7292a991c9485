//! Any order of feed, predict, snapshot, restore, base, reset and cancelled calls. The target keeps the bytes that led
//! to the live state and to the base, and compares with a new handle that is fed these bytes.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use gptz::session::{Session, Snapshot};
use libfuzzer_sys::fuzz_target;

const METHODS: [&str; 5] = [
    "cfg:hidden=32,layers=1,intermediate=16,decay_rank=4,a_rank=4,v_rank=4,g_rank=4,head_size=32,seed=1,train=sgd,lr=0.02,stride=2",
    "mix:orders=0-3,mem=64K",
    "mix:neural=(builtin:1;head:)+(gru:embed=16,hidden=16,bptt=4,replay=1),orders=0-2,mem=64K",
    "mix:neural=(gru:embed=16,hidden=16,bptt=4,stride=2,replay=1,train=adam,lr=0.01),orders=0-2,mem=64K",
    "mix:neural=(cfg:hidden=32,layers=1,intermediate=17,head_size=32,train=sgd,lr=0.01),orders=0-2,mem=64K",
];

#[derive(Arbitrary, Debug)]
enum Step {
    Feed(Vec<u8>),
    FeedCancelled(Vec<u8>),
    Predict,
    Take,
    Restore(u8),
    SetBase(Option<u8>),
    Reset,
    RoundTrip(Vec<u8>),
    Records(Vec<Vec<u8>>),
}

/// A snapshot and the bytes that led to it.
type Moment = (Arc<Snapshot>, Vec<u8>);

fn after(method: &str, history: &[u8]) -> Session {
    let mut session = Session::create(method).expect("a method");
    session.feed(history, None).expect("fed");
    session
}

fuzz_target!(|input: (u8, Vec<Step>)| {
    let (method, steps) = (METHODS[usize::from(input.0) % METHODS.len()], input.1);
    let mut session = Session::create(method).expect("a method");
    let (mut live, mut base): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut moments: Vec<Moment> = Vec::new();
    for step in steps.into_iter().take(24) {
        match step {
            Step::Feed(mut data) => {
                data.truncate(300);
                session.feed(&data, None).expect("fed");
                live.extend(data);
            }
            Step::FeedCancelled(data) => {
                session.feed(&data, Some(&mut |_, _| false)).expect_err("cancelled");
            }
            Step::Predict => {
                let (mut found, mut expected) = ([0.0; 256], [0.0; 256]);
                session.predict(&mut found).expect("predicted");
                after(method, &live).predict(&mut expected).expect("predicted");
                assert_eq!(found, expected);
            }
            Step::Take => {
                let snapshot = session.snapshot().expect("taken");
                assert_eq!(snapshot.id(), after(method, &live).snapshot().expect("taken").id());
                moments.push((Arc::new(snapshot), live.clone()));
            }
            Step::Restore(i) if !moments.is_empty() => {
                let (snapshot, history) = &moments[usize::from(i) % moments.len()];
                session.restore(snapshot).expect("restored");
                live.clone_from(history);
            }
            Step::SetBase(Some(i)) if !moments.is_empty() => {
                let (snapshot, history) = &moments[usize::from(i) % moments.len()];
                session.set_base(Some(snapshot.clone())).expect("set");
                base.clone_from(history);
            }
            Step::SetBase(None) => {
                session.set_base(None).expect("set");
                base.clear();
            }
            Step::Reset => {
                session.reset();
                live.clone_from(&base);
            }
            Step::RoundTrip(mut data) => {
                data.truncate(300);
                let mut frame = vec![0; 4096];
                let n = session.compress(&data, &mut frame, None).expect("compressed");
                let mut back = vec![0; data.len()];
                session.decompress(&frame[..n], &mut back, None).expect("decompressed");
                assert_eq!(back, data);
            }
            Step::Records(mut contents) => {
                contents.truncate(4);
                contents.iter_mut().for_each(|c| c.truncate(100));
                let src: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
                let (mut dst, mut lens) = (vec![0; 1024], vec![0; src.len()]);
                session.records_compress(&src, &mut dst, &mut lens, None).expect("compressed");
                let mut rest = &dst[..];
                let made: Vec<&[u8]> = lens.iter().map(|len| rest.split_off(..*len).expect("there")).collect();
                // One by one, the last first.
                for (raw, record) in src.iter().zip(made).rev() {
                    let mut back = vec![0; raw.len()];
                    session.records_decompress(&[record], &mut back, &mut [0], None).expect("decompressed");
                    assert_eq!(back, *raw);
                }
            }
            _ => {}
        }
    }
});
