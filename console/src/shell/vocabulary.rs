//! The words of the shell.

/// A word of the shell, for its help and its completion.
pub(crate) struct ShellWord {
    pub(crate) name: &'static str,
    /// What follows the word.
    pub(crate) follows: &'static str,
    pub(crate) meaning: &'static str,
}

const fn word(name: &'static str, follows: &'static str, meaning: &'static str) -> ShellWord {
    ShellWord {
        name,
        follows,
        meaning,
    }
}

/// The words, in the order of the help.
pub(crate) const WORDS: [ShellWord; 19] = [
    word("services", "[PATTERN]", "list the services"),
    word("describe", "SERVICE", "show a service and its documentation"),
    word(
        "use",
        "[SERVICE]",
        "select a service, whose name can then be left out",
    ),
    word(
        "link",
        "SERVICE",
        "link with a service and show its notifications",
    ),
    word("unlink", "[SERVICE]", "end the link"),
    word(
        "lock",
        "[SERVICE] [TERMS]",
        "lock it: shared, ttl=60, wait=10, reason=TEXT",
    ),
    word("unlock", "[SERVICE]", "release the lock"),
    word("status", "", "show the connection, the links and the locks"),
    word("whoami", "", "show the name of this shell on the network"),
    word("identity", "", "show the manager and all that is connected"),
    word(
        "notifications",
        "[on|off]",
        "show the notifications of linked services",
    ),
    word("timeout", "[TIME|off]", "show or set the timeout of calls"),
    word(
        "help",
        "[SERVICE[.ATTRIBUTE]]",
        "show this, or the documentation of a service",
    ),
    word("?", "", "as help"),
    word("exit", "", "end the shell; also Ctrl-D, quit and disconnect"),
    word("quit", "", "leave"),
    word("disconnect", "", "leave"),
    word("__disconnect__", "", "leave"),
    word("client", "", "only for netcat: the shell has a name already"),
];

impl ShellWord {
    /// Returns the word with what follows it.
    pub(crate) fn usage(&self) -> String {
        format!("{} {}", self.name, self.follows).trim_end().to_owned()
    }

    /// Returns whether it is listed and proposed. The others are other spellings.
    pub(crate) fn is_listed(&self) -> bool {
        !matches!(
            self.name,
            "?" | "quit" | "disconnect" | "__disconnect__" | "client"
        )
    }
}
