//! The macro's errors about mistakes, and where they point.

use crate::expand::service;

/// Returns the message for a mistake, and the part of the source that it points at.
fn mistake(options: &str, block: &str) -> (String, String) {
    let error = service(options.parse().unwrap(), block.parse().unwrap()).expect_err(block);
    let place = error.span().source_text().unwrap_or_default();
    (error.to_string(), place)
}

/// The same for one method.
fn in_method(method: &str) -> (String, String) {
    mistake("", &format!("impl S {{ {method} }}"))
}

#[test]
fn mistakes_in_methods_are_explained_where_they_are() {
    for (method, place, message) in [
        (
            "pub fn consume(self) {}",
            "self",
            "a method of a service takes `&self` or `&mut self`: it is called again and again",
        ),
        (
            "pub fn boxed(self: Box<Self>) {}",
            "self: Box<Self>",
            "a method of a service takes `&self` or `&mut self`: it is called again and again",
        ),
        (
            "pub fn any<T>(&self, value: T) {}",
            "T",
            "a method of a service cannot be generic: its arguments come as JSON, which has no types; write one \
             method for each type, or leave `pub` out",
        ),
        (
            "#[property] pub async fn value(&self) -> u8 { 1 }",
            "async",
            "a property cannot be `async`: it is read when the service registers; make it a method",
        ),
        (
            "#[property] pub fn value(&self, x: u8) -> u8 { x }",
            "x: u8",
            "a property has no parameters",
        ),
        (
            "#[hidden] fn value(&self) {}",
            "value",
            "only a `pub` method with `&self` or `&mut self` is an attribute of the service",
        ),
        (
            "#[property] pub fn make() -> Self { S }",
            "make",
            "only a `pub` method with `&self` or `&mut self` is an attribute of the service",
        ),
        (
            "#[requires(operator)] pub fn value(&self) {}",
            "requires(operator)",
            "what is required is a role: `#[requires(\"operator\")]`",
        ),
        (
            "#[requires(\"operator\")] #[property] pub fn value(&self) -> u8 { 1 }",
            "\"operator\"",
            "everybody who sees the service sees the value of a property; make it a method",
        ),
        (
            "#[requires(\"operator\")] fn value(&self) {}",
            "value",
            "only a `pub` method with `&self` or `&mut self` is an attribute of the service",
        ),
        (
            "#[record] pub fn value(&self) {}",
            "record",
            "write `#[record(arguments)]` or `#[record(arguments, secret = \"PARAMETER\")]`",
        ),
        (
            "#[record(secret = \"x\")] pub fn value(&self, x: u8) {}",
            "record(secret = \"x\")",
            "write `#[record(arguments)]` or `#[record(arguments, secret = \"PARAMETER\")]`",
        ),
        (
            "#[record(arguments, secret = \"y\")] pub fn value(&self, x: u8) {}",
            "\"y\"",
            "the method has no parameter `y` that could be secret",
        ),
        (
            "#[record(arguments)] #[property] pub fn value(&self) -> u8 { 1 }",
            "value",
            "a property has no arguments that could be recorded",
        ),
        (
            "#[hidden(all)] pub fn value(&self) {}",
            "hidden(all)",
            "`#[hidden]` takes nothing",
        ),
        (
            "pub fn _value(&self) {}",
            "_value",
            "clients cannot ask for names that begin with an underscore; leave `pub` out, or rename it",
        ),
    ] {
        assert_eq!(
            in_method(method),
            (message.to_owned(), place.to_owned()),
            "{method}"
        );
    }
}

#[test]
fn mistakes_in_parameters_are_explained_where_they_are() {
    for (parameters, place, message) in [
        (
            "(x, y): (f64, f64)",
            "(x, y)",
            "a parameter needs a name, by which clients can give it",
        ),
        (
            "path: &PathBuf",
            "&PathBuf",
            "of references, `&str`, `&[T]`, `&Request`, `&Progress`, `&Cancellation` and `&Caller` can be arguments; take others by value",
        ),
        (
            "values: &mut [f64]",
            "&mut [f64]",
            "an argument cannot be `&mut`: it comes from the network; take it by value",
        ),
        (
            "values: impl Iterator",
            "impl Iterator",
            "an argument needs a type that it can be made of, not a trait",
        ),
        (
            "#[default(1)] low: u8, high: u8",
            "high",
            "an argument without a default cannot follow one that has a default",
        ),
        (
            "#[default] low: u8",
            "default",
            "a default needs its value: `#[default(10)]`",
        ),
        (
            "#[default(1)] request: &Request",
            "&Request",
            "this parameter cannot have a default",
        ),
        (
            "kwargs: Keywords, x: u8",
            "x",
            "no argument can follow the `Keywords`",
        ),
        (
            "kwargs: Keywords, more: Keywords",
            "Keywords",
            "`Keywords` can stand there once",
        ),
        (
            "kwargs: Keywords, args: Positional",
            "Positional",
            "`Positional` can stand there once, and before `Keywords`",
        ),
    ] {
        let method = format!("pub fn method(&self, {parameters}) {{}}");
        assert_eq!(
            in_method(&method),
            (message.to_owned(), place.to_owned()),
            "{method}"
        );
    }
}

#[test]
fn mistakes_around_the_block_are_explained_where_they_are() {
    for (options, block, place, message) in [
        (
            "",
            "impl Clone for S {}",
            "Clone",
            "`#[service]` stands on the `impl` block of the type itself, not of a trait",
        ),
        (
            "",
            "struct S;",
            "struct",
            "`#[service]` stands on an `impl` block, whose public methods become the service's attributes",
        ),
        ("", "impl [u8] {}", "[u8]", "a service is a type that has a name"),
        (
            "color = \"red\"",
            "impl S {}",
            "color",
            "unknown option; there are `name = \"…\"`, `max_clients = …`, `hidden(method, …)` and \
             `record_arguments`",
        ),
        (
            "max_clients = 99999999999",
            "impl S {}",
            "99999999999",
            "max_clients is a number from 0, for no limit",
        ),
        (
            "hidden(nothing)",
            "impl S { pub fn something(&self) {} }",
            "nothing",
            "the block has no public method or constant `nothing` that could be hidden",
        ),
    ] {
        assert_eq!(
            mistake(options, block),
            (message.to_owned(), place.to_owned()),
            "{block}"
        );
    }
}

#[test]
fn what_is_written_is_rust() {
    let block = "impl<T: Send> S<T> where T: Sync {
        pub const UNIT: &str = \"V\";
        #[cfg(unix)] pub fn read(&self, #[default(1)] channel: u8) -> u8 { channel }
        pub async fn r#move(&mut self, r#type: &str, request: Request) -> Result<(), E> { Ok(()) }
        #[property] pub fn model(&mut self) -> &str { \"\" }
        pub fn new() -> Self { S }
        fn private(&self) {}
    }";
    let written = service("hidden(read)".parse().unwrap(), block.parse().unwrap()).unwrap();
    let text = syn::parse2::<syn::File>(written)
        .map(|file| file.items.len())
        .unwrap();
    // The block, the import, and two traits.
    assert_eq!(text, 4);
}
