//! Counts how many bytes are looked at, so that a test can hold the work against the length of a line.

#[cfg(any(test, feature = "fuzzing"))]
thread_local! {
    static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Notes that `bytes` bytes are looked at. Outside of tests nobody counts.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn add(bytes: usize) {
    LOOKS.with(|looks| looks.set(looks.get() + bytes));
}

/// Notes that `bytes` bytes are looked at. Outside of tests nobody counts.
#[cfg(not(any(test, feature = "fuzzing")))]
pub(crate) const fn add(_bytes: usize) {}

/// How many bytes were looked at in this thread since the last call.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn take() -> usize {
    LOOKS.with(std::cell::Cell::take)
}
