//! What predicts: a network, a mix, or a mix with a network among its inputs. A byte goes through it as one symbol or as
//! eight bits; whoever codes, measures or only shows bytes sees the same.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::driver::Port;
use super::network;
use crate::coder::Bit;
use crate::error::Result;
use crate::mix::{BitView, Mix, Options};
use crate::model::VOCAB;

/// What a bit's probability is of.
const BIT_TOTAL: u32 = 1 << 16;

/// What is at work: one of them at least.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// A network and how its head learns.
    pub network: Option<network::Blueprint>,
    /// What is mixed, where anything is; without it bytes are coded as the network says.
    pub mix: Option<Options>,
}

impl Blueprint {
    /// How many bytes a predictor of this takes, without the network's weights; saturates.
    pub fn bytes(&self) -> u64 {
        let network = self.network.as_ref().map_or(0, network::Blueprint::bytes);
        network.saturating_add(self.mix.map_or(0, |options| options.bytes()))
    }
}

/// Everything that bytes have changed: two equal ones predict the same for ever.
#[derive(Debug)]
pub struct Learned {
    /// No other has it, and it changes when the content does: who holds it has the same content.
    number: u64,
    network: Option<network::Learned>,
    /// `None` before any byte, and where nothing is mixed: a fresh mix is cheaper made than copied.
    mix: Option<Mix>,
}

/// A number that was not there before.
fn new_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Learned {
    /// Shows all of it to a hash.
    pub fn hash(&self, hash: &mut Sha256) {
        if let Some(network) = &self.network {
            network.hash(hash);
        }
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
    network: Option<network::Predictor>,
    mix: Option<Mix>,
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
            network: blueprint.network.as_ref().map(network::Predictor::new).transpose()?,
            mix: blueprint.mix.map(Mix::new).transpose()?,
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
        Ok(Learned { number, network: self.saved_network(blueprint)?, mix: None })
    }

    /// Goes on with the CPU level that is allowed now.
    pub fn use_current_level(&mut self) {
        if let Some(network) = &mut self.network {
            network.use_current_level();
        }
        if let Some(mix) = &mut self.mix {
            mix.use_current_level();
        }
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
        Ok(Learned { number: new_number(), network: self.saved_network(blueprint)?, mix })
    }

    fn saved_network(&self, blueprint: &Blueprint) -> Result<Option<network::Learned>> {
        match (&self.network, &blueprint.network) {
            (Some(network), Some(blueprint)) => network.learned().try_clone(blueprint).map(Some),
            _ => Ok(None),
        }
    }

    /// The same to where [`Predictor::save`] put one before, without taking memory.
    pub fn save_to(&self, learned: &mut Learned) {
        learned.number = new_number();
        if let (Some(to), Some(from)) = (&mut learned.network, &self.network) {
            to.copy_from(from.learned());
        }
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
        if let (Some(to), Some(from)) = (&mut self.network, &learned.network) {
            to.restore(from);
        }
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

    /// Has a port's next byte coded, and learns from it.
    pub fn exchange<P: Port>(&mut self, port: &mut P) {
        let known = port.known();
        let byte = match (&mut self.mix, &mut self.network) {
            (Some(mix), network) => {
                let view = network.as_mut().map(|n| BitView::new(n.frequencies()));
                // The bits so far, with a leading 1.
                let mut partial = 1u32;
                while partial < 1 << 8 {
                    let bit = Bit { ones: mix.predict(view.as_ref()), total: BIT_TOTAL };
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
        if let Some(network) = &mut self.network {
            network.observe(byte);
        }
    }

    /// The probabilities of all bytes, as the coders would use them.
    pub fn probabilities(&mut self, out: &mut [f32; VOCAB]) {
        match (&mut self.mix, &mut self.network) {
            (Some(mix), network) => {
                let view = network.as_mut().map(|n| BitView::new(n.frequencies()));
                mix.probabilities(view.as_ref(), out);
            }
            (None, Some(network)) => network.probabilities(out),
            (None, None) => out.fill(1.0 / VOCAB as f32),
        }
    }
}
