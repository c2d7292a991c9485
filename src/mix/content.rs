//! The content of a mix: everything that bytes have changed. It is immutable and stores only what differs from the
//! initial content, which all mixes with the same options share.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::bypass::BypassContent;
use super::contexts::{MAX_CONTEXTS, TextContent};
use super::maps::{Adaptive, Apm, POINTS};
use super::matches::MatchContent;
use super::mixer::{Line as Weights, Mixer};
use super::slots::{LINE, Slots};
use super::start::{Start, StartLayout};
use super::store;
use super::table::Frozen;
use super::{APM_LOGS, APMS, DIRECT, DIRECT_LINE, DirectLine, MATCHES, Mix, Options};
use crate::error::Result;
use crate::numeric::buffer::{grow, made};

/// The content of a mix at a byte boundary. Threads may share it.
#[derive(Debug)]
pub struct Content {
    pub(super) options: Options,
    pub(super) text: TextContent,
    pub(super) slots: Arc<Frozen<[u8; LINE]>>,
    pub(super) maps: Vec<[Adaptive; 256]>,
    pub(super) direct: [Arc<Frozen<DirectLine>>; DIRECT],
    pub(super) matches: Option<[MatchContent; 2]>,
    pub(super) mixer: Arc<Frozen<Weights>>,
    pub(super) bypass: Option<BypassContent>,
    pub(super) apms: [Arc<Frozen<[u16; POINTS]>>; APMS],
    /// The offset of each context's slot for the next nibble; zeros if the next byte is bypassed.
    pub(super) at: [u32; MAX_CONTEXTS],
    /// Whether the next byte is bypassed.
    pub(super) bypassed: bool,
    pub(super) seen: u32,
    /// Whether it is in [`INITIAL`].
    pub(super) shared: bool,
}

impl Drop for Content {
    fn drop(&mut self) {
        if self.shared {
            // Leak checkers report what a library never frees.
            let mut list = INITIAL.lock().unwrap_or_else(PoisonError::into_inner);
            list.retain(|(_, content)| content.strong_count() > 0);
            if list.is_empty() {
                *list = Vec::new();
            }
        }
    }
}

/// The initial contents that are in use. They remove themselves.
static INITIAL: Mutex<Vec<(Options, Weak<Content>)>> = Mutex::new(Vec::new());

impl Content {
    /// The initial content of mixes with these options. All of them share it. It is freed with the last of them.
    ///
    /// # Errors
    /// `Memory`.
    pub fn initial(options: Options) -> Result<Arc<Self>> {
        let contents = || INITIAL.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |list: &[(Options, Weak<Self>)]| {
            list.iter().find(|(of, _)| *of == options).and_then(|(_, content)| content.upgrade())
        };
        if let Some(content) = find(&contents()) {
            return Ok(content);
        }
        // Not under the lock: it takes a millisecond, and what is dropped takes the lock again.
        let mut new = Self::starting(options, &Start::of(&options)?)?;
        let mut list = contents();
        if let Some(content) = find(&list) {
            return Ok(content);
        }
        grow(&mut list, 1, "a mix")?;
        new.shared = true;
        let new = Arc::new(new);
        list.push((options, Arc::downgrade(&new)));
        Ok(new)
    }

    /// The content of a mix before any byte, with the given initial values.
    ///
    /// # Errors
    /// `Memory`.
    pub(super) fn starting(options: Options, start: &Start) -> Result<Self> {
        let text = TextContent::initial(options.kinds(), options.window_log())?;
        let contexts = options.kinds().mask().count_ones() as usize;
        let start = StartLayout::new(start, &options);
        let follow = |i: usize| MatchContent::initial(MATCHES[i].1, &start.confidence(i));
        let mut order0 = made(256 / DIRECT_LINE, "order 0", |_| Ok([[0; 2]; DIRECT_LINE]))?;
        order0.as_flattened_mut().copy_from_slice(&start.order0());
        let apm = |i: usize| Apm::initial(if i < options.apms() { 1 << APM_LOGS[i] } else { 1 });
        let mut content = Self {
            options,
            text,
            slots: Slots::initial(options.log.into())?,
            maps: made(contexts, "context maps", |context| Ok(start.map(context)))?,
            direct: [Frozen::full(order0, 1)?, Frozen::zeros((1 << 16) / DIRECT_LINE, 1)?],
            matches: if options.matches { Some([follow(0)?, follow(1)?]) } else { None },
            mixer: Mixer::initial(options.rows(), start.inputs(), |set, row, out| start.weights(set, row, out))?,
            bypass: if options.neural == 0 && options.matches { Some(BypassContent::initial()?) } else { None },
            apms: [apm(0)?, apm(1)?, apm(2)?],
            at: [0; MAX_CONTEXTS],
            bypassed: false,
            seen: 0,
            shared: false,
        };
        // Before the first byte, the slots of its contexts are looked up.
        let mut mix = Mix::with(&content)?;
        mix.find_slots(0);
        let first = mix.freeze()?;
        (content.slots, content.at) = (first.slots.clone(), first.at);
        Ok(content)
    }

    /// Appends the stored form (docs/FORMAT.md, "State of a mix").
    ///
    /// # Errors
    /// `Memory`.
    pub fn store(&self, out: &mut Vec<u8>) -> Result<()> {
        store::store(self, &*Self::initial(self.options)?, out)
    }

    /// The inverse of [`Content::store`], for mixes with these options.
    ///
    /// # Errors
    /// `Corrupt`, `Memory`.
    pub fn load(options: Options, stored: &[u8]) -> Result<Self> {
        store::load(&*Self::initial(options)?, stored)
    }

    /// The options of the mix.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The memory that it takes in bytes, without the initial content.
    pub fn bytes(&self) -> u64 {
        let text = self.text.window.bytes() + self.text.followers.iter().map(|table| table.bytes()).sum::<usize>();
        let direct: usize = self.direct.iter().map(|table| table.bytes()).sum();
        let matches: usize = self.matches.iter().flatten().map(|m| m.heads.bytes()).sum();
        let bypass = self.bypass.as_ref().map_or(0, |b| b.weights.bytes() + b.cells.bytes() + b.gates.bytes());
        let apms: usize = self.apms.iter().map(|table| table.bytes()).sum();
        let tables = text + self.slots.bytes() + direct + matches + self.mixer.bytes() + bypass + apms;
        (tables + size_of_val(&self.maps[..]) + size_of::<Self>()) as u64
    }
}
