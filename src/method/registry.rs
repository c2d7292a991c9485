//! Methods that frames name by a number, and the levels.

use std::ffi::CStr;

use crate::container::MethodRef;
use crate::error::{Result, fail};
use crate::model::builtin;

/// Methods that frames name by a number. A released number and its string never change (until 1.0: provisional).
pub(super) const REGISTERED: [(u8, &str); 10] = [
    (
        1,
        "cfg:hidden=128,layers=1,intermediate=256,decay_rank=8,a_rank=8,v_rank=8,g_rank=16,head_size=32,\
         seed=0,train=adam,lr=0.001,stride=1",
    ),
    (2, "mix:neural=none,orders=0-6,word=1,match=1,sparse=1,mem=16M"),
    (3, "mix:neural=none,orders=0-5,word=1,match=1,sparse=0,mem=16M"),
    (4, "mix:neural=none,orders=0-6,word=1,match=1,sparse=0,mem=16M"),
    (5, "mix:neural=(builtin:1),orders=0-6,word=1,match=1,sparse=1,mem=16M"),
    (6, "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1),orders=0-6,word=1,match=1,sparse=1,mem=16M"),
    (
        7,
        "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=64,bptt=20,stride=20,train=adam,lr=0.003,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
    (
        8,
        "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=128,bptt=20,stride=10,train=adam,lr=0.002,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
    (
        9,
        "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=128,bptt=20,stride=10,replay=3,train=adam,lr=0.002,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
    (
        10,
        "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=160,bptt=20,stride=10,replay=8,train=adam,lr=0.0015,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
];

/// What `level:1`, `level:2` and so on stand for, by their registered numbers: faster to smaller. Frames hold the method
/// itself, so that these may change.
pub(super) const LEVELS: [u8; 9] = [3, 4, 2, 5, 6, 7, 8, 9, 10];

/// What `NULL` stands for: the smallest at some ten thousand bytes a second that this build has all of.
pub const DEFAULT: &str = if builtin::CARRIED { "level:5" } else { "level:3" };

/// Room for a level's method and its NUL.
const LEVEL_TEXT: usize = 256;

/// The methods of the levels as C has them: each string is followed by zeros.
static LEVEL_TEXTS: [[u8; LEVEL_TEXT]; LEVELS.len()] = {
    let mut texts = [[0; LEVEL_TEXT]; LEVELS.len()];
    let mut level = 0;
    while level < LEVELS.len() {
        let mut i = 0;
        while REGISTERED[i].0 != LEVELS[level] {
            i += 1;
        }
        let text = REGISTERED[i].1.as_bytes();
        assert!(text.len() < LEVEL_TEXT);
        texts[level].split_at_mut(text.len()).0.copy_from_slice(text);
        level += 1;
    }
    texts
};

/// The canonical method of a level that this build can create; the first one is 1.
pub fn level_method(level: i32) -> Option<&'static CStr> {
    let text = LEVEL_TEXTS.get(usize::try_from(level).ok()?.checked_sub(1)?)?;
    let text = CStr::from_bytes_until_nul(text).ok()?;
    let needs_model = text.to_bytes().windows(8).any(|w| w == b"builtin:");
    (builtin::CARRIED || !needs_model).then_some(text)
}

/// How a frame names a canonical method.
pub fn reference(canonical: &str) -> MethodRef {
    match REGISTERED.iter().find(|(_, text)| *text == canonical) {
        Some((id, _)) => MethodRef::Registered(*id),
        None => MethodRef::Text(canonical.to_owned()),
    }
}

/// The canonical method that a frame names.
///
/// # Errors
/// `Format` for a number that is not registered here.
pub fn resolve(reference: &MethodRef) -> Result<&str> {
    match reference {
        MethodRef::Text(text) => Ok(text),
        MethodRef::Registered(id) => match REGISTERED.iter().find(|(number, _)| number == id) {
            Some((_, text)) => Ok(text),
            None => fail!(Format, "the frame names the registered method {id}, which this library does not have"),
        },
    }
}
