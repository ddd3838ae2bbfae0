use crate::Definition;

const GOOD: &str = r#"
name = "Multimeter"
description = "On the bench."
max_clients = 2

[connection]
tcp = "10.0.0.7:5025"
timeout = "2s"
initialise = ["*CLS"]

[identification]
query = "*IDN?"
expect = "Keysight*,34465A,*"

[errors]
query = "SYST:ERR?"
none = ["+0,*", "0,*"]

[commands.voltage]
query = "MEAS:VOLT:DC? {range}"
answer = { type = "number", unit = "V" }
arguments.range = { type = "number", unit = "V", min = 0.1, max = 1000, words = ["AUTO"], default = "AUTO" }

[commands.screen]
write = "DISP:TEXT {text}"
arguments.text = { type = "text", quoted = true }

[polls.voltage]
every = "10s"
arguments = { range = 10 }
topic = "lab.multimeter.voltage"
retain = true
"#;

fn problems(text: &str) -> Vec<String> {
    let problems = Definition::parse(text).expect_err("the file has problems");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_is_read() {
    let definition = Definition::parse(GOOD).unwrap();
    assert_eq!(definition.commands().collect::<Vec<_>>(), ["voltage", "screen"]);
    assert_eq!(definition.polls[0].text, "MEAS:VOLT:DC? 10");
    assert_eq!(
        definition.command("voltage").unwrap().signature(),
        "(range: float | str = 'AUTO') -> float"
    );
    assert_eq!(definition.initialise, ["*CLS"]);
}

/// A change of the file, and the problem that it makes. Without one, the file stays good.
const CHANGES: &[(&str, &str, &str)] = &[
    (
        "max_clients",
        "max_clinets",
        "4:1: the file has no key `max_clinets`: did you mean `max_clients`?",
    ),
    (
        "timeout",
        "tiemout",
        "8:1: [connection] has no key `tiemout`: did you mean `timeout`?",
    ),
    (
        "\"2s\"",
        "\"soon\"",
        "8:11: `timeout` is a time from 10ms to 24h: seconds, or a text as in \"500ms\", \"10s\"",
    ),
    ("10.0.0.7:5025", "10.0.0.7", "7:7: a TCP address is HOST:PORT"),
    (
        "tcp =",
        "baud = 9600\ntcp =",
        "7:8: `baud` is for a `serial` connection only",
    ),
    (
        "tcp =",
        "usbtmc = \"/dev/usbtmc0\"\ntcp =",
        "an instrument has one connection",
    ),
    ("Keysight*,34465A,*", "*", "13:10: this accepts every instrument"),
    (
        "{range}",
        "{rnage}",
        "20:9: there is no argument for the place {rnage}: did you mean `range`?",
    ),
    (
        "{range}",
        "",
        "22:11: the text of the command has no place {range} for the argument `range`",
    ),
    ("? {range}", "?\\n*RST {range}", "20:9: a command is one line"),
    ("min = 0.1", "min = 2000", "`max` is less than `min`"),
    (
        "default = \"AUTO\"",
        "default = 5000",
        "the default of `range` is refused: 5000 V is out of range",
    ),
    (
        "type = \"number\", unit = \"V\" }",
        "type = \"nubmer\" }",
        "`type` cannot be \"nubmer\": did you mean `number`?",
    ),
    ("write = \"DISP:TEXT {text}\"", "write = \"DISP? {text}\"", ""),
    (
        "write = \"DISP:TEXT {text}\"",
        "write = \"TEXT {text}?\"",
        "25:9: a command that ends with `?` has an answer",
    ),
    (
        "commands.screen",
        "commands.instrument",
        "24:11: the service has a method `instrument` already",
    ),
    (
        "commands.screen",
        "commands.2nd",
        "the name of a command consists of letters",
    ),
    (
        "polls.voltage",
        "polls.votlage",
        "there is no command `votlage` for the poll (`command`): did you mean `voltage`?",
    ),
    ("range = 10", "range = 1e9", "1000000000 V is out of range"),
    ("every = \"10s\"", "", "lacks `every`"),
    (
        "topic = \"lab.multimeter.voltage\"",
        "",
        "`retain` is for a poll with a `topic`",
    ),
    (
        "none = [\"+0,*\", \"0,*\"]",
        "none = [0]",
        "`none` of [errors] is a list of texts, not of the type integer",
    ),
    (
        "name = \"Multimeter\"",
        "name = 7",
        "2:8: `name` of the file is a text between quotes",
    ),
    ("name = \"Multimeter\"", "name = ", "2:8"),
];

#[test]
fn each_problem_is_told_with_its_place_and_a_remedy() {
    for (from, to, expected) in CHANGES {
        let text = GOOD.replacen(from, to, 1);
        if expected.is_empty() {
            assert!(Definition::parse(&text).is_ok(), "{to}");
            continue;
        }
        let told = problems(&text);
        assert!(
            told.iter().any(|problem| problem.contains(expected)),
            "{to}: {told:#?}"
        );
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let told = problems("nmae = \"x\"\n[connection]\ntcp = 1\n[commands.a]\n[commands.b]\nwrite = \"{x}\"\n");
    assert_eq!(told.len(), 6, "{told:#?}");
    let lines: Vec<&str> = told
        .iter()
        .map(|problem| problem.split(':').next().unwrap())
        .collect();
    assert!(lines.is_sorted(), "{told:#?}");
}

#[test]
fn each_key_is_proposed_once() {
    for (key, strange) in [
        ("max_clients = 2", "xxxxxxxxxxxx = 1"),
        ("every = \"10s\"", "every = \"10s\"\nxxxxxxxxxxxx = 1"),
    ] {
        let told = problems(&GOOD.replace(key, strange));
        let keys = told.iter().find_map(|told| told.split_once("one of: "));
        let (_, keys) = keys.expect("no key is near");
        let mut keys: Vec<_> = keys.split(", ").collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert!(count > 3 && keys.len() == count, "{told:#?}");
    }
}

#[test]
fn a_column_counts_characters() {
    let told = problems(&GOOD.replace("max_clients = 2", "\"ä\" = 1"));
    assert!(told[0].starts_with("4:1: the file has no key `ä`"), "{told:#?}");
    let told = problems(&GOOD.replace(
        "{ type = \"number\", unit = \"V\" }",
        "{ type = \"number\", unit = \"Ω\", nuit = 1 }",
    ));
    assert!(
        told[0].starts_with("21:41: `answer` of [commands.voltage] has no key `nuit`"),
        "{told:#?}"
    );
}

proptest::proptest! {
    /// No file, however broken, ends the program, and a file with problems says so.
    #[test]
    fn any_text_is_read_or_refused(at in 0_usize..GOOD.len(), length in 0_usize..40, text in "[ -~\n]{0,20}") {
        let end = (at + length).min(GOOD.len());
        let changed = format!("{}{text}{}", &GOOD[..at], &GOOD[end..]);
        if let Err(problems) = Definition::parse(&changed) {
            proptest::prop_assert!(!problems.is_empty());
        }
    }
}
