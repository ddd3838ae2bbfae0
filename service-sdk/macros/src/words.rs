//! Writes Rust's types and values in the notation of Python.

use syn::{
    Expr, ExprLit, ExprUnary, GenericArgument, Ident, Lit, PathArguments, PathSegment, ReturnType, Type, UnOp,
};

/// Returns the word for a type in a signature.
pub(crate) fn type_word(kind: &Type) -> String {
    match kind {
        Type::Path(path) => match path.path.segments.last() {
            Some(segment) => segment_word(segment),
            None => "object".to_owned(),
        },
        Type::Reference(reference) => type_word(&reference.elem),
        Type::Paren(paren) => type_word(&paren.elem),
        Type::Group(group) => type_word(&group.elem),
        Type::Slice(slice) => format!("list[{}]", type_word(&slice.elem)),
        Type::Array(array) => format!("list[{}]", type_word(&array.elem)),
        Type::Tuple(tuple) if tuple.elems.is_empty() => "None".to_owned(),
        Type::Tuple(tuple) => {
            let words: Vec<String> = tuple.elems.iter().map(type_word).collect();
            format!("tuple[{}]", words.join(", "))
        }
        Type::Never(_) => "None".to_owned(),
        _ => "object".to_owned(),
    }
}

/// Returns the last name of a type's path.
pub(crate) fn last_name(kind: &Type) -> Option<&Ident> {
    match kind {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        Type::Paren(paren) => last_name(&paren.elem),
        Type::Group(group) => last_name(&group.elem),
        _ => None,
    }
}

fn segment_word(segment: &PathSegment) -> String {
    let name = segment.ident.to_string();
    let arguments = type_arguments(segment);
    let argument = |index: usize| {
        arguments
            .get(index)
            .map_or_else(|| "object".to_owned(), |&kind| type_word(kind))
    };
    match name.as_str() {
        "f32" | "f64" => "float".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" | "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => {
            "int".to_owned()
        }
        "String" | "str" | "char" | "PathBuf" | "Path" => "str".to_owned(),
        "Vec" | "VecDeque" | "HashSet" | "BTreeSet" => format!("list[{}]", argument(0)),
        "HashMap" | "BTreeMap" => format!("dict[{}, {}]", argument(0), argument(1)),
        "Option" => format!("{} | None", argument(0)),
        "Result" | "Box" | "Arc" | "Rc" | "Cow" => argument(0),
        "Value" | "Json" => "object".to_owned(),
        "Positional" => "list".to_owned(),
        "Keywords" => "dict".to_owned(),
        _ => name,
    }
}

fn type_arguments(segment: &PathSegment) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Vec::new();
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(kind) => Some(kind),
        _ => None,
    });
    types.collect()
}

/// Returns the word for a method's return type.
pub(crate) fn return_word(output: &ReturnType) -> String {
    match output {
        ReturnType::Default => "None".to_owned(),
        ReturnType::Type(_, kind) => type_word(kind),
    }
}

/// Returns a default as Python writes it; `...` if it is not a plain value.
pub(crate) fn value_word(value: &Expr) -> String {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => literal_word(lit),
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_),
            expr,
            ..
        }) => match value_word(expr) {
            word if word == "..." => word,
            word => format!("-{word}"),
        },
        Expr::Path(path) if path.path.is_ident("None") => "None".to_owned(),
        Expr::Paren(paren) => value_word(&paren.expr),
        Expr::Group(group) => value_word(&group.expr),
        Expr::Call(call) => match (&*call.func, call.args.first()) {
            (Expr::Path(path), Some(argument)) if call.args.len() == 1 && wraps(&path.path) => {
                value_word(argument)
            }
            _ => "...".to_owned(),
        },
        Expr::MethodCall(call) if call.args.is_empty() && copies(&call.method.to_string()) => {
            value_word(&call.receiver)
        }
        _ => "...".to_owned(),
    }
}

/// Returns whether a function only converts its argument to another type.
fn wraps(path: &syn::Path) -> bool {
    path.segments
        .last()
        .is_some_and(|segment| segment.ident == "Some" || segment.ident == "from")
}

fn copies(method: &str) -> bool {
    matches!(method, "to_owned" | "to_string" | "into")
}

fn literal_word(literal: &Lit) -> String {
    match literal {
        Lit::Bool(value) => if value.value { "True" } else { "False" }.to_owned(),
        Lit::Int(number) => number.base10_digits().to_owned(),
        Lit::Float(number) => number.base10_digits().to_owned(),
        Lit::Str(text) => quoted(&text.value()),
        Lit::Char(character) => quoted(&character.value().to_string()),
        _ => "...".to_owned(),
    }
}

/// Returns a text in quotes, as Python's `repr` writes it.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut word = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => word.push_str("\\n"),
            '\r' => word.push_str("\\r"),
            '\t' => word.push_str("\\t"),
            '\\' => word.push_str("\\\\"),
            _ if character == quote => word.extend(['\\', quote]),
            _ => word.push(character),
        }
    }
    word.push(quote);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_words_of_python() {
        for (kind, word) in [
            ("f64", "float"),
            ("u8", "int"),
            ("bool", "bool"),
            ("&str", "str"),
            ("String", "str"),
            ("Vec<f32>", "list[float]"),
            ("&[u8]", "list[int]"),
            ("[f64; 3]", "list[float]"),
            (
                "std::collections::HashMap<String, Vec<u8>>",
                "dict[str, list[int]]",
            ),
            ("Option<String>", "str | None"),
            ("(f64, bool)", "tuple[float, bool]"),
            ("()", "None"),
            ("Result<(), std::io::Error>", "None"),
            ("io::Result<Option<f64>>", "float | None"),
            ("serde_json::Value", "object"),
            ("crate::Reading", "Reading"),
            ("Cow<'static, str>", "str"),
            ("impl Serialize", "object"),
        ] {
            assert_eq!(type_word(&syn::parse_str(kind).unwrap()), word, "{kind}");
        }
    }

    #[test]
    fn defaults_have_the_words_of_python() {
        for (value, word) in [
            ("1", "1"),
            ("-2.5", "-2.5"),
            ("10_u32", "10"),
            ("true", "True"),
            ("None", "None"),
            ("Some(3)", "3"),
            ("\"V\"", "'V'"),
            ("\"it's\"", "\"it's\""),
            ("String::from(\"V\")", "'V'"),
            ("\"V\".to_owned()", "'V'"),
            ("DEFAULT", "..."),
            ("vec![1]", "..."),
        ] {
            assert_eq!(value_word(&syn::parse_str(value).unwrap()), word, "{value}");
        }
    }
}
