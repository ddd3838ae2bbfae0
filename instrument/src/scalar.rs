//! The value of an argument, as a client has sent it.

use labwire_service::from_json;

use crate::number_format::shortest;

/// A value without parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Boolean(bool),
    Number(f64),
    /// Also a number that is written as an integer.
    Integer(i64),
    Text(String),
    /// Anything else, such as a list; contains what it is for people.
    Other(&'static str),
}

impl Scalar {
    /// Reads a value from JSON text, in which `NaN` and infinities are allowed.
    pub(crate) fn from_json(json: &str) -> Self {
        let json = json.trim();
        match json.bytes().next() {
            Some(b'"') => from_json(json).map_or(Self::Other("a text that is not well-formed"), Self::Text),
            Some(b't') => Self::Boolean(true),
            Some(b'f') => Self::Boolean(false),
            Some(b'n') => Self::Other("None"),
            Some(b'[') => Self::Other("a list"),
            Some(b'{') => Self::Other("an object"),
            // Rust's parser also reads a number that is too large, as an infinity. It was checked that it is JSON.
            _ => match (
                json.parse(),
                json.trim_start_matches('-')
                    .starts_with(|first: char| first.is_ascii_digit()),
            ) {
                (Ok(integer), _) => Self::Integer(integer),
                (Err(_), true) => json.parse().map_or(Self::Other("no number"), Self::Number),
                (Err(_), false) => from_json(json).map_or(Self::Other("no number"), Self::Number),
            },
        }
    }

    /// Returns it for people.
    pub(crate) fn told(&self) -> String {
        const MOST: usize = 60;
        match self {
            Self::Boolean(true) => "True".to_owned(),
            Self::Boolean(false) => "False".to_owned(),
            Self::Number(number) => shortest(*number),
            Self::Integer(integer) => integer.to_string(),
            Self::Text(text) if text.chars().count() > MOST => {
                let start: String = text.chars().take(MOST).collect();
                format!("{}…", labwire_wire::quoted(&start))
            }
            Self::Text(text) => labwire_wire::quoted(text),
            Self::Other(what) => (*what).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_of_json_is_told_apart() {
        for (json, expected) in [
            ("1", Scalar::Integer(1)),
            ("-7 ", Scalar::Integer(-7)),
            ("1.0", Scalar::Number(1.0)),
            ("1e3", Scalar::Number(1e3)),
            ("99999999999999999999", Scalar::Number(1e20)),
            ("true", Scalar::Boolean(true)),
            (r#""a\nb""#, Scalar::Text("a\nb".to_owned())),
            ("null", Scalar::Other("None")),
            ("[1]", Scalar::Other("a list")),
        ] {
            assert_eq!(Scalar::from_json(json), expected, "{json}");
        }
        assert!(matches!(Scalar::from_json("NaN"), Scalar::Number(number) if number.is_nan()));
        assert!(matches!(Scalar::from_json("-Infinity"), Scalar::Number(number) if number.is_infinite()));
    }
}
