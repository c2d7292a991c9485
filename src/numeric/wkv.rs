//! The recurrence of RWKV-7 (Peng et al. 2025, "RWKV-7 Goose"): one step of the state matrix of one head.
//!
//! `S <- S diag(w) - (S kk)(kk * a)^T + v k^T`, then `y = S r`, with S of head size x head size, rows by value
//! dimension i and columns by key dimension j. The state is stored column by column, so that a vector holds sixteen i.
//! Every sum over j has one accumulator per i, j ascending, whatever the vector width.

use super::level::{Kernel, Level};
use super::simd::Simd;
use super::vector::{Vec16, WIDTH, flat};

/// The inputs of one head at a step. Each slice has head size / 16 vectors.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Receptance: the read vector.
    pub r: &'a [Vec16],
    /// Decay, between 0 and 1.
    pub w: &'a [Vec16],
    /// Key, scaled by `1 + (a - 1) * k_a`.
    pub k: &'a [Vec16],
    /// Value.
    pub v: &'a [Vec16],
    /// Removal key, normalised.
    pub kk: &'a [Vec16],
    /// kk * a: the removal key times the in-context learning rate.
    pub b: &'a [Vec16],
}

struct Step<'a> {
    state: &'a mut [Vec16],
    head: Head<'a>,
    y: &'a mut [Vec16],
}

impl Kernel for Step<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Each of Q vectors needs three accumulators: removed, v and out.
        let four_fit = 3 * 4 * S::F_REGISTERS <= S::REGISTERS / 2;
        match (self.y.len(), four_fit) {
            (4, true) => step::<S, 4, 4>(s, self),
            (4, false) => step::<S, 4, 2>(s, self),
            (2, _) => step::<S, 2, 2>(s, self),
            _ => unreachable!("head sizes are 32 and 64"),
        }
    }
}

/// A head of V vectors a column, processed Q vectors at a time.
#[inline(always)]
fn step<S: Simd, const V: usize, const Q: usize>(s: S, Step { state, head, y }: Step) {
    let n = V * WIDTH;
    let (columns, _) = state.as_chunks_mut::<V>();
    let columns = &mut columns[..n];
    let take = |x| &flat(x)[..n];
    let (r, w, k, kk, b) = (take(head.r), take(head.w), take(head.k), take(head.kk), take(head.b));
    for first in (0..V).step_by(Q) {
        let mut removed = [s.splat(0.0); Q];
        for j in 0..n {
            let x = s.splat(kk[j]);
            for q in 0..Q {
                removed[q] = removed[q] + s.load(&columns[j][first + q]) * x;
            }
        }
        let v: [S::F; Q] = std::array::from_fn(|q| s.load(&head.v[first + q]));
        let mut out = [s.splat(0.0); Q];
        for j in 0..n {
            let (rj, wj, kj, bj) = (s.splat(r[j]), s.splat(w[j]), s.splat(k[j]), s.splat(b[j]));
            for q in 0..Q {
                let cell = &mut columns[j][first + q];
                let new = (s.load(cell) * wj - removed[q] * bj) + v[q] * kj;
                s.store(new, cell);
                out[q] = out[q] + new * rj;
            }
        }
        for q in 0..Q {
            s.store(out[q], &mut y[first + q]);
        }
    }
}

/// Steps one head. `state` has head size * head size / 16 vectors, `y` head size / 16.
///
/// # Panics
/// If the slices do not have the lengths of a head of 32 or 64.
pub fn step_head(level: Level, state: &mut [Vec16], head: Head<'_>, y: &mut [Vec16]) {
    let vectors = y.len();
    assert!(state.len() == vectors * vectors * WIDTH);
    for x in [head.r, head.w, head.k, head.v, head.kk, head.b] {
        assert!(x.len() == vectors);
    }
    level.run(Step { state, head, y });
}

#[cfg(test)]
mod tests {
    use super::super::buffer::padded;
    use super::super::random::Random;
    use super::super::testing::{KINDS, assert_same, values};
    use super::super::vector::flat;
    use super::*;

    #[test]
    fn every_level_gives_the_bits_of_the_naive_loop() {
        for n in [32, 64] {
            for kind in KINDS {
                let mut random = Random::new(n as u64, "wkv");
                let s = values(&mut random, n * n, kind);
                let x: [Vec<f32>; 6] = std::array::from_fn(|_| values(&mut random, n, kind));
                let [r, w, k, v, kk, b] = &x;
                let (mut want, mut want_y) = (s.clone(), vec![0f32; n]);
                for i in 0..n {
                    let mut removed = 0f32;
                    for j in 0..n {
                        removed += s[j * n + i] * kk[j];
                    }
                    for j in 0..n {
                        let new = (s[j * n + i] * w[j] - removed * b[j]) + v[i] * k[j];
                        want[j * n + i] = new;
                        want_y[i] += new * r[j];
                    }
                }
                let p: Vec<Vec<Vec16>> = x.iter().map(|x| padded(x, "test").unwrap()).collect();
                let head = Head { r: &p[0], w: &p[1], k: &p[2], v: &p[3], kk: &p[4], b: &p[5] };
                for level in Level::available() {
                    let mut state = padded(&s, "test").unwrap();
                    let mut y = vec![Vec16::ZERO; n / 16];
                    step_head(level, &mut state, head, &mut y);
                    let what = format!("{n} {kind:?} {level:?}");
                    assert_same(flat(&state), &want, &what);
                    assert_same(flat(&y), &want_y, &what);
                }
            }
        }
    }
}
