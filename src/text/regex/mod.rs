//! The part of regular expressions that pre-tokenisers use, in the syntax and with the results of Oniguruma, the engine
//! of the library `tokenizers`.
//!
//! A pattern is an alternation of sequences of classes, each with a quantifier; groups, optional or not; and a lookahead
//! of one class. There are no loops over groups, so the matcher backtracks only over the lengths of runs. The patterns
//! of the known models match in time proportional to the text. A pattern from a file may not; a limit of steps for each
//! text refuses it.

mod class;
mod parse;

use class::Class;
use parse::{Parser, Part};

use super::category::{first_char, last_len};
use crate::error::{Result, fail};

/// The longest pattern, in bytes. The longest known one has 300.
const MAX_PATTERN: usize = 2048;
/// The longest path through a pattern, in nodes: each takes a frame of the stack.
const MAX_DEPTH: u32 = 64;

/// A part with what follows it.
#[derive(Clone, Debug)]
enum Node {
    Take { class: u16, min: u32, max: u32, keeps: bool, next: u16 },
    Not { class: u16, next: u16 },
    Any(Vec<u16>),
    End,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Regex {
    classes: Vec<Class>,
    nodes: Vec<Node>,
    start: u16,
}

/// Appends the nodes of a sequence that `next` follows. `depths` has the longest path from each node.
fn compile(parts: &[Part], next: u16, nodes: &mut Vec<Node>, depths: &mut Vec<u32>) -> u16 {
    let mut next = next;
    for part in parts.iter().rev() {
        let (node, below) = match part {
            Part::Take { class, min, max, keeps } => {
                (Node::Take { class: *class, min: *min, max: *max, keeps: *keeps, next }, depths[usize::from(next)])
            }
            Part::Not(class) => (Node::Not { class: *class, next }, depths[usize::from(next)]),
            Part::Group { branches, optional } => {
                let mut all: Vec<u16> = branches.iter().map(|parts| compile(parts, next, nodes, depths)).collect();
                all.extend(optional.then_some(next));
                let below = all.iter().map(|n| depths[usize::from(*n)]).max().unwrap_or(0);
                (Node::Any(all), below)
            }
        };
        nodes.push(node);
        depths.push(below + 1);
        next = (nodes.len() - 1) as u16;
    }
    next
}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// `Model` for syntax that is not supported; the message has its place.
    pub(super) fn new(pattern: &str) -> Result<Self> {
        if pattern.len() > MAX_PATTERN {
            fail!(
                Model,
                "a pattern of the pre-tokenizer has {} bytes, at most {MAX_PATTERN} are allowed",
                pattern.len()
            );
        }
        let mut parser = Parser::new(pattern);
        let branches = parser.all()?;
        let (mut nodes, mut depths) = (vec![Node::End], vec![0]);
        let start = compile(&[Part::Group { branches, optional: false }], 0, &mut nodes, &mut depths);
        if depths[usize::from(start)] > MAX_DEPTH {
            return parser.refuse("a sequence of this length");
        }
        Ok(Self { classes: parser.classes, nodes, start })
    }

    /// The end of the match that starts at `at`.
    fn run(&self, node: u16, text: &[u8], at: usize, steps: &mut u64) -> Option<usize> {
        let (mut node, mut at) = (node, at);
        loop {
            *steps = steps.saturating_sub(1);
            match &self.nodes[usize::from(node)] {
                Node::End => return Some(at),
                Node::Any(branches) => {
                    let mut ends = branches.iter().map(|branch| self.run(*branch, text, at, steps));
                    return ends.find_map(|end| end);
                }
                Node::Not { class, next } => {
                    if self.classes[usize::from(*class)].first(&text[at..]).is_some() {
                        return None;
                    }
                    node = *next;
                }
                Node::Take { class, min, max, keeps, next } => {
                    let class = &self.classes[usize::from(*class)];
                    let mut n = 0;
                    while n < *max
                        && let Some(len) = class.first(&text[at..])
                    {
                        at += len;
                        n += 1;
                    }
                    *steps = steps.saturating_sub(u64::from(n));
                    if n < *min || *steps == 0 {
                        return None;
                    }
                    while !keeps && n > *min {
                        if let Some(end) = self.run(*next, text, at, steps) {
                            return Some(end);
                        }
                        at -= last_len(&text[..at]);
                        n -= 1;
                    }
                    node = *next;
                }
            }
        }
    }

    /// The end of the piece of `text` that starts at `from`, which is less than its length: a match, or all up to the
    /// next match. `steps` is what is left of the work for the text.
    ///
    /// # Errors
    /// `Model` if the steps are used up.
    pub(super) fn piece(&self, text: &[u8], from: usize, steps: &mut u64) -> Result<usize> {
        let mut at = from;
        while at < text.len() {
            let end = self.run(self.start, text, at, steps).filter(|end| *end > at);
            if *steps == 0 {
                fail!(
                    Model,
                    "the pre-tokenizer takes too many steps for this text: its pattern is not of a known model"
                );
            }
            match end {
                Some(end) if at == from => return Ok(end),
                Some(_) => return Ok(at),
                None => at += first_char(&text[at..]).1,
            }
        }
        Ok(at)
    }
}

/// The steps that the patterns may take for a text of `len` bytes. The known patterns take at most 40 a byte.
pub(super) fn steps_for(len: usize) -> u64 {
    10_000 + 400 * len as u64
}
