//! What the tests need besides Rust. It is checked once, before the first manager starts, and what is missing
//! ends the whole run: a test that was skipped in silence would look like one that passed.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Prints the version only if this Python can make a virtual environment that has pip in it: Debian ships
/// `venv` and `ensurepip` in a package of their own.
const PYTHON_PROBE: &str = "import sys, venv, ensurepip\n\
                            assert sys.version_info >= (3, 8)\n\
                            print(sys.version)";

/// Makes sure that every program the tests start is there; ends the test process with code 1 if not.
pub(crate) fn check() {
    static CHECKED: OnceLock<()> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let mut missing = Vec::new();
        if python_version().is_none() {
            missing.push("python3 (3.8 or later, with venv and pip)");
        }
        if !answers("openssl", "version") {
            missing.push("openssl");
        }
        if !answers("nc", "-h") {
            missing.push("nc (netcat)");
        }
        if !answers("ssh-keygen", "-?") || !(answers("sshd", "-V") || answers("/usr/sbin/sshd", "-V")) {
            missing.push("ssh-keygen and sshd (OpenSSH)");
        }
        if !missing.is_empty() {
            give_up(&format!(
                "the tests need programs that are missing here: {}\n\
                 install them with: sudo apt-get install -y python3-venv openssl netcat-openbsd openssh-client \
                 openssh-server",
                missing.join(", ")
            ));
        }
    });
}

/// The version of `python3`, or `None` if it does not serve.
pub(crate) fn python_version() -> Option<String> {
    let output = Command::new("python3").args(["-c", PYTHON_PROBE]).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Says why no test can run, then ends the test process with code 1.
///
/// The message goes to standard error itself: what `eprintln!` prints in a test is held back until the test
/// ends, and this one never does.
pub(crate) fn give_up(reason: &str) -> ! {
    let mut stderr = std::io::stderr();
    // Nobody is left to tell if standard error is gone, too.
    let _ = writeln!(stderr, "\n{reason}");
    let _ = stderr.flush();
    std::process::exit(1);
}

fn answers(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}
