//! The arguments of a command: what is allowed, and how a value is written into the command.

use crate::encoding::Encoding;
use crate::number_format::{NumberFormat, shortest};
use crate::scalar::Scalar;

/// An argument of a command.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) unit: Option<String>,
    pub(crate) default: Option<Scalar>,
    pub(crate) description: String,
}

/// The type of an argument.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Number(Limits),
    Integer(Limits),
    Boolean {
        on: String,
        off: String,
    },
    Text {
        /// Whether it is sent between quotation marks.
        quoted: bool,
        /// The most characters.
        longest: usize,
    },
    /// What clients write, and what is sent for it.
    Choice(Vec<(String, String)>),
}

/// What numbers are allowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    /// Words that are allowed instead of a number, such as `MAX`.
    pub(crate) words: Vec<String>,
    pub(crate) format: Option<NumberFormat>,
}

/// What the texts of a connection may contain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) encoding: Encoding,
    pub(crate) forbidden: &'a str,
}

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is of another type.
    Type(String),
    /// It is not allowed.
    Value(String),
}

impl Limits {
    fn allows(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    /// Returns the range for people.
    pub(crate) fn told(&self, unit: Option<&str>) -> Option<String> {
        let with_unit = |number: f64| with_unit(&shortest(number), unit);
        Some(match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{} to {}", shortest(min), with_unit(max)),
            (Some(min), None) => format!("at least {}", with_unit(min)),
            (None, Some(max)) => format!("at most {}", with_unit(max)),
            (None, None) => return None,
        })
    }

    /// Returns the text for a number, or why it is refused.
    fn write(&self, value: f64, text: String, unit: Option<&str>) -> Result<String, Refused> {
        let refuse = |told: &str| {
            let range = self.told(unit).unwrap_or_else(|| "finite numbers".to_owned());
            let told = with_unit(told, unit);
            Err(Refused::Value(format!("{told} is out of range: {range}")))
        };
        if !value.is_finite() || !self.allows(value) {
            return refuse(&shortest(value));
        }
        // What the format rounds must not exceed a limit either.
        if text.trim().parse().is_ok_and(|sent: f64| !self.allows(sent)) {
            return refuse(&format!("{}, which is sent as {}", shortest(value), text.trim()));
        }
        Ok(text)
    }
}

fn with_unit(number: &str, unit: Option<&str>) -> String {
    match unit {
        Some(unit) => format!("{number} {unit}"),
        None => number.to_owned(),
    }
}

impl Parameter {
    /// Returns the type for people, in Python's notation.
    pub(crate) fn type_word(&self) -> &'static str {
        match &self.kind {
            Kind::Number(limits) if limits.words.is_empty() => "float",
            Kind::Number(_) => "float | str",
            Kind::Integer(limits) if limits.words.is_empty() => "int",
            Kind::Integer(_) => "int | str",
            Kind::Boolean { .. } => "bool",
            Kind::Text { .. } | Kind::Choice(_) => "str",
        }
    }

    /// Returns one line about it for people: what it is, its unit and its limits.
    pub(crate) fn told(&self) -> String {
        let unit = self.unit.as_deref();
        let mut parts = Vec::new();
        if !self.description.is_empty() {
            parts.push(self.description.clone());
        }
        match &self.kind {
            Kind::Number(limits) | Kind::Integer(limits) => {
                match (limits.told(unit), unit) {
                    (Some(range), _) => parts.push(range),
                    (None, Some(unit)) => parts.push(format!("in {unit}")),
                    (None, None) => {}
                }
                if !limits.words.is_empty() {
                    parts.push(format!("or {}", limits.words.join(", ")));
                }
            }
            Kind::Choice(choices) => {
                let names: Vec<_> = choices.iter().map(|(name, _)| name.as_str()).collect();
                parts.push(format!("one of {}", names.join(", ")));
            }
            Kind::Text { longest, .. } => parts.push(format!("at most {longest} characters")),
            Kind::Boolean { .. } => {}
        }
        format!("{}: {}", self.name, parts.join("; "))
    }

    /// Returns the text that is sent for a value.
    ///
    /// # Errors
    /// Why the value is refused. Nothing of a value that is refused may be sent.
    pub(crate) fn write(&self, value: &Scalar, rules: Rules<'_>) -> Result<String, Refused> {
        let unit = self.unit.as_deref();
        match (&self.kind, value) {
            (Kind::Number(limits) | Kind::Integer(limits), Scalar::Text(word))
                if !limits.words.is_empty() =>
            {
                one_of(
                    word,
                    limits.words.iter().map(|word| (word.as_str(), word.as_str())),
                )
            }
            (Kind::Number(limits), Scalar::Integer(_) | Scalar::Number(_)) => {
                let number = match value {
                    #[expect(clippy::cast_precision_loss, reason = "an argument is a float")]
                    Scalar::Integer(integer) => *integer as f64,
                    Scalar::Number(number) => *number,
                    _ => f64::NAN,
                };
                let text = limits
                    .format
                    .map_or_else(|| shortest(number), |format| format.format(number));
                limits.write(number, text, unit)
            }
            (Kind::Integer(limits), Scalar::Integer(_) | Scalar::Number(_)) => {
                let integer = whole(value).ok_or_else(|| Refused::Type(expected("an integer", value)))?;
                let decimal = || integer.to_string();
                // Hexadecimal digits would be compared with the limits as decimal ones.
                #[expect(clippy::cast_precision_loss, reason = "limits are floats")]
                limits.write(integer as f64, decimal(), unit)?;
                Ok(limits
                    .format
                    .map_or_else(decimal, |format| format.format_integer(integer)))
            }
            (Kind::Boolean { on, off }, Scalar::Boolean(is_on)) => Ok(if *is_on { on } else { off }.clone()),
            (Kind::Choice(choices), Scalar::Text(word)) => one_of(
                word,
                choices.iter().map(|(name, sent)| (name.as_str(), sent.as_str())),
            ),
            (Kind::Text { quoted, longest }, Scalar::Text(text)) => {
                check_text(text, *quoted, *longest, rules)?;
                Ok(if *quoted {
                    format!("\"{}\"", text.replace('"', "\"\""))
                } else {
                    text.clone()
                })
            }
            (kind, value) => Err(Refused::Type(expected(kind.noun(), value))),
        }
    }
}

impl Kind {
    fn noun(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Integer(_) => "an integer",
            Self::Boolean { .. } => "True or False",
            Self::Text { .. } | Self::Choice(_) => "a text",
        }
    }
}

fn expected(noun: &str, value: &Scalar) -> String {
    format!("{} is not {noun}", value.told())
}

/// Returns an integer that is written as a float too, as some clients do.
fn whole(value: &Scalar) -> Option<i64> {
    match value {
        Scalar::Integer(integer) => Some(*integer),
        #[expect(clippy::cast_possible_truncation, reason = "it was checked")]
        Scalar::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
        _ => None,
    }
}

/// Returns what is sent for a word. The case of letters does not count if no word has the same.
fn one_of<'a>(
    word: &str,
    known: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Result<String, Refused> {
    let exact = known.clone().find(|(name, _)| *name == word);
    let found = exact.or_else(|| known.clone().find(|(name, _)| name.eq_ignore_ascii_case(word)));
    found.map(|(_, sent)| sent.to_owned()).ok_or_else(|| {
        let names: Vec<_> = known.map(|(name, _)| name).collect();
        let told = Scalar::Text(word.to_owned()).told();
        Refused::Value(format!("{told} is not one of {}", names.join(", ")))
    })
}

/// Checks that a text cannot end the command or begin another one.
fn check_text(text: &str, quoted: bool, longest: usize, rules: Rules<'_>) -> Result<(), Refused> {
    let refuse = |why: String| Err(Refused::Value(why));
    let length = text.chars().count();
    if length > longest {
        return refuse(format!(
            "the text has {length} characters, at most {longest} are allowed"
        ));
    }
    if let Some(control) = text.chars().find(|character| character.is_control()) {
        return refuse(format!(
            "the text contains the control character {}",
            control.escape_default()
        ));
    }
    if let Err(character) = rules.encoding.encode(text) {
        return refuse(format!(
            "the instrument has no character '{}'",
            character.escape_debug()
        ));
    }
    if quoted {
        return Ok(());
    }
    if text.trim().is_empty() {
        return refuse("the text is empty".to_owned());
    }
    match text
        .chars()
        .find(|character| rules.forbidden.contains(*character))
    {
        Some(forbidden) => refuse(format!("the text contains '{forbidden}', which is not allowed")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules<'_> = Rules {
        encoding: Encoding::Ascii,
        forbidden: ";?\"'",
    };

    fn parameter(kind: Kind) -> Parameter {
        Parameter {
            name: "range".to_owned(),
            kind,
            unit: Some("V".to_owned()),
            default: None,
            description: String::new(),
        }
    }

    fn limits() -> Limits {
        Limits {
            min: Some(0.1),
            max: Some(10.0),
            words: vec!["AUTO".to_owned()],
            format: Some(".1f".parse().unwrap()),
        }
    }

    #[test]
    fn a_value_out_of_range_is_named_with_unit_and_range() {
        let number = parameter(Kind::Number(limits()));
        for (json, expected) in [
            ("5", Ok("5.0")),
            ("\"auto\"", Ok("AUTO")),
            ("11", Err("11 V is out of range: 0.1 to 10 V")),
            ("NaN", Err("NaN V is out of range: 0.1 to 10 V")),
            ("1e999", Err("inf V is out of range: 0.1 to 10 V")),
            ("\"MAX\"", Err("'MAX' is not one of AUTO")),
            ("true", Err("True is not a number")),
            ("[1]", Err("a list is not a number")),
        ] {
            let written = number.write(&Scalar::from_json(json), RULES);
            let written = written.map_err(|(Refused::Type(text) | Refused::Value(text))| text);
            assert_eq!(
                written,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{json}"
            );
        }
    }

    #[test]
    fn a_format_does_not_round_beyond_a_limit() {
        let limits = Limits {
            max: Some(9.96),
            ..limits()
        };
        let refused = parameter(Kind::Number(limits)).write(&Scalar::Number(9.955), RULES);
        let expected = "9.955, which is sent as 10.0 V is out of range: 0.1 to 9.96 V";
        assert_eq!(refused, Err(Refused::Value(expected.to_owned())));
    }

    #[test]
    fn integers_are_whole() {
        let integer = parameter(Kind::Integer(Limits::default()));
        assert_eq!(integer.write(&Scalar::from_json("3.0"), RULES).unwrap(), "3");
        assert!(integer.write(&Scalar::from_json("3.5"), RULES).is_err());
        assert!(integer.write(&Scalar::from_json("1e300"), RULES).is_err());
    }

    proptest! {
        /// No text ends the command or begins another one, whatever a client sends.
        #[test]
        fn no_text_holds_a_second_command(text in ".*", quoted: bool) {
            let kind = Kind::Text { quoted, longest: 100 };
            if let Ok(sent) = parameter(kind).write(&Scalar::Text(text), RULES) {
                prop_assert!(!sent.contains(|character: char| character.is_control()));
                let outside = if quoted {
                    let inside = sent.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
                    inside.replace("\"\"", "")
                } else {
                    prop_assert!(!sent.contains(';') && !sent.contains('?'));
                    sent
                };
                prop_assert!(!outside.contains('"'));
            }
        }

        /// What is sent for a number is a number within the limits.
        #[test]
        fn a_number_is_sent_as_one_within_the_limits(number: f64, digits in 0_usize..20) {
            let limits = Limits { format: Some(format!(".{digits}E").parse().unwrap()), ..limits() };
            if let Ok(sent) = parameter(Kind::Number(limits)).write(&Scalar::Number(number), RULES) {
                let sent: f64 = sent.parse().unwrap();
                prop_assert!((0.1..=10.0).contains(&sent));
            }
        }
    }
}
