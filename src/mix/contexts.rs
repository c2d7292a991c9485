//! The contexts of the next byte: hashes of preceding bytes, words, columns, fields and structure, computed after each
//! byte.

use std::sync::Arc;

use super::stripes::Stripes;
use super::table::{Frozen, Marked, Table};
use crate::error::Result;

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
    window: Table<[u8; WINDOW_LINE]>,
    /// The length of the window, less 1.
    window_mask: usize,
    kinds: Kinds,
    mask: u32,
    pub(super) state: TextState,
    /// The stripes of the block under way.
    pub(super) stripes: Stripes,
    /// The last two bytes that followed each byte, the latest in the low bits, then those that followed each pair of
    /// bytes. Without sparse contexts, both are used by none and stay zero.
    followers: [Table<[u16; FOLLOWERS]>; 2],
    /// The state at the mark.
    marked: (TextState, Stripes),
}

/// Bytes of a line of the window.
pub(crate) const WINDOW_LINE: usize = 64;
/// Entries of a line of followers.
const FOLLOWERS: usize = 32;

/// The content of a text.
#[derive(Debug)]
pub(crate) struct TextContent {
    pub(crate) window: Arc<Frozen<[u8; WINDOW_LINE]>>,
    pub(crate) followers: [Arc<Frozen<[u16; FOLLOWERS]>>; 2],
    pub(crate) state: TextState,
}

impl TextContent {
    /// No bytes, with a window of 2^`log` bytes.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn initial(kinds: Kinds, log: u32) -> Result<Self> {
        let followers = |n: usize| Frozen::zeros(if kinds.sparse { n / FOLLOWERS } else { 0 }, 1);
        Ok(Self {
            window: Frozen::zeros((1 << log) / WINDOW_LINE, 1)?,
            followers: [followers(1 << 8)?, followers(1 << 16)?],
            state: TextState::default(),
        })
    }
}

/// The parser state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextState {
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
    /// The position of the next byte.
    pub(crate) fn position(&self) -> u32 {
        self.position
    }

    /// All fields, in the order in which they are stored.
    pub(crate) fn fields(&mut self) -> (&mut u64, [&mut u32; 12]) {
        let Self {
            position,
            last,
            word,
            words_before: [one, two],
            line_start,
            above,
            field,
            shape,
            outline,
            key,
            quoted,
            token,
        } = self;
        (last, [position, word, one, two, line_start, above, field, shape, outline, key, quoted, token])
    }

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
    /// A text with this content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn new(kinds: Kinds, content: &TextContent) -> Result<Self> {
        let [one, two] = &content.followers;
        Ok(Self {
            window: Table::new(&content.window, "the window")?,
            window_mask: content.window.units() * WINDOW_LINE - 1,
            mask: kinds.mask(),
            kinds,
            state: content.state,
            stripes: Stripes::NONE,
            followers: [Table::new(one, "contexts")?, Table::new(two, "contexts")?],
            marked: (content.state, Stripes::NONE),
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
        let at = at as usize & self.window_mask;
        self.window.get(at / WINDOW_LINE).map_or(0, |lines| lines[0][at % WINDOW_LINE])
    }

    /// How many bytes before `at` are equal to the last bytes of the text, up to `most`; 0 if `at` is not in the
    /// window.
    pub(crate) fn common_suffix(&self, at: u32, most: u32) -> u32 {
        let most = if self.stripes.is_one() {
            let distance = self.state.position.wrapping_sub(at);
            if distance == 0 || distance as usize > self.window_mask {
                return 0;
            }
            // Neither bytes that have left the window, nor bytes before position 0.
            most.min((self.window_mask + 1 - distance as usize) as u32).min(at)
        } else if self.is_coded(at) {
            let [own, other] = [self.state.position, at].map(|at| self.stripes.coded_before(at, self.window_mask));
            most.min(own).min(other)
        } else {
            return 0;
        };
        let same = |i: &u32| self.get(at.wrapping_sub(*i)) == self.get(self.state.position.wrapping_sub(*i));
        (1..=most).take_while(same).count() as u32
    }

    /// Whether the byte at a position was coded and is in the window. Always true with one lane, for positions that
    /// [`Text::common_suffix`] accepted and the ones after them.
    #[inline(always)]
    pub(crate) fn is_coded(&self, at: u32) -> bool {
        self.stripes.is_one() || self.stripes.is_coded(at, self.window_mask)
    }

    /// The byte that was last before the last `n` bytes; 0 if the lane's stripe has no more than `n` bytes so far.
    #[inline(always)]
    pub(crate) fn before_last(&self, n: u32) -> u8 {
        if self.has_more_than(n) { self.get(self.state.position.wrapping_sub(n + 1)) } else { 0 }
    }

    /// Whether the lane has coded more than `n` bytes without a gap. A text without a gap starts at position 0; before
    /// that, the window has zeros.
    #[inline(always)]
    fn has_more_than(&self, n: u32) -> bool {
        let from = self.stripes.own_start();
        from == 0 || self.state.position.wrapping_sub(from) > n
    }

    /// Whether there are `n` bytes without a gap.
    #[inline(always)]
    pub(crate) fn has_at_least(&self, n: u32) -> bool {
        self.state.position.wrapping_sub(self.stripes.own_start()) >= n
    }

    /// The byte that is `i` places back, 1 to 8, where 1 is the last byte; 0 before the start.
    #[inline(always)]
    pub(crate) fn back(&self, i: u32) -> u32 {
        (self.state.last >> (8 * (i - 1))) as u32 & 0xff
    }

    /// Sets the content, which is of the same kinds and the same length of the window.
    pub(crate) fn start_at(&mut self, content: &TextContent) {
        self.window.start_at(&content.window);
        self.followers.iter_mut().zip(&content.followers).for_each(|(table, origin)| table.start_at(origin));
        (self.state, self.stripes) = (content.state, Stripes::NONE);
    }

    /// A copy of the content.
    ///
    /// # Errors
    /// `Memory`.
    pub(crate) fn freeze(&self) -> Result<TextContent> {
        let [one, two] = &self.followers;
        let followers = [one.freeze()?, two.freeze()?];
        Ok(TextContent { window: self.window.freeze()?, followers, state: self.state })
    }

    /// The tables, whose marks the caller sets beside [`Text::mark`].
    pub(crate) fn tables(&mut self) -> [&mut dyn Marked; 3] {
        let [one, two] = &mut self.followers;
        [&mut self.window, one, two]
    }

    /// Saves what is not in tables, for [`Text::undo`].
    pub(crate) fn mark(&mut self) {
        self.marked = (self.state, self.stripes);
    }

    /// Goes back to the last [`Text::mark`].
    pub(crate) fn undo(&mut self) {
        (self.state, self.stripes) = self.marked;
    }

    /// The last two bytes that followed a byte (`of` 0) or a pair of bytes (`of` 1), the latest in the low bits.
    #[inline(always)]
    fn followers(&self, of: usize, key: u32) -> u32 {
        if !self.kinds.sparse {
            return 0;
        }
        let key = key as usize;
        self.followers[of].get(key / FOLLOWERS).map_or(0, |lines| lines[0][key % FOLLOWERS].into())
    }

    /// Appends a byte.
    pub(crate) fn push(&mut self, byte: u8) {
        let state = &mut self.state;
        if self.kinds.sparse {
            for (table, key) in self.followers.iter_mut().zip([state.last & 0xff, state.last & 0xffff]) {
                let key = key as usize;
                table.touch(key / FOLLOWERS);
                let followers = &mut table.lines_mut()[key / FOLLOWERS][key % FOLLOWERS];
                *followers = *followers << 8 | u16::from(byte);
            }
        }
        let at = state.position as usize & self.window_mask;
        self.window.touch(at / WINDOW_LINE);
        self.window.lines_mut()[at / WINDOW_LINE][at % WINDOW_LINE] = byte;
        state.position = state.position.wrapping_add(1);
        self.stripes.count();
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

    /// Continues at a position before which nothing belongs to the text's line.
    pub(crate) fn jump(&mut self, position: u32) {
        self.state.position = position;
        self.begin_line();
    }

    /// The number of bytes of the window.
    pub(crate) fn window(&self) -> u64 {
        self.window_mask as u64 + 1
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
            && (self.state.position.wrapping_sub(self.state.above) as usize) <= self.window_mask;
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
        add(self.followers(0, c1), c1);
        add(self.followers(1, low & 0xffff) & 0xff, low & 0xffff);
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
        let mut text = Text::new(kinds, &TextContent::initial(kinds, 10).unwrap()).unwrap();
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
