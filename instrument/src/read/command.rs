//! Reads a command.

use super::table::{Found, Table, as_table};
use super::{answer, argument, check_line, check_name, connection::check_encoding};
use crate::answer::Answer;
use crate::command::{Command, Template};
use crate::parameter::{Parameter, Rules};
use crate::problem::{Problems, hint};

/// Reads the table of a command.
pub(super) fn read(
    name: Found<String>,
    mut table: Table<'_, '_>,
    rules: Rules<'_>,
    problems: &mut Problems<'_>,
) -> Option<Command> {
    let write = table.text("write", problems);
    let query = table.text("query", problems);
    let description = table.text("description", problems);
    let timeout = table.duration("timeout", std::time::Duration::from_millis(10), problems);
    let place = table.place("answer");
    let answer = table
        .item("answer")
        .and_then(|value| answer::read(table.name(), value, rules.encoding, problems));
    let parameters = parameters(&mut table, rules, problems);
    let recorded = recorded(&mut table, &parameters, problems);
    let (text, answer) = match (write, query) {
        (Some(write), None) => {
            if let Some(place) = place {
                problems.add(
                    &place,
                    "a command with `write` has no answer; use `query` instead of `write`",
                );
            }
            if write.value.trim_end().ends_with('?') {
                problems.add(
                    &write.span,
                    "a command that ends with `?` has an answer; use `query` instead of `write`",
                );
            }
            (Some(write), None)
        }
        (None, Some(query)) => (Some(query), Some(answer.unwrap_or_else(Answer::text))),
        (Some(_), Some(query)) => {
            problems.add(
                &query.span,
                format!("{} has either `write` or `query`", table.name()),
            );
            (None, None)
        }
        (None, None) => {
            let text = format!(
                "{} lacks its text: `write` for a command without an answer, or `query`",
                table.name()
            );
            problems.add(table.span(), text);
            (None, None)
        }
    };
    table.finish(problems);
    let template = text.and_then(|text| template(&text, &parameters, rules, problems));
    Some(Command {
        name: name.value,
        description: description.map_or_else(String::new, |text| text.value),
        template: template?,
        answer,
        parameters: parameters.into_iter().map(|(_, parameter)| parameter).collect(),
        timeout,
        recorded,
    })
}

/// Reads whether the manager is to record the arguments, and which of them are secret.
fn recorded(
    table: &mut Table<'_, '_>,
    parameters: &Parameters,
    problems: &mut Problems<'_>,
) -> Option<Vec<String>> {
    let is_recorded = table.boolean("record", problems).unwrap_or(false);
    let secret = table.texts("secret", problems);
    for name in &secret {
        let names = || parameters.iter().map(|(name, _)| name.value.as_str());
        if !names().any(|known| known == name.value) {
            let text = format!(
                "there is no argument `{}` that could be secret: {}",
                name.value.escape_debug(),
                hint(&name.value, names())
            );
            problems.add(&name.span, text);
        } else if !is_recorded {
            let text = "nothing of this command is recorded, so no argument is left out; add `record = true`, or remove \
                        `secret`";
            problems.add(&name.span, text);
        }
    }
    is_recorded.then(|| secret.into_iter().map(|name| name.value).collect())
}

type Parameters = Vec<(Found<String>, Parameter)>;

fn parameters(table: &mut Table<'_, '_>, rules: Rules<'_>, problems: &mut Problems<'_>) -> Parameters {
    let place = format!("`arguments` of {}", table.name());
    let Some(entries) = table.table("arguments", place, problems) else {
        return Vec::new();
    };
    let mut parameters: Parameters = Vec::new();
    for (name, value) in entries.entries() {
        check_name(&name, "an argument", problems);
        let place = format!("the argument `{}`", name.value);
        let Some(settings) = as_table(&name.value, place, value, problems) else {
            continue;
        };
        let Some(parameter) = argument::read(&name.value, settings, rules, problems) else {
            continue;
        };
        let after_default = parameters.iter().any(|(_, before)| before.default.is_some());
        if parameter.default.is_none() && after_default {
            let text = format!(
                "`{}` lacks a default, and stands behind an argument that has one",
                name.value
            );
            problems.add(&name.span, text);
        }
        parameters.push((name, parameter));
    }
    parameters
}

/// Reads the text of a command, and compares its places with the arguments.
fn template(
    text: &Found<String>,
    parameters: &Parameters,
    rules: Rules<'_>,
    problems: &mut Problems<'_>,
) -> Option<Template> {
    check_line(text, problems);
    check_encoding(text, rules.encoding, problems);
    let template = match Template::parse(&text.value) {
        Ok(template) => template,
        Err(why) => {
            problems.add(&text.span, why);
            return None;
        }
    };
    for place in template.places() {
        if !parameters.iter().any(|(name, _)| name.value == place) {
            let names = parameters.iter().map(|(name, _)| name.value.as_str());
            let hint = if parameters.is_empty() {
                format!("add arguments.{place} = {{ type = \"number\" }}")
            } else {
                hint(place, names)
            };
            let told = place.escape_debug();
            problems.add(
                &text.span,
                format!("there is no argument for the place {{{told}}}: {hint}"),
            );
        }
    }
    for (name, _) in parameters {
        if !template.places().any(|place| place == name.value) {
            let text = format!(
                "the text of the command has no place {{{0}}} for the argument `{0}`",
                name.value
            );
            problems.add(&name.span, text);
        }
    }
    Some(template)
}
