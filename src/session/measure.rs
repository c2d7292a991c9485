//! Measures: the cost of data, from the base, without coding.

use super::Session;
use super::driver::{Measure, Observe, drive};
use super::progress::{Progress, ProgressFn};
use crate::error::Result;
use crate::numeric::buffer::reserved;
use crate::predict::Predictor;

impl Session {
    /// The mean cost of the bytes of `data` from the base, in bits a byte; 0 for none.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    pub fn cross_entropy<'p>(&mut self, data: &[u8], progress: Option<&'p mut ProgressFn<'p>>) -> Result<f64> {
        let bits = self.measure(data, &mut [], progress)?;
        Ok(if data.is_empty() { 0.0 } else { bits / data.len() as f64 })
    }

    /// The mean cost of the bytes of `data` from the live state, which observes them; 0 for none.
    ///
    /// # Errors
    /// As those of [`Session::feed`]. The live state then does not change if the call was cancelled.
    pub fn cross_entropy_live<'p>(&mut self, data: &[u8], progress: Option<&'p mut ProgressFn<'p>>) -> Result<f64> {
        let mut port = Measure::new(data, &mut []);
        self.pass_live(data, &mut port, progress)?;
        Ok(if data.is_empty() { 0.0 } else { port.bits / data.len() as f64 })
    }

    /// The mean cost of the bytes of `data` after the `parts`, from the base, in bits a byte; 0 for no data.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    pub fn cross_entropy_conditional<'p>(
        &mut self,
        parts: &[&[u8]],
        data: &[u8],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<f64> {
        let total = parts.iter().fold(data.len() as u64, |sum, part| sum.saturating_add(part.len() as u64));
        self.with_scratch(|_, scratch| {
            scratch.begin_stream(Some(total));
            let mut progress = Progress::start(progress, total)?;
            for part in parts {
                drive(scratch, &mut Observe::new(part), &mut progress)?;
            }
            let mut port = Measure::new(data, &mut []);
            drive(scratch, &mut port, &mut progress)?;
            Ok(if data.is_empty() { 0.0 } else { port.bits / data.len() as f64 })
        })
    }

    /// The mean cost of the pairs of two sequences, from the base, in bits a pair; 0 for none. The bytes of the two
    /// alternate; the better order counts. The longer sequence is cut to the length of the other.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    pub fn cross_entropy_joint<'p>(
        &mut self,
        x: &[u8],
        y: &[u8],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<f64> {
        let n = x.len().min(y.len());
        let total = 2 * n as u64;
        let mut pairs = reserved(2 * n, "the pairs")?;
        let base = |scratch: &mut Predictor, session: &Self| {
            scratch.start_at(session.base_state());
            scratch.begin_stream(Some(total));
            Ok(())
        };
        self.with_scratch(|session, scratch| {
            let mut progress = Progress::start(progress, 2 * total)?;
            let mut best = f64::INFINITY;
            for (first, second) in [(x, y), (y, x)] {
                base(scratch, session)?;
                pairs.clear();
                pairs.extend(first.iter().zip(second).flat_map(|(a, b)| [*a, *b]));
                let mut port = Measure::new(&pairs, &mut []);
                drive(scratch, &mut port, &mut progress)?;
                best = best.min(port.bits);
            }
            Ok(if n == 0 { 0.0 } else { best / n as f64 })
        })
    }

    /// The cost of each byte of `data` from the base, in bits.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    ///
    /// # Panics
    /// If the lengths of `costs` and `data` differ.
    pub fn byte_costs<'p>(
        &mut self,
        data: &[u8],
        costs: &mut [f32],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<()> {
        assert_eq!(data.len(), costs.len());
        self.measure(data, costs, progress).map(|_| ())
    }

    /// The cost of all of `data` from the base, in bits. The costs of single bytes are written to `costs`, which may be
    /// shorter.
    fn measure<'p>(&mut self, data: &[u8], costs: &mut [f32], progress: Option<&'p mut ProgressFn<'p>>) -> Result<f64> {
        self.with_scratch(|_, scratch| {
            scratch.begin_stream(Some(data.len() as u64));
            let mut port = Measure::new(data, costs);
            drive(scratch, &mut port, &mut Progress::start(progress, data.len() as u64)?)?;
            Ok(port.bits)
        })
    }
}
