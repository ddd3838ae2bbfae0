//! The names by which the commands are known on the network: `labwire lock (ada)`.
//!
//! The manager adds the host and the port, as in `labwire lock (ada)[bench:50002]`. It takes any
//! printable text of up to 256 bytes, as the manager of MSL-Network does.

/// The most characters of a user name in the name of a client.
const LONGEST_USER: usize = 64;

/// Returns the name of the client of a command: the command, and the name of this user's account.
pub(crate) fn client_name(command: &str) -> String {
    match user() {
        Some(user) => format!("labwire {command} ({user})"),
        None => format!("labwire {command}"),
    }
}

/// Returns the name of this user's account. `None` if it is not known, or has characters that a manager
/// may refuse in a name.
fn user() -> Option<String> {
    let variables = ["USER", "LOGNAME", "USERNAME"].iter();
    let set = variables.filter_map(|name| std::env::var(name).ok());
    let named = set.chain(account()).find(|name| !name.is_empty());
    named.filter(|name| is_plain(name))
}

fn is_plain(user: &str) -> bool {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || "._-+@$".contains(character);
    user.len() <= LONGEST_USER && user.chars().all(is_allowed)
}

/// Returns the name of this process's user account, for where no variable has it, as in a service of
/// the system.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems may have none")]
fn account() -> Option<String> {
    let id = rustix::process::getuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(id) && !name.is_empty()).then(|| name.to_owned())
    });
    Some(named.unwrap_or_else(|| format!("user-{id}")))
}

/// Returns nothing: the system sets a variable.
#[cfg(not(unix))]
fn account() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn a_user_name_that_a_manager_may_refuse_is_left_out() {
        for (user, is_kept) in [
            ("ada", true),
            ("ada.lovelace-2@lab", true),
            ("LAB\\ada", false),
            ("a\u{308}da", false),
            ("ada lovelace", false),
            ("x\n", false),
            (&*"x".repeat(65), false),
        ] {
            assert_eq!(is_plain(user), is_kept, "{user}");
        }
    }
}
