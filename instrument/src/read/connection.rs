//! Reads `[connection]`.

use std::ops::Range;
use std::time::Duration;

use super::check_line;
use super::table::{Found, Table};
use crate::definition::{Connection, Flow, Parity, Place, Serial};
use crate::encoding::Encoding;
use crate::problem::Problems;

/// What an unquoted text must not contain, unless the file says so.
pub(super) const FORBIDDEN: &str = ";?\"'";

/// The longest answer in bytes, unless the file says so.
const MAX_ANSWER: i64 = 64 << 20;

/// The keys that are for serial ports only.
const OF_SERIAL: [&str; 5] = ["baud", "bits", "parity", "stop_bits", "flow"];

/// Reads the table. Returns also the commands with which the instrument is initialised.
pub(super) fn read(
    mut table: Table<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<(Connection, Vec<String>)> {
    let place = place(&mut table, problems);
    let end = |key, table: &mut Table<'_, '_>, problems: &mut Problems<'_>| {
        let end = table.text(key, problems);
        if let Some(end) = end
            .as_ref()
            .filter(|end| end.value.is_empty() || end.value.len() > 8)
        {
            problems.add(
                &end.span,
                format!("`{key}` has 1 to 8 characters, as in \"\\n\" or \"\\r\\n\""),
            );
        }
        end.map_or_else(|| b"\n".to_vec(), |end| end.value.into_bytes())
    };
    let write_end = end("write_end", &mut table, problems);
    let read_end = end("read_end", &mut table, problems);
    let encodings = [
        ("ascii", Encoding::Ascii),
        ("latin-1", Encoding::Latin1),
        ("utf-8", Encoding::Utf8),
    ];
    let encoding = table
        .word("encoding", &encodings, problems)
        .unwrap_or(Encoding::Ascii);
    let moment = Duration::from_millis(10);
    let timeout = table.duration("timeout", moment, problems);
    let connect_timeout = table.duration("connect_timeout", moment, problems);
    let pause = table.duration("pause", Duration::ZERO, problems);
    let retry = table.duration("retry", Duration::from_millis(100), problems);
    let forbidden = table.text("forbidden", problems);
    let max_answer = table
        .integer("max_answer", 1..=1 << 30, problems)
        .unwrap_or(MAX_ANSWER);
    let initialise = table.texts("initialise", problems);
    for command in &initialise {
        check_line(command, problems);
        check_encoding(command, encoding, problems);
    }
    table.finish(problems);
    let connection = Connection {
        place: place?,
        write_end,
        read_end,
        encoding,
        timeout: timeout.unwrap_or(Duration::from_secs(5)),
        connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(5)),
        pause: pause.unwrap_or_default(),
        forbidden: forbidden.map_or_else(|| FORBIDDEN.to_owned(), |text| text.value),
        max_answer: usize::try_from(max_answer).unwrap_or(usize::MAX),
        retry: retry.unwrap_or(Duration::from_secs(30)),
    };
    Some((
        connection,
        initialise.into_iter().map(|text| text.value).collect(),
    ))
}

/// Checks that the instrument has all characters of a text.
pub(super) fn check_encoding(text: &Found<String>, encoding: Encoding, problems: &mut Problems<'_>) {
    if let Err(character) = encoding.encode(&text.value) {
        let text_of = format!(
            "`encoding` of [connection] has no character '{}'",
            character.escape_debug()
        );
        problems.add(&text.span, text_of);
    }
}

fn place(table: &mut Table<'_, '_>, problems: &mut Problems<'_>) -> Option<Place> {
    let tcp = table.text("tcp", problems);
    let serial = table.text("serial", problems);
    let usbtmc = table.text("usbtmc", problems);
    let settings = serial_settings(table, problems);
    let spans: Vec<Range<usize>> = [&tcp, &serial, &usbtmc]
        .into_iter()
        .flatten()
        .map(|found| found.span.clone())
        .collect();
    match &spans[..] {
        [] => {
            let text = "[connection] lacks where the instrument is: tcp = \"HOST:PORT\", serial = \"PORT\" or usbtmc = \
                        \"FILE\"";
            problems.add(table.span(), text);
            return None;
        }
        [_] => {}
        [_, second, ..] => {
            problems.add(
                second,
                "an instrument has one connection: `tcp`, `serial` or `usbtmc`",
            );
            return None;
        }
    }
    if serial.is_none() {
        for key in OF_SERIAL {
            if let Some(span) = table.place(key) {
                problems.add(&span, format!("`{key}` is for a `serial` connection only"));
            }
        }
    }
    if let Some(address) = tcp {
        if let Err(text) = check_address(&address.value) {
            problems.add(&address.span, text);
        }
        return Some(Place::Tcp(address.value));
    }
    if let Some(path) = usbtmc {
        return Some(Place::Usbtmc(path.value.into()));
    }
    serial.map(|port| {
        Place::Serial(Serial {
            port: port.value,
            ..settings
        })
    })
}

fn serial_settings(table: &mut Table<'_, '_>, problems: &mut Problems<'_>) -> Serial {
    let baud = table.integer("baud", 50..=20_000_000, problems).unwrap_or(9_600);
    let bits = table.integer("bits", 5..=8, problems).unwrap_or(8);
    let parities = [
        ("none", Parity::None),
        ("even", Parity::Even),
        ("odd", Parity::Odd),
    ];
    let parity = table.word("parity", &parities, problems).unwrap_or(Parity::None);
    let stop_bits = table.integer("stop_bits", 1..=2, problems).unwrap_or(1);
    let flows = [
        ("none", Flow::None),
        ("hardware", Flow::Hardware),
        ("software", Flow::Software),
    ];
    let flow = table.word("flow", &flows, problems).unwrap_or(Flow::None);
    Serial {
        port: String::new(),
        baud: u32::try_from(baud).unwrap_or(9_600),
        bits: u8::try_from(bits).unwrap_or(8),
        parity,
        stop_bits: u8::try_from(stop_bits).unwrap_or(1),
        flow,
    }
}

/// Checks an address.
///
/// # Errors
/// If it is not `HOST:PORT`, a text for people.
pub(crate) fn check_address(address: &str) -> Result<(), String> {
    let parts = address.rsplit_once(':');
    let is_address = parts.is_some_and(|(host, port)| {
        let is_one_host = !host.contains(':') || host.starts_with('[') && host.ends_with(']');
        !host.is_empty() && is_one_host && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if is_address {
        Ok(())
    } else {
        Err(format!(
            "a TCP address is HOST:PORT, as in \"192.168.1.17:5025\" or \"[fe80::1]:5025\", not '{}'",
            address.escape_debug()
        ))
    }
}
