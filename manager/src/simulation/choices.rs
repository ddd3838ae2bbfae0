//! The source of a schedule's choices.

/// The source of a schedule's choices.
#[derive(Debug)]
pub(crate) enum Choices<'a> {
    /// A random generator, without end.
    Seed(u64),
    /// A fuzzer's bytes. The schedule ends with them.
    Bytes(&'a [u8]),
}

impl Choices<'_> {
    /// Returns a number below `bound`, nearly uniformly distributed.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        debug_assert!(bound > 0, "a choice of nothing");
        match self {
            Self::Seed(state) => {
                let number = next(state) % bound as u64;
                usize::try_from(number).expect("less than a usize")
            }
            Self::Bytes(bytes) => {
                let length = if bound > 256 { 2 } else { 1 };
                let (taken, rest) = bytes.split_at(length.min(bytes.len()));
                *bytes = rest;
                taken
                    .iter()
                    .fold(0, |number, byte| number << 8 | usize::from(*byte))
                    % bound
            }
        }
    }

    /// Returns `true` in `percent` percent of cases.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Returns one of these values.
    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Returns whether the choices are used up.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Bytes([]))
    }
}

/// Returns the next number of the generator `SplitMix64`, which takes any seed.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut number = *state;
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
