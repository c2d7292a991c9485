//! The contexts of the next byte: hashes of preceding bytes, words, columns, fields and structure, computed after each
//! byte.

use super::journal::Journal;
use crate::error::Result;
use crate::numeric::buffer::zeroed;

/// The maximum number of hashed contexts.
pub(crate) const MAX_CONTEXTS: usize = 24;

/// Which contexts are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// The highest order, at most 8. Orders from 2 on are hashed. Orders 0 and 1 have direct tables and are always
    /// used.
    pub(crate) highest_order: usize,
    /// Word contexts. A word consists of ASCII letters, regardless of case, and bytes from 128 on.
    pub(crate) words: bool,
    /// Skips, columns, fields, shapes, keys, and the bytes that followed the last two occurrences.
    pub(crate) sparse: bool,
    /// 0: all of these contexts. 1 and 2: only those in [`FAST`].
    pub(crate) fast: u8,
}

/// The numbers of the first word context and the first sparse one; order 2 has number 0.
const FIRST_WORD: u32 = 7;
const FIRST_SPARSE: u32 = 11;

/// The numbers of the contexts that remain with `fast` 1 and 2: some of the orders and words, (byte above, column) with
/// `fast` 1 only, (outline, word) with `fast` 1 only, and the shape.
const FAST: [&[u32]; 2] = [&[0, 1, 2, 4, 7, 8, 12, 17, 18], &[0, 1, 2, 7, 8, 18]];

/// A mask with the bits of these numbers.
fn numbers(list: &[u32]) -> u32 {
    list.iter().fold(0, |mask, number| mask | 1 << number)
}

impl Kinds {
    /// A mask with one bit for each context in use, by its number.
    pub(crate) fn mask(&self) -> u32 {
        let fast = match self.fast {
            0 => !0,
            1 => numbers(FAST[0]),
            _ => numbers(FAST[1]),
        };
        let orders = (1 << (self.highest_order - 1)) - 1;
        let words = if self.words { 0xf << FIRST_WORD } else { 0 };
        let sparse = if self.sparse { 0xfff << FIRST_SPARSE } else { 0 };
        (orders | words | sparse) & fast
    }
}

/// Hashes two 32-bit numbers.
#[inline(always)]
pub(crate) fn hash(a: u32, b: u32) -> u32 {
    let h = a.wrapping_mul(0x9E37_79B1) ^ b.wrapping_mul(0x85EB_CA77).rotate_left(15);
    let h = (h ^ h >> 15).wrapping_mul(0x2C1B_3C6D);
    h ^ h >> 13
}

/// The class of each byte, below 16: lower case, upper case, digits, space, line end, bytes from 128 on; frequent
/// punctuation marks have a class each.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' => 1,
            b'A'..=b'Z' => 2,
            b'0'..=b'9' => 3,
            b' ' => 4,
            b'\n' => 5,
            0x80.. => 6,
            b'"' => 7,
            b',' => 8,
            b'.' => 9,
            b':' => 10,
            b'/' => 11,
            b'<' => 12,
            b'>' => 13,
            b'=' => 14,
            b'-' => 15,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// The history window and the parser state from which contexts are computed.
#[derive(Debug)]
pub(crate) struct Text {
    /// The last bytes. Each is at its position modulo the length, which is a power of two.
    window: Vec<u8>,
    kinds: Kinds,
    mask: u32,
    state: TextState,
    /// The last two bytes that followed each byte, the latest in the low bits. Empty without sparse contexts.
    followers_of_one: Vec<u16>,
    /// Likewise for each pair of bytes.
    followers_of_two: Vec<u16>,
    window_journal: Journal<u8>,
    followers_journal: [Journal<u16>; 2],
    /// The state at the checkpoint.
    start: TextState,
}

/// The parser state.
#[derive(Clone, Copy, Debug, Default)]
struct TextState {
    /// The number of bytes so far, modulo 2^32.
    position: u32,
    /// The last eight bytes, the latest in the lowest bits.
    last: u64,
    /// Hash of the present word so far; 0 between words.
    word: u32,
    /// Hashes of the two words before, the latest first.
    words_before: [u32; 2],
    /// The position of the first byte of the line.
    line_start: u32,
    /// The position in the same column of the line above. Equal to `line_start` if there is none.
    above: u32,
    /// Number of bytes of this line that are neither letters nor digits.
    field: u32,
    /// The classes of the last eight bytes, four bits each, the latest in the lowest bits.
    shape: u32,
    /// Like `shape`, but a run of lower case, of upper case, of digits or of spaces counts once.
    outline: u32,
    /// Hash of the quoted string before the last colon, such as a JSON key.
    key: u32,
    /// Hash of the last quoted string; 0 after a colon, comma, bracket, brace or line end.
    quoted: u32,
    /// Hash of the text since the last quote, colon, comma, bracket, brace or line end, without spaces at its start.
    token: u32,
}

impl TextState {
    /// Updates the structural state with a byte.
    fn structure(&mut self, byte: u8) {
        let class = u32::from(CLASSES[usize::from(byte)]);
        self.shape = self.shape << 4 | class;
        if !(1..=4).contains(&class) || class != self.outline & 15 {
            self.outline = self.outline << 4 | class;
        }
        match byte {
            b'"' if self.token != 0 => self.quoted = std::mem::take(&mut self.token),
            // An opening quote, and spaces before a token, are not part of a token.
            b'"' => {}
            b' ' if self.token == 0 => {}
            b':' => {
                if self.quoted != 0 {
                    self.key = std::mem::take(&mut self.quoted);
                }
                self.token = 0;
            }
            b',' | b'{' | b'}' | b'[' | b']' | b'\n' => (self.quoted, self.token) = (0, 0),
            _ => self.token = hash(self.token.wrapping_add(byte.into()), 3),
        }
    }
}

impl Text {
    /// With a window of 2^`log` bytes.
    pub(crate) fn new(kinds: Kinds, log: u32) -> Result<Self> {
        let followers = |n| zeroed(if kinds.sparse { n } else { 0 }, "contexts");
        Ok(Self {
            window: zeroed(1 << log, "the window")?,
            mask: kinds.mask(),
            kinds,
            state: TextState::default(),
            followers_of_one: followers(1 << 8)?,
            followers_of_two: followers(1 << 16)?,
            window_journal: Journal::default(),
            followers_journal: [Journal::default(), Journal::default()],
            start: TextState::default(),
        })
    }

    /// The position of the next byte: the number of bytes so far, modulo 2^32.
    #[inline(always)]
    pub(crate) fn position(&self) -> u32 {
        self.state.position
    }

    /// The byte at a position that is in the window; 0 if nothing was written there.
    #[inline(always)]
    pub(crate) fn get(&self, at: u32) -> u8 {
        self.window[at as usize & (self.window.len() - 1)]
    }

    /// How many bytes before `at` are equal to the last bytes of the text, up to `most`; 0 if `at` is not in the
    /// window.
    pub(crate) fn common_suffix(&self, at: u32, most: u32) -> u32 {
        let distance = self.state.position.wrapping_sub(at);
        if distance == 0 || distance as usize >= self.window.len() {
            return 0;
        }
        // Neither bytes that have left the window, nor bytes before position 0.
        let most = most.min((self.window.len() - distance as usize) as u32).min(at);
        let same = |i: &u32| self.get(at.wrapping_sub(*i)) == self.get(self.state.position.wrapping_sub(*i));
        (1..=most).take_while(same).count() as u32
    }

    /// The byte that is `i` places back, 1 to 8, where 1 is the last byte; 0 before the start.
    #[inline(always)]
    pub(crate) fn back(&self, i: u32) -> u32 {
        (self.state.last >> (8 * (i - 1))) as u32 & 0xff
    }

    /// Copies the state of a text with the same kinds and the same length of the window.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.window.copy_from_slice(&other.window);
        self.followers_of_one.copy_from_slice(&other.followers_of_one);
        self.followers_of_two.copy_from_slice(&other.followers_of_two);
        self.state = other.state;
    }

    /// Sets a checkpoint.
    pub(crate) fn checkpoint(&mut self) {
        self.window_journal.start();
        self.followers_journal.iter_mut().for_each(Journal::start);
        self.start = self.state;
    }

    /// Drops the checkpoint.
    pub(crate) fn discard_checkpoint(&mut self) {
        self.window_journal.discard();
        self.followers_journal.iter_mut().for_each(Journal::discard);
    }

    /// Whether the journals cover all writes since the checkpoint.
    pub(crate) fn is_complete(&self) -> bool {
        self.window_journal.is_complete() && self.followers_journal.iter().all(Journal::is_complete)
    }

    /// Returns to the checkpoint.
    pub(crate) fn roll_back(&mut self) {
        self.window_journal.undo_all(|at, byte| self.window[at] = byte);
        let [one, two] = &mut self.followers_journal;
        one.undo_all(|at, followers| self.followers_of_one[at] = followers);
        two.undo_all(|at, followers| self.followers_of_two[at] = followers);
        self.state = self.start;
    }

    /// Passes the state to `add`.
    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        add(&self.window);
        let TextState { position, last, word, words_before: [one, two], line_start, above, field, .. } = self.state;
        let TextState { shape, outline, key, quoted, token, .. } = self.state;
        add(&last.to_le_bytes());
        [position, word, one, two, line_start, above, field, shape, outline, key, quoted, token]
            .iter()
            .for_each(|x| add(&x.to_le_bytes()));
        self.followers_of_one.iter().chain(&self.followers_of_two).for_each(|x| add(&x.to_le_bytes()));
    }

    /// Appends a byte.
    pub(crate) fn push(&mut self, byte: u8) {
        let (state, mask) = (&mut self.state, self.window.len() - 1);
        if self.kinds.sparse {
            let tables =
                [(&mut self.followers_of_one, state.last & 0xff), (&mut self.followers_of_two, state.last & 0xffff)];
            for ((table, key), journal) in tables.into_iter().zip(&mut self.followers_journal) {
                let followers = &mut table[key as usize];
                journal.record(key as usize, *followers);
                *followers = *followers << 8 | u16::from(byte);
            }
        }
        let at = state.position as usize & mask;
        self.window_journal.record(at, self.window[at]);
        self.window[at] = byte;
        state.position = state.position.wrapping_add(1);
        state.last = state.last << 8 | u64::from(byte);
        if byte.is_ascii_alphabetic() || byte >= 0x80 {
            state.word = hash(state.word.wrapping_add(u32::from(byte.to_ascii_lowercase())), 1);
        } else if state.word != 0 {
            state.words_before = [state.word, state.words_before[0]];
            state.word = 0;
        }
        state.structure(byte);
        if byte == b'\n' {
            state.above = state.line_start;
            state.line_start = state.position;
            state.field = 0;
        } else {
            state.field = state.field.wrapping_add(u32::from(!byte.is_ascii_alphanumeric()));
            if state.above != state.line_start {
                state.above = state.above.wrapping_add(1);
            }
        }
    }

    /// Starts a line that has no line above it.
    pub(crate) fn begin_line(&mut self) {
        let state = &mut self.state;
        (state.line_start, state.above, state.field) = (state.position, state.position, 0);
    }

    /// The classes of the last eight bytes, four bits each, the latest in the lowest bits.
    #[inline(always)]
    pub(crate) fn shape(&self) -> usize {
        self.state.shape as usize
    }

    /// Like [`Text::shape`], but runs of letters of one case, of digits and of spaces count once.
    #[inline(always)]
    pub(crate) fn outline(&self) -> usize {
        self.state.outline as usize
    }

    /// Number of bytes of this line that are neither letters nor digits.
    #[inline(always)]
    pub(crate) fn field(&self) -> u32 {
        self.state.field
    }

    /// The byte above; 0 if there is no line above, if it is shorter, or if the byte has left the window.
    fn above(&self) -> u32 {
        let there = self.state.above != self.state.line_start
            && (self.state.position.wrapping_sub(self.state.above) as usize) < self.window.len();
        if there { self.get(self.state.above).into() } else { 0 }
    }

    /// Writes the hashes of all contexts in use, in the order of their numbers, so the orders are first. Returns how
    /// many there are.
    #[inline(always)]
    pub(crate) fn contexts(&self, out: &mut [u32; MAX_CONTEXTS]) -> usize {
        let mut n = 0;
        let mask = self.mask;
        let mut number = 0u32;
        // The context's number is part of the hash: equal values in two contexts must not collide.
        let mut add = |a: u32, b: u32| {
            if mask >> number & 1 != 0 {
                out[n] = hash(a.wrapping_add(number.wrapping_mul(0x3D4D_51CB)), b);
                n += 1;
            }
            number += 1;
        };
        let low = self.state.last as u32;
        for order in 2..=8 {
            let text = self.state.last & (u64::MAX >> (64 - 8 * order));
            add(text as u32, (text >> 32) as u32);
        }
        let c1 = low & 0xff;
        let TextState { word, words_before: [before, two_before], field, shape, outline, key, token, .. } = self.state;
        add(word, c1);
        add(word ^ before.rotate_left(7), c1);
        add(word ^ before.rotate_left(7) ^ two_before.rotate_left(14), 0);
        add(word, two_before.rotate_left(9));
        let column = self.state.position.wrapping_sub(self.state.line_start).min(255);
        add(low & 0xff_ff00, 0);
        add(self.above() | column << 8, 0);
        add(field, c1);
        add(u32::from(self.followers_of_one.get(c1 as usize).copied().unwrap_or(0)), c1);
        add(u32::from(self.followers_of_two.get((low & 0xffff) as usize).copied().unwrap_or(0) & 0xff), low & 0xffff);
        add(outline, c1);
        add(outline, word);
        add(shape, 0);
        add(token, 0);
        add(token, key);
        add(key, c1);
        add(key, low & 0xffff);
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> TextState {
        let mut state = TextState::default();
        text.bytes().for_each(|byte| state.structure(byte));
        state
    }

    #[test]
    fn a_key_is_the_quoted_string_before_the_last_colon() {
        let [a, b] = [r#"{"name":"ann"#, r#"[1, {"id": 7, "name" :"ann"#].map(after);
        assert_eq!((a.key, a.token), (b.key, b.token));
        let other_key = after(r#"{"name":"x","age":"ann"#);
        assert!(other_key.key != a.key && other_key.token == a.token);
        let other_value = after(r#"{"name":"and"#);
        assert!(other_value.key == a.key && other_value.token != a.token);
        for with_colons in [r#"{"name":"http://x:80/","#, r#"{"name": "at 10:20", "#] {
            assert_eq!(after(with_colons).key, a.key, "colons within a value");
        }
        assert_eq!(after("10:20:30").key, 0, "nothing in quotes");
    }

    #[test]
    fn begin_line_starts_a_line_without_a_line_above() {
        let kinds = Kinds { highest_order: 2, words: false, sparse: true, fast: 0 };
        let feed = |text: &mut Text, bytes: &str| bytes.bytes().for_each(|byte| text.push(byte));
        let mut text = Text::new(kinds, 10).unwrap();
        feed(&mut text, "one two\nthree, f");
        assert_eq!((text.above(), text.state.field), (0, 2), "beyond the end of the line above");
        feed(&mut text, "\nt");
        assert_eq!(text.above(), u32::from(b'h'));
        text.begin_line();
        feed(&mut text, "x y");
        assert_eq!((text.above(), text.state.position - text.state.line_start, text.state.field), (0, 3, 1));
        feed(&mut text, "\n");
        assert_eq!(text.above(), u32::from(b'x'));
    }

    #[test]
    fn an_outline_does_not_depend_on_the_lengths_of_runs() {
        let [a, b] = ["Abc 123,\"", "Qq 4,\""].map(after);
        assert!(a.outline == b.outline && a.shape != b.shape);
        assert_ne!(after("a,,b").outline, after("a,b").outline, "marks count one by one");
        assert_eq!(after("12\n").shape, 0x335);
    }
}
