//! Which arguments of its requests a service wants to be recorded, and how they are written.

use std::collections::BTreeMap;

use crate::json::{self, JsonError, RawString};

/// The most bytes of the recorded arguments of one request, the mark included that says that they were
/// truncated.
pub const MAX_RECORDED_BYTES: usize = 512;

/// The longest list of methods whose arguments are recorded, in bytes of JSON.
pub const MAX_RECORDED_METHODS_BYTES: usize = 16 * 1_024;

/// The most bytes of the arguments in which secrets are searched. What comes behind them is left out.
const MOST_SEARCHED: usize = 16 * 1_024;

/// What stands for the value of a secret.
const SECRET: &str = "\"<secret>\"";

/// What stands for the rest of what was truncated.
const REST: &str = "…";

/// In the names of parameters: the following ones cannot be given by position.
const ONLY_KEYWORDS: &str = "*";

/// The methods whose arguments are recorded.
///
/// It is the member `record_arguments` of a service's identity: an object from names of attributes to
/// objects, with the members `parameters` and `secret`, both arrays of names. Both may be missing.
///
/// ```
/// use labwire_wire::RecordedMethods;
///
/// let text = br#"{"set":{},"unlock":{"parameters":["door","code"],"secret":["code"]}}"#;
/// let methods = RecordedMethods::from_json(text).unwrap();
/// let recorded = |attribute, args, kwargs| Some(methods.of(attribute)?.write(args, kwargs));
/// assert_eq!(recorded("set", b"[1, 2.5]", b"{}").as_deref(), Some("[1,2.5]"));
/// let args = br#"[3, "1234"]"#;
/// assert_eq!(recorded("unlock", args, b"{}").as_deref(), Some(r#"[3,"<secret>"]"#));
/// let kwargs = br#"{"code": "1234"}"#;
/// assert_eq!(recorded("unlock", b"[3]", kwargs).as_deref(), Some(r#"[3] {"code":"<secret>"}"#));
/// assert_eq!(recorded("read", b"[]", b"{}"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedMethods(BTreeMap<Box<str>, RecordedArguments>);

/// How the arguments of one method are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedArguments {
    /// The names of the parameters that can be given by position, in their order.
    by_position: Vec<Box<str>>,
    /// The names of the others.
    by_keyword: Vec<Box<str>>,
    secret: Vec<Box<str>>,
}

impl RecordedMethods {
    /// Parses the member of an identity. Unknown members of the methods are ignored. Returns `None` if it is
    /// something else, or longer than [`MAX_RECORDED_METHODS_BYTES`].
    pub fn from_json(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_RECORDED_METHODS_BYTES {
            return None;
        }
        let mut methods = BTreeMap::new();
        let read = json::scan_object(text, |name, span| {
            let name = name.decode().ok_or(JsonError::NotAnObject)?;
            let method = RecordedArguments::from_json(&text[span]).ok_or(JsonError::NotAnObject)?;
            methods.insert(name.into(), method);
            Ok::<_, JsonError>(())
        });
        read.ok()?;
        Some(Self(methods))
    }

    /// Returns how the arguments of requests for an attribute are recorded; `None` if they are not.
    pub fn of(&self, attribute: &str) -> Option<&RecordedArguments> {
        self.0.get(attribute)
    }
}

impl RecordedArguments {
    fn from_json(text: &[u8]) -> Option<Self> {
        let mut arguments = Self::default();
        let read = json::scan_object(text, |key, span| {
            let member = key.decode();
            let is_secret = match member.as_deref() {
                Some("parameters") => false,
                Some("secret") => true,
                _ => return Ok(()),
            };
            let names = names(&text[span]).ok_or(JsonError::NotAnObject)?;
            if is_secret {
                arguments.secret = names;
            } else {
                let mut kinds = names.split(|name| **name == *ONLY_KEYWORDS);
                arguments.by_position = kinds.next().unwrap_or_default().to_vec();
                arguments.by_keyword = kinds.flatten().cloned().collect();
            }
            Ok::<_, JsonError>(())
        });
        read.ok().map(|_| arguments)
    }

    /// Returns the arguments of a request as they are recorded: the JSON text of the array `args`, of the
    /// object `kwargs`, or of both with a blank between them, without what is empty (`[]` if both are), at most
    /// [`MAX_RECORDED_BYTES`] long. `…` at the end says that the rest was left out.
    ///
    /// If the method has secrets, only the values of parameters are written that are known to be none. So
    /// a secret is left out however it is given: by position, by keyword, twice, or with a name that is
    /// misspelt.
    ///
    /// `args` and `kwargs` are an array and an object of a well-formed line. The time is bounded, whatever
    /// their size: at most 16 KiB of them are read.
    pub fn write(&self, args: &[u8], kwargs: &[u8]) -> String {
        let mut text = Truncated::default();
        match (is_empty(args), is_empty(kwargs)) {
            (true, true) => text.push("[]"),
            (false, true) => self.write_args(args, &mut text),
            (true, false) => self.write_kwargs(kwargs, &mut text),
            (false, false) => {
                self.write_args(args, &mut text);
                text.push(" ");
                self.write_kwargs(kwargs, &mut text);
            }
        }
        text.finish()
    }

    fn write_args(&self, args: &[u8], text: &mut Truncated) {
        if self.secret.is_empty() {
            return text.push_value(args);
        }
        let mut place = 0;
        text.push("[");
        let read = json::scan_elements(beginning(args), |value| {
            if place > 0 {
                text.push(",");
            }
            let name = self.by_position.get(place);
            place += 1;
            self.write_given(name.map(|name| &**name), value, text);
            !text.is_full()
        });
        text.end("]", read.is_ok());
    }

    fn write_kwargs(&self, kwargs: &[u8], text: &mut Truncated) {
        if self.secret.is_empty() {
            return text.push_value(kwargs);
        }
        let kwargs = beginning(kwargs);
        let mut is_first = true;
        text.push("{");
        let read = json::scan_object(kwargs, |key, span| {
            if !std::mem::take(&mut is_first) {
                text.push(",");
            }
            self.write_keyword(key, &kwargs[span], text);
            if text.is_full() {
                return Err(JsonError::UnexpectedEnd);
            }
            Ok::<_, JsonError>(())
        });
        text.end("}", read.is_ok());
    }

    fn write_keyword(&self, key: RawString<'_>, value: &[u8], text: &mut Truncated) {
        let name = key.decode();
        let is_parameter = |name: &&str| {
            let mut parameters = self.by_position.iter().chain(&self.by_keyword);
            parameters.any(|parameter| **parameter == **name)
        };
        text.push(&serde_json::Value::from(name.as_deref().unwrap_or(REST)).to_string());
        text.push(":");
        self.write_given(name.as_deref().filter(is_parameter), value, text);
    }

    /// Writes the value of a parameter, or `None` of an unknown one.
    fn write_given(&self, name: Option<&str>, value: &[u8], text: &mut Truncated) {
        match name {
            Some(name) if self.secret.iter().all(|secret| **secret != *name) => text.push_value(value),
            _ => text.push(SECRET),
        }
    }
}

/// Returns the texts of an array of texts.
fn names(text: &[u8]) -> Option<Vec<Box<str>>> {
    let elements = json::array_elements(text).ok()?;
    let name = |element| Some(json::as_string(element)?.decode()?.into());
    elements.into_iter().map(name).collect()
}

/// Returns whether an array or an object is empty, or `null`.
fn is_empty(value: &[u8]) -> bool {
    let inner = value.get(1..value.len().saturating_sub(1)).unwrap_or_default();
    value == b"null" || inner.len() <= MOST_SEARCHED && inner.iter().all(u8::is_ascii_whitespace)
}

fn beginning(value: &[u8]) -> &[u8] {
    &value[..value.len().min(MOST_SEARCHED)]
}

/// A text that is truncated when it becomes too long.
#[derive(Debug, Default)]
struct Truncated {
    text: String,
    has_more: bool,
}

impl Truncated {
    fn is_full(&self) -> bool {
        self.text.len() > MAX_RECORDED_BYTES
    }

    fn push(&mut self, more: &str) {
        if !self.is_full() {
            self.text.push_str(more);
        }
    }

    /// Adds JSON, of which not more is copied than can be written.
    fn push_value(&mut self, json: &[u8]) {
        if self.is_full() {
            return;
        }
        // One more than fits, so that it is full if something is missing.
        let room = (MAX_RECORDED_BYTES + 1).saturating_sub(self.text.len());
        // Without blanks, which could fill the room.
        self.text
            .push_str(&String::from_utf8_lossy(&json::compact(beginning(json), room)));
        self.has_more |= json.len() > MOST_SEARCHED;
    }

    /// Ends an array or an object that was read completely or not.
    fn end(&mut self, bracket: &str, is_complete: bool) {
        if is_complete {
            self.push(bracket);
        } else {
            self.has_more = true;
        }
    }

    fn finish(mut self) -> String {
        if self.has_more || self.is_full() {
            let room = MAX_RECORDED_BYTES - REST.len();
            self.text.truncate(self.text.floor_char_boundary(room));
            self.text.push_str(REST);
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn method(text: &str) -> RecordedArguments {
        let methods = RecordedMethods::from_json(format!(r#"{{"m":{text}}}"#).as_bytes()).unwrap();
        methods.of("m").unwrap().clone()
    }

    fn door() -> RecordedArguments {
        method(r#"{"parameters":["door","code","*","note"],"secret":["code"],"later":[[1]]}"#)
    }

    #[test]
    fn blanks_hide_no_arguments() {
        let all = method("{}");
        let args = format!("[{}\"shown\" , 1]", " ".repeat(600));
        assert_eq!(all.write(args.as_bytes(), b"{ }"), r#"["shown",1]"#);
        let args = format!("[1{},9]", " ".repeat(MOST_SEARCHED));
        assert_eq!(all.write(args.as_bytes(), b"{}"), "[1…");
    }

    #[test]
    fn what_is_no_list_of_methods_is_refused() {
        for text in [
            "[]",
            "1",
            "{",
            r#"{"m":1}"#,
            r#"{"m":{"secret":"code"}}"#,
            r#"{"m":{"secret":[1]}}"#,
            r#"{"m":{"parameters":{}}}"#,
            r#"{"\ud800":{}}"#,
        ] {
            assert_eq!(RecordedMethods::from_json(text.as_bytes()), None, "{text}");
        }
        let long = |length: usize| {
            let name = "m".repeat(length - r#"{"":{}}"#.len());
            RecordedMethods::from_json(format!("{{\"{name}\":{{}}}}").as_bytes())
        };
        let longest = MAX_RECORDED_METHODS_BYTES;
        assert!(long(longest).is_some() && long(longest + 1).is_none());
    }

    #[test]
    fn a_secret_is_left_out_however_it_is_given() {
        for (args, kwargs, written) in [
            (r#"[1,"s3cr3t"]"#, "{}", r#"[1,"<secret>"]"#),
            ("[1]", r#"{"code":"s3cr3t"}"#, r#"[1] {"code":"<secret>"}"#),
            (
                "[]",
                r#"{"code":"s3cr3t","door":1,"code":["s3cr3t"]}"#,
                r#"{"code":"<secret>","door":1,"code":"<secret>"}"#,
            ),
            ("[]", r#"{"c\u006fde":"s3cr3t"}"#, r#"{"code":"<secret>"}"#),
            // Names and places that no parameter has.
            ("[]", r#"{"Code":"s3cr3t"}"#, r#"{"Code":"<secret>"}"#),
            ("[]", r#"{"\ud800":"s3cr3t"}"#, r#"{"…":"<secret>"}"#),
            (r#"[1,2,"s3cr3t"]"#, "{}", r#"[1,"<secret>","<secret>"]"#),
            ("null", r#"{"note":{"a":[1]}}"#, r#"{"note":{"a":[1]}}"#),
        ] {
            let found = door().write(args.as_bytes(), kwargs.as_bytes());
            assert_eq!(found, written, "{args} {kwargs}");
        }
        // Without the names of the parameters, nobody knows which one is the secret.
        let unnamed = method(r#"{"secret":["code"]}"#);
        assert_eq!(
            unnamed.write(b"[1]", br#"{"a":1}"#),
            r#"["<secret>"] {"a":"<secret>"}"#
        );
    }

    #[test]
    fn what_is_empty_is_written_once() {
        for recorded in [door(), method("{}")] {
            for (args, kwargs, written) in [
                ("[]", "{}", "[]"),
                ("null", "null", "[]"),
                ("[ ]", "{ }", "[]"),
                ("[1]", "{}", "[1]"),
                ("[]", r#"{"door":1}"#, r#"{"door":1}"#),
            ] {
                assert_eq!(recorded.write(args.as_bytes(), kwargs.as_bytes()), written);
            }
        }
    }

    #[test]
    fn long_and_deep_arguments_are_truncated_in_bounded_time() {
        let deep = format!("[{}1{},\"s3cr3t\"]", "[".repeat(1_000), "]".repeat(1_000));
        let long = format!("[{:?},\"s3cr3t\"]", "é".repeat(1_000_000));
        let secret = format!("[1,{:?},\"s3cr3t\"]", "s3cr3t".repeat(100_000));
        let blank = format!("[{}1]", " ".repeat(1_000_000));
        for recorded in [door(), method("{}")] {
            for args in [&deep, &long, &secret, &blank] {
                let begun = std::time::Instant::now();
                for _ in 0..100 {
                    let written = recorded.write(args.as_bytes(), b"{}");
                    assert!(
                        written.len() <= MAX_RECORDED_BYTES && written.ends_with(REST),
                        "{written}"
                    );
                    assert!(!written.contains(char::REPLACEMENT_CHARACTER));
                    assert!(
                        recorded.secret.is_empty() || !written.contains("s3cr3t"),
                        "{written}"
                    );
                }
                println!("100 times {} bytes: {:?}", args.len(), begun.elapsed());
            }
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<i32>().prop_map(Value::from),
            "[a-zé\"\\\\ ]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop::collection::vec(inner, 0..4).prop_map(Value::from)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// What is short is written as it would be with the secrets replaced.
        #[test]
        fn secrets_are_replaced_as_in_the_definition(
            args in prop::collection::vec(value(), 0..5),
            kwargs in prop::collection::btree_map("(door|code|note|other)", value(), 0..4),
        ) {
            let shown = |name: Option<&str>, value: &Value| match name {
                Some("door" | "note") => value.clone(),
                _ => json!("<secret>"),
            };
            let places = [Some("door"), Some("code")].into_iter().chain(std::iter::repeat(None));
            let expected_args: Vec<_> = places.zip(&args).map(|(name, value)| shown(name, value)).collect();
            let expected_kwargs: BTreeMap<_, _> =
                kwargs.iter().map(|(name, value)| (name, shown(Some(name), value))).collect();
            let texts = [(args.is_empty(), json!(expected_args)), (kwargs.is_empty(), json!(expected_kwargs))];
            let texts: Vec<_> =
                texts.into_iter().filter(|(is_empty, _)| !is_empty).map(|(_, text)| text.to_string()).collect();
            let expected = if texts.is_empty() { "[]".to_owned() } else { texts.join(" ") };
            let written = door().write(json!(args).to_string().as_bytes(), json!(kwargs).to_string().as_bytes());
            if expected.len() <= MAX_RECORDED_BYTES {
                prop_assert_eq!(written, expected);
            } else {
                let kept = written.strip_suffix(REST).unwrap();
                prop_assert!(expected.starts_with(kept) && written.len() <= MAX_RECORDED_BYTES);
                prop_assert!(written.len() > MAX_RECORDED_BYTES - 8);
            }
        }

        #[test]
        fn any_bytes_are_written_without_a_panic(args in any::<Vec<u8>>(), kwargs in any::<Vec<u8>>()) {
            for recorded in [door(), method("{}")] {
                prop_assert!(recorded.write(&args, &kwargs).len() <= MAX_RECORDED_BYTES);
            }
        }
    }
}
