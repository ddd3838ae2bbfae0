//! Numbers, and the recognition of integers.

use serde::de::Visitor;

use super::Problem;

/// A number as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'t> {
    text: &'t str,
    /// The end of its integer digits: a fraction, an exponent or nothing follows.
    digits_end: usize,
}

impl<'t> Number<'t> {
    /// Reads the number at the start of a text. Also returns its length.
    pub(super) fn read(text: &'t str) -> Result<(Self, usize), Problem> {
        let bytes = text.as_bytes();
        let digits = |from: usize| {
            let digits = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit());
            match digits.count() {
                0 => Err(Problem::new("a digit of a number is missing")),
                count => Ok(from + count),
            }
        };
        let start = usize::from(bytes.first() == Some(&b'-'));
        let digits_end = digits(start)?;
        if bytes[start] == b'0' && digits_end > start + 1 {
            return Err(Problem::new("a number begins with a zero too many"));
        }
        let mut end = digits_end;
        if bytes.get(end) == Some(&b'.') {
            end = digits(end + 1)?;
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let has_sign = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
            end = digits(end + 1 + usize::from(has_sign))?;
        }
        let text = &text[..end];
        Ok((Self { text, digits_end }, end))
    }

    /// Passes it on as an integer if its value is one, otherwise as a float.
    pub(super) fn visit_integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let Some(magnitude) = self.magnitude() else {
            return self.visit_float(visitor);
        };
        if !self.text.starts_with('-') {
            return match u64::try_from(magnitude) {
                Ok(small) => visitor.visit_u64(small),
                Err(_) => visitor.visit_u128(magnitude),
            };
        }
        match 0_i128.checked_sub_unsigned(magnitude) {
            Some(number) => match i64::try_from(number) {
                Ok(small) => visitor.visit_i64(small),
                Err(_) => visitor.visit_i128(number),
            },
            None => self.visit_float(visitor),
        }
    }

    /// Passes it on as an integer if it is written as one, otherwise as a float.
    pub(super) fn visit_as_written<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        // An integer cannot be a negative zero.
        if self.digits_end == self.text.len() && self.text != "-0" {
            if let Ok(number) = self.text.parse() {
                return visitor.visit_u64(number);
            }
            if let Ok(number) = self.text.parse() {
                return visitor.visit_i64(number);
            }
        }
        self.visit_float(visitor)
    }

    /// Passes it on as a float.
    pub(super) fn visit_float<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.text.parse::<f64>() {
            Ok(number) if number.is_finite() => visitor.visit_f64(number),
            _ => Err(Problem::new("number out of range")),
        }
    }

    /// Returns the absolute value; `None` if it has a fraction, or is too large.
    fn magnitude(self) -> Option<u128> {
        let text = self.text.trim_start_matches('-');
        let (digits, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, "0"),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        // Ignore leading and trailing zeros, of which there may be many.
        let fraction = fraction.trim_end_matches('0');
        let all = || whole.bytes().chain(fraction.bytes());
        if all().all(|digit| digit == b'0') {
            return Some(0);
        }
        let zeros = if fraction.is_empty() {
            whole.len() - whole.trim_end_matches('0').len()
        } else {
            0
        };
        // An exponent out of range always means a number that is too large, or a fraction.
        let exponent: i64 = exponent.parse().ok()?;
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let exponent = exponent.checked_add(i64::try_from(zeros).ok()?)?;
        let factor = 10_u128.checked_pow(u32::try_from(exponent).ok()?)?;
        let count = whole.len() + fraction.len() - zeros;
        let digits = all().take(count).try_fold(0_u128, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u128::from(digit - b'0'))
        })?;
        digits.checked_mul(factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_fraction_is_an_integer_to_its_last_digit() {
        for (text, expected) in [
            ("3", Some(3)),
            ("-3.000", Some(3)),
            ("3e0", Some(3)),
            ("30E-1", Some(3)),
            ("0.0003e+4", Some(3)),
            ("1.5e1", Some(15)),
            ("120.0e-1", Some(12)),
            ("-0.0", Some(0)),
            ("0e999999999999999999999", Some(0)),
            // An `f64` would round it.
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("340282366920938463463374607431768211455.00", Some(u128::MAX)),
            ("340282366920938463463374607431768211456", None),
            ("1.5", None),
            ("15e-1", None),
            ("1e39", None),
            ("1e999999999999999999999", None),
            ("1e-9223372036854775808", None),
            ("1.5e9223372036854775807", None),
        ] {
            let (number, length) = Number::read(text).unwrap();
            assert_eq!(length, text.len(), "{text}");
            assert_eq!(number.magnitude(), expected, "{text}");
        }
    }

    #[test]
    fn what_json_does_not_have_is_no_number() {
        for text in [
            "", "-", "+1", ".5", "-.5", "1.", "1.e5", "1e", "1e+", "01", "-00.5", "e5",
        ] {
            assert!(Number::read(text).is_err(), "{text}");
        }
        for (text, length) in [("1,", 1), ("0x10", 1), ("1.5.5", 3), ("1e5e5", 3), ("5µ", 1)] {
            assert_eq!(Number::read(text).unwrap().1, length, "{text}");
        }
    }
}
