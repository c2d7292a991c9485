use std::path::Path;

use super::*;
use crate::error::{Error, Status};
use crate::model::open::Opened;
use crate::model::transformer::Room;
use crate::model::transformer::tests::fixture::{fixture, write_fixture};
use crate::model::transformer::tests::naive::Naive;
use crate::numeric::attention::KvFormat;
use crate::numeric::matmul::Precision;
use crate::numeric::testing::assert_same;
use crate::session::Session;

/// Writes a fixture's model to a folder and opens it.
fn open(folder: &Path, name: &str) -> Opened {
    crate::numeric::float_env::set_default();
    Opened::open(&write_fixture(folder, name)).unwrap()
}

fn text(n: u32) -> Vec<u32> {
    (0..n).map(|i| (i * i * 11 + i * 5 + 2) % 80).collect()
}

fn status<T: std::fmt::Debug>(result: crate::error::Result<T>) -> (Status, String) {
    let e: Error = result.unwrap_err();
    (e.status(), e.message().to_owned())
}

#[test]
fn every_call_gives_the_logits_of_naive_recomputation() {
    let folder = tempfile::tempdir().unwrap();
    let model = open(folder.path(), "gemma3");
    let (_, config, memory) = fixture("gemma3");
    let Opened::Transformer(opened) = &model else { panic!("a transformer") };
    let weights = opened.weights(Precision::Grouped).unwrap();
    for (options, room) in [
        ("context=64", Room { context: 64, slides: false }),
        ("context=20,full=slide", Room { context: 20, slides: true }),
        ("context=33,full=slide,cache=f16", Room { context: 33, slides: true }),
    ] {
        let format = if options.contains("f16") { KvFormat::F16 } else { KvFormat::I8 };
        let naive = Naive { config: &config, memory: &memory, precision: Precision::Grouped, format, room };
        let tokens = text(60);
        let want = naive.logits(&weights, &tokens);
        let mut generator = Generator::new(&model, options).unwrap();
        let check = |generator: &Generator, n: usize| {
            assert_eq!(generator.history(), &tokens[..n]);
            assert_same(generator.logits().unwrap(), &want[n - 1], &format!("{options}, {n} tokens"));
        };
        // Forward by prefills that share a prefix, by decode, back to a prefix, and the same again.
        for n in [1, 3, 17, 18, 40, 40, 7, 60, 59, 2] {
            generator.prefill(&tokens[..n], None).unwrap();
            check(&generator, n);
            for (i, token) in tokens.iter().enumerate().skip(n).take(5) {
                generator.decode(*token).unwrap();
                check(&generator, i + 1);
            }
        }
        let mut other = tokens.clone();
        other[10] = (other[10] + 1) % 80;
        let changed = naive.logits(&weights, &other);
        generator.prefill(&tokens[..30], None).unwrap();
        generator.prefill(&other[..30], None).unwrap();
        assert_same(generator.logits().unwrap(), &changed[29], options);
    }
}

#[test]
fn generation_is_greedy_or_drawn_and_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let model = open(folder.path(), "llama");
    let mut generator = Generator::new(&model, "").unwrap();
    let run = |generator: &mut Generator| {
        generator.prefill(&text(4), None).unwrap();
        let mut seen = vec![];
        assert_eq!(
            generator
                .generate(20, |token, _| {
                    seen.push(token);
                    true
                })
                .unwrap(),
            20
        );
        assert_eq!(&generator.history()[4..], seen);
        assert_eq!(generator.tokens().unwrap().len(), 24);
        seen
    };
    let greedy = run(&mut generator);
    assert_eq!(greedy, run(&mut generator));
    generator.prefill(&text(4), None).unwrap();
    for token in &greedy {
        let logits = generator.logits().unwrap();
        let best = logits.iter().fold(f32::MIN, |m, x| m.max(*x));
        assert_eq!(logits.iter().position(|x| *x == best).unwrap() as u32, *token);
        assert_eq!(generator.step().unwrap(), *token);
    }
    let mut drawn = vec![];
    for sampler in ["temperature=30,seed=1", "temperature=30,seed=2", "temperature=30,seed=1"] {
        generator.set_sampler(Sampler::parse(sampler).unwrap());
        drawn.push(run(&mut generator));
    }
    assert!(drawn[0] == drawn[2] && drawn[0] != drawn[1] && drawn[0] != greedy);
    generator.prefill(&text(4), None).unwrap();
    assert_eq!(generator.generate(20, |_, _| false).unwrap(), 1);
    assert_eq!(generator.generate(0, |_, _| true).unwrap(), 0);
    assert_eq!(generator.history().len(), 5);
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = [0.0f32, 1.0, 2.0, f32::NEG_INFINITY, -30.0];
    let sampler = Sampler::Temperature { temperature: 1.0, seed: 7 };
    let mut counts = [0f64; 5];
    let n = 20_000;
    for position in 0..n {
        counts[sampler.choose(crate::numeric::level::Level::current(), &logits, position).unwrap() as usize] += 1.0;
    }
    let sum: f64 = [0f64, 1.0, 2.0].iter().map(|x| x.exp()).sum();
    for i in 0..3 {
        let p = (i as f64).exp() / sum;
        assert!((counts[i] / n as f64 - p).abs() < 4.0 * (p * (1.0 - p) / n as f64).sqrt(), "{i}: {counts:?}");
    }
    assert_eq!(counts[3] + counts[4], 0.0);
    let greedy = |logits: &[f32]| Sampler::Greedy.choose(crate::numeric::level::Level::current(), logits, 0).unwrap();
    assert_eq!(greedy(&[1.0, 3.0, 3.0, f32::NAN, f32::INFINITY]), 1);
    assert_eq!(greedy(&[f32::NAN, f32::NAN]), 0);
}

#[test]
fn wrong_calls_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = open(folder.path(), "llama");
    for (options, part) in [
        ("context=0", "context=0"),
        ("context=65", "the model's, 64"),
        ("context=4,full=slide", "5 is the least"),
        ("context=x", "context=x"),
        ("weights=q4", "weights=q4"),
        ("colour=red", "colour"),
        ("context", "key=value"),
        ("context=5,context=6", "twice"),
    ] {
        let (kind, message) = status(Generator::new(&model, options));
        assert!(kind == Status::Argument && message.contains(part), "{options}: {message}");
    }
    for sampler in ["temperature=-1", "temperature=nan", "top_k=40", "seed=-1"] {
        let key = sampler.split('=').next().unwrap();
        let (kind, message) = status(Sampler::parse(sampler));
        assert!(kind == Status::Argument && message.contains(key), "{sampler}: {message}");
    }
    let mut generator = Generator::new(&model, "context=8").unwrap();
    assert_eq!(status(generator.step()).0, Status::State);
    assert_eq!(status(generator.decode(1)).0, Status::State);
    assert_eq!(status(generator.generate(0, |_, _| true)).0, Status::State);
    assert_eq!(status(generator.prefill(&[], None)).0, Status::Argument);
    generator.prefill(&text(6), None).unwrap();
    let before = generator.logits().unwrap().to_vec();
    let (kind, message) = status(generator.prefill(&[1, 80], None));
    assert!(kind == Status::Argument && message.contains("token 1 is 80"), "{message}");
    assert_eq!(status(generator.prefill(&text(9), None)).0, Status::State);
    assert_eq!(status(generator.decode(80)).0, Status::Argument);
    assert_eq!(generator.history(), text(6));
    assert_same(generator.logits().unwrap(), &before, "after errors");
    assert_eq!(generator.generate(2, |_, _| true).unwrap(), 2);
    let (kind, message) = status(generator.step());
    assert!(kind == Status::State && message.contains("context of 8"), "{message}");
    assert_eq!(generator.history().len(), 8);
    let mut small = Generator::new(&model, "memory=100").unwrap();
    assert_eq!(status(small.prefill(&[1], None)).0, Status::Memory);
}

#[test]
fn a_prefill_reports_progress_and_goes_on_after_a_cancel() {
    let folder = tempfile::tempdir().unwrap();
    let model = open(folder.path(), "llama");
    let tokens = text(60);
    let mut whole = Generator::new(&model, "context=40,full=slide").unwrap();
    let mut calls = vec![];
    whole
        .prefill(
            &tokens,
            Some(&mut |done, total| {
                calls.push((done, total));
                true
            }),
        )
        .unwrap();
    assert_eq!((calls[0], *calls.last().unwrap()), ((0, 60), (60, 60)));
    assert!(calls.windows(2).all(|w| w[0].0 < w[1].0));
    let mut generator = Generator::new(&model, "context=40,full=slide").unwrap();
    let mut most = 45;
    assert_eq!(status(generator.prefill(&tokens, Some(&mut |done, _| done < most))).0, Status::Cancelled);
    assert_eq!(generator.history(), &tokens[..45]);
    assert_eq!(status(generator.step()).0, Status::State);
    most = 100;
    generator.prefill(&tokens, Some(&mut |done, _| done >= 45 && done < most)).unwrap();
    assert_same(generator.logits().unwrap(), whole.logits().unwrap(), "after a cancel");
}

#[test]
fn bytes_of_any_method_are_generated() {
    for method in ["mix:mem=64K", "gru:hidden=16,bptt=4", "cfg:hidden=32,layers=1,head_size=32,train=adam"] {
        let mut session = Session::create(method).unwrap();
        let line = b"the cat sat on the mat. the cat sat on the mat. the cat sat on";
        session.feed(line, None).unwrap();
        let mut generator = Generator::from_session(&session, "").unwrap();
        let mut made = vec![];
        generator
            .generate(12, |token, bytes| {
                assert_eq!(bytes, [token as u8]);
                made.push(token as u8);
                true
            })
            .unwrap();
        if method.starts_with("mix") {
            assert_eq!(made, b" the mat. th");
        }
        // The session is as it was, and predicts what the generator did.
        let mut probabilities = [0.0; 256];
        for byte in &made {
            session.predict(&mut probabilities).unwrap();
            let best = probabilities.iter().fold(0f32, |m, p| m.max(*p));
            assert_eq!(probabilities.iter().position(|p| *p == best).unwrap(), usize::from(*byte), "{method}");
            session.feed(&[*byte], None).unwrap();
        }
        // A prefill starts from the copied state; one that goes on from the history gives the same.
        let next: Vec<u32> = made.iter().map(|b| u32::from(*b)).chain([120, 121]).collect();
        let mut other = Generator::from_session(&session, "").unwrap();
        generator.prefill(&next, None).unwrap();
        let long = generator.logits().unwrap().to_vec();
        generator.prefill(&[1, 2], None).unwrap();
        generator.prefill(&next, None).unwrap();
        assert_same(generator.logits().unwrap(), &long, method);
        assert_eq!(status(other.decode(256)).0, Status::Argument);
        assert_eq!(status(Generator::from_session(&session, "context=5")).0, Status::Argument);
        other.prefill(&[120, 121], None).unwrap();
        assert_same(other.logits().unwrap(), &long, method);
    }
}

#[test]
fn f32_weights_are_read_from_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = open(folder.path(), "llama3");
    let path = folder.path().join("model.safetensors");
    Generator::new(&model, "weights=f32").unwrap().prefill(&text(3), None).unwrap();
    let again = Opened::open(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let n = bytes.len();
    bytes[n - 3] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    let (kind, message) = status(Generator::new(&again, "weights=f32"));
    assert!(kind == Status::Model && message.contains("changed"), "{message}");
    Generator::new(&again, "").unwrap().prefill(&text(3), None).unwrap();
    assert_eq!(status(again.bytes().map(|_| ())).0, Status::Method);
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    let (kind, message) = status(Opened::open(&path).map(|_| ()));
    assert!(kind == Status::Model && message.contains("config.json"), "{message}");
}
