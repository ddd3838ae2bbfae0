//! Splits the arguments of a request, each as the JSON text that the client wrote.

use labwire_wire::{JsonError, array_elements, scan_object};

/// The arguments of a request, each as JSON text: positional ones in order, and keyword ones with
/// their names.
///
/// ```
/// use labwire_device::payload::{SplitArguments, from_json, split_arguments};
///
/// let arguments: SplitArguments = split_arguments(b"[3]", br#"{"unit":"V"}"#).unwrap();
/// let channel: u8 = from_json(arguments.positional[0]).unwrap();
/// let (name, unit) = &arguments.keywords[0];
/// assert_eq!((channel, name.as_str(), *unit), (3, "unit", "\"V\""));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitArguments<'a> {
    /// The elements of `args`.
    pub positional: Vec<&'a str>,
    /// The members of `kwargs`. A repeated name occurs repeatedly.
    pub keywords: Vec<(String, &'a str)>,
}

/// Splits `args` (JSON text of an array) and `kwargs` (of an object).
///
/// ```
/// # use labwire_device::payload::split_arguments;
/// let arguments = split_arguments(b"[1, [2, NaN]]", br#"{"unit": "V"}"#).unwrap();
/// assert_eq!(arguments.positional, ["1", "[2, NaN]"]);
/// assert_eq!(arguments.keywords, [("unit".to_owned(), "\"V\"")]);
/// ```
pub fn split_arguments<'a>(args: &'a [u8], kwargs: &'a [u8]) -> Result<SplitArguments<'a>, JsonError> {
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8(0));
    let positional = array_elements(args)?
        .into_iter()
        .map(text)
        .collect::<Result<_, _>>()?;
    let mut keywords = Vec::new();
    scan_object(kwargs, |key, span| {
        let name = key.decode().ok_or(JsonError::UnexpectedByte(span.start))?;
        keywords.push((name.into_owned(), text(&kwargs[span])?));
        Ok::<_, JsonError>(())
    })?;
    Ok(SplitArguments { positional, keywords })
}
