//! How a number is written into a command.

use std::str::FromStr;

/// A format as in Python: `[+][0][WIDTH][.PRECISION](f|e|E|d|x|X)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumberFormat {
    plus: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Fixed,
    Scientific,
    ScientificUpper,
    Decimal,
    Hex,
    HexUpper,
}

/// The most digits and the largest width.
const MOST: usize = 40;

impl FromStr for NumberFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a format is written as in Python: .3f, +.6E, 03d or x";
        let style = match text.chars().last() {
            Some('f' | 'F') => Style::Fixed,
            Some('e') => Style::Scientific,
            Some('E') => Style::ScientificUpper,
            Some('d') => Style::Decimal,
            Some('x') => Style::Hex,
            Some('X') => Style::HexUpper,
            _ => return Err(EXPECTED),
        };
        let rest = &text[..text.len() - 1];
        let (plus, rest) = rest.strip_prefix('+').map_or((false, rest), |rest| (true, rest));
        let (zeros, rest) = rest.strip_prefix('0').map_or((false, rest), |rest| (true, rest));
        let (width, precision) = rest
            .split_once('.')
            .map_or((rest, None), |(width, precision)| (width, Some(precision)));
        let parse = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse().ok().filter(|number| is_number && *number <= MOST);
            number.ok_or(EXPECTED)
        };
        let width = if width.is_empty() { 0 } else { parse(width)? };
        let precision = precision.map(parse).transpose()?;
        let format = Self {
            plus,
            zeros,
            width,
            precision,
            style,
        };
        if precision.is_some() && format.is_for_integers() {
            return Err("a format with d, x or X has no precision");
        }
        Ok(format)
    }
}

impl NumberFormat {
    /// Returns whether it is for integers.
    pub(crate) fn is_for_integers(self) -> bool {
        matches!(self.style, Style::Decimal | Style::Hex | Style::HexUpper)
    }

    /// Formats a finite number; with a format for integers, its integral part.
    pub(crate) fn format(self, value: f64) -> String {
        let precision = self.precision.unwrap_or(6);
        let digits = match self.style {
            Style::Fixed => format!("{:.precision$}", value.abs()),
            Style::Scientific => scientific(value.abs(), precision, 'e'),
            Style::ScientificUpper => scientific(value.abs(), precision, 'E'),
            #[expect(clippy::cast_possible_truncation, reason = "a conversion saturates")]
            Style::Decimal | Style::Hex | Style::HexUpper => return self.format_integer(value as i64),
        };
        self.pad(value.is_sign_negative() && value != 0.0, &digits)
    }

    /// Formats an integer; without a format for integers, as a number.
    pub(crate) fn format_integer(self, value: i64) -> String {
        let digits = match self.style {
            Style::Hex => format!("{:x}", value.unsigned_abs()),
            Style::HexUpper => format!("{:X}", value.unsigned_abs()),
            Style::Decimal => value.unsigned_abs().to_string(),
            #[expect(clippy::cast_precision_loss, reason = "it is asked for")]
            _ => return self.format(value as f64),
        };
        self.pad(value < 0, &digits)
    }

    fn pad(self, is_negative: bool, digits: &str) -> String {
        let sign = match (is_negative, self.plus) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let missing = self.width.saturating_sub(sign.len() + digits.len());
        if self.zeros {
            format!("{sign}{}{digits}", "0".repeat(missing))
        } else {
            format!("{}{sign}{digits}", " ".repeat(missing))
        }
    }
}

/// Formats with an exponent of a sign and at least two digits, as Python and SCPI do.
fn scientific(value: f64, precision: usize, letter: char) -> String {
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}{letter}{sign}{:02}", exponent.unsigned_abs())
}

/// Formats a number with as few digits as it needs, without a format.
pub(crate) fn shortest(value: f64) -> String {
    let plain = format!("{value}");
    if plain.len() > 20 {
        format!("{value:E}")
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        for (format, value, expected) in [
            (".3f", 1.23456, "1.235"),
            (".0f", 2.0, "2"),
            ("+.2f", 1.0, "+1.00"),
            ("08.3f", -1.5, "-001.500"),
            ("8.3f", -1.5, "  -1.500"),
            (".6E", 0.000_012_5, "1.250000E-05"),
            ("e", 1e120, "1.000000e+120"),
            ("d", 17.0, "17"),
            ("03d", 7.0, "007"),
            ("x", 255.0, "ff"),
            ("04X", 255.0, "00FF"),
            (".1f", -0.0, "0.0"),
        ] {
            assert_eq!(
                format.parse::<NumberFormat>().unwrap().format(value),
                expected,
                "{format}"
            );
        }
        for wrong in ["", "f3", ".f", ".3", "%d", ".3d", ".99f", "+ 3f", ".+3f"] {
            assert!(wrong.parse::<NumberFormat>().is_err(), "{wrong}");
        }
        assert_eq!(shortest(1e300), "1E300");
        assert_eq!(shortest(0.1), "0.1");
        assert_eq!(shortest(-10.0), "-10");
    }
}
