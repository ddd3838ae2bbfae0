//! Prints entries: as lines for people, as JSON, or as comma-separated values.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::Date;
use labwire_home::local_time_zone;
use labwire_record::RecordedEntry;
use labwire_wire::visible;

use super::described::described;
use crate::csv;
use crate::failure::Failure;
use crate::output::{FAINT, STRONG, one_line, say, say_json, say_line, width};
use crate::shortened::{columns, shortened};

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Json,
    Csv,
}

/// The columns of the values, in their order.
const COLUMNS: [&str; 16] = [
    "id",
    "time",
    "kind",
    "outcome",
    "user",
    "peer",
    "address",
    "service",
    "attribute",
    "text",
    "count",
    "since",
    "microseconds",
    "longest",
    "bytes",
    "arguments",
];

/// The most columns of a peer on a narrow terminal. On a wide one, a third of it.
const PEER: usize = 26;

/// The most columns of a user on a terminal.
const USER: usize = 16;

/// The least columns of a description, which is not broken into shorter lines.
const DESCRIPTION: usize = 20;

/// Prints entries one after another.
pub(super) struct Printer {
    form: Form,
    /// Whether comma-separated values begin with a byte order mark.
    with_mark: bool,
    is_begun: bool,
    /// The day of the last line, which is shown once.
    day: Option<Date>,
    /// The columns of a user and of a peer: as many as the entries need so far, and none for users if
    /// nobody has logged in.
    user: usize,
    peer: usize,
}

impl Printer {
    pub(super) fn new(form: Form, with_mark: bool) -> Self {
        Self {
            form,
            with_mark,
            is_begun: false,
            day: None,
            user: 0,
            peer: 0,
        }
    }

    /// Prints some entries.
    pub(super) fn print(&mut self, entries: &[RecordedEntry]) -> Result<(), Failure> {
        if self.form == Form::Csv && !self.is_begun {
            let mark = if self.with_mark { "\u{feff}" } else { "" };
            say_line(&format!("{mark}{}", csv::row(COLUMNS)))?;
        }
        self.make_room(entries, width());
        self.is_begun |= self.form == Form::Csv || !entries.is_empty();
        for entry in entries {
            match self.form {
                Form::Json => say_json(entry)?,
                Form::Csv => say_line(&values(entry))?,
                Form::Text => self.print_text(entry)?,
            }
        }
        Ok(())
    }

    /// Says so if there was nothing to print.
    pub(super) fn end(&self) -> Result<(), Failure> {
        if self.form == Form::Text && !self.is_begun {
            return say("no entries");
        }
        Ok(())
    }

    /// Widens the columns for some entries, as far as the terminal has room. Elsewhere nothing is shortened.
    fn make_room(&mut self, entries: &[RecordedEntry], width: u16) {
        let (user, peer) = match width {
            u16::MAX => (usize::MAX, usize::MAX),
            width => (USER, PEER.max(usize::from(width) / 3)),
        };
        let users = entries.iter().filter_map(|entry| entry.user.as_deref());
        let longest = users.map(|user| columns(&one_line(user))).max();
        self.user = self.user.max(longest.unwrap_or_default().min(user));
        let longest = entries.iter().map(|entry| columns(&who(entry))).max();
        self.peer = self.peer.max(longest.unwrap_or_default().min(peer));
    }

    fn print_text(&mut self, entry: &RecordedEntry) -> Result<(), Failure> {
        let time = entry.time.to_zoned(local_time_zone());
        if self.day != Some(time.date()) {
            self.day = Some(time.date());
            say(format_args!("{STRONG}{}{STRONG:#}", time.strftime("%A %Y-%m-%d")))?;
        }
        let lines = self.lines(entry, usize::from(width()));
        let time = time.strftime("%H:%M:%S");
        for (number, (peer, text)) in lines.into_iter().enumerate() {
            if number == 0 {
                say(format_args!("{FAINT}{time}{FAINT:#}  {peer}  {text}"))?;
            } else {
                say(format_args!("          {peer}  {text}"))?;
            }
        }
        Ok(())
    }

    /// Returns the lines of an entry on a terminal of this width: who did it, the user first, padded, and what.
    fn lines(&self, entry: &RecordedEntry, width: usize) -> Vec<(String, String)> {
        let padded = |text: String, room: usize| {
            let blanks = room.saturating_sub(columns(&text));
            format!("{text}{}", " ".repeat(blanks))
        };
        let mut first = padded(shortened_peer(&who(entry), self.peer), self.peer);
        let mut before = self.peer;
        if self.user > 0 {
            let user = one_line(entry.user.as_deref().unwrap_or("-"));
            first = format!("{}  {first}", padded(shortened(&user, self.user), self.user));
            before += self.user + 2;
        }
        let room = width.saturating_sub(before + 12).max(DESCRIPTION);
        let texts = wrapped(&described(entry), room);
        let firsts = std::iter::once(first).chain(std::iter::repeat(" ".repeat(before)));
        firsts.zip(texts).collect()
    }
}

fn who(entry: &RecordedEntry) -> String {
    one_line(entry.peer.as_deref().unwrap_or("-"))
}

/// Returns the name of a peer in at most this many columns. The middle of `NAME[HOST:PORT]` is left out first:
/// the end of the name, and of the host if that is not enough.
fn shortened_peer(peer: &str, most: usize) -> String {
    let parts = peer
        .rfind('[')
        .zip(peer.rfind(':'))
        .filter(|(host, port)| host < port);
    let Some((host, port)) = parts.filter(|_| columns(peer) > most) else {
        return shortened(peer, most);
    };
    let (name, host, port) = (&peer[..host], &peer[host..port], &peer[port..]);
    let room = most.saturating_sub(columns(port));
    let beside_host = room.saturating_sub(columns(host));
    // A part of the name stays, also before a long host.
    let of_name = if beside_host >= 2 { beside_host } else { room / 3 };
    let name = shortened(name, of_name);
    let host = shortened(host, room.saturating_sub(columns(&name)));
    shortened(&format!("{name}{host}{port}"), most)
}

/// Returns a text as lines of at most this many columns, broken between words where possible.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word;
        if !line.is_empty() && columns(&line) + 1 + columns(word) > room {
            lines.push(std::mem::take(&mut line));
        }
        // A word that is too long is broken.
        while line.is_empty() && columns(word) > room {
            let mut end = 0;
            for (at, character) in word.char_indices() {
                let next = at + character.len_utf8();
                if columns(&word[..next]) > room {
                    break;
                }
                end = next;
            }
            let end = if end == 0 { word.len() } else { end };
            lines.push(word[..end].to_owned());
            word = &word[end..];
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Returns the row of an entry.
fn values(entry: &RecordedEntry) -> String {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    // A row is one line, whatever a peer has called itself.
    let text = |text: &Option<String>| text.as_deref().map(escaped).unwrap_or_default();
    let cells: [String; COLUMNS.len()] = [
        entry.id.to_string(),
        entry.time.to_string(),
        escaped(&entry.kind),
        escaped(&entry.outcome),
        text(&entry.user),
        text(&entry.peer),
        text(&entry.address),
        text(&entry.service),
        text(&entry.attribute),
        text(&entry.text),
        number(entry.count),
        entry.since.map(|since| since.to_string()).unwrap_or_default(),
        number(entry.microseconds),
        number(entry.longest),
        number(entry.bytes),
        text(&entry.arguments),
    ];
    csv::row(cells.iter().map(String::as_str))
}

/// Returns a text with escapes for the characters that are invisible, misleading or commands for a
/// terminal, line ends included.
fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            _ if visible(character.encode_utf8(&mut [0; 4])).contains(character) => written.push(character),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(written, "\\u{:04x}", u32::from(character));
            }
        }
    }
    written
}

/// Returns a time as people of this computer read it.
pub(super) fn local(time: Timestamp) -> String {
    let time = time.to_zoned(local_time_zone());
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(peer: &str, user: Option<&str>, text: &str) -> RecordedEntry {
        RecordedEntry {
            id: 7,
            time: Timestamp::UNIX_EPOCH,
            kind: "lock".to_owned(),
            outcome: "ok".to_owned(),
            user: user.map(str::to_owned),
            peer: Some(peer.to_owned()),
            address: None,
            service: Some("DMM".to_owned()),
            attribute: None,
            arguments: None,
            text: Some(text.to_owned()),
            count: None,
            since: None,
            microseconds: None,
            longest: None,
            bytes: None,
        }
    }

    #[test]
    fn a_line_has_80_columns_at_most() {
        let printer = Printer {
            peer: 20,
            user: 5,
            ..Printer::new(Form::Text, false)
        };
        let long = "the reason is long, and a_word_that_is_much_longer_than_a_line_of_eighty_columns_can_be_is_broken";
        let lines = printer.lines(&entry("Ada[a-computer-with-a-name:50001]", Some("ada"), long), 80);
        for (peer, text) in &lines {
            assert!(columns(peer) + columns(text) + 12 <= 80, "{peer}|{text}");
        }
        assert_eq!(lines[0].0, "ada    Ada[a-comput…:50001]");
        let text: String = lines.iter().map(|(_, text)| text.as_str()).collect();
        assert!(text.ends_with("can_be_is_broken"), "{text}");
    }

    #[test]
    fn users_come_first_and_without_a_terminal_nothing_is_shortened() {
        let name = "A client with a long name[computer-7.lab.example.org:50001]";
        let long = ["why"; 100].join(" ");
        let entries = [
            entry(name, Some("charles.babbage@example.org"), &long),
            entry("b[pc:1]", None, "why"),
        ];
        let mut printer = Printer::new(Form::Text, false);
        printer.make_room(&entries, u16::MAX);
        let [first, second] = entries
            .each_ref()
            .map(|entry| printer.lines(entry, usize::from(u16::MAX)));
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].0, format!("charles.babbage@example.org  {name}"));
        assert!(first[0].1.ends_with(&long), "{first:?}");
        assert!(second[0].0.starts_with("-  ") && columns(&second[0].0) == columns(&first[0].0));

        let mut printer = Printer::new(Form::Text, false);
        printer.make_room(&entries, 80);
        let lines = printer.lines(&entries[0], 80);
        assert_eq!(lines[0].0, "charles.babbage…  A cli…[computer-7.…:50001]");
        // A wide terminal has room for the address.
        let mut printer = Printer::new(Form::Text, false);
        printer.make_room(&entries, 180);
        let lines = printer.lines(&entries[0], 180);
        assert!(lines[0].0.ends_with(name), "{lines:?}");

        // Nobody has logged in.
        let mut printer = Printer::new(Form::Text, false);
        printer.make_room(&entries[1..], 80);
        assert_eq!(printer.lines(&entries[1], 80)[0].0, "b[pc:1]");
    }

    #[test]
    fn the_address_of_a_peer_stays_if_its_name_is_long() {
        for (peer, most, short) in [
            ("Ada[lab-pc:50001]", 26, "Ada[lab-pc:50001]"),
            (
                "A client with a long name[lab-pc:50001]",
                26,
                "A client wi…[lab-pc:50001]",
            ),
            (
                "A client with a long name[computer-7.lab.example.org:50001]",
                26,
                "A cli…[computer-7.…:50001]",
            ),
            (
                "Name[with] brackets[192.168.100.200:50001]",
                26,
                "Na…[192.168.100.200:50001]",
            ),
            ("Ada[fe80::1:50001]", 12, "Ad…[f…:50001"),
            ("127.0.0.1:50001", 10, "127.0.0.1…"),
            (
                "多用表多用表多用表多用表[lab-pc:50001]",
                26,
                "多用表多用…[lab-pc:50001]",
            ),
            ("", 0, ""),
            ("[:", 1, "…"),
        ] {
            let found = shortened_peer(peer, most);
            assert!(columns(&found) <= most, "{found}");
            if most >= 20 {
                assert_eq!(found, short);
            }
        }
    }

    #[test]
    fn a_row_has_every_column_and_no_formula() {
        let row = values(&entry("=cmd[pc:1]", None, "+1, or 2"));
        assert_eq!(
            row,
            "7,1970-01-01T00:00:00Z,lock,ok,,'=cmd[pc:1],,DMM,,\"'+1, or 2\",,,,,,"
        );
        assert_eq!(row.split(',').count() - 1, COLUMNS.len());
        let row = values(&RecordedEntry {
            count: Some(37),
            since: Some(Timestamp::UNIX_EPOCH),
            ..entry("a\u{1b}[2J\n=1", None, "\t=1 \u{202e}é")
        });
        assert_eq!(
            row,
            "7,1970-01-01T00:00:00Z,lock,ok,,a\\u001b[2J\\n=1,,DMM,,\\t=1 \\u202eé,37,1970-01-01T00:00:00Z,,,,"
        );
    }
}
