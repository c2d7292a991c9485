//! A network and what it learns, of whatever kind: what the next byte will be, and what to make of it.
//!
//! [`super::predictor`] uses it alone or as one input of a mix.

use sha2::{Digest, Sha256};

use super::rwkv7;
use crate::adapt::{Gru, GruRule, GruWork};
use crate::coder::Frequencies;
use crate::error::Result;
use crate::mix::BitView;
use crate::model::{VOCAB, gru};
use crate::numeric::buffer::{Rows, Vec16, flat};
use crate::numeric::level::Level;
use crate::numeric::simd::WIDTH;

/// The byte that an empty stream is taken to follow.
const PRIMING: u8 = 0;

/// Which network, and how it learns.
#[derive(Clone, Debug)]
pub enum Blueprint {
    /// Shared weights.
    Rwkv7(rwkv7::Blueprint),
    /// Weights that start from a seed and all learn.
    Gru {
        /// The shape.
        config: gru::Config,
        /// Names the first weights.
        seed: u64,
        /// How they learn.
        rule: GruRule,
    },
}

impl Blueprint {
    /// How many bytes a predictor takes, without weights that are shared and [`Blueprint::work_bytes`]; saturates.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Rwkv7(b) => rwkv7::Learned::bytes(b.weights.config(), b.rule.train),
            Self::Gru { config, rule, .. } => Gru::bytes(config, rule),
        }
        .saturating_add(8 * VOCAB as u64)
    }

    /// How many bytes it takes to work in, where that is much; saturates.
    pub fn work_bytes(&self) -> u64 {
        match self {
            Self::Rwkv7(b) => rwkv7::Work::bytes(b.weights.config()),
            Self::Gru { .. } => 0,
        }
    }

    /// How many bytes the shared weights take.
    pub fn shared_bytes(&self) -> u64 {
        match self {
            Self::Rwkv7(b) => b.weights.config().weight_bytes(b.weights.packing()),
            Self::Gru { .. } => 0,
        }
    }

    /// How many distributions of the next byte it gives.
    pub fn heads(&self) -> usize {
        match self {
            Self::Rwkv7(b) => b.heads(),
            Self::Gru { .. } => 1,
        }
    }

    fn fresh(&self) -> Result<Learned> {
        Ok(match self {
            Self::Rwkv7(b) => Learned::Rwkv7(b.fresh()?),
            Self::Gru { config, seed, rule } => Learned::Gru(Box::new(Gru::new(config, *seed, rule)?)),
        })
    }
}

/// Everything that bytes have changed: two equal ones predict the same for ever.
#[derive(Debug)]
pub enum Learned {
    /// A state, and a head where it learns.
    Rwkv7(rwkv7::Learned),
    /// All weights, and the last steps.
    Gru(Box<Gru>),
}

impl Learned {
    /// A copy, where there is memory for it.
    ///
    /// # Errors
    /// `Memory`.
    pub fn try_clone(&self, blueprint: &Blueprint) -> Result<Self> {
        let mut copy = blueprint.fresh()?;
        copy.copy_from(self);
        Ok(copy)
    }

    /// Takes over another one of the same blueprint, without taking memory.
    pub fn copy_from(&mut self, other: &Self) {
        match (self, other) {
            (Self::Rwkv7(to), Self::Rwkv7(from)) => to.copy_from(from),
            (Self::Gru(to), Self::Gru(from)) => to.copy_from(from),
            _ => unreachable!("of the same blueprint"),
        }
    }

    /// Hashes all of it. A NaN counts as the same whatever its payload, which is the CPU's choice.
    pub fn hash(&self, hash: &mut Sha256) {
        let hash = std::cell::RefCell::new(hash);
        let mut floats = |vectors: &[Vec16]| {
            for v in vectors {
                let bytes = v.0.map(|x| if x.is_nan() { f32::NAN } else { x }.to_le_bytes());
                hash.borrow_mut().update(bytes.as_flattened());
            }
        };
        match self {
            Self::Rwkv7(learned) => learned.visit(&mut floats, &mut |bytes| hash.borrow_mut().update(bytes)),
            Self::Gru(gru) => gru.visit(&mut floats, &mut |bytes| hash.borrow_mut().update(bytes)),
        }
    }
}

/// A blueprint with memory to work in.
#[derive(Debug)]
enum Worker {
    Rwkv7(rwkv7::Blueprint, Box<rwkv7::Work>),
    Gru(GruRule, Box<GruWork>),
}

/// A predictor at work: it holds all the memory that it will need.
#[derive(Debug)]
pub struct Predictor {
    worker: Worker,
    level: Level,
    learned: Learned,
    logits: Rows,
    /// One for each head.
    frequencies: Vec<Frequencies>,
    /// Of the same, for a mix.
    views: Vec<BitView>,
    /// Whether `frequencies`, and `views`, are those of `learned`.
    current: [bool; 2],
}

impl Predictor {
    /// A predictor before any byte: primed.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(blueprint: &Blueprint) -> Result<Self> {
        let worker = match blueprint {
            Blueprint::Rwkv7(b) => Worker::Rwkv7(b.clone(), Box::new(b.work()?)),
            Blueprint::Gru { config, rule, .. } => Worker::Gru(*rule, Box::new(GruWork::new(config, rule)?)),
        };
        let mut predictor = Self {
            worker,
            level: Level::current(),
            learned: blueprint.fresh()?,
            logits: Rows::new(1, VOCAB)?,
            frequencies: vec![Frequencies::default(); blueprint.heads()],
            views: vec![BitView::new(&Frequencies::default()); blueprint.heads()],
            current: [false; 2],
        };
        predictor.step(PRIMING);
        Ok(predictor)
    }

    /// Goes on with the CPU level that is allowed now.
    pub fn use_current_level(&mut self) {
        self.level = Level::current();
    }

    /// What bytes have changed so far: those that were shown, when all that were foreseen were shown.
    pub fn learned(&self) -> &Learned {
        debug_assert!(!matches!(&self.worker, Worker::Rwkv7(_, work) if !work.is_even()));
        &self.learned
    }

    /// Goes on from elsewhere, with the CPU level that is allowed now.
    pub fn restore(&mut self, learned: &Learned) {
        self.use_current_level();
        self.learned.copy_from(learned);
        if let Worker::Rwkv7(_, work) = &mut self.worker {
            work.turn();
        }
        self.current = [false; 2];
    }

    /// The distribution of the next byte, as the coders use it: that of the head that learns, where there are two.
    pub fn frequencies(&mut self) -> &Frequencies {
        if !std::mem::replace(&mut self.current[0], true) {
            let (level, logits) = (self.level, &mut self.logits);
            for (head, frequencies) in self.frequencies.iter_mut().enumerate() {
                match (&mut self.worker, &self.learned) {
                    (Worker::Rwkv7(b, work), Learned::Rwkv7(l)) => b.logits(level, head, l, logits, work),
                    (_, Learned::Gru(gru)) => gru.logits(level, logits),
                    _ => unreachable!("of the same blueprint"),
                }
                frequencies.set(level, logits.row(0));
            }
        }
        self.frequencies.last().expect("one head at least")
    }

    /// Makes [`Predictor::views`] those of the next byte.
    pub fn look(&mut self) {
        self.frequencies();
        if !std::mem::replace(&mut self.current[1], true) {
            self.views.iter_mut().zip(&self.frequencies).for_each(|(view, frequencies)| view.set(frequencies));
        }
    }

    /// The distributions of all heads, as they were when it last looked.
    pub fn views(&self) -> &[BitView] {
        &self.views
    }

    /// Told what it will be shown next, from the next byte on, it may take in some of it at once; all of that must be shown
    /// before anything else is done. `asked`: whether it will be asked what comes after each.
    pub fn foresee(&mut self, bytes: &[u8], asked: bool) {
        if let (Worker::Rwkv7(b, work), Learned::Rwkv7(learned)) = (&mut self.worker, &mut self.learned) {
            b.foresee(self.level, bytes, asked, learned, work);
        }
    }

    /// Takes in a byte: learns from it where the rule says so, then steps.
    pub fn observe(&mut self, byte: u8) {
        let wants_error = match &self.learned {
            Learned::Rwkv7(learned) => learned.wants_error(),
            Learned::Gru(_) => true,
        };
        let error = if wants_error { self.frequencies().error(byte) } else { [Vec16::ZERO; VOCAB / WIDTH] };
        match (&mut self.worker, &mut self.learned) {
            (Worker::Rwkv7(b, _), Learned::Rwkv7(learned)) => b.learn(self.level, learned, &error),
            (Worker::Gru(rule, work), Learned::Gru(gru)) => gru.learn(self.level, rule, &error, work),
            _ => unreachable!("of the same blueprint"),
        }
        self.step(byte);
    }

    fn step(&mut self, byte: u8) {
        match (&mut self.worker, &mut self.learned) {
            (Worker::Rwkv7(b, work), Learned::Rwkv7(learned)) => b.step(self.level, byte, learned, work),
            (Worker::Gru(_, work), Learned::Gru(gru)) => gru.step(self.level, byte, work),
            _ => unreachable!("of the same blueprint"),
        }
        self.current = [false; 2];
    }

    /// The probabilities of all bytes, as the coders use them.
    pub fn probabilities(&mut self, out: &mut [f32; VOCAB]) {
        out.copy_from_slice(flat(&self.frequencies().probabilities()));
    }
}
