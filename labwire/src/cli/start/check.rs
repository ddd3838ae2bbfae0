//! `labwire start --check`: checks whether the manager would start. Changes nothing.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use labwire_device::DEFAULT_PORT;
use labwire_home::{Home, hostname};
use labwire_manager::{Authentication, Limits, try_listening};
use labwire_pki::CertificateHealth;
use labwire_record::inspect_record;
use labwire_store::{DatabaseContents, inspect_database};

use super::budgets;
use super::certificate::{self, Outlook};
use super::clients::ClientFiles;
use super::options::{Options, StartArgs};
use super::plan;
use super::values::RecordWhat;
use super::{hints, overlooked};
use crate::cli::output::is_closed;
use crate::cli::{UsageError, explain, is_usage, say};
use crate::system::{GIVE_CREATE, GIVE_READ, GIVE_WRITE, can_create_in, can_read, can_write, is_pipe};

/// The result of one check.
enum Finding {
    Good(String),
    /// The manager would start, but perhaps not as intended.
    Doubtful(String),
    /// The manager would not start, or could not be used. The text contains the remedy.
    Wrong(String),
}

use Finding::{Doubtful, Good, Wrong};

impl Finding {
    fn wrong(error: &anyhow::Error) -> Self {
        Wrong(explain(error))
    }
}

/// Prints results, and counts those that are wrong.
#[derive(Default)]
struct Report {
    wrong: usize,
    /// Whether an option is typed wrongly.
    is_usage: bool,
}

impl Report {
    fn tell(&mut self, about: &str, finding: &Finding) -> anyhow::Result<()> {
        let (verdict, text) = match finding {
            Good(text) => ("ok", text),
            Doubtful(text) => ("doubtful", text),
            Wrong(text) => ("WRONG", text),
        };
        self.wrong += usize::from(verdict == "WRONG");
        // Indents further lines of one result below its first line.
        let text = text.replace('\n', &format!("\n{:25}", ""));
        Self::say(&format!("{verdict:9} {about:14} {text}"))
    }

    /// Writes a line. The checks go on if nobody reads it: the exit code tells their result.
    fn say(line: &str) -> anyhow::Result<()> {
        say(line).or_else(|error| if is_closed(&error) { Ok(()) } else { Err(error) })
    }

    /// Reports an error of the configuration.
    fn tell_error(&mut self, about: &str, error: &anyhow::Error) -> anyhow::Result<()> {
        self.is_usage |= is_usage(error);
        self.tell(about, &Finding::wrong(error))
    }

    fn end(self) -> anyhow::Result<()> {
        let things = match self.wrong {
            0 => return Self::say("The manager would start."),
            1 => "1 thing is wrong".to_owned(),
            wrong => format!("{wrong} things are wrong"),
        };
        let text = format!("the manager cannot be started like this, {things}");
        if self.is_usage {
            bail!(UsageError(text));
        }
        bail!(text)
    }
}

/// Checks everything that a start needs, and prints the results.
pub(super) fn run(arguments: StartArgs) -> anyhow::Result<()> {
    let mut report = Report::default();
    let (options, limits, home) = match settings(arguments) {
        Ok((options, limits, home, text)) => {
            report.tell("configuration", &Good(text))?;
            if let Some(overlooked) = overlooked(&home) {
                report.tell("configuration", &Doubtful(overlooked))?;
            }
            (options, limits, home)
        }
        Err(error) => {
            report.tell_error("configuration", &error)?;
            return report.end();
        }
    };
    for finding in certificate(&home, &options) {
        report.tell("certificate", &finding)?;
    }
    for finding in clients(&options) {
        if let Err(error) = &finding {
            report.is_usage |= is_usage(error);
        }
        report.tell("clients", &finding.unwrap_or_else(|error| Finding::wrong(&error)))?;
    }
    let path = plan::database(&home, &options);
    let (finding, contents) = database(&path);
    report.tell("database", &finding)?;
    let is_unknown = matches!(finding, Wrong(_));
    let finding = match super::authentication(&options) {
        Err(error) => {
            report.is_usage |= is_usage(&error);
            Finding::wrong(&error)
        }
        Ok(Authentication::Login | Authentication::Hostname | Authentication::Certificate) if is_unknown => {
            Doubtful("who could connect shows once the database is in order".to_owned())
        }
        Ok(way) => authentication(&way, contents.as_ref(), &path),
    };
    report.tell("authentication", &finding)?;
    if let Some(empty) = hints::empty_variables() {
        report.tell("authentication", &Doubtful(empty))?;
    }
    let second_factors = contents.map_or(0, |contents| contents.second_factors);
    if let Some(missing) = super::without_totp_key(&path, second_factors as usize) {
        report.tell("second factor", &Doubtful(missing))?;
    }
    if options.roles.unwrap_or(false) {
        report.tell("roles", &roles(&options))?;
    }
    report.tell("record", &record(&options, &path))?;
    report.tell("memory", &memory(&options, &limits))?;
    report.tell("log", &log(&super::log_path(&home, &options)))?;
    report.tell("port", &port(&options))?;
    report.end()
}

/// Returns the options, if they are valid, and a text about their sources.
fn settings(arguments: StartArgs) -> anyhow::Result<(Options, Limits, Home, String)> {
    let file = arguments.config.clone();
    let options = arguments.complete()?;
    super::level(&options)?;
    let limits = super::limits::limits(&options)?;
    super::limits::log_rotation(&options)?;
    super::record::options(&options)?;
    let home = Home::resolve()?;
    let mut text = format!("the home folder is {}", home.root().display());
    if let Some(file) = file {
        text = format!("{} is in order, {text}", file.display());
    }
    Ok((options, limits, home, text))
}

fn certificate(home: &Home, options: &Options) -> Vec<Finding> {
    if options.disable_tls.unwrap_or(false) {
        return vec![Good(
            "none, since connections are not encrypted (--disable-tls)".to_owned(),
        )];
    }
    let outlook = super::key_password(options).and_then(|password| {
        let outlook = certificate::foresee(home, options, password.as_deref())?;
        Ok(outlook)
    });
    match outlook {
        Err(error) => vec![Finding::wrong(&error)],
        Ok(Outlook::ToBeMade(files)) => files.iter().map(|file| to_be_made(file)).collect(),
        Ok(Outlook::Ready(file, certified)) => {
            let health = certified.cert.first().and_then(CertificateHealth::of);
            let Some(health) = health else {
                return vec![Wrong(format!("{} is damaged", file.display()))];
            };
            let key = certificate::key_file(home, options, &file);
            validity(&file, &key, &health, options.host.as_deref())
        }
    }
}

/// Returns how the authorities of client certificates and their lists will do.
fn clients(options: &Options) -> Vec<anyhow::Result<Finding>> {
    let files = match ClientFiles::of(options) {
        Ok(Some(files)) => files,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![Err(error.into())],
    };
    match files.load() {
        Ok(authorities) => {
            let doubts = authorities.doubts().iter().cloned().map(Doubtful);
            let told = Good(files.told(&authorities));
            std::iter::once(told).chain(doubts).map(Ok).collect()
        }
        Err(error) => vec![Err(error.into())],
    }
}

fn to_be_made(file: &Path) -> Finding {
    match creatable(file, "--cert-file and --key-file, or LABWIRE_HOME") {
        Ok(()) => Good(format!("{} would be made", file.display())),
        Err(error) => Wrong(format!("{error:#}")),
    }
}

/// Returns how clients will judge a certificate that fits its key.
fn validity(file: &Path, key: &Path, health: &CertificateHealth<'_>, host: Option<&str>) -> Vec<Finding> {
    let fits = format!(
        "{} fits its key and is valid until {}",
        file.display(),
        health.expires()
    );
    let with_remedy = |trouble: String| format!("{trouble}; {}", health.remedy(file, key));
    let dates = match health.trouble() {
        None => Good(fits),
        Some(trouble) if health.is_valid() => Doubtful(with_remedy(trouble)),
        Some(trouble) => Wrong(with_remedy(trouble)),
    };
    let own_name = hostname();
    let host = host.unwrap_or(&own_name);
    let name = match health.trouble_with(host) {
        None => Good(format!("it is for {host}")),
        Some(trouble) => Doubtful(with_remedy(trouble)),
    };
    vec![dates, name]
}

fn database(path: &Path) -> (Finding, Option<DatabaseContents>) {
    let shown = path.display();
    match exists(path) {
        Ok(true) => {}
        Ok(false) => {
            let finding = match creatable(path, "--database or LABWIRE_DATABASE") {
                Ok(()) => Good(format!("{shown} would be made")),
                Err(error) => Wrong(format!("{error:#}")),
            };
            return (finding, None);
        }
        Err(error) => return (Wrong(unreadable(path, &error)), None),
    }
    if let Err(error) = can_read(path) {
        return (Wrong(unreadable(path, &error)), None);
    }
    let contents = match inspect_database(path).with_context(|| format!("cannot use {shown}")) {
        Ok(contents) => contents,
        Err(error) => return (Finding::wrong(&error), None),
    };
    // SQLite writes a journal beside the file.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let is_writable = can_write(path).is_ok() && can_create_in(folder.unwrap_or(Path::new("."))).is_ok();
    let DatabaseContents {
        users,
        administrators,
        second_factors: _,
        hostnames,
        missing_tables,
    } = &contents;
    let missing = missing_tables.join(", ");
    let finding = if is_writable {
        let would_be_made = if missing.is_empty() {
            String::new()
        } else {
            format!("; tables that would be made: {missing}")
        };
        Good(format!(
            "{shown} is in order: {users} user(s), {administrators} of them administrators, and for \
             --auth-hostname {hostnames} trusted hostname(s){would_be_made}"
        ))
    } else if !contents.must_be_changed() && *hostnames > 0 {
        Doubtful(format!(
            "{shown}, or its folder, cannot be written: no connection is recorded, no lock is kept over a restart and \
             nothing can be changed; {GIVE_WRITE}"
        ))
    } else {
        let lacks = if missing.is_empty() {
            "the names of this computer".to_owned()
        } else {
            format!("the tables {missing}")
        };
        Wrong(format!(
            "{shown}, or its folder, cannot be written, and lacks {lacks}; {GIVE_WRITE}"
        ))
    };
    (finding, Some(contents))
}

fn record(options: &Options, database: &Path) -> Finding {
    if options.record == Some(RecordWhat::Nothing) {
        return Good("nothing is recorded (--record nothing)".to_owned());
    }
    let path = super::record::path(options, database);
    let shown = path.display();
    let found = match exists(&path) {
        Ok(false) => creatable(&path, "--record-file or LABWIRE_RECORD_FILE")
            .map(|()| format!("{shown} would be made")),
        Ok(true) => inspect_record(&path)
            .map_err(|error| {
                anyhow!("{error}; choose another file with --record-file or LABWIRE_RECORD_FILE")
            })
            .and_then(|()| {
                can_write(&path).map_err(|error| anyhow!("{shown} cannot be written: {error}; {GIVE_WRITE}"))
            })
            .map(|()| format!("{shown} is in order")),
        Err(error) => Err(anyhow!(unreadable(&path, &error))),
    };
    let is_chosen = options.record.is_some() || options.record_file.is_some();
    match found {
        Ok(text) => Good(text),
        Err(error) if is_chosen => Finding::wrong(&error),
        Err(error) => Doubtful(format!("nothing would be recorded: {}", explain(&error))),
    }
}

fn authentication(way: &Authentication, contents: Option<&DatabaseContents>, database: &Path) -> Finding {
    let users = contents.map_or(0, |contents| contents.users);
    match way {
        Authentication::Login | Authentication::Certificate if users == 0 => Wrong(plan::no_users(database)),
        Authentication::Login => Good(format!("everyone must log in as one of {users} user(s)")),
        Authentication::Certificate => Good(format!(
            "everyone must have a certificate of one of {users} user(s)"
        )),
        Authentication::Password(_) => Good("everyone must know the password".to_owned()),
        Authentication::Hostname => match contents.map(|contents| contents.hostnames) {
            None | Some(0) => Good("this computer only, until others are added: labwire hostname".to_owned()),
            Some(hosts) => Good(format!("the computers of {hosts} trusted hostname(s)")),
        },
        Authentication::None { open: true } => {
            Doubtful("EVERYONE who can reach this computer can use every service (--open)".to_owned())
        }
        Authentication::None { open: false } => Good(
            "none, so this computer only is served; for others, choose --auth-password, --auth-login, \
             --auth-hostname or --auth-certificate"
                .to_owned(),
        ),
    }
}

fn roles(options: &Options) -> Finding {
    if options.auth_login.unwrap_or(false) || ClientFiles::are_in(options) {
        return Good("users may do only what is granted to them: labwire grant list".to_owned());
    }
    Doubtful(
        "nobody has a user without --auth-login, so everyone may do only what is granted to the group 'everyone': add \
         --auth-login, or grant it: labwire grant add operator --to-group everyone"
            .to_owned(),
    )
}

fn memory(options: &Options, limits: &Limits) -> Finding {
    match budgets::doubt(limits, options.line, options.queue) {
        Some(doubt) => Doubtful(doubt),
        None => Good(budgets::told(limits)),
    }
}

fn log(path: &Path) -> Finding {
    let shown = path.display();
    if path.is_dir() {
        return Wrong(format!("{shown} is a folder; name a file with --log-file"));
    }
    if is_pipe(path) {
        return Doubtful(format!(
            "{shown} is a pipe: the manager starts only while another program reads it; or name a file with --log-file"
        ));
    }
    match exists(path) {
        Ok(false) => match creatable(path, "--log-file or LABWIRE_LOG_FILE") {
            Ok(()) => Good(format!("{shown} would be made")),
            Err(error) => Wrong(format!("{error:#}")),
        },
        Ok(true) => match can_write(path) {
            Ok(()) => match super::expect_log(path) {
                Ok(()) => Good(format!("{shown} can be written")),
                Err(error) => Finding::wrong(&error),
            },
            Err(error) => Wrong(format!(
                "{shown} cannot be written: {error}; {GIVE_WRITE}, or choose a file with \
                 --log-file"
            )),
        },
        Err(error) => Wrong(unreadable(path, &error)),
    }
}

fn port(options: &Options) -> Finding {
    let (host, port) = (options.host.as_deref(), options.port.unwrap_or(DEFAULT_PORT));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let bound = runtime.and_then(|runtime| runtime.block_on(try_listening(host, port)));
    match bound {
        Ok(addresses) => match hints::unreachable(host, &addresses) {
            Some(unreachable) => Doubtful(unreachable),
            None if port == 0 => Good("the system will choose one".to_owned()),
            None => Good(format!("{}:{port} is free", host.unwrap_or("*"))),
        },
        Err(error) => Finding::wrong(&plan::cannot_listen(host, port, &error)),
    }
}

/// Whether the file exists. A path below a file does not exist.
fn exists(path: &Path) -> io::Result<bool> {
    match path.try_exists() {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        exists => exists,
    }
}

/// Checks whether a missing file could be created, with the folders above it. `option` is the
/// option that names it.
fn creatable(path: &Path, option: &str) -> anyhow::Result<()> {
    let path = std::path::absolute(path)?;
    let above = path.ancestors().skip(1).map(Path::to_owned);
    let folder: PathBuf = above
        .into_iter()
        .find(|folder| folder.try_exists().unwrap_or(true))
        .unwrap_or_default();
    let (shown, folder_shown) = (path.display(), folder.display());
    if !folder.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(anyhow!(
            "{shown} cannot be made, since {folder_shown} is no folder that can be entered; choose another place with \
             {option}"
        ));
    }
    can_create_in(&folder).map_err(|error| {
        anyhow!(
            "{shown} cannot be made in {folder_shown}: {error}; {GIVE_CREATE}, or choose \
             another place with {option}"
        )
    })
}

fn unreadable(path: &Path, error: &impl Display) -> String {
    format!("{} cannot be read: {error}; {GIVE_READ}", path.display())
}
