//! Parses constants and numbers: values without quotes or brackets.

use std::borrow::Cow;

use super::looks;

/// The value of a bare word that is not a text.
pub(super) enum Scalar<'a> {
    /// `true`, `false`, `null`, or one of the tokens `NaN`, `Infinity` and `-Infinity`, as in JSON.
    Constant(&'static str),
    /// A number in JSON's form.
    Number(Cow<'a, str>),
}

/// Parses a bare word as a constant or a number. Returns `None` if it is a text.
pub(super) fn scalar(word: &str) -> Option<Scalar<'_>> {
    if let Some(constant) = constant(word) {
        return Some(Scalar::Constant(constant));
    }
    looks::add(word.len());
    if is_json_number(word) {
        return Some(Scalar::Number(Cow::Borrowed(word)));
    }
    python_number(word).map(|number| Scalar::Number(Cow::Owned(number)))
}

fn constant(word: &str) -> Option<&'static str> {
    const ANY_CASE: [(&str, &str); 4] = [
        ("true", "true"),
        ("false", "false"),
        ("null", "null"),
        ("none", "null"),
    ];
    // Python's parser accepts no other spelling of these either, and `inf` or `nan` may be a name.
    const SPELLED_SO: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
    ANY_CASE
        .iter()
        .find(|(typed, _)| word.eq_ignore_ascii_case(typed))
        .map(|(_, meant)| *meant)
        .or_else(|| SPELLED_SO.into_iter().find(|token| *token == word))
}

impl Scalar<'_> {
    /// Returns the scalar as a JSON value.
    pub(super) fn as_json(&self) -> &str {
        match self {
            Scalar::Constant(constant) => constant,
            Scalar::Number(number) => number,
        }
    }

    /// Returns the scalar as the key of a JSON object, without quotes, as Python's `json.dumps`
    /// writes a dictionary's keys: integers with all their digits, other numbers rounded to the
    /// shortest text of a `float`.
    pub(super) fn as_key(&self) -> Cow<'_, str> {
        match self {
            Scalar::Constant(constant) => Cow::Borrowed(constant),
            Scalar::Number(number) if number.contains(['.', 'e', 'E']) => number
                .parse()
                .map_or(Cow::Borrowed(&**number), |value| Cow::Owned(python_float(value))),
            Scalar::Number(number) if number == "-0" => Cow::Borrowed("0"),
            Scalar::Number(number) => Cow::Borrowed(number),
        }
    }
}

/// Formats a finite or infinite number as Python's `repr` and `json.dumps` do. Rust's `Debug`
/// chooses the same form and number of digits. It differs in the spelling of an exponent, and in
/// the last digit of a number halfway between two such texts, where Python takes the even one.
fn python_float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let text = format!("{value:?}");
    let mantissa = text.split('e').next().unwrap_or(&text);
    let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let even = if mantissa.len() < text.len() {
        format!("{value:.decimals$e}")
    } else {
        format!("{value:.decimals$}")
    };
    let text = if even.parse() == Ok(value) { even } else { text };
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Returns whether the word is a number in JSON's grammar.
fn is_json_number(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let (integer, rest) = digits(word);
    if integer.is_empty() || integer.len() > 1 && integer.starts_with('0') {
        return false;
    }
    let rest = match rest.strip_prefix('.').map(digits) {
        Some(("", _)) => return false,
        Some((_, rest)) => rest,
        None => rest,
    };
    let Some(exponent) = rest.strip_prefix(['e', 'E']) else {
        return rest.is_empty();
    };
    let (exponent, rest) = digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    !exponent.is_empty() && rest.is_empty()
}

/// Splits the digits at the start of `text` from the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Converts a number in Python's grammar to JSON.
fn python_number(word: &str) -> Option<String> {
    let (sign, magnitude) = match word.strip_prefix('-') {
        Some(magnitude) => ("-", magnitude),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let number = match magnitude.as_bytes() {
        [b'0', b'x' | b'X', ..] => with_radix(&magnitude[2..], 16)?,
        [b'0', b'o' | b'O', ..] => with_radix(&magnitude[2..], 8)?,
        [b'0', b'b' | b'B', ..] => with_radix(&magnitude[2..], 2)?,
        _ => decimal(magnitude)?,
    };
    Some(format!("{sign}{number}"))
}

/// Converts a number in another base than ten. The limit of 128 bits covers every register and
/// address; converting any length would take quadratic time.
fn with_radix(typed: &str, radix: u32) -> Option<String> {
    // Python allows one underscore after the prefix as well.
    let digits = join_digits(typed.strip_prefix('_').unwrap_or(typed), |digit| {
        digit.is_digit(radix)
    })?;
    u128::from_str_radix(&digits, radix)
        .ok()
        .map(|number| number.to_string())
}

fn decimal(typed: &str) -> Option<String> {
    let join = |digits: &str| join_digits(digits, |digit| digit.is_ascii_digit());
    let (mantissa, exponent) = match typed.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (typed, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some(("", "")) => return None,
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    let mut number = match integer {
        "" if fraction.is_some() => "0".into(),
        _ => join(integer)?,
    };
    let significant = number.trim_start_matches('0');
    if number.starts_with('0') {
        if fraction.is_none() && exponent.is_none() && !significant.is_empty() {
            // Python accepts it neither as decimal nor as octal, and it is often a serial number.
            return None;
        }
        number = if significant.is_empty() { "0" } else { significant }.into();
    }
    match fraction {
        None => {}
        Some("") => number.push_str(".0"),
        Some(fraction) => {
            number.push('.');
            number.push_str(&join(fraction)?);
        }
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        number.push('e');
        number.push_str(&exponent[..exponent.len() - digits.len()]);
        number.push_str(&join(digits)?);
    }
    Some(number)
}

/// Removes single underscores between digits.
fn join_digits(typed: &str, is_digit: impl Fn(char) -> bool) -> Option<String> {
    looks::add(typed.len());
    let mut joined = String::with_capacity(typed.len());
    for group in typed.split('_') {
        if group.is_empty() || !group.chars().all(&is_digit) {
            return None;
        }
        joined.push_str(group);
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(word: &str) -> Option<String> {
        scalar(word).map(|scalar| scalar.as_json().to_owned())
    }

    fn key(word: &str) -> String {
        scalar(word).unwrap().as_key().into_owned()
    }

    #[test]
    fn numbers_as_json_writes_them_pass_byte_for_byte() {
        let digits = "1234567890".repeat(4);
        for word in [
            "0", "-0", "1.10", "1e400", "1E5", "1E+05", "-0.0e-0", "0.10", &digits,
        ] {
            assert_eq!(value(word).as_deref(), Some(word));
        }
    }

    #[test]
    fn numbers_as_python_writes_them_are_converted() {
        for (word, number) in [
            (".5", "0.5"),
            ("-.5", "-0.5"),
            ("1.", "1.0"),
            ("1.e5", "1.0e5"),
            ("+5", "5"),
            ("+1.5e-3", "1.5e-3"),
            ("1_000", "1000"),
            ("1_0.0_1E+1_0", "10.01e+10"),
            ("00", "0"),
            ("007.50", "7.50"),
            ("00e1", "0e1"),
            ("0x1F", "31"),
            ("-0X1f", "-31"),
            ("0x_ff_ff", "65535"),
            ("0o17", "15"),
            ("0b101", "5"),
            (
                "0xffffffffffffffffffffffffffffffff",
                "340282366920938463463374607431768211455",
            ),
        ] {
            assert_eq!(value(word).as_deref(), Some(number), "{word}");
        }
    }

    #[test]
    fn what_is_no_number_to_python_is_a_text() {
        for word in [
            "",
            "+",
            "-",
            ".",
            "e5",
            ".e5",
            "1e",
            "1e+",
            "007",
            "-01",
            "1__0",
            "_1",
            "1_",
            "1_.5",
            "1._5",
            "+-5",
            "--1",
            "0x",
            "0xg",
            "0x__1",
            "0b2",
            "0o8",
            "1j",
            "1.2.3",
            "1e5.0",
            "١",
            "1,",
            "inf",
            "nan",
            "-nan",
            "infinity",
            "+Infinity",
            "NAN",
            "-NaN",
            "0x+1",
            "1e++5",
            "0x1_0000_0000_0000_0000_0000_0000_0000_0000",
        ] {
            assert_eq!(value(word), None, "{word}");
        }
    }

    #[test]
    fn constants_are_known_in_any_case_and_the_tokens_only_as_spelled() {
        for word in ["none", "None", "NULL", "nUll"] {
            assert_eq!(value(word).as_deref(), Some("null"));
        }
        assert_eq!(value("TRUE").as_deref(), Some("true"));
        assert_eq!(value("False").as_deref(), Some("false"));
        for token in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(value(token).as_deref(), Some(token));
        }
    }

    #[test]
    fn keys_are_written_as_json_dumps_does() {
        for (word, text) in [
            ("1", "1"),
            ("-0", "0"),
            ("0x10", "16"),
            ("1.10", "1.1"),
            ("-0.0", "-0.0"),
            ("1e5", "100000.0"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("1.5e-5", "1.5e-05"),
            ("0.0001", "0.0001"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("1750961231887471.25", "1750961231887471.2"),
            ("-592188978679512.75", "-592188978679512.8"),
            ("1e400", "Infinity"),
            ("-1e400", "-Infinity"),
            ("NaN", "NaN"),
            ("True", "true"),
            ("None", "null"),
        ] {
            assert_eq!(key(word), text, "{word}");
        }
    }
}
