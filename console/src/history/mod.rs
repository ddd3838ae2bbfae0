//! `labwire history`: who did what, and when.

mod described;
mod shown;
mod source;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use labwire_home::{nearest, present};
use labwire_record::{Bound, Kind, Order, Outcome, Page, parse_time};
use tokio::time::sleep;

use crate::breaks::Breaks;
use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::output::{one_line, say, tell};
use crate::report::check_labwire;
use crate::stop::Stop;
use shown::{Form, Printer, local};
use source::{Question, Source};

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire history
  labwire history --service DMM --since 2h
  labwire history --service Laser --attribute 'set_*' --since 'yesterday 18:00'
  labwire history --outcome refused --user ada
  labwire history --kind lock,unlock --csv > locks.csv
  labwire history --follow";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire history                              the last 100 entries
  labwire history --service DMM --since 2h
  labwire history --service Laser --attribute 'set_*' --since 'yesterday 18:00'
  labwire history --outcome refused --user ada
  labwire history --kind lock,unlock --csv > locks.csv
  labwire history --since 2026-11-29 --until 2026-11-29 --limit 0
  labwire history --follow
  labwire history --file manager.record.sqlite3 --verify

A time is an age (90s, 15m, 15min, 2h, 3d, 1w), a day (2026-11-29, today,
yesterday, or monday for the last one), a time of this computer such as
2026-11-29T15:04, 'yesterday 18:00' or 'mon 09:00', or 15:04 for the last time
that it was so late, or one with its zone. In the four names, * stands for any
text. A peer is named by its whole name, or by the part before the bracket.
Answered calls are recorded by `labwire start --record calls` only.

Kinds: start and stop of the manager; join, leave, away and back of clients
and services; reject (a connection that was not admitted); login; link, unlink;
lock, unlock; call (a request for a service that was refused, and with
`labwire start --record calls` one that was answered; its arguments are shown
if the service asks for them to be recorded); approval (a request that needs
approval: asked, and what became of it); request (a refused request to the
manager); admin (an administrator's request); command (a
change by `labwire user`, `grant` and the like, with the user of the system);
gap (entries are missing here). Outcomes: ok, refused, error, expired, broken,
asked (it waits for a decision).

Entries are shown with the oldest first, unless --newest-first is given: the
time, the user if one has logged in, the peer, and what it did. On a terminal,
long names are shortened; elsewhere an entry is one line with all of it. Times
are local in the text, and in UTC with --json and --csv. With --json, each entry
is an object with the members that protocol.md lists under The record. In CSV, a
text that a spreadsheet would take for a formula gets a ' before it, and control
characters are written as \\n, \\t or \\u001b. It is UTF-8; with --bom, Excel reads
letters such as µ rightly when it opens the file.

What is repeated is counted: such an entry says how many times, and since when.
What one computer causes too much of is left out, and an entry gap says so.

The manager asks for the login of an administrator. With --file, a record is
read without a manager. --verify checks that no entry was changed after it was
written, and prints the hashes of the last change and the last refusal: compared
with those that were noted elsewhere, they also show whether all entries were
written anew.

Exit codes: see `labwire --help`. A record that fails --verify is 1. Ctrl-C ends
--follow with 0.";

/// The number of entries for people unless --limit names one.
const ENTRIES: usize = 100;

/// How often new entries are asked for.
const PACE: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct HistoryArgs {
    /// Only entries about this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only calls of this attribute, or administrators' requests of this name
    #[arg(long, value_name = "NAME")]
    attribute: Option<String>,
    /// Only what this user did
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only what this client or service did
    #[arg(long, value_name = "NAME")]
    peer: Option<String>,
    /// Only entries of this kind; repeatable
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kind: Vec<Kind>,
    /// Only entries with this outcome; repeatable
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', value_parser = outcome)]
    outcome: Vec<Outcome>,
    /// Only entries from this time on: 2h, 18:00, 'yesterday 18:00', 2026-11-29
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only entries before this time; a day is included
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show the newest entries, this many at most; 0 for all [default: 100, or all with --json or --csv]
    ///
    /// With --follow the default is 100 in every form.
    #[arg(long, short = 'n', value_name = "COUNT")]
    limit: Option<usize>,
    /// Show the newest entry first
    #[arg(long, conflicts_with = "follow")]
    newest_first: bool,
    /// Then show further entries as they come, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Read this file instead of asking a manager
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Check that no entry of the file was changed
    #[arg(
        long,
        requires = "file",
        conflicts_with_all = [
            "service", "attribute", "user", "peer", "kind", "outcome", "since", "until", "limit", "newest_first", "follow",
            "json", "csv",
        ]
    )]
    verify: bool,
    /// Print one JSON object per line instead of text for people
    #[arg(long)]
    json: bool,
    /// Print comma-separated values
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// With --csv, begin with a byte order mark, by which Excel recognises UTF-8
    #[arg(long, requires = "csv")]
    bom: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

fn kind(text: &str) -> Result<Kind, String> {
    let names = Kind::ALL.iter().map(|kind| kind.name());
    Kind::from_name(text).ok_or_else(|| expected(text, "kind", names))
}

fn outcome(text: &str) -> Result<Outcome, String> {
    let names = Outcome::ALL.iter().map(|outcome| outcome.name());
    Outcome::from_name(text).ok_or_else(|| expected(text, "outcome", names))
}

fn expected(text: &str, what: &str, names: impl Iterator<Item = &'static str> + Clone) -> String {
    match nearest(text, names.clone()) {
        Some(name) => format!("there is no such {what}, did you mean {name}?"),
        None => format!("use {}", names.collect::<Vec<_>>().join(", ")),
    }
}

impl HistoryArgs {
    fn question(&self) -> Result<Question, Failure> {
        let now = present();
        let time = |option: &str, text: &Option<String>, bound| {
            match text {
            None => Ok(None),
            Some(text) => parse_time(text, now, bound).map(Some).ok_or_else(|| {
                Failure::Usage(format!(
                    "{option} {}: a time was expected, such as 2h, 3d, yesterday, 'yesterday 18:00', 18:00, 2026-11-29 \
                     or 2026-11-29T15:04",
                    one_line(text)
                ))
            }),
        }
        };
        let (from, until) = (
            time("--since", &self.since, Bound::From)?,
            time("--until", &self.until, Bound::Until)?,
        );
        if let (Some(since), Some(until)) = (from, until)
            && since >= until
        {
            let (since, until) = (local(since), local(until));
            return Err(Failure::Usage(format!(
                "--since ({since}) is not before --until ({until}), so there are no entries"
            )));
        }
        Ok(Question {
            service: self.service.clone(),
            attribute: self.attribute.clone(),
            user: self.user.clone(),
            peer: self.peer.clone(),
            kinds: self.kind.clone(),
            outcomes: self.outcome.clone(),
            from,
            until,
        })
    }

    fn form(&self) -> Form {
        if self.json {
            Form::Json
        } else if self.csv {
            Form::Csv
        } else {
            Form::Text
        }
    }
}

pub(crate) async fn run(arguments: &HistoryArgs, stop: Stop) -> Result<(), Failure> {
    let question = arguments.question()?;
    let source = match &arguments.file {
        Some(path) if arguments.verify => return verify(path),
        Some(path) => Source::open(path)?,
        None if arguments.follow => Source::Manager(arguments.connection.connect_lasting("history").await?),
        None => Source::Manager(arguments.connection.connect("history").await?),
    };
    if let Some(connection) = source.connection() {
        check_labwire(connection, "entries of a record").await?;
    }
    let mut printer = Printer::new(arguments.form(), arguments.bom);
    let newest = arguments.show(&source, &question, &mut printer).await?;
    if arguments.follow {
        stop.begin()?;
        let _breaks = source
            .connection()
            .map(|connection| Breaks::report(connection.client()));
        tokio::select! {
            biased;
            _ = stop.requested() => {}
            failed = follow(&source, &question, newest, &mut printer) => return failed,
        }
    } else {
        printer.end()?;
    }
    if let Some(connection) = source.connection() {
        connection.disconnect().await;
    }
    Ok(())
}

impl HistoryArgs {
    /// Shows the entries that the record contains now, and whether the default limit has left out some.
    /// Returns the number of the newest.
    async fn show(
        &self,
        source: &Source,
        question: &Question,
        printer: &mut Printer,
    ) -> Result<Option<i64>, Failure> {
        // Programs want all there is.
        let is_for_people = self.form() == Form::Text || self.follow;
        let limit = match self.limit.unwrap_or(if is_for_people { ENTRIES } else { 0 }) {
            0 => usize::MAX,
            limit => limit,
        };
        // It tells whether the default limit has left out some.
        let one_more = usize::from(self.limit.is_none() && is_for_people);
        let mut left = limit;
        if left == usize::MAX && !self.newest_first {
            return show_all(source, question, printer).await;
        }
        let mut newest = None;
        let mut found = Vec::new();
        let mut order = Order::NewestFirst { before: None };
        let is_cut = loop {
            let mut page = source
                .page(question, order, left.saturating_add(one_more))
                .await?;
            newest = newest.or(page.newest);
            let has_more = page.entries.len() > left;
            page.entries.truncate(left);
            left = left.saturating_sub(page.entries.len());
            if self.newest_first {
                printer.print(&page.entries)?;
            } else {
                found.extend(page.entries);
            }
            let Some(next) = page
                .next
                .filter(|_| left.saturating_add(one_more) > 0 && !has_more)
            else {
                break has_more;
            };
            order = Order::NewestFirst { before: Some(next) };
        };
        found.reverse();
        printer.print(&found)?;
        if is_cut {
            tell(format_args!(
                "labwire: these are the newest {limit} entries, and there are more: show them with --limit (0 for all), \
                 or choose with --since, --service and other options"
            ));
        }
        Ok(newest)
    }
}

/// Shows all entries, the oldest first. Returns the number of the newest.
async fn show_all(
    source: &Source,
    question: &Question,
    printer: &mut Printer,
) -> Result<Option<i64>, Failure> {
    let mut after = None;
    loop {
        let page = source
            .page(question, Order::OldestFirst { after }, usize::MAX)
            .await?;
        printer.print(&page.entries)?;
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(page.newest),
        }
    }
}

/// Shows entries as they come. Returns only if that fails.
async fn follow(
    source: &Source,
    question: &Question,
    newest: Option<i64>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let mut after = newest;
    loop {
        let asked = source
            .page(question, Order::OldestFirst { after }, usize::MAX)
            .await;
        let Page {
            entries,
            next,
            newest,
        } = match asked {
            Ok(page) => page,
            // The manager was stopped meanwhile.
            Err(Failure::NoManager(_)) if source.returns().await => continue,
            Err(failure) => return Err(failure),
        };
        printer.print(&entries)?;
        after = next.or(newest).or(after);
        if next.is_none() {
            sleep(PACE).await;
        }
    }
}

/// Checks a file.
fn verify(path: &std::path::Path) -> Result<(), Failure> {
    let reader = source::reader(path)?;
    let verified = reader
        .verify()
        .map_err(|fault| Failure::Failed(format!("{}: {fault}", one_line(&path.to_string_lossy()))))?;
    let (Some((first, from)), Some((last, until))) = (verified.first, verified.last) else {
        return say("the record has no entries");
    };
    say(format_args!(
        "{} entries are as they were written: {first} to {last}, from {} to {}",
        verified.entries,
        local(from),
        local(until)
    ))?;
    let removed = u64::try_from(last)
        .unwrap_or_default()
        .saturating_sub(verified.entries);
    if removed > 0 {
        say(format_args!(
            "{removed} older entries were removed, as the manager does by age and size, refusals before others"
        ))?;
    }
    for (id, hash) in &verified.hashes {
        say(format_args!("the hash of entry {id} is {hash}"))?;
    }
    Ok(())
}
