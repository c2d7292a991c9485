//! Weights that are part of the library. A method can name them, so that neither side needs a weights file.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::file::Model;
use crate::error::{Result, fail, shortened};

/// The weights by name. A released name always stands for the same weights: new weights get a new name.
const MODELS: &[(&str, &[u8])] = &[
    #[cfg(feature = "builtin-model")]
    ("1", include_bytes!("../../models/gptz-1.safetensors")),
];

/// The names of all models, including those that this build does not contain.
const KNOWN: [&str; 1] = ["1"];

/// The name of the newest model.
pub const NEWEST: &str = KNOWN[KNOWN.len() - 1];

/// Whether this build contains the models.
pub const CARRIED: bool = cfg!(feature = "builtin-model");

/// The open model of each name, shared by all handles. [`forget_closed`] clears a slot when the last reference is
/// dropped.
static OPEN: [Mutex<Weak<Model>>; KNOWN.len()] = [const { Mutex::new(Weak::new()) }; _];

/// Checks that a model of this name exists, in this build or another.
///
/// # Errors
/// `Method` if it does not.
pub fn check(name: &str) -> Result<()> {
    if !KNOWN.contains(&name) {
        let name = shortened(name);
        fail!(Method, "\"builtin:{name}\": no such model; builtin:{} is known", KNOWN.join(", builtin:"));
    }
    Ok(())
}

/// Opens the model of this name, or returns the one that is open.
///
/// # Errors
/// `Method` if it does not exist or this build contains no models; `Memory`.
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

/// Frees the memory of models that are no longer in use, because leak checkers report memory that a library never
/// frees.
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
    fn a_model_is_opened_once_and_closed_with_its_last_reference() {
        let (a, b) = (open(NEWEST).unwrap(), open(NEWEST).unwrap());
        assert!(Arc::ptr_eq(&a, &b));
        let fingerprint = *a.fingerprint();
        drop((a, b));
        assert_eq!(*open(NEWEST).unwrap().fingerprint(), fingerprint);
        assert_eq!(open("0").unwrap_err().status(), Status::Method);
    }
}
