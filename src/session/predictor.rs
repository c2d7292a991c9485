//! What predicts: a network, a mix, or a mix with a network among its inputs. A byte goes through it as one symbol or as
//! eight bits; whoever codes, measures or only shows bytes sees the same.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::driver::Port;
use super::network;
use crate::coder::Bit;
use crate::error::Result;
use crate::mix::{MAX_VIEWS, Mix, Options, Views};
use crate::model::VOCAB;

/// What a bit's probability is of.
const BIT_TOTAL: u32 = 1 << 16;

/// What is at work: one of them at least.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// Networks and how they learn; several only with a mix.
    pub networks: Vec<network::Blueprint>,
    /// What is mixed, where anything is; without it bytes are coded as the network says.
    pub mix: Option<Options>,
}

impl Blueprint {
    /// How many bytes so many copies of what is learned take, so many of them at work, without the networks' weights;
    /// saturates.
    pub fn bytes(&self, copies: u64, workers: u64) -> u64 {
        let of = |n: &network::Blueprint| {
            n.bytes().saturating_mul(copies).saturating_add(n.work_bytes().saturating_mul(workers))
        };
        let networks = self.networks.iter().fold(0u64, |sum, n| sum.saturating_add(of(n)));
        networks.saturating_add(self.mix.map_or(0, |options| options.bytes()).saturating_mul(copies))
    }
}

/// Everything that bytes have changed: two equal ones predict the same for ever.
#[derive(Debug)]
pub struct Learned {
    /// No other has it, and it changes when the content does: who holds it has the same content.
    number: u64,
    networks: Vec<network::Learned>,
    /// `None` before any byte, and where nothing is mixed: a fresh mix is cheaper made than copied.
    mix: Option<Mix>,
}

/// What networks say of the next byte, which they looked at.
fn views(networks: &[network::Predictor]) -> Views<'_> {
    let mut all = [None; MAX_VIEWS];
    let views = networks.iter().flat_map(|network| network.views());
    all.iter_mut().zip(views).for_each(|(to, view)| *to = Some(view));
    all
}

/// A number that was not there before.
fn new_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Learned {
    /// Shows all of it to a hash.
    pub fn hash(&self, hash: &mut Sha256) {
        self.networks.iter().for_each(|network| network.hash(hash));
        if let Some(mix) = &self.mix {
            // Small pieces are gathered, for a hash has its cost by call; large ones are not copied.
            let (mut gathered, mut len) = ([0; 1 << 12], 0);
            mix.visit(&mut |bytes| {
                if len + bytes.len() > gathered.len() {
                    hash.update(&gathered[..len]);
                    len = 0;
                }
                match gathered.get_mut(len..len + bytes.len()) {
                    Some(room) => {
                        room.copy_from_slice(bytes);
                        len += bytes.len();
                    }
                    None => hash.update(bytes),
                }
            });
            hash.update(&gathered[..len]);
        }
    }
}

/// A predictor at work: it holds all the memory that it will need.
#[derive(Debug)]
pub struct Predictor {
    networks: Vec<network::Predictor>,
    mix: Option<Mix>,
    /// Whether networks rest: they neither say anything nor see what comes.
    resting: bool,
    /// What the mix started from, by its number.
    origin: Option<u64>,
}

impl Predictor {
    /// A predictor before any byte.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(blueprint: &Blueprint) -> Result<Self> {
        Ok(Self {
            networks: blueprint.networks.iter().map(network::Predictor::new).collect::<Result<_>>()?,
            mix: blueprint.mix.map(Mix::new).transpose()?,
            resting: false,
            origin: None,
        })
    }

    /// What a predictor before any byte has learned.
    ///
    /// # Errors
    /// `Memory`.
    pub fn created(&mut self, blueprint: &Blueprint) -> Result<Learned> {
        let number = new_number();
        self.origin = Some(number);
        Ok(Learned { number, networks: self.saved_networks(blueprint)?, mix: None })
    }

    /// Goes on with the CPU level that is allowed now.
    pub fn use_current_level(&mut self) {
        self.networks.iter_mut().for_each(network::Predictor::use_current_level);
        if let Some(mix) = &mut self.mix {
            mix.use_current_level();
        }
    }

    /// Whether networks may rest in a block: one that knows nothing before it learns has to see all there is.
    pub fn may_rest(&self) -> bool {
        self.mix.as_ref().is_some_and(|mix| mix.options().knowing > 0)
    }

    /// Has networks rest, where they may, or work, from here on.
    pub fn rest(&mut self, resting: bool) {
        debug_assert!(!resting || self.may_rest());
        self.resting = resting;
    }

    /// A copy of what bytes have changed so far.
    ///
    /// # Errors
    /// `Memory`.
    pub fn save(&self, blueprint: &Blueprint) -> Result<Learned> {
        let mix = match &self.mix {
            Some(mix) => {
                let mut copy = Mix::new(*mix.options())?;
                copy.copy_from(mix);
                Some(copy)
            }
            None => None,
        };
        Ok(Learned { number: new_number(), networks: self.saved_networks(blueprint)?, mix })
    }

    fn saved_networks(&self, blueprint: &Blueprint) -> Result<Vec<network::Learned>> {
        self.networks.iter().zip(&blueprint.networks).map(|(n, blueprint)| n.learned().try_clone(blueprint)).collect()
    }

    /// The same to where [`Predictor::save`] put one before, without taking memory.
    pub fn save_to(&self, learned: &mut Learned) {
        learned.number = new_number();
        learned.networks.iter_mut().zip(&self.networks).for_each(|(to, from)| to.copy_from(from.learned()));
        if let (Some(to), Some(from)) = (&mut learned.mix, &self.mix) {
            to.copy_from(from);
        }
    }

    /// Goes on from elsewhere, with the CPU level that is allowed now.
    ///
    /// # Errors
    /// `Memory`: then the predictor is of no use until this succeeds.
    pub fn restore(&mut self, learned: &Learned) -> Result<()> {
        self.use_current_level();
        self.resting = false;
        self.networks.iter_mut().zip(&learned.networks).for_each(|(to, from)| to.restore(from));
        if let Some(mix) = &mut self.mix {
            // After little text it is cheaper to go back.
            if self.origin != Some(learned.number) || !mix.roll_back() {
                self.origin = None;
                match &learned.mix {
                    Some(from) => mix.copy_from(from),
                    None => *mix = Mix::new(*mix.options())?,
                }
            }
        }
        self.origin = Some(learned.number);
        Ok(())
    }

    /// A record begins: what stands before it is not its own.
    pub fn begin_record(&mut self) {
        if let Some(mix) = &mut self.mix {
            mix.begin_line();
        }
    }

    /// What mixes, where anything does.
    pub fn mix(&mut self) -> Option<&mut Mix> {
        // Whoever changes it leaves no way back.
        self.origin = None;
        self.mix.as_mut()
    }

    /// Has a port's next byte coded, and learns from it.
    pub fn exchange<P: Port>(&mut self, port: &mut P) {
        let networks = if self.resting { &mut [] } else { &mut self.networks[..] };
        let asked = P::ASKS || self.mix.is_some();
        networks.iter_mut().for_each(|network| network.foresee(port.ahead(), asked));
        let known = port.known();
        let byte = match (&mut self.mix, networks.first_mut()) {
            (Some(mix), _) => {
                networks.iter_mut().for_each(network::Predictor::look);
                let views = &views(networks);
                // The bits so far, with a leading 1.
                let mut partial = 1u32;
                while partial < 1 << 8 {
                    let bit = Bit { ones: mix.predict(views), total: BIT_TOTAL };
                    let left = 7 - partial.ilog2();
                    let bit = port.symbol(&bit, u32::from(known) >> left & 1);
                    mix.update(bit);
                    partial = partial << 1 | bit;
                }
                partial as u8
            }
            (None, Some(network)) if P::ASKS => port.symbol(network.frequencies(), known.into()) as u8,
            (None, _) => known,
        };
        port.done(byte);
        networks.iter_mut().for_each(|network| network.observe(byte));
    }

    /// The probabilities of all bytes, as the coders would use them.
    pub fn probabilities(&mut self, out: &mut [f32; VOCAB]) {
        match (&mut self.mix, self.networks.first_mut()) {
            (Some(mix), _) => {
                self.networks.iter_mut().for_each(network::Predictor::look);
                mix.probabilities(&views(&self.networks), out);
            }
            (None, Some(network)) => network.probabilities(out),
            (None, None) => out.fill(1.0 / VOCAB as f32),
        }
    }
}
