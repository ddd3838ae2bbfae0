//! Numbers that services cannot read.

use crate::failure::Failure;
use crate::output::one_line;

/// Checks that JSON has no number that is too large for the programs that read it: most of them take
/// `1e400` as infinite.
///
/// # Errors
/// If it has one, a text that names it.
pub(crate) fn check_numbers(json: &str) -> Result<(), Failure> {
    let is_in_text = |open: &mut (bool, bool), character: char| {
        let (is_text, is_escaped) = *open;
        *open = match character {
            '\\' if is_text => (true, !is_escaped),
            '"' if !is_escaped => (!is_text, false),
            _ => (is_text, false),
        };
        is_text
    };
    let mut open = (false, false);
    let is_rest = |character: char| character.is_ascii_alphanumeric() || "+-.".contains(character);
    let outside: String = json
        .chars()
        .map(|character| {
            let is_text = is_in_text(&mut open, character);
            if !is_text && is_rest(character) {
                character
            } else {
                ' '
            }
        })
        .collect();
    let is_number = |word: &&str| {
        word.trim_start_matches('-')
            .starts_with(|digit: char| digit.is_ascii_digit())
    };
    let mut numbers = outside.split_whitespace().filter(is_number);
    match numbers.find(|number| number.parse().is_ok_and(f64::is_infinite)) {
        None => Ok(()),
        Some(number) => Err(Failure::Usage(format!(
            "the number {} is too large: services would read it as infinite (the largest is 1.8e308; for infinity, \
             write Infinity)",
            one_line(number)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_infinite_for_services_is_named() {
        for json in [
            "1e308",
            "[-0,{\"1e400\":\"a\\\"1e400\"}]",
            "[NaN,-Infinity,true]",
            "\"\\\\\"",
        ] {
            assert!(check_numbers(json).is_ok(), "{json}");
        }
        for (json, number) in [("1e400", "1e400"), ("[\"\\\\\",{\"a\":-1E+400}]", "-1E+400")] {
            let error = check_numbers(json).unwrap_err().to_string();
            assert!(
                error.contains(&format!("the number {number} is too large")),
                "{error}"
            );
        }
    }
}
