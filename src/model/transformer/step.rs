//! The computation: some tokens of some lanes at once. A row is a token of a lane; its result does not depend on which
//! other rows are computed with it.

use super::config::Config;
use super::state::State;
use super::weights::{Layer, Weights};
use crate::error::{Result, fail};
use crate::numeric::attention::{Attention, AttentionScratch};
use crate::numeric::buffer::{Rows, filled};
use crate::numeric::level::Level;
use crate::numeric::math::{capped, gated};
use crate::numeric::matmul::Activations;
use crate::numeric::norm::rms_norm;
use crate::numeric::rope;
use crate::numeric::vector::{Vec16, flat_mut};

/// A token of a lane. The rows of a lane are in the order of their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The index of the lane's state.
    pub lane: usize,
    /// The token.
    pub token: u32,
}

/// Scratch memory for a number of rows, and the last logits.
#[derive(Debug)]
pub struct Work {
    rows: usize,
    x: Rows,
    normed: Rows,
    query: Rows,
    /// The query at the end of the context, for the first tokens of a context that slides.
    capped: Rows,
    key: Rows,
    value: Rows,
    /// The output of attention, head by head.
    mixed: Rows,
    gate: Rows,
    up: Rows,
    activations: Activations,
    attention: AttentionScratch,
    /// Sines and cosines of each row, one rotary embedding after the other.
    sin: Vec<f32>,
    cos: Vec<f32>,
    capped_sin: Vec<f32>,
    capped_cos: Vec<f32>,
    positions: Vec<usize>,
    /// One row for each that was asked for.
    logits: Rows,
    last: Rows,
}

impl Work {
    /// For up to `rows` rows at a time and logits of up to `wanted` of them.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(config: &Config, rows: usize, wanted: usize) -> Result<Self> {
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let widest = config.hidden.max(queries).max(config.intermediate);
        let angles = rows * config.ropes.len() * config.head_dim / 2;
        Ok(Self {
            rows,
            x: Rows::new(rows, config.hidden)?,
            normed: Rows::new(rows, config.hidden)?,
            query: Rows::new(rows, queries)?,
            capped: Rows::new(rows, queries)?,
            key: Rows::new(rows, keys)?,
            value: Rows::new(rows, keys)?,
            mixed: Rows::new(rows, queries)?,
            gate: Rows::new(rows, config.intermediate)?,
            up: Rows::new(rows, config.intermediate)?,
            activations: Activations::new(rows, widest)?,
            attention: AttentionScratch::default(),
            sin: filled(angles, 0.0, "angles")?,
            cos: filled(angles, 0.0, "angles")?,
            capped_sin: filled(config.head_dim / 2, 0.0, "angles")?,
            capped_cos: filled(config.head_dim / 2, 0.0, "angles")?,
            positions: filled(rows, 0, "positions")?,
            logits: Rows::new(wanted, config.vocab)?,
            last: Rows::new(wanted, config.hidden)?,
        })
    }

    /// The logits of the `i`-th row that was asked for in the last call.
    pub fn logits(&self, i: usize) -> &[Vec16] {
        self.logits.row(i)
    }

    fn set_rows(&mut self, n: usize) {
        let Self { x, normed, query, capped, key, value, mixed, gate, up, .. } = self;
        [x, normed, query, capped, key, value, mixed, gate, up].into_iter().for_each(|rows| rows.set_lanes(n));
    }
}

/// Adds `y` to `x`, row by row.
fn add(x: &mut Rows, y: &Rows) {
    for lane in 0..x.lanes() {
        let (x, y) = (flat_mut(x.row_mut(lane)), y.values(lane));
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }
}

/// Norms of all rows, from one to the other.
fn norm(level: Level, from: &Rows, weight: &[Vec16], eps: f32, to: &mut Rows) {
    for lane in 0..from.lanes() {
        to.row_mut(lane).copy_from_slice(from.row(lane));
        rms_norm(level, to.row_mut(lane), weight, eps);
    }
}

fn norm_in_place(level: Level, x: &mut Rows, weight: &[Vec16], eps: f32) {
    (0..x.lanes()).for_each(|lane| rms_norm(level, x.row_mut(lane), weight, eps));
}

impl Weights {
    /// Appends the rows' tokens to their lanes and computes the logits after each row in `wanted` ([`Work::logits`]).
    /// The lanes do not change on failure.
    ///
    /// # Errors
    /// `Argument` for a token that the vocabulary does not have, `State` for a full context, `Memory`.
    ///
    /// # Panics
    /// If there are more rows than `work` is for.
    pub fn run(
        &self,
        level: Level,
        states: &mut [&mut State],
        rows: &[Row],
        wanted: &[usize],
        work: &mut Work,
    ) -> Result<()> {
        let config = self.config();
        assert!(rows.len() <= work.rows);
        work.set_rows(rows.len());
        for (lane, state) in states.iter_mut().enumerate() {
            let more = rows.iter().filter(|row| row.lane == lane).count();
            let slots = state.slots_for(more)?;
            state.caches.iter_mut().try_for_each(|cache| cache.reserve(slots))?;
        }
        for (i, row) in rows.iter().enumerate() {
            if row.token as usize >= config.vocab {
                fail!(Argument, "token {} is out of range, the vocabulary has {}", row.token, config.vocab);
            }
            let before = rows[..i].iter().filter(|other| other.lane == row.lane).count();
            work.positions[i] = states[row.lane].len + before;
            let x = &mut flat_mut(work.x.row_mut(i))[..config.hidden];
            self.embedding.row(row.token as usize, x);
            x.iter_mut().for_each(|x| *x *= config.embedding_scale);
            let n = config.head_dim / 2;
            for (j, turns) in self.turns.iter().enumerate() {
                let at = (i * self.turns.len() + j) * n;
                let position = work.positions[i] as u64;
                rope::angles(turns, position, &mut work.sin[at..][..n], &mut work.cos[at..][..n]);
            }
        }
        for index in 0..self.layers.len() {
            self.attend(level, states, rows, index, work)?;
            self.feed_forward(level, &self.layers[index], work);
        }
        if !wanted.is_empty() {
            self.logits(level, wanted, work);
        }
        rows.iter().for_each(|row| states[row.lane].len += 1);
        Ok(())
    }

    /// Attention of a layer, with its norms and residual.
    fn attend(
        &self,
        level: Level,
        states: &mut [&mut State],
        rows: &[Row],
        index: usize,
        work: &mut Work,
    ) -> Result<()> {
        let (config, layer) = (self.config(), &self.layers[index]);
        norm(level, &work.x, &layer.attention_norm, config.eps, &mut work.normed);
        layer.query.mul(level, &work.normed, &mut work.query, &mut work.activations);
        layer.key.mul(level, &work.normed, &mut work.key, &mut work.activations);
        layer.value.mul(level, &work.normed, &mut work.value, &mut work.activations);
        if let Some([query, key]) = &layer.qk_norms {
            norm_in_place(level, &mut work.query, query, config.eps);
            norm_in_place(level, &mut work.key, key, config.eps);
        }
        let head = config.head_dim / 16;
        // All keys and values first: a row sees the rows of its lane before it.
        for (i, row) in rows.iter().enumerate() {
            let state = &mut *states[row.lane];
            self.rotate(index, i, state.room.context, work);
            let slot = state.room.slot(work.positions[i]);
            for h in 0..config.kv_heads {
                let part = h * head..(h + 1) * head;
                let (key, value) = (&work.key.row(i)[part.clone()], &work.value.row(i)[part]);
                state.caches[index].set(level, slot, h, key, value);
            }
        }
        let group = config.group() * head;
        for (i, row) in rows.iter().enumerate() {
            let state = &*states[row.lane];
            let (visible, n) = state.room.visible(work.positions[i], config.layers[index]);
            for h in 0..config.kv_heads {
                let part = h * group..(h + 1) * group;
                let attention = Attention {
                    cache: &state.caches[index],
                    head: h,
                    queries: [&work.query.row(i)[part.clone()], &work.capped.row(i)[part.clone()]],
                    visible: &visible[..n],
                    cap: config.score_cap,
                };
                attention.run(level, &mut work.attention, &mut work.mixed.row_mut(i)[part])?;
            }
        }
        layer.output.mul(level, &work.mixed, &mut work.normed, &mut work.activations);
        if let Some(weight) = &layer.post_attention_norm {
            norm_in_place(level, &mut work.normed, weight, config.eps);
        }
        add(&mut work.x, &work.normed);
        Ok(())
    }

    /// Rotates the query and the key of row `i`, and multiplies the query by the scale of scores.
    fn rotate(&self, index: usize, i: usize, context: usize, work: &mut Work) {
        let config = self.config();
        let (which, n) = (config.layers[index].rope, config.head_dim / 2);
        let at = (i * self.turns.len() + which) * n;
        let (sin, cos) = (&work.sin[at..][..n], &work.cos[at..][..n]);
        let rotate = |heads: &mut [f32], sin: &[f32], cos: &[f32]| {
            heads.chunks_exact_mut(config.head_dim).for_each(|head| rope::rotate(head, sin, cos));
        };
        let query = flat_mut(work.query.row_mut(i));
        query.iter_mut().for_each(|x| *x *= config.query_scale);
        if work.positions[i] >= context {
            let capped = flat_mut(work.capped.row_mut(i));
            capped.copy_from_slice(query);
            let (sin, cos) = (&mut work.capped_sin[..n], &mut work.capped_cos[..n]);
            rope::angles(&self.turns[which], context as u64 - 1, sin, cos);
            rotate(capped, sin, cos);
        }
        rotate(query, sin, cos);
        rotate(flat_mut(work.key.row_mut(i)), sin, cos);
    }

    /// The feed-forward of a layer, with its norms and residual.
    fn feed_forward(&self, level: Level, layer: &Layer, work: &mut Work) {
        let config = self.config();
        norm(level, &work.x, &layer.feed_forward_norm, config.eps, &mut work.normed);
        layer.gate.mul(level, &work.normed, &mut work.gate, &mut work.activations);
        layer.up.mul(level, &work.normed, &mut work.up, &mut work.activations);
        for lane in 0..work.gate.lanes() {
            gated(level, config.gate, work.gate.row_mut(lane), work.up.row(lane));
        }
        layer.down.mul(level, &work.gate, &mut work.normed, &mut work.activations);
        if let Some(weight) = &layer.post_feed_forward_norm {
            norm_in_place(level, &mut work.normed, weight, config.eps);
        }
        add(&mut work.x, &work.normed);
    }

    /// The logits of some rows.
    fn logits(&self, level: Level, wanted: &[usize], work: &mut Work) {
        work.last.set_lanes(wanted.len());
        work.logits.set_lanes(wanted.len());
        for (to, row) in wanted.iter().enumerate() {
            work.last.row_mut(to).copy_from_slice(work.x.row(*row));
            rms_norm(level, work.last.row_mut(to), &self.norm, self.config().eps);
        }
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        head.mul(level, &work.last, &mut work.logits, &mut work.activations);
        if let Some(c) = self.config().logit_cap {
            (0..wanted.len()).for_each(|i| capped(level, c, work.logits.row_mut(i)));
        }
    }
}
