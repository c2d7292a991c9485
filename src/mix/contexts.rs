//! What a byte stands in: the texts before it, the word, the line, the column. Hashed, at each byte's start.

use super::undo::Undo;
use crate::error::Result;
use crate::numeric::buffer::zeroed;

/// The most contexts that there are at once.
pub(crate) const MAX_CONTEXTS: usize = 24;

/// Which contexts are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// Hashed orders go from 2 to this one, at most 8; 0 and 1 are always there, directly.
    pub(crate) highest_order: usize,
    /// Words: letters without case, and bytes from 128 on.
    pub(crate) words: bool,
    /// Skips, columns, fields, shapes, keys, and what followed the last two occurrences.
    pub(crate) sparse: bool,
}

/// Two 32-bit numbers into one, all bits mixed.
#[inline(always)]
pub(crate) fn hash(a: u32, b: u32) -> u32 {
    let h = a.wrapping_mul(0x9E37_79B1) ^ b.wrapping_mul(0x85EB_CA77).rotate_left(15);
    let h = (h ^ h >> 15).wrapping_mul(0x2C1B_3C6D);
    h ^ h >> 13
}

/// What kind of character a byte is, below 16: letters of a case are alike, digits are, marks that structure text are not.
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

/// The text so far, and where in it we are.
#[derive(Debug)]
pub(crate) struct Text {
    /// The last bytes, each at its position modulo the length, a power of two.
    window: Vec<u8>,
    kinds: Kinds,
    place: Place,
    /// The bytes that followed each byte, and each pair of bytes, before: the latest lowest.
    after_one: Vec<u16>,
    after_two: Vec<u16>,
    window_undo: Undo<u8>,
    after_undo: [Undo<u16>; 2],
    /// Where the log began.
    start: Place,
}

/// Where in the text we are.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// How many bytes there were, modulo 2^32.
    position: u32,
    /// The last eight bytes, the latest lowest.
    last: u64,
    word: u32,
    words_before: [u32; 2],
    line_start: u32,
    /// In the line above, as far from its start as we are from ours.
    above: u32,
    /// Separators since the line's start.
    field: u32,
    /// The classes of the last eight bytes, the latest lowest.
    shape: u32,
    /// The same, but that a run of letters of a case, of digits or of spaces counts once.
    outline: u32,
    /// What was in quotes before the last colon, as JSON has its keys.
    key: u32,
    /// What the last quotes held, until the list goes on.
    quoted: u32,
    /// The text since the last quote, colon, comma, bracket or line's end.
    piece: u32,
}

impl Place {
    /// Takes in a byte's part in the structure of the text.
    fn structure(&mut self, byte: u8) {
        let class = u32::from(CLASSES[usize::from(byte)]);
        self.shape = self.shape << 4 | class;
        if !(1..=4).contains(&class) || class != self.outline & 15 {
            self.outline = self.outline << 4 | class;
        }
        match byte {
            b'"' if self.piece != 0 => self.quoted = std::mem::take(&mut self.piece),
            // An opening quote; spaces before it or another beginning.
            b'"' => {}
            b' ' if self.piece == 0 => {}
            b':' => {
                if self.quoted != 0 {
                    self.key = std::mem::take(&mut self.quoted);
                }
                self.piece = 0;
            }
            b',' | b'{' | b'}' | b'[' | b']' | b'\n' => (self.quoted, self.piece) = (0, 0),
            _ => self.piece = hash(self.piece.wrapping_add(byte.into()), 3),
        }
    }
}

impl Text {
    /// With a window of 2^`log` bytes.
    pub(crate) fn new(kinds: Kinds, log: u32) -> Result<Self> {
        let followers = |n| zeroed(if kinds.sparse { n } else { 0 }, "contexts");
        Ok(Self {
            window: zeroed(1 << log, "the window")?,
            kinds,
            place: Place::default(),
            after_one: followers(1 << 8)?,
            after_two: followers(1 << 16)?,
            window_undo: Undo::default(),
            after_undo: [Undo::default(), Undo::default()],
            start: Place::default(),
        })
    }

    /// How many bytes there were, modulo 2^32: where the next one goes.
    #[inline(always)]
    pub(crate) fn position(&self) -> u32 {
        self.place.position
    }

    /// The byte at a position, as long as it is in the window.
    #[inline(always)]
    pub(crate) fn get(&self, at: u32) -> u8 {
        self.window[at as usize & (self.window.len() - 1)]
    }

    /// How many bytes before `at` are the same as the last ones, up to `most`; 0 where `at` is not in the window.
    pub(crate) fn common_suffix(&self, at: u32, most: u32) -> u32 {
        let distance = self.place.position.wrapping_sub(at);
        if distance == 0 || distance as usize >= self.window.len() {
            return 0;
        }
        // Not past the window's edge, nor before the text's start unless positions went around.
        let most = most.min((self.window.len() - distance as usize) as u32).min(at);
        let same = |i: &u32| self.get(at.wrapping_sub(*i)) == self.get(self.place.position.wrapping_sub(*i));
        (1..=most).take_while(same).count() as u32
    }

    /// The byte `i` places back, from 1 to 8; 0 before the start.
    #[inline(always)]
    pub(crate) fn back(&self, i: u32) -> u32 {
        (self.place.last >> (8 * (i - 1))) as u32 & 0xff
    }

    /// Takes over another one of the same kinds and window.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.window.copy_from_slice(&other.window);
        self.after_one.copy_from_slice(&other.after_one);
        self.after_two.copy_from_slice(&other.after_two);
        self.place = other.place;
    }

    /// A log of changes begins.
    pub(crate) fn begin(&mut self) {
        self.window_undo.begin();
        self.after_undo.iter_mut().for_each(Undo::begin);
        self.start = self.place;
    }

    pub(crate) fn stop(&mut self) {
        self.window_undo.stop();
        self.after_undo.iter_mut().for_each(Undo::stop);
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.window_undo.is_whole() && self.after_undo.iter().all(Undo::is_whole)
    }

    /// Back to where the log began.
    pub(crate) fn roll_back(&mut self) {
        self.window_undo.go_back(|at, byte| self.window[at] = byte);
        let [one, two] = &mut self.after_undo;
        one.go_back(|at, followers| self.after_one[at] = followers);
        two.go_back(|at, followers| self.after_two[at] = followers);
        self.place = self.start;
    }

    /// Shows all of it to a hash.
    pub(crate) fn visit(&self, add: &mut dyn FnMut(&[u8])) {
        add(&self.window);
        let Place { position, last, word, words_before: [one, two], line_start, above, field, .. } = self.place;
        let Place { shape, outline, key, quoted, piece, .. } = self.place;
        add(&last.to_le_bytes());
        [position, word, one, two, line_start, above, field, shape, outline, key, quoted, piece]
            .iter()
            .for_each(|x| add(&x.to_le_bytes()));
        self.after_one.iter().chain(&self.after_two).for_each(|x| add(&x.to_le_bytes()));
    }

    /// Takes in a byte.
    pub(crate) fn push(&mut self, byte: u8) {
        let (place, mask) = (&mut self.place, self.window.len() - 1);
        if self.kinds.sparse {
            let tables = [(&mut self.after_one, place.last & 0xff), (&mut self.after_two, place.last & 0xffff)];
            for ((table, key), undo) in tables.into_iter().zip(&mut self.after_undo) {
                let followers = &mut table[key as usize];
                undo.note(key as usize, *followers);
                *followers = *followers << 8 | u16::from(byte);
            }
        }
        let at = place.position as usize & mask;
        self.window_undo.note(at, self.window[at]);
        self.window[at] = byte;
        place.position = place.position.wrapping_add(1);
        place.last = place.last << 8 | u64::from(byte);
        if byte.is_ascii_alphabetic() || byte >= 0x80 {
            place.word = hash(place.word.wrapping_add(u32::from(byte.to_ascii_lowercase())), 1);
        } else if place.word != 0 {
            place.words_before = [place.word, place.words_before[0]];
            place.word = 0;
        }
        place.structure(byte);
        if byte == b'\n' {
            place.above = place.line_start;
            place.line_start = place.position;
            place.field = 0;
        } else {
            place.field = place.field.wrapping_add(u32::from(!byte.is_ascii_alphanumeric()));
            if place.above != place.line_start {
                place.above = place.above.wrapping_add(1);
            }
        }
    }

    /// A line begins that has none above it.
    pub(crate) fn begin_line(&mut self) {
        let place = &mut self.place;
        (place.line_start, place.above, place.field) = (place.position, place.position, 0);
    }

    /// The classes of the last eight bytes, four bits each, the latest lowest.
    #[inline(always)]
    pub(crate) fn shape(&self) -> usize {
        self.place.shape as usize
    }

    /// The same, but that runs of letters, digits and spaces count once.
    #[inline(always)]
    pub(crate) fn outline(&self) -> usize {
        self.place.outline as usize
    }

    /// The byte above, or 0.
    fn above(&self) -> u32 {
        let there = self.place.above != self.place.line_start
            && (self.place.position.wrapping_sub(self.place.above) as usize) < self.window.len();
        if there { self.get(self.place.above).into() } else { 0 }
    }

    /// The hashes of all contexts, and how many there are. The first ones are the orders, ascending.
    #[inline(always)]
    pub(crate) fn contexts(&self, out: &mut [u32; MAX_CONTEXTS]) -> usize {
        let mut n = 0;
        // Each context has its own number, so that equal values in two of them do not meet.
        let mut add = |a: u32, b: u32| {
            out[n] = hash(a.wrapping_add((n as u32).wrapping_mul(0x3D4D_51CB)), b);
            n += 1;
        };
        let low = self.place.last as u32;
        for order in 2..=self.kinds.highest_order as u32 {
            let text = self.place.last & (u64::MAX >> (64 - 8 * order));
            add(text as u32, (text >> 32) as u32);
        }
        let c1 = low & 0xff;
        let Place { word, words_before: [before, two_before], field, shape, outline, key, piece, .. } = self.place;
        if self.kinds.words {
            add(word, c1);
            add(word ^ before.rotate_left(7), c1);
            add(word ^ before.rotate_left(7) ^ two_before.rotate_left(14), 0);
            add(word, two_before.rotate_left(9));
        }
        if self.kinds.sparse {
            let column = self.place.position.wrapping_sub(self.place.line_start).min(255);
            add(low & 0xff_ff00, 0);
            add(self.above() | column << 8, 0);
            add(field, c1);
            add(u32::from(self.after_one[c1 as usize]), c1);
            add(u32::from(self.after_two[(low & 0xffff) as usize] & 0xff), low & 0xffff);
            add(outline, c1);
            add(outline, word);
            add(shape, 0);
            add(piece, 0);
            add(piece, key);
            add(key, c1);
            add(key, low & 0xffff);
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Place {
        let mut place = Place::default();
        text.bytes().for_each(|byte| place.structure(byte));
        place
    }

    #[test]
    fn a_key_is_what_stood_in_quotes_before_the_last_colon() {
        let [a, b] = [r#"{"name":"ann"#, r#"[1, {"id": 7, "name" :"ann"#].map(after);
        assert_eq!((a.key, a.piece), (b.key, b.piece));
        let other_key = after(r#"{"name":"x","age":"ann"#);
        assert!(other_key.key != a.key && other_key.piece == a.piece);
        let other_value = after(r#"{"name":"and"#);
        assert!(other_value.key == a.key && other_value.piece != a.piece);
        for with_colons in [r#"{"name":"http://x:80/","#, r#"{"name": "at 10:20", "#] {
            assert_eq!(after(with_colons).key, a.key, "colons within a value");
        }
        assert_eq!(after("10:20:30").key, 0, "nothing in quotes");
    }

    #[test]
    fn a_line_that_begins_has_none_above_it() {
        let kinds = Kinds { highest_order: 2, words: false, sparse: true };
        let feed = |text: &mut Text, bytes: &str| bytes.bytes().for_each(|byte| text.push(byte));
        let mut text = Text::new(kinds, 10).unwrap();
        feed(&mut text, "one two\nthree, f");
        assert_eq!((text.above(), text.place.field), (0, 2), "past the end of what is above");
        feed(&mut text, "\nt");
        assert_eq!(text.above(), u32::from(b'h'));
        text.begin_line();
        feed(&mut text, "x y");
        assert_eq!((text.above(), text.place.position - text.place.line_start, text.place.field), (0, 3, 1));
        feed(&mut text, "\n");
        assert_eq!(text.above(), u32::from(b'x'));
    }

    #[test]
    fn an_outline_leaves_out_how_long_runs_are() {
        let [a, b] = ["Abc 123,\"", "Qq 4,\""].map(after);
        assert!(a.outline == b.outline && a.shape != b.shape);
        assert_ne!(after("a,,b").outline, after("a,b").outline, "marks count one by one");
        assert_eq!(after("12\n").shape, 0x335);
    }
}
