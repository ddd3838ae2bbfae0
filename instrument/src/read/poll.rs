//! Reads a poll.

use std::time::Duration;

use super::argument::scalar;
use super::table::{Found, Table};
use crate::command::Command;
use crate::definition::Poll;
use crate::parameter::Rules;
use crate::problem::{Problems, hint};

/// Reads the table of a poll.
pub(super) fn read(
    name: Found<String>,
    mut table: Table<'_, '_>,
    commands: &[Command],
    rules: Rules<'_>,
    problems: &mut Problems<'_>,
) -> Option<Poll> {
    let wanted = table.text("command", problems).unwrap_or(Found {
        span: name.span.clone(),
        value: name.value.clone(),
    });
    let command = commands.iter().find(|command| command.name == wanted.value);
    if command.is_none() {
        let hint = hint(
            &wanted.value,
            commands.iter().map(|command| command.name.as_str()),
        );
        let text = format!(
            "there is no command `{}` for the poll (`command`): {hint}",
            wanted.value.escape_debug()
        );
        problems.add(&wanted.span, text);
    }
    let arguments = table.table("arguments", format!("`arguments` of {}", table.name()), problems);
    let arguments = arguments.map_or_else(Vec::new, |entries| {
        let entries = entries.entries().into_iter();
        entries
            .map(|(name, value)| (name.value, scalar(value.get_ref())))
            .collect()
    });
    if table.place("every").is_none() {
        problems.add(
            table.span(),
            format!("{} lacks `every`, as in every = \"10s\"", table.name()),
        );
    }
    let every = table.duration("every", Duration::from_millis(10), problems);
    let topic = table.text("topic", problems);
    let retained = table.place("retain");
    let retain = table.boolean("retain", problems).unwrap_or(false);
    if let (Some(span), None) = (retained, &topic) {
        problems.add(&span, "`retain` is for a poll with a `topic`");
    }
    table.finish(problems);
    let command = command?;
    let Some(answer) = command.answer.clone() else {
        let text = format!(
            "the command `{}` has no answer that could be polled",
            command.name
        );
        problems.add(&wanted.span, text);
        return None;
    };
    let text = command
        .text_of(arguments, rules)
        .map_err(|error| problems.add(&wanted.span, error.text))
        .ok()?;
    Some(Poll {
        name: name.value,
        text,
        answer,
        timeout: command.timeout,
        every: every?,
        topic: topic.map(|found| found.value),
        retain,
    })
}
