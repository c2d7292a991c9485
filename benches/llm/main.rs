//! Speed and memory of a transformer, and its logits against a reference's. See README.md beside it.

use std::path::Path;
use std::time::Instant;

use gptz::model::open::Opened;
use gptz::model::transformer::{Model, Room, Row, State, Weights, Work};
use gptz::numeric::attention::{Attention, AttentionScratch, KvCache, KvFormat, Visible};
use gptz::numeric::buffer::Rows;
use gptz::numeric::level::Level;
use gptz::numeric::matmul::{Activations, Matrix, Precision};
use gptz::numeric::vector::{Vec16, flat};
use gptz::weights::metadata::{Metadata, Value};
use gptz::weights::{DType, Format, TensorWriter};

/// Seconds of one call, the best of some.
fn best(times: usize, mut f: impl FnMut()) -> f64 {
    let one = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64()
    };
    (0..times).map(|_| one(&mut f)).fold(f64::INFINITY, f64::min)
}

/// A figure of the process's memory in bytes: "VmHWM:" the peak, "VmRSS:" now.
fn memory(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(what)).unwrap_or("0");
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(0.0) * 1024.0
}

/// GB/s of reading memory once.
fn bandwidth() -> f64 {
    let v = vec![1u64; 1 << 25];
    let seconds = best(5, || {
        let sums = v.chunks_exact(8).fold([0u64; 8], |s, c| std::array::from_fn(|i| s[i].wrapping_add(c[i])));
        std::hint::black_box(sums);
    });
    (v.len() * 8) as f64 / seconds / 1e9
}

/// Products a second of a matrix that stays in the cache.
fn peak_products(level: Level) -> f64 {
    let (r, c, lanes) = (512, 576, 64);
    let matrix = Matrix::pack(&vec![0.5; r * c], r, c, Precision::Grouped).expect("memory");
    let x = Rows::new(lanes, c).expect("memory");
    let (mut y, mut scratch) = (Rows::new(lanes, r).expect("memory"), Activations::new(lanes, c).expect("memory"));
    let seconds = best(50, || matrix.mul(level, &x, &mut y, &mut scratch));
    (r * c * lanes) as f64 / seconds
}

/// Seconds of all products of a step of `lanes` lanes, with matrices of the model's shapes that are not in the cache.
fn products_alone(level: Level, matrices: &[Matrix], lanes: usize) -> f64 {
    let widest = matrices.iter().map(|m| m.rows().max(m.cols())).max().unwrap_or(0);
    let mut scratch = Activations::new(lanes, widest).expect("memory");
    let mut buffers: Vec<(Rows, Rows)> = matrices
        .iter()
        .map(|m| {
            let mut x = Rows::new(lanes, m.cols()).expect("memory");
            (0..lanes).for_each(|lane| x.row_mut(lane).fill(Vec16([0.5; 16])));
            (x, Rows::new(lanes, m.rows()).expect("memory"))
        })
        .collect();
    best(4, || {
        for (matrix, (x, y)) in matrices.iter().zip(&mut buffers) {
            matrix.mul(level, x, y, &mut scratch);
        }
    })
}

/// Matrices of the shapes of a model's, the head last.
fn matrices(model: &Model) -> Vec<Matrix> {
    let c = model.config();
    let (q, k) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
    let layer = [(q, c.hidden), (k, c.hidden), (k, c.hidden), (c.hidden, q)];
    let layer =
        layer.into_iter().chain([(c.intermediate, c.hidden), (c.intermediate, c.hidden), (c.hidden, c.intermediate)]);
    let shapes = (0..c.layers.len()).flat_map(|_| layer.clone()).chain([(c.vocab, c.hidden)]);
    let pack = |(rows, cols)| {
        Matrix::pack_rows(rows, cols, Precision::Grouped, |row, values| {
            values.iter_mut().enumerate().for_each(|(i, v)| *v = ((row * 31 + i * 17) % 255) as f32 - 127.0);
            Ok(())
        })
    };
    shapes.map(|shape| pack(shape).expect("memory")).collect()
}

/// Writes a model of the shape of SmolLM2-135M with random weights of type Q8_0.
fn write_random(path: &Path) {
    let (layers, hidden, inner, keys, vocab) = (30, 576, 1536, 192, 49152);
    let mut metadata = Metadata::default();
    metadata.push("general.architecture", Value::Text("llama".into())).expect("a key");
    for (key, value) in [
        ("block_count", layers),
        ("context_length", 8192),
        ("embedding_length", hidden),
        ("feed_forward_length", inner),
        ("attention.head_count", 9),
        ("attention.head_count_kv", 3),
    ] {
        metadata.push(&format!("llama.{key}"), Value::U32(value)).expect("a key");
    }
    metadata.push("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)).expect("a key");
    metadata.push("llama.rope.freq_base", Value::F32(1e5)).expect("a key");
    let mut writer = TensorWriter::create(path, Format::Gguf, &metadata).expect("a file");
    let mut random = 1u64;
    let mut matrix = |writer: &mut TensorWriter, name: &str, rows: u32, cols: u32| {
        let n = (rows * cols / 32) as usize;
        let mut bytes = vec![0u8; n * 34];
        for block in bytes.chunks_exact_mut(34) {
            // About 1 / (127 sqrt(width)), as binary16.
            block[..2].copy_from_slice(&half::f16::from_f32(1.7 / 127.0 / (cols as f32).sqrt()).to_le_bytes());
            for part in block[2..].chunks_exact_mut(8) {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                part.copy_from_slice(&(random ^ random >> 29).to_le_bytes());
            }
        }
        writer.add(name, DType::Q8_0, &[rows.into(), cols.into()], &bytes).expect("a tensor");
    };
    let norm = |writer: &mut TensorWriter, name: &str| {
        writer.add_f32(name, DType::F32, &[hidden.into()], &vec![1.0; hidden as usize]).expect("a tensor");
    };
    matrix(&mut writer, "token_embd.weight", vocab, hidden);
    norm(&mut writer, "output_norm.weight");
    for i in 0..layers {
        norm(&mut writer, &format!("blk.{i}.attn_norm.weight"));
        norm(&mut writer, &format!("blk.{i}.ffn_norm.weight"));
        for (name, rows, cols) in [
            ("attn_q", hidden, hidden),
            ("attn_k", keys, hidden),
            ("attn_v", keys, hidden),
            ("attn_output", hidden, hidden),
            ("ffn_gate", inner, hidden),
            ("ffn_up", inner, hidden),
            ("ffn_down", hidden, inner),
        ] {
            matrix(&mut writer, &format!("blk.{i}.{name}.weight"), rows, cols);
        }
    }
    writer.finish().expect("a file");
}

/// Seconds of a step of `lanes` lanes that have `context` tokens each, best of some steps.
fn lanes(level: Level, weights: &Weights, lanes: usize, context: usize) -> f64 {
    let config = weights.config();
    let room = Room { context: config.context, slides: false };
    let mut states: Vec<State> = (0..lanes).map(|_| State::new(config, KvFormat::I8, room).expect("memory")).collect();
    let mut work = Work::new(config, lanes.max(64), lanes).expect("memory");
    for (lane, state) in states.iter_mut().enumerate() {
        for first in (0..context).step_by(64) {
            let rows: Vec<Row> = (first..context.min(first + 64))
                .map(|t| Row { lane: 0, token: ((t * 31 + lane) % 4096) as u32 })
                .collect();
            weights.run(level, &mut [state], &rows, &[], &mut work).expect("a prefill");
        }
    }
    let rows: Vec<Row> = (0..lanes).map(|lane| Row { lane, token: 7 }).collect();
    let wanted: Vec<usize> = (0..lanes).collect();
    let mut refs: Vec<&mut State> = states.iter_mut().collect();
    best(6, || weights.run(level, &mut refs, &rows, &wanted, &mut work).expect("a step"))
}

/// Seconds a token of a prefill of `n` tokens in batches of 64.
fn prefill(level: Level, weights: &Weights, n: usize) -> f64 {
    let config = weights.config();
    let room = Room { context: config.context, slides: false };
    let mut work = Work::new(config, 64, 1).expect("memory");
    let rows: Vec<Row> = (0..64).map(|t| Row { lane: 0, token: (t * 31 % 4096) as u32 }).collect();
    let seconds = best(2, || {
        let mut state = State::new(config, KvFormat::I8, room).expect("memory");
        for _ in 0..n / 64 {
            weights.run(level, &mut [&mut state], &rows, &[], &mut work).expect("a prefill");
        }
    });
    seconds / (n / 64 * 64) as f64
}

/// Seconds of the attention of all layers of one token with a context.
fn attention(level: Level, weights: &Weights, context: usize) -> f64 {
    let config = weights.config();
    let layers = config.layers.len();
    let head = vec![Vec16([0.3; 16]); config.head_dim / 16];
    let mut caches: Vec<KvCache> =
        (0..layers).map(|_| KvCache::new(KvFormat::I8, config.kv_heads, config.head_dim)).collect();
    for cache in &mut caches {
        cache.reserve(context).expect("memory");
        for slot in 0..context {
            (0..config.kv_heads).for_each(|h| cache.set(level, slot, h, &head, &head));
        }
    }
    let query = vec![Vec16([0.1; 16]); config.group() * config.head_dim / 16];
    let mut out = query.clone();
    let mut scratch = AttentionScratch::default();
    let visible = [Visible { first: 0, end: context, query: 0 }];
    best(10, || {
        for cache in &caches {
            for head in 0..config.kv_heads {
                let one = Attention { cache, head, queries: [&query, &query], visible: &visible, cap: None };
                one.run(level, &mut scratch, &mut out).expect("memory");
            }
        }
    })
}

fn open(path: &Path) -> std::sync::Arc<Model> {
    match Opened::open(path) {
        Ok(Opened::Transformer(model)) => model,
        Ok(Opened::Bytes(_)) => panic!("{}: not a transformer", path.display()),
        Err(e) => panic!("{e}"),
    }
}

/// Compares logits with a file of them: a line of tokens, then a line of logits for each, separated by spaces.
fn compare(level: Level, model: &Model, path: &str) {
    let text = std::fs::read_to_string(path).expect("the reference's logits");
    let mut lines = text.lines();
    let tokens: Vec<u32> = lines.next().expect("tokens").split(' ').map(|t| t.parse().expect("a token")).collect();
    for (precision, format) in [(Precision::F32, KvFormat::F32), (Precision::Grouped, KvFormat::I8)] {
        let weights = model.weights(precision).expect("weights");
        let config = weights.config();
        let room = Room { context: config.context, slides: false };
        let mut state = State::new(config, format, room).expect("memory");
        let mut work = Work::new(config, 1, 1).expect("memory");
        let (mut worst, mut bits, mut same) = (0f32, 0f64, 0);
        let lines: Vec<&str> = lines.clone().collect();
        for (t, line) in lines.iter().enumerate() {
            weights
                .run(level, &mut [&mut state], &[Row { lane: 0, token: tokens[t] }], &[0], &mut work)
                .expect("a step");
            let found = &flat(work.logits(0))[..config.vocab];
            let want: Vec<f32> = line.split(' ').map(|x| x.parse().expect("a logit")).collect();
            let largest = want.iter().fold(0f32, |m, x| m.max(x.abs()));
            worst = want.iter().zip(found).fold(worst, |m, (a, b)| m.max((a - b).abs() / largest));
            let top = |v: &[f32]| (0..v.len()).max_by(|a, b| v[*a].total_cmp(&v[*b]));
            same += usize::from(top(&want) == top(found));
            if let Some(next) = tokens.get(t + 1) {
                let m = found.iter().fold(f32::MIN, |m, x| m.max(*x));
                let sum: f64 = found.iter().map(|x| f64::from(x - m).exp()).sum();
                bits -= (f64::from(found[*next as usize] - m) - sum.ln()) / std::f64::consts::LN_2;
            }
        }
        println!(
            "{precision:?}: largest difference {worst:.2e} of the largest logit; {same} of {} best tokens equal; {bits:.1} bits",
            lines.len()
        );
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = std::env::var_os("GPTZ_LLM").unwrap_or_else(|| {
        println!("random weights of the shape of SmolLM2-135M; GPTZ_LLM may name a file");
        let path = folder.path().join("random.gguf");
        write_random(&path);
        path.into()
    });
    gptz::numeric::float_env::set_default();
    let before = memory("VmRSS:");
    let start = Instant::now();
    let model = open(Path::new(&path));
    let seconds = start.elapsed().as_secs_f64();
    let int8 = model.parameters() as f64;
    println!("opened {:.1} M weights in {seconds:.2} s", int8 / 1e6);
    let taken = memory("VmHWM:") - before;
    println!("memory {:.1} MB at most, {:.2} times a byte a weight", taken / 1e6, taken / int8);
    let weights = model.weights(Precision::Grouped).expect("weights");
    let alone = matrices(&model);
    let gb = bandwidth();
    let read = int8 / gb / 1e9;
    println!("memory is read at {gb:.1} GB/s: the int8 bytes in {:.2} ms", read * 1e3);
    for level in Level::available().into_iter().skip(1) {
        println!("{}", level.name().to_str().expect("a name"));
        let products = peak_products(level);
        println!("  products from the cache: {:.0} GMAC/s", products / 1e9);
        let one = lanes(level, &weights, 1, 64);
        println!("  1 lane: {:.1} ms, {:.2} times the reading of its bytes", one * 1e3, one / read);
        for n in [1, 4, 16] {
            println!("  products alone, {n} lanes: {:.0} tokens a second", n as f64 / products_alone(level, &alone, n));
        }
        for (n, context) in [(4, 512), (16, 512), (16, 1024)] {
            let step = lanes(level, &weights, n, context);
            println!("  {n} lanes at {context}: {:.0} tokens a second", n as f64 / step);
        }
        let matrices = int8 - (weights.config().vocab * weights.config().hidden) as f64;
        for n in [64, 1024] {
            let token = prefill(level, &weights, n);
            println!(
                "  prefill of {n}: {:.0} tokens a second, products {:.0} % of those from the cache",
                1.0 / token,
                100.0 * matrices / token / products
            );
        }
        for n in [512, 1024] {
            println!("  attention to {n}: {:.2} ms a token", attention(level, &weights, n) * 1e3);
        }
    }
    if let Ok(reference) = std::env::var("GPTZ_LLM_LOGITS") {
        compare(Level::current(), &model, &reference);
    }
}
