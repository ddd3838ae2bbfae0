//! Counts the bytes that are read, so that a test can compare the work with the length of a line.

#[cfg(any(test, feature = "fuzzing"))]
thread_local! {
    static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts `bytes` bytes as read. Does nothing outside of tests.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn add(bytes: usize) {
    LOOKS.with(|looks| looks.set(looks.get() + bytes));
}

/// Counts `bytes` bytes as read. Does nothing outside of tests.
#[cfg(not(any(test, feature = "fuzzing")))]
pub(crate) const fn add(_bytes: usize) {}

/// Returns and resets the number of bytes read in this thread.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn take() -> usize {
    LOOKS.with(std::cell::Cell::take)
}
