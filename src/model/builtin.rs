//! Weights that the library carries, so that methods can name them: no file at hand is needed on either side.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::file::Model;
use crate::error::{Result, fail};

/// By name. What a released name stands for never changes: other weights get another name.
const MODELS: &[(&str, &[u8])] = &[
    #[cfg(feature = "builtin-model")]
    ("1", include_bytes!("../../models/gptz-1.safetensors")),
];

/// Names that some builds carry.
const KNOWN: [&str; 1] = ["1"];

/// The newest one.
pub const NEWEST: &str = KNOWN[KNOWN.len() - 1];

/// Whether this build carries them.
pub const CARRIED: bool = cfg!(feature = "builtin-model");

/// The open model of each name, shared by all who hold it. [`forget_closed`] empties a slot after the last of them.
static OPEN: [Mutex<Weak<Model>>; KNOWN.len()] = [const { Mutex::new(Weak::new()) }; _];

/// Whether there is such a model, in this build or another.
///
/// # Errors
/// `Method`.
pub fn check(name: &str) -> Result<()> {
    if !KNOWN.contains(&name) {
        fail!(Method, "\"builtin:{name}\": no such model; builtin:{} is known", KNOWN.join(", builtin:"));
    }
    Ok(())
}

/// The model of this name.
///
/// # Errors
/// `Method` where there is none, or this build carries none; `Memory`.
pub fn open(name: &str) -> Result<Arc<Model>> {
    check(name)?;
    let Some((bytes, slot)) =
        MODELS.iter().zip(&OPEN).find_map(|((known, bytes), slot)| (*known == name).then_some((*bytes, slot)))
    else {
        fail!(Method, "\"builtin:{name}\": this build of gptz carries no models (the feature builtin-model is off)");
    };
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = slot.upgrade() {
        return Ok(model);
    }
    let model = Arc::new(Model::from_static(bytes, forget_closed)?);
    *slot = Arc::downgrade(&model);
    Ok(model)
}

/// Gives back the memory of models that nobody holds any more: memory that a library keeps for ever looks like a leak.
fn forget_closed() {
    for slot in &OPEN {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.strong_count() == 0 {
            *slot = Weak::new();
        }
    }
}

#[cfg(all(test, feature = "builtin-model"))]
mod tests {
    use super::*;
    use crate::error::Status;

    #[test]
    fn a_model_is_open_once_and_closed_by_the_last() {
        let (a, b) = (open(NEWEST).unwrap(), open(NEWEST).unwrap());
        assert!(Arc::ptr_eq(&a, &b));
        let fingerprint = *a.fingerprint();
        drop((a, b));
        assert_eq!(*open(NEWEST).unwrap().fingerprint(), fingerprint);
        assert_eq!(open("0").unwrap_err().status(), Status::Method);
    }
}
