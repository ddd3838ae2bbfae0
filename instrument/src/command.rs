//! A command of an instrument: its text with places for arguments.

use std::fmt;
use std::time::Duration;

use labwire_wire::{JsonError, array_elements, quoted, scan_object};

use crate::answer::Answer;
use crate::parameter::{Parameter, Refused, Rules};
use crate::scalar::Scalar;

/// A command.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) template: Template,
    /// `None` for a command without an answer.
    pub(crate) answer: Option<Answer>,
    pub(crate) parameters: Vec<Parameter>,
    /// `None` for that of the connection.
    pub(crate) timeout: Option<Duration>,
    /// The arguments that are left out when the manager records those of a call; `None` if it is to record none.
    pub(crate) recorded: Option<Vec<String>>,
}

/// A text with places, as in `VOLT {volts}`. Braces are doubled to stand for themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(String),
}

impl Template {
    /// Parses a text.
    ///
    /// # Errors
    /// A text for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '{' | '}' if characters.peek() == Some(&character) => {
                    characters.next();
                    plain.push(character);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match characters.next() {
                            Some('}') => break,
                            Some('{') | None => {
                                return Err(
                                    "a place for an argument is written as in {volts}; `{{` stands for a \
                                            brace"
                                        .to_owned(),
                                );
                            }
                            Some(character) => name.push(character),
                        }
                    }
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Place(name));
                }
                '}' => return Err("a `}` without `{`; `}}` stands for a brace".to_owned()),
                character => plain.push(character),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// Returns the names of the places.
    pub(crate) fn places(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Place(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// Returns the text with the texts of the arguments.
    fn fill(&self, texts: &[(&str, String)]) -> String {
        let of = |name: &str| {
            let found = texts.iter().find(|(known, _)| *known == name);
            found.map_or("", |(_, text)| text.as_str())
        };
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Place(name) => of(name),
        });
        pieces.collect()
    }
}

/// Why the arguments of a call are refused. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArgumentError {
    /// The name of Python's exception.
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind, self.text)
    }
}

fn type_error(text: String) -> ArgumentError {
    ArgumentError {
        kind: "TypeError",
        text,
    }
}

impl Command {
    /// Returns the text to send, without the line end.
    ///
    /// `args` and `kwargs` are the JSON texts of an array and of an object.
    ///
    /// # Errors
    /// If the arguments do not fit; in the words of Python.
    pub(crate) fn text(&self, args: &str, kwargs: &str, rules: Rules<'_>) -> Result<String, ArgumentError> {
        let values = bind(&self.name, &self.parameters, args, kwargs)?;
        self.fill(values, rules)
    }

    /// As [`text`](Self::text), for arguments with names.
    pub(crate) fn text_of(
        &self,
        named: Vec<(String, Scalar)>,
        rules: Rules<'_>,
    ) -> Result<String, ArgumentError> {
        let mut values = vec![None; self.parameters.len()];
        for (name, value) in named {
            assign(&self.name, &self.parameters, &mut values, &name, value)?;
        }
        self.fill(values, rules)
    }

    fn fill(&self, values: Vec<Option<Scalar>>, rules: Rules<'_>) -> Result<String, ArgumentError> {
        let mut texts = Vec::with_capacity(values.len());
        for (parameter, value) in self.parameters.iter().zip(values) {
            let value = value.or_else(|| parameter.default.clone()).ok_or_else(|| {
                let name = quoted(&parameter.name);
                type_error(format!("{}() missing a required argument: {name}", self.name))
            })?;
            let written = parameter.write(&value, rules).map_err(|refused| {
                let (kind, why) = match refused {
                    Refused::Type(why) => ("TypeError", why),
                    Refused::Value(why) => ("ValueError", why),
                };
                let text = format!("{}() argument {}: {why}", self.name, quoted(&parameter.name));
                ArgumentError { kind, text }
            })?;
            texts.push((parameter.name.as_str(), written));
        }
        Ok(self.template.fill(&texts))
    }

    /// Returns the signature in Python's notation.
    pub(crate) fn signature(&self) -> String {
        let parameters = self.parameters.iter().map(|parameter| {
            let (name, kind) = (&parameter.name, parameter.type_word());
            match &parameter.default {
                Some(default) => format!("{name}: {kind} = {}", default.told()),
                None => format!("{name}: {kind}"),
            }
        });
        let result = self.answer.as_ref().map_or("None", Answer::type_word);
        format!("({}) -> {result}", parameters.collect::<Vec<_>>().join(", "))
    }

    /// Returns the documentation: what it does, its arguments and its result.
    pub(crate) fn documentation(&self) -> String {
        let mut lines = Vec::new();
        if !self.description.is_empty() {
            lines.push(self.description.clone());
        }
        lines.extend(self.parameters.iter().map(Parameter::told));
        lines.extend(self.answer.as_ref().and_then(Answer::told));
        lines.join("\n")
    }
}

/// Binds arguments to parameters by Python's rules.
fn bind(
    method: &str,
    parameters: &[Parameter],
    args: &str,
    kwargs: &str,
) -> Result<Vec<Option<Scalar>>, ArgumentError> {
    let unreadable =
        |error: JsonError| type_error(format!("the arguments of {method}() cannot be read: {error}"));
    let positional = array_elements(args.as_bytes()).map_err(unreadable)?;
    if positional.len() > parameters.len() {
        return Err(type_error(format!(
            "{method}() takes at most {} positional arguments but {} were given",
            parameters.len(),
            positional.len()
        )));
    }
    let mut values: Vec<Option<Scalar>> = vec![None; parameters.len()];
    let scalar = |json: &[u8]| Scalar::from_json(std::str::from_utf8(json).unwrap_or_default());
    for (value, json) in values.iter_mut().zip(positional) {
        *value = Some(scalar(json));
    }
    let mut keywords = Vec::new();
    let scanned = scan_object(kwargs.as_bytes(), |key, span| {
        // A key that is no text is no name of an argument either.
        keywords.push((key.decode().unwrap_or_default().into_owned(), span));
        Ok::<_, JsonError>(())
    });
    scanned.map_err(unreadable)?;
    for (name, span) in keywords {
        assign(
            method,
            parameters,
            &mut values,
            &name,
            scalar(&kwargs.as_bytes()[span]),
        )?;
    }
    Ok(values)
}

/// Notes the value of the parameter of this name.
fn assign(
    method: &str,
    parameters: &[Parameter],
    values: &mut [Option<Scalar>],
    name: &str,
    value: Scalar,
) -> Result<(), ArgumentError> {
    let wrong = |what: &str| type_error(format!("{method}() got {what} argument {}", quoted(name)));
    let index = parameters.iter().position(|parameter| parameter.name == name);
    let place = &mut values[index.ok_or_else(|| wrong("an unexpected keyword"))?];
    if place.replace(value).is_some() {
        return Err(wrong("multiple values for"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Definition;

    #[test]
    fn braces_are_places_or_doubled() {
        let template = Template::parse("A {x}{{{y}}}").unwrap();
        assert_eq!(template.places().collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(
            template.fill(&[("x", "1".to_owned()), ("y", "{x}".to_owned())]),
            "A 1{{x}}"
        );
        for wrong in ["{", "a}", "{a", "{a{b}}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn arguments_are_bound_and_refused_in_the_words_of_python() {
        let file = r#"
            name = "Supply"
            connection = { tcp = "localhost:1" }
            [commands.set]
            write = "APPL {volts},{amperes}"
            arguments.volts = { type = "number", unit = "V", min = 0, max = 32 }
            arguments.amperes = { type = "number", unit = "A", max = 10, default = 1 }
        "#;
        let supply = Definition::parse(file).unwrap();
        let set = supply.command("set").unwrap();
        assert_eq!(set.signature(), "(volts: float, amperes: float = 1) -> None");
        assert_eq!(set.documentation(), "volts: 0 to 32 V\namperes: at most 10 A");
        let rules = Rules {
            encoding: crate::encoding::Encoding::Ascii,
            forbidden: ";",
        };
        for (args, kwargs, expected) in [
            ("[1.5]", "{}", "APPL 1.5,1"),
            ("[1.5, 2]", "{}", "APPL 1.5,2"),
            ("[]", r#"{"amperes": 3, "volts": 0}"#, "APPL 0,3"),
            (
                "[]",
                "{}",
                "TypeError: set() missing a required argument: 'volts'",
            ),
            (
                "[1]",
                r#"{"volts": 1}"#,
                "TypeError: set() got multiple values for argument 'volts'",
            ),
            (
                "[1]",
                r#"{"v": 1}"#,
                "TypeError: set() got an unexpected keyword argument 'v'",
            ),
            (
                "[1,2,3]",
                "{}",
                "TypeError: set() takes at most 2 positional arguments but 3 were given",
            ),
            (
                "[33]",
                "{}",
                "ValueError: set() argument 'volts': 33 V is out of range: 0 to 32 V",
            ),
            (
                "[\"1;*RST\"]",
                "{}",
                "TypeError: set() argument 'volts': '1;*RST' is not a number",
            ),
        ] {
            let text = set
                .text(args, kwargs, rules)
                .unwrap_or_else(|error| error.to_string());
            assert_eq!(text, expected, "{args} {kwargs}");
        }
    }
}
