//! `labwire may`: explains a decision rule by rule.

use std::io::Write;

use clap::Args;
use labwire_access::{Access, Action, Permission, Rows, Scope, Until, Verdict};
use labwire_home::present;
use labwire_store::{AccessError, Database, Disabled, Explanation, StoreError, explain, explain_permission};

use super::overview::Overview;
use super::{Chosen, choose, until};
use crate::cli::database::DatabaseArgs;
use crate::cli::output::output;
use crate::cli::tell;

const LONG_ABOUT: &str = "\
Tell whether a user may do something, and why.

With an attribute, the question is whether the user may call it, which needs the permission to link \
with the service, too; so does a lock. Without one, all actions on the \
service are listed. --permission asks about anything else, such as 'publish lab.oven'. With the \
user alone, all groups, grants and permissions of the user are listed.

Each rule that is about the same action is listed with what it means: allows (until when), allows with \
approval, ended (when), outside the grant, other object, or other attribute. A rule that allows wins \
over one that needs approval.

The command reads the database file of the manager, on the manager's computer. From another one, an \
administrator asks the manager: labwire admin access.explain ada 'call DMM2.read'

The answer is that of a manager with --roles. The exit code is 0 if the user may do it, with approval \
or without, or at least one of the actions, and 1 if not; a list of everything is 0.";

const EXAMPLES: &str = "\
Examples:
  # may ada call DMM2.read, and why?
  labwire may ada DMM2 read

  # what may she do with DMM2 at all?
  labwire may ada DMM2

  # what may she do at all, and by which grants?
  labwire may ada

  # may she publish values, or break locks?
  labwire may ada --permission 'publish lab.oven'
  labwire may ada --permission 'break-lock DMM2'";

/// Tell whether a user may do something, and why
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub(crate) struct MayArgs {
    /// The name of the user
    #[arg(value_name = "USER")]
    user: String,

    /// The name of the service [default: all that the user may]
    #[arg(value_name = "SERVICE")]
    service: Option<String>,

    /// The attribute of the service
    #[arg(value_name = "ATTRIBUTE")]
    attribute: Option<String>,

    /// The permission to ask about, as one word: 'publish lab.oven'
    #[arg(long, value_name = "PERMISSION", conflicts_with = "service")]
    permission: Option<String>,

    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: DatabaseArgs,
}

/// The user may not do it.
#[derive(Debug, thiserror::Error)]
#[error("{user} may not do that: {permission} is not granted")]
struct NotGranted {
    user: String,
    permission: String,
}

/// Runs the command.
///
/// # Errors
/// Also if the user may not do it.
pub(crate) fn run(args: &MayArgs) -> anyhow::Result<()> {
    execute(args, &choose(&args.database)?, &mut output())
}

pub(super) fn execute(args: &MayArgs, chosen: &Chosen, output: &mut impl Write) -> anyhow::Result<()> {
    let database = chosen.open().map_err(|error| {
        if !chosen.is_missing() {
            return error;
        }
        let request = args.request();
        anyhow::anyhow!("{error}. On another computer than the manager's, ask the manager: {request}")
    })?;
    let rows = database.access()?;
    if let Some(disabled) = disabled(&database, &args.user)? {
        tell(format_args!(
            "{} is disabled ({}) and cannot log in; once enabled:",
            args.user, disabled.reason
        ));
    }
    if args.service.is_none() && args.permission.is_none() {
        return Overview::of(&args.user, &rows)?.write(args.json, output);
    }
    let now = present().as_second();
    let explanations = args.explanations(&rows, now)?;
    let without_link = args.without_link(&rows, &explanations, now)?;
    for explanation in &explanations {
        if args.json {
            writeln!(output, "{}", explanation.to_json())?;
        } else {
            write_explanation(&args.user, explanation, output)?;
        }
    }
    if let Some((what, link)) = without_link {
        if args.json {
            writeln!(output, "{}", link.to_json())?;
        } else {
            let why = match what {
                Action::Call => {
                    "a call without a link is answered, unless the service is locked or limits its clients"
                }
                _ => "a lock needs both",
            };
            writeln!(output, "but may not {}: {why}", link.permission)?;
            write_reasons(&link, output)?;
        }
        if what == Action::Lock {
            let (user, permission) = (args.user.clone(), link.permission);
            return Err(NotGranted { user, permission }.into());
        }
    }
    let is_possible = |explanation: &Explanation| explanation.is_allowed || explanation.needs_approval;
    if explanations.iter().any(is_possible) {
        return Ok(());
    }
    let permissions: Vec<_> = explanations.into_iter().map(|it| it.permission).collect();
    let (user, permission) = (args.user.clone(), permissions.join(", nor "));
    Err(NotGranted { user, permission }.into())
}

impl MayArgs {
    /// Returns the command that asks a manager.
    fn request(&self) -> String {
        let permission = match (&self.permission, &self.service, &self.attribute) {
            (Some(permission), ..) => permission.clone(),
            (None, Some(service), Some(attribute)) => format!("call {service}.{attribute}"),
            (None, service, _) => format!("call {}", service.as_deref().unwrap_or("DMM.read")),
        };
        format!("labwire admin access.explain {} '{permission}'", self.user)
    }

    /// Returns the answers to all that is asked.
    fn explanations(&self, rows: &Rows, now: i64) -> Result<Vec<Explanation>, AccessError> {
        let user = &self.user;
        if let Some(permission) = &self.permission {
            return Ok(vec![explain_permission(rows, user, permission, now)?]);
        }
        let service = self.service.as_deref().unwrap_or_default();
        if let Some(attribute) = &self.attribute {
            return Ok(vec![explain(rows, user, &Access::call(service, attribute), now)?]);
        }
        let accesses = OF_SERVICES.map(|action| Access::to(action, service));
        let accesses = accesses
            .into_iter()
            .chain([Access::call(service, "*"), Access::approve(service, "*")]);
        accesses.map(|access| explain(rows, user, &access, now)).collect()
    }
}

impl MayArgs {
    /// If the question is about a call or a lock that is allowed, and the link with its service is not, returns its
    /// action, and the decision about the link.
    fn without_link(
        &self,
        rows: &Rows,
        explanations: &[Explanation],
        now: i64,
    ) -> Result<Option<(Action, Explanation)>, AccessError> {
        let [allowed] = explanations else {
            return Ok(None);
        };
        let Ok(permission) = allowed.permission.parse::<Permission>() else {
            return Ok(None);
        };
        let what @ (Action::Call | Action::Lock) = permission.action else {
            return Ok(None);
        };
        let Some(service) = self.service.clone().or_else(|| match permission.object {
            Scope::Pattern(service) => Some(service.as_str().to_owned()),
            Scope::Set(_) | Scope::Sets(_) => None,
        }) else {
            return Ok(None);
        };
        let link = explain(rows, &self.user, &Access::to(Action::Link, &service), now)?;
        let is_possible = allowed.is_allowed || allowed.needs_approval;
        Ok((is_possible && !link.is_allowed).then_some((what, link)))
    }
}

/// Returns since when and why a user cannot log in.
fn disabled(database: &Database, user: &str) -> Result<Option<Disabled>, StoreError> {
    let mut accounts = database.accounts()?.into_iter();
    Ok(accounts
        .find(|account| account.username == user)
        .and_then(|account| account.disabled))
}

/// The actions that need no attribute.
const OF_SERVICES: [Action; 6] = [
    Action::See,
    Action::Link,
    Action::Lock,
    Action::BreakLock,
    Action::Register,
    Action::Notify,
];

fn write_explanation(user: &str, explanation: &Explanation, output: &mut impl Write) -> anyhow::Result<()> {
    let Explanation {
        permission,
        is_allowed,
        needs_approval,
        until: end,
        ..
    } = explanation;
    let answer = if *is_allowed {
        "may"
    } else if *needs_approval {
        // It reads as the permission is written: may ask call Laser.set_power.
        "may ask"
    } else {
        "may not"
    };
    let end = match end {
        Until::Time(end) if *is_allowed => format!(" until {}", until::shown(*end)),
        _ => String::new(),
    };
    let is_about_all = !is_allowed && !needs_approval && permission.ends_with(".*");
    let all = if is_about_all { " (all attributes)" } else { "" };
    writeln!(output, "{user} {answer} {permission}{all}{end}")?;
    write_reasons(explanation, output)
}

fn write_reasons(explanation: &Explanation, output: &mut impl Write) -> anyhow::Result<()> {
    let reasons = &explanation.reasons;
    for reason in reasons {
        let end = reason
            .grant
            .as_ref()
            .and_then(|grant| grant.until)
            .map(until::shown);
        let verdict = match (reason.verdict, end) {
            (Verdict::Allows, Some(end)) => format!("allows it until {end}"),
            (Verdict::Allows, None) => "allows it".to_owned(),
            (Verdict::Asks, Some(end)) => format!("allows it with approval until {end}"),
            (Verdict::Asks, None) => "allows it with approval".to_owned(),
            (Verdict::Ended, Some(end)) => format!("ended {end}"),
            (other, _) => other.to_string(),
        };
        writeln!(output, "  {verdict}: {reason}")?;
    }
    if reasons.is_empty() {
        writeln!(output, "  no granted role has a permission for that action")?;
    }
    Ok(())
}
