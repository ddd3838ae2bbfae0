//! JSON without the white space between its parts.

/// Returns JSON without the white space that stands outside strings, at most its first `most` bytes.
///
/// A text that is shown in part can so not begin with blanks that hide the rest. `json` need not be
/// well-formed: it is not checked.
pub fn compact(json: &[u8], most: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(json.len().min(most));
    let (mut in_string, mut is_escaped) = (false, false);
    for &byte in json {
        if !in_string && matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        }
        if text.len() >= most {
            break;
        }
        text.push(byte);
        if is_escaped {
            is_escaped = false;
        } else if byte == b'"' {
            in_string = !in_string;
        } else {
            is_escaped = in_string && byte == b'\\';
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn blanks_outside_strings_are_left_out() {
        let compact = |json: &str, most| String::from_utf8(compact(json.as_bytes(), most)).unwrap();
        let json = "[1 ,\t\"a b\\\" c\" ,\r\n{ \"x\\\\\" : 2 } ]";
        assert_eq!(compact(json, 100), "[1,\"a b\\\" c\",{\"x\\\\\":2}]");
        assert_eq!(compact(json, 4), "[1,\"");
        assert_eq!(compact(&format!("[1{},9]", " ".repeat(1_000)), 5), "[1,9]");
    }

    proptest! {
        #[test]
        fn nothing_else_is_left_out(text in "\\PC{0,20}[ \\\\\"]{0,5}", number in any::<i32>()) {
            let value = serde_json::json!([text, { text.clone(): number }, null]);
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let compact = compact(pretty.as_bytes(), usize::MAX);
            prop_assert_eq!(&compact, &value.to_string().into_bytes());
            prop_assert_eq!(serde_json::from_slice::<Value>(&compact).unwrap(), value);
        }
    }
}
