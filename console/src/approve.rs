//! `labwire approve`: requests that wait until somebody approves them.

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use labwire_client::Arguments;
use labwire_home::present;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::breaks::Breaks;
use crate::connection::{Connection, ConnectionArgs};
use crate::failure::Failure;
use crate::in_flight::in_flight;
use crate::output::{OutputArgs, one_line, say, say_json, say_table};
use crate::report::check_labwire;
use crate::stop::Stop;
use crate::times::readable_age;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire approve
  labwire approve kfmabcpd-12
  labwire approve kfmabcpd-12 --refuse --reason 'the door is open'
  labwire approve --watch";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire approve                  what waits for your decision
  labwire approve kfmabcpd-12
  labwire approve kfmabcpd-12 --refuse --reason 'the door is open'
  labwire approve --watch

A call waits if a role permits it with ask only, such as 'ask call
Laser.set_power' (see labwire role). It waits until its deadline, or for 10
minutes. Who may decide needs the permission approve, which owners and
administrators have, must have logged in as a user, and does not decide about
calls of their own. The call is made with the rules and locks as they are then;
it ends if it would not even be asked for any more. Whoever waits is told so by
labwire call and in the shell, with the number of the call.

With --json, each call is one object: id, client, user, address, service,
attribute, arguments (the first 200 characters of JSON), since and until (UTC).
With --watch it also has outcome: asked, approved, refused, expired, cancelled,
not permitted, client left, service left or manager stops; and for the decisions
by and reason.

Exit codes: see `labwire --help`. Ctrl-C ends --watch with 0.";

/// The topic of requests that need approval.
const TOPIC: &str = "manager.approval";

/// How long a manager that was lost is waited for before it is asked again.
const PACE: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub struct ApproveArgs {
    /// The call to approve, or to refuse; without it, those that wait are listed
    #[arg(conflicts_with = "watch")]
    id: Option<String>,
    /// Refuse the call
    #[arg(long, requires = "id")]
    refuse: bool,
    /// Why it is refused, for whoever waits
    #[arg(long, value_name = "TEXT", requires = "refuse")]
    reason: Option<String>,
    /// Then show calls and decisions as they come, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A call that waits, or does no longer.
#[derive(Debug, Deserialize, Serialize)]
struct Waiting {
    id: String,
    client: String,
    user: Option<String>,
    address: String,
    service: String,
    attribute: String,
    arguments: String,
    since: Timestamp,
    until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A page of the list.
#[derive(Debug, Deserialize)]
struct Page {
    approvals: Vec<Waiting>,
    next: Option<String>,
}

const HEADER: [&str; 6] = ["ID", "CALL", "ARGUMENTS", "USER", "CLIENT", "LEFT"];

impl Waiting {
    fn call(&self) -> String {
        one_line(&format!("{}.{}", self.service, self.attribute))
    }

    /// Returns how long it still waits.
    fn left(&self) -> String {
        readable_age(self.until.duration_since(present()).as_secs_f64())
    }

    fn row(&self) -> Vec<String> {
        vec![
            one_line(&self.id),
            self.call(),
            one_line(&self.arguments),
            self.user.as_deref().map_or_else(|| "-".to_owned(), one_line),
            one_line(&self.client),
            self.left(),
        ]
    }

    /// Returns what has happened, for --watch.
    fn line(&self) -> String {
        let who = self.user.as_deref().unwrap_or(&self.client);
        let (id, call) = (one_line(&self.id), self.call());
        match self.outcome.as_deref().unwrap_or("asked") {
            "asked" => format!(
                "{id}  {} asks for {call} {}, {} left",
                one_line(who),
                one_line(&self.arguments),
                self.left()
            ),
            outcome => {
                let by = self
                    .by
                    .as_deref()
                    .map_or_else(String::new, |by| format!(" by {by}"));
                let reason = self.reason.as_deref();
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                one_line(&format!("{id}  {call} of {who}: {outcome}{by}{reason}"))
            }
        }
    }
}

pub(crate) async fn run(arguments: &ApproveArgs, stop: Stop) -> Result<(), Failure> {
    if arguments.watch {
        return arguments.watch(stop).await;
    }
    let connection = arguments.connection.connect("approve").await?;
    check_labwire(&connection, "approvals").await?;
    match &arguments.id {
        Some(id) => arguments.decide(&connection, id).await?,
        None => arguments.list(&connection).await?,
    }
    connection.disconnect().await;
    Ok(())
}

/// Returns what waits for the decision of whoever asks.
async fn waiting(connection: &Connection) -> Result<Vec<Waiting>, Failure> {
    let mut all = Vec::new();
    let mut values = Arguments::new();
    loop {
        let request = connection.client().admin_request::<Page>("approvals", values);
        let Page { approvals, next } = in_flight(request).await?;
        all.extend(approvals);
        match next {
            Some(after) => values = Arguments::new().positional(&after),
            None => return Ok(all),
        }
    }
}

impl ApproveArgs {
    async fn list(&self, connection: &Connection) -> Result<(), Failure> {
        let all = waiting(connection).await?;
        if self.form.json {
            return all.iter().try_for_each(say_json);
        }
        if all.is_empty() {
            return say("nothing waits for your approval");
        }
        say_table(&HEADER, all.iter().map(Waiting::row).collect())
    }

    async fn decide(&self, connection: &Connection, id: &str) -> Result<(), Failure> {
        let mut values = Arguments::new().positional(id);
        if let Some(reason) = &self.reason {
            values = values.keyword("reason", reason);
        }
        let attribute = if self.refuse { "refuse" } else { "approve" };
        let request = connection.client().admin_request::<Waiting>(attribute, values);
        let decided = in_flight(request).await?;
        if self.form.json {
            return say_json(&decided);
        }
        let who = decided.user.as_deref().unwrap_or(&decided.client);
        let done = if self.refuse { "refused" } else { "approved" };
        say(format_args!("{done} {} of {}", decided.call(), one_line(who)))
    }

    async fn watch(&self, stop: Stop) -> Result<(), Failure> {
        let connection = self.connection.connect_lasting("approve").await?;
        stop.begin()?;
        let _breaks = Breaks::report(connection.client());
        tokio::select! {
            biased;
            _ = stop.requested() => {}
            failed = self.follow(&connection) => return failed,
        }
        connection.disconnect().await;
        Ok(())
    }

    /// Shows calls and decisions as they come. Returns only if that fails.
    async fn follow(&self, connection: &Connection) -> Result<(), Failure> {
        loop {
            match self.follow_once(connection).await {
                Ok(()) | Err(Failure::NoManager(_) | Failure::TimedOut(_)) => {}
                Err(failure) => return Err(failure),
            }
            if !connection.client().connected().await {
                return Err(Failure::NoManager(
                    "the connection with the manager is lost".to_owned(),
                ));
            }
            sleep(PACE).await;
        }
    }

    /// Shows what waits, and then what happens until the subscription ends.
    async fn follow_once(&self, connection: &Connection) -> Result<(), Failure> {
        // Before the list: what comes in between is shown once.
        let mut values = connection.in_time(connection.client().subscribe(TOPIC)).await?;
        let mut known = HashSet::new();
        for mut one in waiting(connection).await? {
            one.outcome = Some("asked".to_owned());
            self.show(&one)?;
            known.insert(one.id);
        }
        while let Some(value) = values.next().await {
            let Ok(one) = value.decode::<Waiting>() else {
                continue;
            };
            let is_asked = one.outcome.as_deref() == Some("asked");
            if !is_asked || !known.remove(&one.id) {
                self.show(&one)?;
            }
        }
        Ok(())
    }

    fn show(&self, one: &Waiting) -> Result<(), Failure> {
        if self.form.json {
            say_json(one)
        } else {
            say(one.line())
        }
    }
}
