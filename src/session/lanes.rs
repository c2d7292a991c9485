//! Tests of lanes: frames of every number of lanes, against networks that run one lane at a time.

use super::block::BlockEncoder;
use super::driver::{Encode, drive};
use super::progress::Progress;
use super::{Param, Session, compress_bound};
use crate::coder::{Encoder, RangeEncoder};
use crate::error::Status;
use crate::numeric::random::Random;
use crate::predict::{MIN_STRIPE, Predictor, to_coding_order};

const TEXT: &[u8] = include_bytes!("../../tests/data/alice29.txt");
const CFG: &str = "cfg:hidden=32,layers=2,intermediate=40,head_size=32,decay_rank=4,a_rank=4,v_rank=4,g_rank=4,seed=1";
const GRU: &str = "gru:embed=16,hidden=16,layers=2,bptt=6,stride=5,replay=2,train=adam,lr=0.005,clip=1,seed=3";

fn methods() -> [String; 8] {
    [
        "mix:mem=64K".to_owned(),
        "mix:mem=1M,fast=2".to_owned(),
        CFG.to_owned(),
        format!("{CFG},train=sgd,lr=0.01,stride=3"),
        format!("{CFG},train=adam,lr=0.002,stride=1"),
        GRU.to_owned(),
        format!("mix:neural=({CFG};head:train=sgd,lr=0.02)+({GRU}),mem=1M"),
        format!("mix:neural=({CFG};policy:schedule=0..100%:train(lr=0.01)),mem=64K"),
    ]
}

fn session(method: &str, options: &[(Param, i64)]) -> Session {
    let mut session = Session::create(method).unwrap();
    options.iter().for_each(|(param, value)| session.params_mut().set(*param, *value).unwrap());
    session
}

fn compress(session: &mut Session, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; compress_bound(content.len()).unwrap()];
    let n = session.compress(content, &mut frame, None).unwrap();
    frame.truncate(n);
    frame
}

fn decompress(session: &mut Session, frame: &[u8], len: usize) -> Vec<u8> {
    let mut back = vec![0; len];
    assert_eq!(session.decompress(frame, &mut back, None).unwrap(), len);
    back
}

fn noise(n: usize) -> Vec<u8> {
    let mut random = Random::new(4, "noise");
    (0..n).map(|_| random.next_u64() as u8).collect()
}

#[test]
fn every_number_of_lanes_gives_back_the_content() {
    let min = MIN_STRIPE as usize;
    // Text, noise that is stored, and repeated text, whose matches reach into other stripes.
    let content = [&TEXT[..5 * min], &noise(4096)[..], &TEXT[min..3 * min + 77], &TEXT[..5 * min + 1]].concat();
    for (i, method) in methods().iter().enumerate() {
        // One handle for all, so that the number of lanes changes between calls.
        let (mut writer, mut reader) = (session(method, &[(Param::BlockLog, 12)]), session(method, &[]));
        for lanes in [4, 1, 2, 64, 8, 32, 16] {
            let block_log = 12 + i64::from(lanes > 2) + i64::from(lanes > 8);
            for (param, value) in
                [(Param::Lanes, lanes), (Param::BlockLog, block_log), (Param::Coder, i64::from(lanes == 2))]
            {
                writer.params_mut().set(param, value).unwrap();
            }
            let lens: &[usize] = if lanes == 4 {
                &[0, 1, 2 * min - 1, 2 * min, 4 * min + 3, content.len()]
            } else {
                &[content.len() - 1]
            };
            for len in lens {
                let frame = compress(&mut writer, &content[..*len]);
                assert!(
                    decompress(&mut reader, &frame, *len) == content[..*len],
                    "{method}, {lanes} lanes, {len} bytes"
                );
                if i == 0 && lanes == 4 {
                    // Another handle, and one that the frame makes.
                    assert!(
                        compress(&mut session(method, &[(Param::Lanes, 4), (Param::BlockLog, 13)]), &content[..*len])
                            == frame
                    );
                    let mut made = Session::create_for_frame(&frame).unwrap();
                    assert!(decompress(&mut made, &frame, *len) == content[..*len]);
                }
            }
        }
    }
}

#[test]
fn segments_and_bases_with_lanes_decode() {
    let content = [&TEXT[..100_000], &TEXT[..40_001]].concat();
    for (method, len) in [("mix:mem=1M", content.len()), (&format!("{CFG},train=adam,lr=0.002"), 70_003), (GRU, 66_601)]
    {
        let options = [(Param::Lanes, 8), (Param::BlockLog, 14), (Param::SegmentLog, 16)];
        let mut writer = session(method, &options);
        // A base with losses of a GRU that were not trained on.
        writer.feed(&TEXT[100_000..100_503], None).unwrap();
        let base = std::sync::Arc::new(writer.snapshot().unwrap());
        writer.set_base(Some(base.clone())).unwrap();
        let frame = compress(&mut writer, &content[..len]);
        let mut reader = session(method, &[]);
        reader.set_base(Some(base)).unwrap();
        assert!(decompress(&mut reader, &frame, len) == content[..len], "{method}");
    }
}

/// Networks of one lane, one for each lane. The last one that was used hands its state over to the first one.
struct Naive {
    lanes: Vec<Predictor>,
    used: usize,
}

impl Naive {
    fn encode(&mut self, session: &Session, block: &[u8], lanes: usize) -> Vec<u8> {
        let last = self.lanes[self.used - 1].save(&session.blueprint).unwrap();
        self.lanes[0].start_at(&last);
        self.used = lanes;
        let (mut encoder, mut payload, mut ordered) = (RangeEncoder::default(), Vec::new(), Vec::new());
        to_coding_order(block, lanes, &mut ordered);
        for (i, byte) in ordered.iter().enumerate() {
            self.lanes[i % lanes].code_byte(&mut Encode::new(&[*byte], &mut encoder));
        }
        encoder.finish(&mut payload).unwrap();
        payload
    }
}

#[test]
fn networks_in_lanes_are_networks_of_one_lane_each() {
    for method in [CFG.to_owned(), format!("{CFG};weights=f32")] {
        let mut session = session(&method, &[]);
        let mut predictor = session.take_scratch(8).unwrap();
        let lane = |_| {
            let mut one = Predictor::new(&session.blueprint).unwrap();
            one.start_at(session.base_state());
            one
        };
        let mut naive = Naive { lanes: (0..8).map(lane).collect(), used: 1 };
        let mut progress = Progress::start(None, 0).unwrap();
        let mut rest = TEXT;
        for (len, lanes) in [(9001, 8), (2050, 2), (8192, 8), (100, 1), (8199, 8), (4097, 4), (8193, 8)] {
            let (block, after) = rest.split_at(len);
            rest = after;
            let want = naive.encode(&session, block, lanes);
            predictor.mark(&session.blueprint).unwrap();
            let mut payload = Vec::new();
            let mut encoder = BlockEncoder { predictor: &mut predictor, raw: block, payload: &mut payload };
            encoder.encode::<RangeEncoder>(&mut progress).unwrap();
            assert!(payload == want, "{method}, {len} bytes");
        }
    }
}

/// A predictor of several lanes that uses one of them is a predictor of one lane.
#[test]
fn a_block_of_one_lane_does_not_depend_on_the_most_lanes() {
    for method in methods() {
        let mut session = session(&method, &[]);
        let mut progress = Progress::start(None, 0).unwrap();
        let mut payloads = [1, 16].map(|lanes| {
            let mut predictor = session.take_scratch(lanes).unwrap();
            predictor.begin_stream(Some(4000));
            let mut payload = Vec::new();
            for block in TEXT[..4000].chunks(2000) {
                assert_eq!(predictor.begin_block(block.len()).unwrap(), 1);
                let mut encoder = RangeEncoder::default();
                drive(&mut predictor, &mut Encode::new(block, &mut encoder), &mut progress).unwrap();
                encoder.finish(&mut payload).unwrap();
                predictor.end_block(block);
            }
            payload
        });
        assert!(!payloads[0].is_empty() && std::mem::take(&mut payloads[0]) == payloads[1], "{method}");
    }
}

#[test]
fn a_call_with_lanes_can_be_cancelled_at_every_step() {
    let method = format!("mix:neural=({CFG};head:train=sgd,lr=0.02),mem=1M");
    let options = [(Param::Lanes, 8), (Param::BlockLog, 14)];
    let content = &TEXT[..20_000];
    let mut whole = session(&method, &options);
    let frame = compress(&mut whole, content);
    let mut calls = 0;
    let mut out = vec![0; content.len()];
    whole
        .decompress(
            &frame,
            &mut out,
            Some(&mut |_, _| {
                calls += 1;
                true
            }),
        )
        .unwrap();
    assert!(calls >= content.len() / 256);
    // Decompression has a call more.
    for stop in [0, 1, 2, 17, calls / 2, calls - 2] {
        let mut left = stop as i64;
        let mut cancel = |_: u64, _: u64| {
            left -= 1;
            left >= 0
        };
        let e = whole.decompress(&frame, &mut out, Some(&mut cancel)).unwrap_err();
        assert_eq!(e.status(), Status::Cancelled);
        let mut left = stop as i64;
        let mut cancel = |_: u64, _: u64| {
            left -= 1;
            left >= 0
        };
        let mut dst = vec![0; content.len()];
        assert_eq!(whole.compress(content, &mut dst, Some(&mut cancel)).unwrap_err().status(), Status::Cancelled);
        // The handle then works as before.
        assert!(compress(&mut whole, content) == frame);
    }
}

#[test]
fn lanes_are_checked() {
    let mut session = session("mix:mem=64K", &[]);
    for lanes in [-1, 3, 65, 128] {
        assert_eq!(session.params_mut().set(Param::Lanes, lanes).unwrap_err().status(), Status::Argument, "{lanes}");
    }
    // A limit that one lane stays below and 64 lanes do not.
    let method = format!("{CFG},train=sgd");
    let mut session = self::session(&method, &[(Param::Lanes, 1)]);
    let one = session.memory_estimate();
    session.params_mut().set(Param::Lanes, 64).unwrap();
    assert!(session.memory_estimate() > one);
    let frame = compress(&mut session, &TEXT[..3000]);
    session.params_mut().set(Param::MemoryLimit, one as i64).unwrap();
    let mut out = vec![0; 3000];
    assert_eq!(session.decompress(&frame, &mut out, None).unwrap_err().status(), Status::Memory);
    assert_eq!(session.compress(&TEXT[..3000], &mut out, None).unwrap_err().status(), Status::Memory);
    session.params_mut().set(Param::Lanes, 1).unwrap();
    session.compress(&TEXT[..3000], &mut out, None).unwrap();
}

/// Lanes cost some bits, not a share of the content.
#[test]
fn lanes_cost_little() {
    let content = &TEXT[..120_000];
    for method in ["mix:mem=1M", "mix:mem=1M,fast=2"] {
        let len = |lanes| compress(&mut session(method, &[(Param::Lanes, lanes)]), content).len() as f64;
        let (one, eight) = (len(1), len(8));
        assert!(eight < one * 1.06, "{method}: {one}, {eight}");
    }
}
