//! Each hot kernel and the limits of the machine in one run: multiply-adds a second from registers, bytes a second from L2
//! and L3. Compare figures of one run only.
//!
//! `cargo bench --bench kernels`
#![allow(missing_docs, reason = "criterion's macros make items without")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gptz::model::rwkv7::{Config, Init, Packing, Scratch, State, Weights};
use gptz::numeric::buffer::Rows;
use gptz::numeric::level::Level;
use gptz::numeric::math::{self, Function};
use gptz::numeric::matmul::{Activations, Matrix, Precision};
use gptz::numeric::norm::layer_norm;
use gptz::numeric::random::Random;
use gptz::numeric::vector::{Vec16, flat_mut};
use gptz::numeric::wkv::{Head, step_head};

/// Register-only loops: the throughput of the multiply-add units.
#[cfg(target_arch = "x86_64")]
mod peak {
    use std::arch::x86_64::*;

    /// Multiply-adds of one call.
    pub const INT8_AVX512: u64 = 1000 * 16 * 64;
    pub const INT8_AVX2: u64 = 1000 * 6 * 16;
    pub const F32_AVX512: u64 = 1000 * 16 * 16;
    pub const F32_AVX2: u64 = 1000 * 12 * 8;

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub fn int8_avx512(x: i32) -> i32 {
        let (a, b) = (_mm512_set1_epi32(x), _mm512_set1_epi32(x + 1));
        let mut acc = [_mm512_setzero_si512(); 16];
        for _ in 0..1000 {
            for c in &mut acc {
                *c = _mm512_dpbusd_epi32(*c, a, b);
            }
        }
        acc.into_iter().fold(0, |sum, c| sum ^ _mm512_reduce_add_epi32(c))
    }

    #[target_feature(enable = "avx2")]
    pub fn int8_avx2(x: i32) -> i32 {
        // Six products an iteration, each with operands of its own.
        let (mut a, step) = (_mm256_set1_epi32(x), _mm256_set1_epi16(7));
        let b: [__m256i; 6] = std::array::from_fn(|i| _mm256_set1_epi32(x + i as i32));
        let mut acc = [_mm256_setzero_si256(); 6];
        for _ in 0..1000 {
            for (c, b) in acc.iter_mut().zip(b) {
                *c = _mm256_add_epi32(*c, _mm256_madd_epi16(a, b));
            }
            a = _mm256_add_epi16(a, step);
        }
        acc.into_iter().fold(0, |sum, c| sum ^ _mm256_extract_epi32::<0>(c))
    }

    #[target_feature(enable = "avx512f")]
    pub fn f32_avx512(x: i32) -> i32 {
        let (a, b) = (_mm512_set1_ps(x as f32), _mm512_set1_ps(0.999));
        let mut acc = [a; 16];
        for _ in 0..1000 {
            for c in &mut acc {
                *c = _mm512_add_ps(_mm512_mul_ps(*c, b), a);
            }
        }
        acc.into_iter().fold(0, |sum, c| sum ^ _mm512_reduce_add_ps(c) as i32)
    }

    #[target_feature(enable = "avx2")]
    pub fn f32_avx2(x: i32) -> i32 {
        let (a, b) = (_mm256_set1_ps(x as f32), _mm256_set1_ps(0.999));
        let mut acc = [a; 12];
        for _ in 0..1000 {
            for c in &mut acc {
                *c = _mm256_add_ps(_mm256_mul_ps(*c, b), a);
            }
        }
        acc.into_iter().fold(0, |sum, c| sum ^ _mm256_cvtss_f32(c) as i32)
    }
}

fn peaks(c: &mut Criterion) {
    let mut group = c.benchmark_group("peak");
    #[cfg(target_arch = "x86_64")]
    {
        type Loop = unsafe fn(i32) -> i32;
        let mut show = |name: &str, work: u64, f: Loop| {
            group.throughput(Throughput::Elements(work));
            // SAFETY: only called after the CPU's features were checked.
            group.bench_function(name, |b| b.iter(|| unsafe { f(black_box(3)) }));
        };
        if is_x86_feature_detected!("avx2") {
            show("int8, AVX2 pmaddwd", peak::INT8_AVX2, peak::int8_avx2);
            show("f32, AVX2 multiply and add", peak::F32_AVX2, peak::f32_avx2);
        }
        if is_x86_feature_detected!("avx512vnni") {
            show("int8, AVX-512 vpdpbusd", peak::INT8_AVX512, peak::int8_avx512);
            show("f32, AVX-512 multiply and add", peak::F32_AVX512, peak::f32_avx512);
        }
    }
    for (name, size) in [("L1, 24 KiB", 24 << 10), ("L2, 512 KiB", 512 << 10), ("L3, 8 MiB", 8 << 20)] {
        let data = vec![Vec16([1.0; 16]); size / 64];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("read {name}"), |b| {
            b.iter(|| {
                let mut sum = [0f32; 16];
                for v in &data {
                    for (s, x) in sum.iter_mut().zip(&v.0) {
                        *s += x;
                    }
                }
                black_box(sum)
            });
        });
    }
    group.finish();
}

fn rows(lanes: usize, width: usize) -> Rows {
    let (mut rows, mut random) = (Rows::new(lanes, width).unwrap(), Random::new(1, "bench"));
    for lane in 0..lanes {
        flat_mut(rows.row_mut(lane))[..width].iter_mut().for_each(|x| *x = random.symmetric());
    }
    rows
}

fn name(level: Level) -> &'static str {
    level.name().to_str().expect("ASCII")
}

/// Multiply-adds a second by shape, level and lanes.
fn matmul(c: &mut Criterion) {
    let mut random = Random::new(0, "bench");
    for precision in [Precision::I8, Precision::F32] {
        let mut group = c.benchmark_group(format!("matmul {precision:?}"));
        for (r, k) in [(256, 256), (1024, 256), (256, 1024), (32, 256), (256, 32)] {
            let values: Vec<f32> = (0..r * k).map(|_| random.symmetric()).collect();
            let matrix = Matrix::pack(&values, r, k, precision).unwrap();
            for level in Level::available() {
                for lanes in [1, 4, 16] {
                    let (x, mut y) = (rows(lanes, k), Rows::new(lanes, r).unwrap());
                    let mut scratch = Activations::new(lanes, k).unwrap();
                    group.throughput(Throughput::Elements((r * k * lanes) as u64));
                    let id = BenchmarkId::new(format!("{r}x{k} {}", name(level)), lanes);
                    group.bench_function(id, |b| b.iter(|| matrix.mul(level, &x, &mut y, &mut scratch)));
                }
            }
        }
        group.finish();
    }
}

/// The state update of one head after the other, over more and over less memory than a cache holds.
fn recurrence(c: &mut Criterion) {
    let mut group = c.benchmark_group("RWKV state, a head-step");
    for size in [32usize, 64] {
        let vectors = size / 16;
        let x = rows(6, size);
        let [r, w, k, v, kk, b] = std::array::from_fn(|i| &x.row(i)[..vectors]);
        let mut y = vec![Vec16::ZERO; vectors];
        for (place, bytes) in [("L2, 512 KiB", 512 << 10), ("L3, 8 MiB", 8 << 20)] {
            let mut state = vec![Vec16([0.1; 16]); bytes / 64];
            let heads = bytes / (size * size * 4);
            group.throughput(Throughput::Elements(heads as u64));
            for level in Level::available() {
                let id = format!("head size {size}, {place}, {}", name(level));
                group.bench_function(id, |bench| {
                    bench.iter(|| {
                        for head in state.chunks_exact_mut(vectors * size) {
                            step_head(level, head, Head { r, w, k, v, kk, b }, &mut y);
                        }
                    });
                });
            }
        }
    }
    group.finish();
}

fn elementwise(c: &mut Criterion) {
    let mut group = c.benchmark_group("elementwise, 1024 values");
    group.throughput(Throughput::Elements(1024));
    let ones = vec![Vec16([1.0; 16]); 64];
    for level in Level::available() {
        for f in [Function::Exp, Function::Sigmoid, Function::Tanh, Function::Ln, Function::Softplus] {
            let mut x = rows(1, 1024);
            group.bench_function(format!("{f:?} {}", name(level)), |b| b.iter(|| math::map(level, f, x.row_mut(0))));
        }
        let (x, mut out) = (rows(1, 1024), vec![Vec16::ZERO; 64]);
        group.bench_function(format!("layer norm {}", name(level)), |b| {
            b.iter(|| layer_norm(level, x.row(0), &ones, &ones, 1e-5, &mut out));
        });
    }
    group.finish();
}

/// Whole steps of a network of 5.2 M parameters, in bytes of all lanes a second.
fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step, hidden 256, 6 layers, int8");
    group.sample_size(20);
    for head_size in [64, 32] {
        let config = Config { head_size, ..Config::default() };
        let weights = Weights::load(&config, Packing::all(Precision::I8), &mut Init::new(config, 0)).unwrap();
        for level in Level::available() {
            for lanes in [1, 4, 16] {
                let mut state = State::new(&config, lanes).unwrap();
                let mut scratch = Scratch::new(&config, lanes).unwrap();
                let (mut t, mut tokens) = (0u8, vec![0u8; lanes]);
                group.throughput(Throughput::Elements(lanes as u64));
                group.bench_function(BenchmarkId::new(format!("head size {head_size} {}", name(level)), lanes), |b| {
                    b.iter(|| {
                        tokens.iter_mut().enumerate().for_each(|(i, x)| *x = t.wrapping_mul(31) ^ i as u8);
                        t = t.wrapping_add(1);
                        weights.step(level, &tokens, tokens.len(), &mut state, &mut scratch);
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, peaks, matmul, recurrence, elementwise, steps);
criterion_main!(benches);
