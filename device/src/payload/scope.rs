//! The arrays of the value that is being encoded or decoded.
//!
//! Serde cannot pass bytes without copying them, so they are passed beside it: an [`Array`] registers
//! itself while its value is encoded, and is found by its number while its value is decoded.

use std::cell::RefCell;

use labwire_wire::buffers::MAX_BUFFERS;

use super::array::{Array, Arrays};

thread_local! {
    static ENCODED: RefCell<Option<Vec<Array>>> = const { RefCell::new(None) };
    static DECODED: RefCell<Option<Arrays>> = const { RefCell::new(None) };
}

/// Whether an array goes beside the text.
pub(super) enum Registered {
    /// It does, with this number.
    At(usize),
    /// Nobody collects arrays, or there are too many.
    Not,
}

/// Registers an array of the value that is being encoded.
pub(super) fn register(array: &Array) -> Registered {
    ENCODED.with_borrow_mut(|encoded| match encoded {
        Some(arrays) if arrays.len() < MAX_BUFFERS => {
            arrays.push(array.clone());
            Registered::At(arrays.len() - 1)
        }
        _ => Registered::Not,
    })
}

/// Returns an array of the value that is being decoded.
pub(super) fn buffer(number: usize) -> Option<Array> {
    DECODED.with_borrow(|decoded| decoded.as_ref()?.get(number).cloned())
}

/// Sets what was there before, also after a panic.
struct Reset<F: FnMut()>(F);

impl<F: FnMut()> Drop for Reset<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Calls `encode`, and adds the arrays that are encoded to `arrays`, where they are counted on.
pub(super) fn collect<T>(arrays: &mut Vec<Array>, encode: impl FnOnce() -> T) -> T {
    let mut before = ENCODED.replace(Some(std::mem::take(arrays)));
    let _reset = Reset(|| *arrays = ENCODED.replace(before.take()).unwrap_or_default());
    encode()
}

/// Calls `decode`, for a value with these arrays.
pub(super) fn provide<T>(arrays: Option<&Arrays>, decode: impl FnOnce() -> T) -> T {
    let Some(arrays) = arrays else {
        return decode();
    };
    let mut before = DECODED.replace(Some(arrays.clone()));
    let _reset = Reset(|| {
        DECODED.set(before.take());
    });
    decode()
}
