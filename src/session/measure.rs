//! Measures: the cost of data, from the base, without coding.

use super::Session;
use super::driver::{Measure, drive};
use super::progress::{Progress, ProgressFn};
use crate::error::Result;

impl Session {
    /// The mean cost of the bytes of `data` from the base, in bits a byte; 0 for none.
    ///
    /// # Errors
    /// `Memory`, `Cancelled`.
    pub fn cross_entropy<'p>(&mut self, data: &[u8], progress: Option<&'p mut ProgressFn<'p>>) -> Result<f64> {
        let bits = self.measure(data, &mut [], progress)?;
        Ok(if data.is_empty() { 0.0 } else { bits / data.len() as f64 })
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
            let mut port = Measure::new(data, costs);
            drive(scratch, &mut port, &mut Progress::start(progress, data.len() as u64)?)?;
            Ok(port.bits)
        })
    }
}
