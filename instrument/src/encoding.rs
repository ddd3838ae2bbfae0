//! The characters that an instrument understands.

/// An encoding of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Ascii,
    Latin1,
    Utf8,
}

impl Encoding {
    /// Encodes a text.
    ///
    /// # Errors
    /// The first character that the encoding lacks.
    pub(crate) fn encode(self, text: &str) -> Result<Vec<u8>, char> {
        match self {
            Self::Utf8 => Ok(text.as_bytes().to_vec()),
            Self::Ascii => text
                .chars()
                .map(|character| u8::try_from(character).ok().filter(u8::is_ascii).ok_or(character))
                .collect(),
            Self::Latin1 => text
                .chars()
                .map(|character| u8::try_from(character).map_err(|_| character))
                .collect(),
        }
    }

    /// Decodes an answer. Bytes without a meaning become U+FFFD.
    pub(crate) fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
            Self::Ascii | Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

/// Returns bytes for people: control characters and what is no text are escaped, as in `\n` and `\xff`.
/// Of more than 200 bytes, the rest is left out.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let shown = &bytes[..bytes.len().min(MOST)];
    let text = shown.escape_ascii().to_string();
    // Quotation marks are escaped too, which nobody needs.
    let text = text.replace("\\\"", "\"").replace("\\'", "'");
    if bytes.len() > MOST {
        format!("{text}… ({} bytes)", bytes.len())
    } else {
        text
    }
}
