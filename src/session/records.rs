//! Records: many short contents in one call, each coded independently from the base.
//!
//! A record has no frame, which would be longer than the record itself.

use super::Session;
use super::compress::Sink;
use super::driver::{Decode, Encode, drive};
use super::params::Param;
use super::progress::{Progress, ProgressFn};
use crate::coder::{Encoder, RangeDecoder, RangeEncoder};
use crate::container::{MAX_RECORD_OVERHEAD, Record, RecordCheck};
use crate::error::{Error, Result, fail};
use crate::numeric::NUMERICS_VERSION;
use crate::numeric::buffer::reserved;
use crate::predict::Predictor;
use crate::snapshot::hex;

impl Session {
    /// The checks of records at the base.
    fn record_check(&self) -> RecordCheck {
        let (width, identity) = (self.params.get(Param::RecordCheck) as usize, self.identity());
        let (fingerprint, base) = (identity.fingerprint.as_ref(), self.base.as_ref().map(|base| base.id()));
        RecordCheck::new(width, NUMERICS_VERSION, &identity.canonical, fingerprint, base)
    }

    /// Compresses each content from the base and writes the records to `dst`, end to end. `lens[i]` is set to the
    /// length of record i. Returns their sum. A record does not depend on the others.
    ///
    /// # Errors
    /// `BufferTooSmall` with the length that is needed, and all `lens` set; `Argument`, `Memory`, `Cancelled`.
    pub fn records_compress<'p>(
        &mut self,
        src: &[&[u8]],
        dst: &mut [u8],
        lens: &mut [usize],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<usize> {
        let mut sink = Sink::new(dst);
        self.with_scratch(|session, scratch| {
            if let Some((i, raw)) = src.iter().enumerate().find(|(_, raw)| u32::try_from(raw.len()).is_err()) {
                fail!(Argument, "record {i} has {} bytes, {} are the most", raw.len(), u32::MAX);
            }
            let total = src.iter().fold(0u64, |sum, raw| sum.saturating_add(raw.len() as u64));
            let mut progress = Progress::start(progress, total)?;
            let check = session.record_check();
            let (mut encoder, mut payload) = (RangeEncoder::default(), Vec::new());
            let mut head = reserved(MAX_RECORD_OVERHEAD, "a record's head")?;
            for (raw, len) in src.iter().zip(&mut *lens) {
                head.clear();
                payload.clear();
                Record::write_head(raw.len() as u32, &check.of(raw)[..check.width()], &mut head);
                if !raw.is_empty() {
                    scratch.start_at(session.base_state());
                    scratch.begin_stream(Some(raw.len() as u64));
                    scratch.begin_record();
                    drive(scratch, &mut Encode::new(raw, &mut encoder), &mut progress)?;
                    encoder.finish(&mut payload)?;
                }
                let body = if payload.len() < raw.len() { &payload[..] } else { raw };
                sink.put(&head);
                sink.put(body);
                *len = head.len() + body.len();
            }
            Ok(())
        })?;
        sink.finish()
    }

    /// Decompresses records of the same base and writes the contents to `dst`, end to end. `lens[i]` is set to the
    /// length of content i. Returns their sum.
    ///
    /// # Errors
    /// `BufferTooSmall` with the length that is needed, and all `lens` set; `Truncated`, `Corrupt` (naming the record),
    /// `Method` (the work limit), `Memory`, `Cancelled`.
    pub fn records_decompress<'p>(
        &mut self,
        src: &[&[u8]],
        dst: &mut [u8],
        lens: &mut [usize],
        progress: Option<&'p mut ProgressFn<'p>>,
    ) -> Result<usize> {
        let within = |i: usize, e: Error| e.within(format_args!("record {i}"));
        let check = self.record_check();
        self.check_work()?;
        let mut total = 0u64;
        for (i, (record, len)) in src.iter().zip(&mut *lens).enumerate() {
            *len = Record::read(record, check.width()).map_err(|e| within(i, e))?.len as usize;
            total = total.saturating_add(*len as u64);
        }
        let Some(dst) = usize::try_from(total).ok().and_then(|n| dst.get_mut(..n)) else {
            return Err(Error::buffer_too_small(dst.len(), total));
        };
        self.with_scratch(|session, scratch| {
            let mut progress = Progress::start(progress, total)?;
            let mut rest = &mut *dst;
            for (i, (record, len)) in src.iter().zip(&*lens).enumerate() {
                let (raw, after) = std::mem::take(&mut rest).split_at_mut(*len);
                let record = Record::read(record, check.width())?;
                if record.is_stored() {
                    raw.copy_from_slice(record.body);
                    progress.advance(raw.len() as u64)?;
                } else {
                    scratch.start_at(session.base_state());
                    scratch.begin_stream(Some(raw.len() as u64));
                    scratch.begin_record();
                    decode(scratch, record.body, raw, &mut progress).map_err(|e| within(i, e))?;
                }
                verify(&check, record.check, raw).map_err(|e| within(i, e))?;
                rest = after;
            }
            Ok(())
        })?;
        Ok(dst.len())
    }
}

fn decode(predictor: &mut Predictor, payload: &[u8], raw: &mut [u8], progress: &mut Progress) -> Result<()> {
    let mut port = Decode::new(raw, RangeDecoder::new(payload));
    drive(predictor, &mut port, progress)?;
    port.finish()
}

/// Compares a record's check with that of the decoded content.
fn verify(check: &RecordCheck, expected: &[u8], content: &[u8]) -> Result<()> {
    let found = check.of(content);
    let found = &found[..check.width()];
    if found != expected {
        let [found, expected] = [found, expected].map(hex);
        fail!(
            Corrupt,
            "the check is {found}, not {expected}: the record is damaged, or another method, base or GPTZ_PARAM_RECORD_CHECK \
             made it"
        );
    }
    Ok(())
}
