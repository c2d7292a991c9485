//! Registered methods, which frames name by a number, and levels.

use std::ffi::CStr;

use crate::container::MethodRef;
use crate::error::{Result, fail};
use crate::model::builtin;

/// The registered methods, by number. A released number and its string never change. Before version 1.0 they are
/// provisional.
pub(super) static REGISTERED: [(u8, &CStr); 10] = [
    (
        1,
        c"cfg:hidden=128,layers=1,intermediate=256,decay_rank=8,a_rank=8,v_rank=8,g_rank=16,head_size=32,\
         seed=0,train=adam,lr=0.001,stride=1",
    ),
    (2, c"mix:neural=none,orders=0-6,word=1,match=1,sparse=1,mem=16M"),
    (3, c"mix:neural=none,orders=0-6,word=1,match=1,sparse=1,fast=2,mem=16M"),
    (4, c"mix:neural=none,orders=0-6,word=1,match=1,sparse=1,fast=1,mem=16M"),
    (5, c"mix:neural=(builtin:1),orders=0-6,word=1,match=1,sparse=1,mem=16M"),
    (6, c"mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1),orders=0-6,word=1,match=1,sparse=1,mem=16M"),
    (
        7,
        c"mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=64,bptt=20,stride=20,train=adam,lr=0.003,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
    (
        8,
        c"mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=128,bptt=20,stride=10,train=adam,lr=0.002,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
    (
        9,
        c"mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=128,bptt=20,stride=10,replay=3,train=adam,lr=0.002,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
    (
        10,
        c"mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1)+\
         (gru:embed=32,hidden=160,bptt=20,stride=10,replay=8,train=adam,lr=0.0015,clip=5,seed=0),\
         orders=0-6,word=1,match=1,sparse=1,mem=16M",
    ),
];

/// The registered numbers of `level:1`, `level:2` and so on, from the fastest to the one with the smallest frames.
/// Frames name the method and not the level, so this table may change between versions.
pub(super) const LEVELS: [u8; 9] = [3, 4, 2, 5, 6, 7, 8, 9, 10];

/// The default method: the level with the smallest frames, among those that this build supports, that codes some tens
/// of thousands of bytes per second.
pub const DEFAULT: &str = if builtin::CARRIED { "level:5" } else { "level:3" };

/// The canonical method of the registered number, if there is one.
fn registered(id: u8) -> Option<&'static CStr> {
    REGISTERED.iter().find(|(number, _)| *number == id).map(|(_, text)| *text)
}

/// A string of [`REGISTERED`].
fn as_str(text: &CStr) -> &str {
    text.to_str().expect("registered methods are ASCII")
}

/// The canonical method of a level. `None` for other numbers than those of the levels, which are consecutive from 1 on.
pub fn level_method(level: i64) -> Option<&'static str> {
    let index = usize::try_from(level).ok()?.checked_sub(1)?;
    registered(*LEVELS.get(index)?).map(as_str)
}

/// As [`level_method`], of the levels that this build can create. Those that need a built-in model are the last ones.
pub fn available_level_method(level: i64) -> Option<&'static CStr> {
    let index = usize::try_from(level).ok()?.checked_sub(1)?;
    registered(*LEVELS.get(index)?).filter(|text| builtin::CARRIED || !as_str(text).contains("builtin:"))
}

/// How a frame names a canonical method.
pub fn reference(canonical: &str) -> MethodRef {
    match REGISTERED.iter().find(|(_, text)| text.to_bytes() == canonical.as_bytes()) {
        Some((id, _)) => MethodRef::Registered(*id),
        None => MethodRef::Text(canonical.to_owned()),
    }
}

/// The canonical method of a registered number. `None` if it is not registered here.
pub fn registered_method(id: u8) -> Option<&'static str> {
    registered(id).map(as_str)
}

/// The canonical method that a frame names.
///
/// # Errors
/// `Format` for a number that is not registered here.
pub fn resolve(reference: &MethodRef) -> Result<&str> {
    match reference {
        MethodRef::Text(text) => Ok(text),
        MethodRef::Registered(id) => match registered(*id) {
            Some(text) => Ok(as_str(text)),
            None => fail!(Format, "the frame names the registered method {id}, which this library does not have"),
        },
    }
}
