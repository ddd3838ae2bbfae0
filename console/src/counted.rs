//! Numbers with a noun.

use std::fmt::Display;

/// Returns a whole number and a noun, as in `1 request` and `2 requests`.
pub(crate) fn counted(number: impl Display, noun: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(counted(0_u64, "call"), "0 calls");
        assert_eq!(counted(1_usize, "call"), "1 call");
        assert_eq!(counted(11, "call"), "11 calls");
    }
}
