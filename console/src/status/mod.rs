//! `labwire status`: who is connected, and what they do.

mod shown;

use std::io::{self, IsTerminal};

use anstream::adapter::strip_str;
use clap::Args;
use labwire_client::SessionState;

use crate::breaks::{Breaks, RETURNING, changed};
use crate::connection::{Connection, ConnectionArgs};
use crate::counted::counted;
use crate::failure::Failure;
use crate::output::{FAINT, OutputArgs, STRONG, aside, message, one_line, say, tell};
use crate::repeat::{Request, repeat};
use crate::screen::{Input, Screen, inputs};
use crate::seconds::Seconds;
use crate::shortened::shortened;
use crate::stop::Stop;
use shown::Shown;

pub(crate) const EXAMPLES: &str = "\
Examples:
  labwire status
  labwire status --watch
  labwire status --json | jq -c 'select(.kind == \"service\")'";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  labwire status
  labwire status --watch
  labwire status --json | jq -c 'select(.kind == \"service\")'

CALLS are the requests that were forwarded since the peer connected, ERRORS
those that were answered with an error, OLDEST the time that a service has held
its oldest request. STATE is \"away until\" for a peer whose connection broke and
whose place is kept until then, and \"no reply since\" for a connected service
that has held its oldest request for a minute or longer: it is busy, or hangs.
\"waits for approval of\" tells how many requests of a client wait until somebody
approves them. They are not in flight.
There is no such column if there is nothing to say. With --users, the user of
each peer that has logged in is shown too, and whether it was with a certificate
or a token; the manager asks for the login of an administrator.

With --json, each object has a kind: \"manager\" (time, name, uptime_seconds,
clients, services, in_flight, and approvals if there are requests to approve),
then \"service\" and \"client\", with the members that protocol.md lists under
Status, and with --users user (a name or null) and login_with (the certificate,
the token or the second factor, if there was one).
With --watch, all of them are printed repeatedly.

MSL-Network's manager reports names only: then everything else is missing.

Exit codes: see `labwire --help`. Ctrl-C ends --watch with 0.";

#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Show it repeatedly, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// With --watch, the time between two requests: 2, 500ms, 1m
    #[arg(long, value_name = "TIME", default_value = "2", requires = "watch")]
    every: Seconds,
    /// Show who has logged in, for administrators
    #[arg(long)]
    users: bool,
    #[command(flatten)]
    form: OutputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The request for the data of one picture.
struct Asked {
    connection: Connection,
    with_users: bool,
}

impl Request for Asked {
    type Answer = Shown;

    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn send(&mut self) -> Result<Shown, Failure> {
        Shown::request(&self.connection, self.with_users).await
    }
}

pub(crate) async fn run(arguments: &StatusArgs, stop: Stop) -> Result<(), Failure> {
    let connection = if arguments.watch {
        arguments.connection.connect_lasting("status").await?
    } else {
        arguments.connection.connect("status").await?
    };
    let mut asked = Asked {
        connection: connection.clone(),
        with_users: arguments.users,
    };
    let first = asked.send().await?;
    if !arguments.watch {
        arguments.show(first).await?;
        connection.disconnect().await;
        return Ok(());
    }
    stop.begin()?;
    if !arguments.form.json && io::stdout().is_terminal() {
        arguments.watch(first, asked, stop).await?;
    } else {
        let _breaks = Breaks::report(connection.client());
        arguments.print(first, asked, stop).await?;
    }
    connection.disconnect().await;
    Ok(())
}

impl StatusArgs {
    async fn show(&self, shown: Shown) -> Result<(), Failure> {
        let is_json = self.form.json;
        aside(move || {
            if is_json {
                shown.print_json()
            } else {
                say(shown.text().trim_end())
            }
        })
        .await
    }

    /// Prints the status repeatedly, until a signal ends it.
    async fn print(&self, first: Shown, asked: Asked, stop: Stop) -> Result<(), Failure> {
        let printed = async {
            self.show(first).await?;
            let mut answers = repeat(asked, self.every.duration());
            while let Some(answer) = answers.recv().await {
                match answer {
                    Ok(shown) => self.show(shown).await?,
                    // The manager was stopped meanwhile; the next request waits until it is back.
                    Err(Failure::NoManager(text)) => tell(format_args!("labwire: {}", message(&text))),
                    Err(failure) => return Err(failure),
                }
            }
            Ok(())
        };
        tokio::select! {
            biased;
            _ = stop.requested() => Ok(()),
            printed = printed => printed,
        }
    }

    /// Draws the status on the whole screen, until a key or a signal ends it.
    async fn watch(&self, mut shown: Shown, asked: Asked, stop: Stop) -> Result<(), Failure> {
        let unusable = |error| Failure::Failed(format!("cannot use the terminal: {error}"));
        let mut screen = Screen::enter().map_err(unusable)?;
        let mut keys = inputs();
        let client = asked.connection.client().clone();
        let mut session = client.session();
        let mut answers = repeat(asked, self.every.duration());
        let mut problem = None;
        loop {
            let lines = picture(&shown.text(), problem.as_deref(), screen.size());
            let lines = if screen.is_colored() {
                lines
            } else {
                lines.iter().map(|line| strip_str(line).to_string()).collect()
            };
            screen.draw(lines).map_err(unusable)?;
            tokio::select! {
                biased;
                _ = stop.requested() => return Ok(()),
                input = keys.recv() => match input {
                    Some(Input::Resize(width, height)) => screen.resize((width, height)),
                    Some(input) if !input.ends() => {}
                    _ => return Ok(()),
                },
                Some(answer) = answers.recv() => match answer {
                    Ok(answer) => (shown, problem) = (answer, None),
                    // The next request waits until the manager is back.
                    Err(Failure::NoManager(text)) => problem = Some(text),
                    Err(failure) => return Err(failure),
                },
                now = changed(&client, session) => {
                    session = now;
                    problem = (now == SessionState::Away).then(|| RETURNING.to_owned());
                }
            }
        }
    }
}

/// Returns the lines of a screen: the status as far as it fits, and at the bottom the keys, or a
/// problem.
fn picture(text: &str, problem: Option<&str>, (width, height): (usize, usize)) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let room = height.saturating_sub(1);
    let hidden = lines.len().saturating_sub(room);
    lines.resize(room, String::new());
    lines.push(if let Some(problem) = problem {
        let problem = shortened(&one_line(problem), width);
        format!("{STRONG}{problem}{STRONG:#}")
    } else {
        let keys = if hidden > 0 {
            format!("q quit   {}: see labwire status", counted(hidden, "more line"))
        } else {
            "q quit".to_owned()
        };
        format!("{FAINT}{}{FAINT:#}", shortened(&keys, width))
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_fits_into_its_screen_and_tells_what_does_not() {
        let shown = |problem, size| {
            let lines = picture("1\n2\n3", problem, size);
            let lines: Vec<_> = lines.iter().map(|line| strip_str(line).to_string()).collect();
            lines.join("|")
        };
        assert_eq!(shown(None, (80, 5)), "1|2|3||q quit");
        assert_eq!(
            shown(None, (80, 3)),
            "1|2|q quit   1 more line: see labwire status"
        );
        assert_eq!(shown(Some("no\nmanager"), (8, 4)), "1|2|3|no\u{fffd}mana…");
        assert_eq!(shown(None, (3, 1)), "q …");
    }
}
