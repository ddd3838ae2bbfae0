//! `labwire record`: notifications and repeated calls of several services, and topics, in a file.

mod config;
mod csv_file;
mod database;
mod narration;
mod nesting;
mod only_writer;
mod opened;
mod poll;
mod recorder;
mod row;
mod sources;
mod store;
mod tally;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use labwire_home::{nearest, present};
use tokio::sync::oneshot;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use crate::feed::ReconnectArgs;
use crate::following::Forbidden;
use crate::output::{OutputArgs, one_line};
use crate::seconds::Seconds;
use crate::session::Session;
use crate::stop::Stop;
use config::Config;
use recorder::Recorder;
use sources::{Poll, Subscription, Topics};
use store::{Format, Rotation, Store};
use tally::Tally;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire record lab.csv --watch Heartbeat
  labwire record lab.csv --poll 'DMM.read(3) every 1s'
  labwire record lab.csv --topic 'lab.oven.>'
  labwire record --config lab.toml --for 12h";

pub(crate) const AFTER_HELP: &str = "\
A call is written SERVICE.METHOD(ARGUMENTS) every TIME, with arguments as in a
program: 'DMM.read(channel=2, unit=\"V\") every 500ms'. It may end with 'timeout
TIME' [default: 10s], the time after which an error is recorded. Each call is in
flight once at a time: until its reply comes, the next ones are left out. A name
with dots or blanks is quoted: '\"Lab 2.DMM\".read() every 1min'.

Examples:
  labwire record lab.csv --watch Heartbeat --watch DMM.voltage
  labwire record lab.csv --poll 'DMM.read(3) every 1s'
  labwire record lab.csv --topic 'lab.oven.>'
  labwire record lab.sqlite3 --rotate day --watch DMM
  labwire record --config lab.toml --for 12h

A file for --config; the command line adds to its lists, and overrides the rest:
  file = \"lab.sqlite3\"     # in the folder of this file
  rotate = \"day\"
  watch = [\"Heartbeat\", \"Thermometer.celsius\"]
  topic = [\"lab.oven.>\"]
  poll = [\"DMM.read(3) every 1s\", \"Oven.temperature every 1min\"]

Each row is one value. Its columns:
  time      in UTC: when the notification or the value of a topic arrived, or
            the call was made
  event     notification, result    a value
            published               a value of a topic; its sender is in note
            error                   a call failed; the reason is in note
            linked, gap             the service was linked or the topic
                                    subscribed, or is not (reason: see note).
                                    A gap begins when the connection broke
            away, back              the connection broke, and is made again with
                                    nothing missing: values that came meanwhile
                                    have the time of their arrival afterwards.
                                    They are not marked: newer ones follow in
                                    the same stream, and the manager does not
                                    say where these begin
            lost                    value is how many were left out
            start, end              of the recording; the note of the end says
                                    what each source has given
  service, source                   the service, and the call or the topic
  key       the name of a value in a notification, or in an object that is a
            result or the value of a topic; positional values of a notification
            have the keys 0, 1 and so on
  value     a number, a text, or JSON for a list or an object
  seconds   how long the call took, or the service or the connection was away
  note      a text for people
  message   a number that the values of one notification or result share
An SQLite database has them in the table recording, and the values alone in the
view readings. In CSV, a text that a spreadsheet would take for a formula (it
begins with = + - @, a tab or a line end, and is no number), or that begins with
', gets a ' before it: a program that reads texts removes one ' at the start.

Rows are written every half second, so a crash loses no more than that. A file
that exists is continued if it is a recording; other files are not changed. It
has one recording at a time: meanwhile FILE-recording is beside a database. The
time in which nothing was recorded is a gap, too. With --rotate, the files are
lab.2026-11-28.csv or lab.0001.csv.

A source that the manager does not permit is a gap, and a call that it does not
permit an error. If it permits none of the sources, the recording ends.

With --json, one object is printed at the end: file (the last one), rows,
continued (whether it continues an earlier recording), and sources: a list of
source, values, failed (calls), lost (calls, notifications and values of topics
that were left out) and gaps.

A service that is not connected yet is a gap, and is waited for. Ctrl-C ends the
recording. The exit code is 0 if each source has given a value, and otherwise 1.
For others see `labwire --help`.";

/// The timeout for the last writes at the end.
const LAST_WORDS: Duration = Duration::from_secs(8);

#[derive(Args, Debug)]
pub struct RecordArgs {
    /// The file: .csv, or .sqlite, .sqlite3 or .db for a database
    file: Option<PathBuf>,
    /// Record the notifications of a service, or one value of them; repeatable
    #[arg(long, value_name = "SERVICE[.KEY]")]
    watch: Vec<Subscription>,
    /// Record a topic, in which * stands for any word and > for the rest;
    /// repeatable
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<Topics>,
    /// Repeat a call and record its results; repeatable
    #[arg(long, value_name = "'CALL every TIME'")]
    poll: Vec<Poll>,
    /// Read what to record from a file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The format [default: by the extension of the file]
    #[arg(long, value_enum, hide_short_help = true)]
    format: Option<Format>,
    /// Begin another file each day (in UTC), or at a size such as 64MiB
    #[arg(long, value_name = "day|SIZE")]
    rotate: Option<Rotation>,
    /// End after this time: 30, 10m, 12h
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Seconds>,
    /// Do not report on standard error what happens
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    reconnect: ReconnectArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What to record, and where.
struct Plan {
    file: PathBuf,
    format: Format,
    rotation: Option<Rotation>,
    watch: Vec<Subscription>,
    topics: Vec<Topics>,
    poll: Vec<Poll>,
}

/// Reads a value of the file for `--config`.
fn read<T: FromStr<Err: Display>>(path: &Path, key: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| {
        let text = one_line(text);
        Failure::Usage(format!("{}: {key} = \"{text}\": {error}", path.display()))
    })
}

impl RecordArgs {
    fn plan(&self) -> Result<Plan, Failure> {
        let (mut watch, mut topics, mut poll) = (self.watch.clone(), self.topic.clone(), self.poll.clone());
        let (mut file, mut format, mut rotation) = (self.file.clone(), self.format, self.rotate);
        if let Some(path) = &self.config {
            let config = Config::read(path)?;
            for text in &config.watch {
                watch.push(read(path, "watch", text)?);
            }
            for text in &config.topic {
                topics.push(read(path, "topic", text)?);
            }
            for text in &config.poll {
                poll.push(read(path, "poll", text)?);
            }
            file = file.or(config.file);
            if let Some(text) = config.rotate.filter(|_| rotation.is_none()) {
                rotation = Some(read(path, "rotate", &text)?);
            }
            if let Some(text) = config.format.filter(|_| format.is_none()) {
                let read = Format::from_str(&text, false);
                let wrong = |_| {
                    let hint = nearest(&text, ["csv", "sqlite"]).unwrap_or("csv or sqlite");
                    Failure::Usage(format!(
                        "{}: format = \"{}\": {hint} was expected",
                        path.display(),
                        one_line(&text)
                    ))
                };
                format = Some(read.map_err(wrong)?);
            }
        }
        let Some(file) = file else {
            return Err(Failure::Usage(
                "name a file for the recording, such as lab.csv or lab.sqlite3".to_owned(),
            ));
        };
        if watch.is_empty() && topics.is_empty() && poll.is_empty() {
            return Err(Failure::Usage(
                "nothing to record: add --watch SERVICE, --topic TOPIC, or --poll 'SERVICE.METHOD() every 1s'"
                    .to_owned(),
            ));
        }
        let format = format.map_or_else(|| format_of(&file), Ok)?;
        Ok(Plan {
            file,
            format,
            rotation,
            watch,
            topics,
            poll,
        })
    }
}

/// Returns the format for the extension of a file.
fn format_of(file: &Path) -> Result<Format, Failure> {
    let extension = file
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    match &*extension {
        "csv" => Ok(Format::Csv),
        "sqlite" | "sqlite3" | "db" => Ok(Format::Sqlite),
        _ => Err(Failure::Usage(format!(
            "the format of {} is not known: end its name with .csv or .sqlite3, or use --format",
            file.display()
        ))),
    }
}

impl Plan {
    /// Returns what happens if the manager does not permit a source: a single one cannot give a value then.
    fn if_forbidden(&self) -> Forbidden {
        match self.watch.len() + self.topics.len() + self.poll.len() {
            1 => Forbidden::Ends,
            _ => Forbidden::Waits,
        }
    }

    /// Returns the sources as a text for people.
    fn sources(&self) -> String {
        let watch = self.watch.iter().map(ToString::to_string);
        let topics = self.topics.iter().map(ToString::to_string);
        let poll = self.poll.iter().map(|poll| {
            let timeout = match poll.timeout {
                sources::TIMEOUT => String::new(),
                timeout => format!(" timeout {} s", timeout.as_secs_f64()),
            };
            format!("{poll} every {} s{timeout}", poll.every.as_secs_f64())
        });
        watch.chain(topics).chain(poll).collect::<Vec<_>>().join("; ")
    }
}

pub(crate) async fn run(arguments: &RecordArgs, stop: Stop) -> Result<(), Failure> {
    let plan = arguments.plan()?;
    let options = arguments.connection.options()?;
    let sources = plan.sources();
    stop.begin()?;
    let (store, opened) = Store::open(&plan.file, plan.format, plan.rotation, present())?;
    let tally = Tally::new(&plan.watch, &plan.topics, &plan.poll);
    let wanted = plan.watch.clone();
    let recorder = Recorder::begin(store, &opened, sources, wanted, tally, arguments.quiet)?;
    let recorder = recorder.with_summary(arguments.output.json);
    let mut session = Session::new("record", options, arguments.reconnect.reconnect);
    let watched = plan.watch.iter().map(|watch| &watch.service);
    let polled = plan.poll.iter().map(|poll| &poll.service);
    let forbidden = plan.if_forbidden();
    let mut links = BTreeMap::new();
    for service in watched.chain(polled) {
        let follow = || session.follow(Arc::clone(service), forbidden);
        links.entry(Arc::clone(service)).or_insert_with(follow);
    }
    for Topics(pattern) in plan.topics {
        session.follow_topics(pattern, forbidden);
    }
    for poll in plan.poll {
        if let Some(links) = links.get(&poll.service) {
            let links = links.clone();
            session.spawn(|events| poll::poll(poll, links, events));
        }
    }
    let limit = arguments.duration.map(Seconds::duration);
    let end = async {
        let over = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stop.requested() => {}
            () = over => {}
        }
    };
    let (sender, mut empty) = oneshot::channel();
    let record = move |heard| {
        // The receiver is dropped only after a failure of another kind.
        recorder.run(heard).map(|empty| drop(sender.send(empty)))
    };
    session.run(record, end, LAST_WORDS).await?;
    match empty.try_recv() {
        Ok(empty) if !empty.is_empty() => Err(Failure::Failed(empty.join("\n"))),
        _ => Ok(()),
    }
}
