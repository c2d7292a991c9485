//! Compressors of other methods, for frames of registered methods that a handle decodes besides its own.

use super::Session;
use super::create::check_stored;
use super::params::Param;
use crate::error::Result;

/// The compressors of a call, by their methods. They are dropped with it.
///
/// All of them and the handle together stay below the handle's memory limit.
#[derive(Debug, Default)]
pub struct Guests {
    /// The methods that were checked, with the number of lanes.
    admitted: Vec<(&'static str, usize)>,
    sessions: Vec<Session>,
}

impl Guests {
    /// Checks that a method, which a frame of `lanes` lanes at byte `at` names, stays within the limits of its host, with
    /// `buffers` bytes beside it.
    ///
    /// # Errors
    /// `Memory`, `Method`.
    pub(super) fn admit(
        &mut self,
        host: &Session,
        method: &'static str,
        lanes: usize,
        at: u64,
        buffers: u64,
    ) -> Result<()> {
        if buffers == 0 && self.admitted.iter().any(|(known, most)| *known == method && *most >= lanes) {
            return Ok(());
        }
        let (memory, work) = room(host);
        check_stored(method, lanes, memory.saturating_sub(buffers), work)
            .map_err(|e| e.within(format_args!("frame at byte {at}")))?;
        if !self.admitted.contains(&(method, lanes)) {
            self.admitted.push((method, lanes));
        }
        Ok(())
    }

    /// The compressor of a method that was admitted.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn of(&mut self, host: &Session, method: &'static str) -> Result<&mut Session> {
        let known = self.sessions.iter().position(|guest| guest.identity.canonical == method);
        let index = match known {
            Some(index) => index,
            None => {
                let (memory, work) = room(host);
                let taken = self.sessions.iter().fold(0u64, |sum, guest| sum.saturating_add(guest.memory_estimate()));
                let guest = match Session::create_stored(method, memory.saturating_sub(taken), work) {
                    // Without room for all of them, the others are made again where they are needed.
                    Err(_) if taken > 0 => {
                        self.sessions.clear();
                        Session::create_stored(method, memory, work)?
                    }
                    made => made?,
                };
                self.sessions.push(guest);
                self.sessions.len() - 1
            }
        };
        Ok(&mut self.sessions[index])
    }
}

/// The memory and the work that a host's limits leave to a guest.
fn room(host: &Session) -> (u64, u64) {
    let limit = host.params.get(Param::MemoryLimit) as u64;
    (limit.saturating_sub(host.memory_estimate()), host.params.get(Param::WorkLimit) as u64)
}
