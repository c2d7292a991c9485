//! The hash that identifies a base.

use sha2::{Digest as _, Sha256};

use super::Identity;
use crate::numeric::vector::Vec16;
use crate::numeric::visit::Visitor;

/// Small parts are collected in a buffer of this size, because each update of the hash has a fixed cost.
const GATHERED: usize = 1 << 12;

/// SHA-256 over an identity and the parts of a state, in the order of the calls.
pub struct Digest {
    hash: Sha256,
    gathered: [u8; GATHERED],
    len: usize,
}

impl Digest {
    /// Starts with the method and the weights' fingerprint.
    pub fn new(identity: &Identity) -> Self {
        let mut hash = Sha256::new();
        hash.update(identity.canonical.as_bytes());
        hash.update(identity.fingerprint.unwrap_or_default());
        Self { hash, gathered: [0; GATHERED], len: 0 }
    }

    fn flush(&mut self) {
        self.hash.update(&self.gathered[..self.len]);
        self.len = 0;
    }

    /// The first 8 bytes of the hash.
    pub fn finish(mut self) -> [u8; 8] {
        self.flush();
        let mut id = [0; 8];
        id.copy_from_slice(&self.hash.finalize()[..8]);
        id
    }
}

impl Visitor for Digest {
    fn bytes(&mut self, bytes: &[u8]) {
        if self.len + bytes.len() > GATHERED {
            self.flush();
        }
        match self.gathered.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.hash.update(bytes),
        }
    }

    /// Little-endian. All NaNs are hashed as the same one, since the payload of a NaN depends on the CPU.
    fn floats(&mut self, vectors: &[Vec16]) {
        for v in vectors {
            self.bytes(v.0.map(|x| if x.is_nan() { f32::NAN } else { x }.to_le_bytes()).as_flattened());
        }
    }
}
