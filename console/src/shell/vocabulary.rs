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
        "select a service: no name before its attributes",
    ),
    word("link", "SERVICE", "use, and be shown the service's notifications"),
    word("unlink", "[SERVICE]", "end the link"),
    word("lock", "[SERVICE] [shared]", "link and keep other clients out"),
    word("unlock", "[SERVICE]", "release the lock"),
    word("status", "", "show the connection, the links and the locks"),
    word("whoami", "", "show the name of this shell on the network"),
    word("identity", "", "show the manager and all that is connected"),
    word(
        "notifications",
        "[on|off]",
        "show the notifications of linked services",
    ),
    word("timeout", "[SECONDS|off]", "wait so long for a reply"),
    word("help", "[SERVICE[.ATTRIBUTE]]", "show this, or a documentation"),
    word("?", "", "as help"),
    word("exit", "", "leave; so do Ctrl-D, quit and disconnect"),
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
