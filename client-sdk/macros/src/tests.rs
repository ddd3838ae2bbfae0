use quote::quote;

use crate::generate::client;

fn error(item: proc_macro2::TokenStream) -> String {
    client(quote!(), item).unwrap_err().to_string()
}

#[test]
fn a_trait_becomes_two_structs_and_is_gone() {
    let tokens = client(
        quote!(service = "Basic Math"),
        quote! {
            /// Calculates.
            pub trait BasicMath {
                /// The power.
                fn power(&self, x: f64, #[keyword] n: Option<i64>) -> f64;
                #[attribute = "setLogger"]
                fn set_logger(&self, #[keyword = "type"] kind: &str);
            }
        },
    );
    let file: syn::File = syn::parse2(tokens.unwrap()).unwrap();
    let names = file.items.iter().filter_map(|item| match item {
        syn::Item::Struct(item) => Some(item.ident.to_string()),
        _ => None,
    });
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["BasicMathClient", "BasicMathBlockingClient"]
    );
    assert!(!file.items.iter().any(|item| matches!(item, syn::Item::Trait(_))));
    let text = quote!(#file).to_string();
    for part in [
        "\"Basic Math\"",
        "\"setLogger\"",
        "\"type\"",
        "Calculates.",
        "The power.",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn mistakes_are_told_with_the_remedy() {
    for (item, remedy) in [
        ("struct S;", "goes onto a trait"),
        ("trait T<X> {}", "no generic parameters"),
        ("trait T { const X: i32; }", "a service has methods"),
        ("trait T { fn f(); }", "the first parameter is `&self`"),
        ("trait T { fn f(&mut self); }", "the first parameter is `&self`"),
        ("trait T { async fn f(&self); }", "write `fn`"),
        ("trait T { fn f<X>(&self, x: X); }", "no generic parameters"),
        ("trait T { fn f(&self) {} }", "end the method with a semicolon"),
        ("trait T { fn f(&self) -> &str; }", "write String"),
        ("trait T { fn f(&self) -> Result<f64, E>; }", "gives a Result"),
        ("trait T { fn f(&self, (a, b): (i32, i32)); }", "a plain name"),
        ("trait T { fn f(&self, #[key] a: i32); }", "#[keyword]"),
        (
            "trait T { fn f(&self, #[keyword] a: i32, b: i32); }",
            "mark this one",
        ),
        ("trait T { #[attribute] fn f(&self); }", "write #[attribute = "),
        ("trait T { fn link(&self); }", "write #[attribute = \"link\"]"),
    ] {
        let told = error(item.parse().unwrap());
        assert!(told.contains(remedy), "{item}: {told}");
    }
    let told = client(
        quote!(name = "X"),
        quote!(
            trait T {}
        ),
    )
    .unwrap_err()
    .to_string();
    assert!(told.contains("service = "), "{told}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let error = client(
        quote!(),
        quote!(
            trait T {
                fn f();
                fn g(self);
            }
        ),
    )
    .unwrap_err();
    assert_eq!(error.into_iter().count(), 2);
}
