//! Compares parsed lines with the Python package where the two agree, and with this module's
//! documentation where they differ. The module `properties` tests properties of every line.

use serde_json::Value;

use super::*;

/// Lines, and what `msl.network.utils.parse_terminal_input` of msl-network 1.0.0 gives for them,
/// one JSON object per line: a `request` of service, attribute, args and kwargs, another `meaning`,
/// or `refused`. What it gives otherwise on purpose is not in there, see [`DIFFERENCES`].
const REFERENCE: &str = include_str!("reference.jsonl");

pub(super) fn request(line: &str) -> (String, String, String, String) {
    match parse(line) {
        Ok(TerminalLine::Request {
            service,
            attribute,
            args,
            kwargs,
        }) => (service, attribute, args, kwargs),
        other => panic!("{line}: {other:?}"),
    }
}

/// The positional arguments of a request with these values.
pub(super) fn args(values: &str) -> String {
    let (_, _, args, kwargs) = request(&format!("S a {values}"));
    assert_eq!(kwargs, "{}", "{values}");
    args
}

/// The keyword arguments of a request with these.
pub(super) fn kwargs(values: &str) -> String {
    let (_, _, args, kwargs) = request(&format!("S a {values}"));
    assert_eq!(args, "[]", "{values}");
    kwargs
}

#[test]
fn lines_mean_what_they_mean_to_the_python_package() {
    let mut rows = 0;
    for row in REFERENCE.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        let line = row["line"].as_str().unwrap();
        if let Value::Array(expected) = &row["request"] {
            let (service, attribute, args, kwargs) = request(line);
            assert_eq!(expected[0], service, "{line}");
            assert_eq!(expected[1], attribute, "{line}");
            assert_eq!(
                expected[2],
                serde_json::from_str::<Value>(&args).unwrap(),
                "{line}"
            );
            assert_eq!(
                expected[3],
                serde_json::from_str::<Value>(&kwargs).unwrap(),
                "{line}"
            );
        } else if let Value::String(meaning) = &row["meaning"] {
            assert_eq!(format!("{:?}", parse(line).unwrap()), *meaning, "{line}");
        } else {
            assert_eq!(row["refused"], true, "{line}");
            assert!(parse(line).is_err(), "{line}");
        }
        rows += 1;
    }
    assert!(rows > 300, "the table lost its rows");
}

/// Requests that mean something else to the Python package, with what they mean here.
const DIFFERENCES: &[(&str, &str, &str, &str, &str)] = &[
    ("clients add 1", "clients", "add", "[1]", "{}"),
    ("links x", "links", "x", "[]", "{}"),
    (r#"S "my attribute" 1"#, "S", "my attribute", "[1]", "{}"),
    ("S a [1, 2, 3] 4", "S", "a", "[[1,2,3],4]", "{}"),
    (
        r#"S a {"x" : 1, "y":[1,2,{"z":true}]}"#,
        "S",
        "a",
        r#"[{"x":1,"y":[1,2,{"z":true}]}]"#,
        "{}",
    ),
    (
        r#"S a ( 1, ) x=["a b", 'c=d'] y={'a': None}"#,
        "S",
        "a",
        "[[1]]",
        r#"{"x":["a b","c=d"],"y":{"a":null}}"#,
    ),
    ("S a [true,NULL]", "S", "a", "[[true,null]]", "{}"),
    (
        "S a NaN Infinity -Infinity x=NaN",
        "S",
        "a",
        "[NaN,Infinity,-Infinity]",
        r#"{"x":NaN}"#,
    ),
    ("S a [NaN,-Infinity]", "S", "a", "[[NaN,-Infinity]]", "{}"),
    ("S a don't can't", "S", "a", r#"["don't","can't"]"#, "{}"),
    (
        r#"S a "it's" 'say "hi"'"#,
        "S",
        "a",
        r#"["it's","say \"hi\""]"#,
        "{}",
    ),
    (r#"S a "say \"hi\"""#, "S", "a", r#"["say \"hi\""]"#, "{}"),
    (r#"S a a"b c"d"#, "S", "a", r#"["a\"b","c\"d"]"#, "{}"),
    ("S a b'abc'", "S", "a", r#"["b'abc'"]"#, "{}"),
    (r#"S a "C:\Music\x""#, "S", "a", r#"["C:\\Music\\x"]"#, "{}"),
    (
        r#"S a "\a\0\x4\u12\U00110000""#,
        "S",
        "a",
        r#"["\\a\\0\\x4\\u12\\U00110000"]"#,
        "{}",
    ),
    (
        r#"S a "\ud83d" "\ud83dx" "\ude00\ud83d""#,
        "S",
        "a",
        r#"["\\ud83d","\\ud83dx","\\ude00\\ud83d"]"#,
        "{}",
    ),
    (r#"S a "\/""#, "S", "a", r#"["/"]"#, "{}"),
    (r#"S a "x", "y""#, "S", "a", r#"["x","y"]"#, "{}"),
    (r#"S a "x=1" "a = b""#, "S", "a", r#"["x=1","a = b"]"#, "{}"),
    ("S a http://a?b=c", "S", "a", r#"["http://a?b=c"]"#, "{}"),
    (
        "S a a/b=c a-b=c 1x=3",
        "S",
        "a",
        r#"["a/b=c","a-b=c","1x=3"]"#,
        "{}",
    ),
    ("S a x=http://a?b=c", "S", "a", "[]", r#"{"x":"http://a?b=c"}"#),
    ("S a 1e400 1.10 -0", "S", "a", "[1e400,1.10,-0]", "{}"),
    (
        "S a 1j {1,2} ... 1#2 {(1,2):3}",
        "S",
        "a",
        r#"["1j","{1,2}","...","1#2","{(1,2):3}"]"#,
        "{}",
    ),
    ("S a {'k':1,'k':2}", "S", "a", r#"[{"k":1,"k":2}]"#, "{}"),
];

#[test]
fn lines_that_differ_on_purpose_mean_what_the_documentation_says() {
    for (line, service, attribute, args, kwargs) in DIFFERENCES {
        let found = request(line);
        let expected = [service, attribute, args, kwargs].map(ToString::to_string);
        assert_eq!([found.0, found.1, found.2, found.3], expected, "{line}");
    }
}

#[test]
fn keywords_count_in_any_case_and_only_as_the_whole_first_word() {
    for line in ["disconnect", "EXIT", "quit", " __Disconnect__\r\n"] {
        assert_eq!(parse(line), Ok(TerminalLine::Disconnect));
    }
    assert_eq!(parse("Identity"), Ok(TerminalLine::Identity));
    assert_eq!(parse("help\r\n"), Ok(TerminalLine::Help));
    assert_eq!(parse("WhoAmI"), Ok(TerminalLine::WhoAmI));
    assert_eq!(request("exit now").0, "exit");
    assert_eq!(request("identity get").0, "identity");
    assert_eq!(request("\"link\" add 1").0, "link");
}

#[test]
fn links_and_locks_are_named_with_one_word_or_between_quotes() {
    let unlink = |service: &str| {
        Ok(TerminalLine::Unlink {
            service: service.into(),
        })
    };
    assert_eq!(parse("unlink BasicMath"), unlink("BasicMath"));
    assert_eq!(parse("UNLINK  \"My Service\" \r\n"), unlink("My Service"));
    let unlock = |service: &str| {
        Ok(TerminalLine::Unlock {
            service: service.into(),
        })
    };
    assert_eq!(parse("unlock 'My Service'"), unlock("My Service"));
    for (line, service, kwargs) in [
        ("lock BasicMath", "BasicMath", "{}"),
        ("Lock BasicMath Shared", "BasicMath", r#"{"shared":true}"#),
        ("lock 'My Service' shared", "My Service", r#"{"shared":true}"#),
        (
            "lock \"My Service\" exclusive",
            "My Service",
            r#"{"shared":false}"#,
        ),
        ("lock shared", "shared", "{}"),
        (
            "lock S ttl=1.50 reason=\"a test\" wait = 0",
            "S",
            r#"{"ttl":1.50,"reason":"a test","wait":0}"#,
        ),
        ("lock S TTL=60", "S", r#"{"ttl":60}"#),
        ("lock S shared reason=x", "S", r#"{"shared":true,"reason":"x"}"#),
    ] {
        let (service, kwargs) = (service.into(), kwargs.into());
        assert_eq!(parse(line), Ok(TerminalLine::Lock { service, kwargs }), "{line}");
    }
    let cancel = |service: Option<&str>| {
        Ok(TerminalLine::Cancel {
            service: service.map(str::to_owned),
        })
    };
    assert_eq!(parse(" cancel "), cancel(None));
    assert_eq!(parse("CANCEL 'My Service'"), cancel(Some("My Service")));
    for keyword in ["unlink", "lock", "unlock"] {
        assert_eq!(parse(keyword), Err(TerminalError::NoServiceNamed { keyword }));
    }
}

#[test]
fn a_service_whose_name_is_a_keyword_can_be_called() {
    for (line, service, attribute, args) in [
        ("\"lock\" open", "lock", "open", "[]"),
        ("'unlock' open", "unlock", "open", "[]"),
        ("\"help\" add 1 2", "help", "add", "[1,2]"),
        ("help add 1 2", "help", "add", "[1,2]"),
        ("lock front 1", "lock", "front", "[1]"),
        ("lock My Service shared", "lock", "My", r#"["Service","shared"]"#),
        (
            "lock front shared shared",
            "lock",
            "front",
            r#"["shared","shared"]"#,
        ),
        ("lock front shared x=1", "lock", "front", r#"["shared"]"#),
        ("unlock front 1", "unlock", "front", "[1]"),
        ("unlink a b", "unlink", "a", r#"["b"]"#),
        ("cancel the order", "cancel", "the", r#"["order"]"#),
        ("whoami is it", "whoami", "is", r#"["it"]"#),
        ("quit smoking", "quit", "smoking", "[]"),
        ("unlock front ttl=1", "unlock", "front", "[]"),
    ] {
        let found = request(line);
        assert_eq!(
            (found.0.as_str(), found.1.as_str(), found.2.as_str()),
            (service, attribute, args),
            "{line}"
        );
    }
    assert!(may_mean_keyword("lock") && may_mean_keyword("Unlink") && !may_mean_keyword("help"));
}

#[test]
fn help_is_an_object_of_what_can_be_typed() {
    let help: Value = serde_json::from_str(&help()).unwrap();
    for (typed, meaning) in help.as_object().unwrap() {
        assert!(
            meaning.as_str().is_some_and(|meaning| !meaning.is_empty()),
            "{typed}"
        );
        // All of it is understood, but for the placeholders of a request's values.
        let line = typed.split('[').next().unwrap();
        assert!(parse(line).is_ok(), "{typed}");
    }
}

#[test]
fn a_name_after_a_keyword_needs_no_quotes_and_loses_them() {
    let client = |name: &str| Ok(TerminalLine::Client { name: name.into() });
    assert_eq!(parse("client"), client("Client"));
    assert_eq!(parse("client \"\""), client("Client"));
    assert_eq!(parse("CLIENT  My   Name "), client("My Name"));
    assert_eq!(parse("client 'Me'"), client("Me"));
    assert_eq!(parse("client O'Brien"), client("O'Brien"));
    assert_eq!(parse("client \"half"), client("half"));
    let link = |service: &str| {
        Ok(TerminalLine::Link {
            service: service.into(),
        })
    };
    assert_eq!(parse("link My Service"), link("My Service"));
    assert_eq!(parse("link\t'My  Service'"), link("My  Service"));
    assert_eq!(parse(r#"link "My \"own\"""#), link("My \"own\""));
    assert_eq!(parse("link \"My\" Service"), link("My Service"));
}

#[test]
fn a_line_without_a_meaning_is_refused_with_what_to_type_instead() {
    for (line, message) in [
        (
            " \t",
            "the line is empty, type: <service> <attribute> [value ...] [key=value ...]",
        ),
        (
            "BasicMath",
            "nothing is asked of 'BasicMath', type: <service> <attribute> [value ...] [key=value ...]",
        ),
        (
            "link ''",
            "link needs the name of a service, type for example: link BasicMath",
        ),
        (
            " '' add",
            "the name at column 2 is empty, type: <service> <attribute> [value ...] [key=value ...]",
        ),
        (
            "S é 'tis 1",
            "the quote ' at column 5 is not closed, close it, or put the whole text between quotes of the \
             other kind (a backslash at the end of a text is typed twice)",
        ),
        (
            "S a \"x\"y",
            "type a space after the closing quote at column 7, or \\ before a quote within the text",
        ),
        (
            "\"My S\"add 1",
            "type a space after the closing quote at column 6, or \\ before a quote within the text",
        ),
        (
            "S a x=first string",
            "the value at column 13 stands after the keyword argument 'x', type it before the keyword \
             arguments, or in quotes if it belongs to that text",
        ),
        (
            "S a x=1 x = 2",
            "the keyword argument 'x' is given twice, type it once",
        ),
    ] {
        assert_eq!(parse(line).unwrap_err().to_string(), message, "{line}");
    }
}

#[test]
fn a_message_repeats_only_the_start_of_what_was_typed() {
    let service = "ä".repeat(1_000_000);
    let message = parse(&service).unwrap_err().to_string();
    assert!(message.contains(&format!("'{}...'", "ä".repeat(40))), "{message}");
}

#[test]
fn literals_may_be_nested_up_to_the_limit() {
    let nested = |depth: usize| format!("S a 1 {}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(MAX_LITERAL_DEPTH)).is_ok());
    let refused = Err(TerminalError::TooDeep { column: 7 });
    assert_eq!(parse(&nested(MAX_LITERAL_DEPTH + 1)), refused);
    assert_eq!(parse(&nested(1_000_000)), refused);
    assert_eq!(parse(&format!("S a 1 {}", "({1:".repeat(1_000_000))), refused);
}

#[test]
fn python_literals_become_json() {
    assert_eq!(args("(1) ((2),) () (((3)))"), "[1,[2],[],3]");
    assert_eq!(args("[ 1 , [ ] , ( (4) , 'x' ) , ]"), r#"[[1,[],[4,"x"]]]"#);
    assert_eq!(
        args("{1:2,  1.50:(3,),None:{},'k':+.5,}"),
        r#"[{"1":2,"1.5":[3],"null":{},"k":0.5}]"#
    );
    assert_eq!(args("1,2 (1, 2),[3] 5,"), "[[1,2],[[1,2],[3]],[5]]");
    assert_eq!(args(r#"['\x41\u00e9','\M"']"#), r#"[["Aé","\\M\""]]"#);
    assert_eq!(kwargs("x=1,2 y=(1)"), r#"{"x":[1,2],"y":1}"#);
}

#[test]
fn a_literal_that_is_not_well_formed_is_text_up_to_the_next_white_space() {
    assert_eq!(args("[1, 2"), r#"["[1,",2]"#);
    assert_eq!(args("[1 2] (x"), r#"["[1","2]","(x"]"#);
    assert_eq!(args("{1: 2]"), r#"["{1:","2]"]"#);
    assert_eq!(args("[1, [2,3] x"), r#"["[1,",[2,3],"x"]"#);
    assert_eq!(args("[1, 2]x [3, 4]"), r#"["[1,","2]x",[3,4]]"#);
    assert_eq!(args("['a b [1]"), r#"["['a","b",[1]]"#);
    assert_eq!(
        args("[,] (,) {,} {1} {1:} {:1} ] 1,,2 ,"),
        r#"["[,]","(,)","{,}","{1}","{1:}","{:1}","]","1,,2",","]"#
    );
}

#[test]
fn a_key_is_a_word_and_its_value_may_stand_apart() {
    assert_eq!(
        kwargs(r#"x=1 y = "first string" z= 'b' _9 =[1, 2] é=none"#),
        r#"{"x":1,"y":"first string","z":"b","_9":[1,2],"é":null}"#
    );
    assert_eq!(kwargs(r#"x="a", y="b""#), r#"{"x":"a","y":"b"}"#);
    assert_eq!(kwargs("x==1"), r#"{"x":"=1"}"#);
    assert_eq!(args("YWI="), r#"["YWI="]"#);
    assert_eq!(args("x ="), r#"["x","="]"#);
}
