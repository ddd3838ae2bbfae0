// Support for examples in the documentation that are whole programs.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use labwire_client::ConnectOptions;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The environment variable of a process that was started to run an example's `main`.
const PROGRAM: &str = "LABWIRE_EXAMPLE";

/// The log line of a manager that accepts connections, before its address.
const RUNNING: &str = "Network Manager running on ";

fn program(arguments: &[&str], home: &Path) -> Option<Command> {
    if env::var_os(PROGRAM).is_some() {
        return None;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(arguments)
        .env(PROGRAM, "main")
        .env("LABWIRE_HOME", home);
    Some(command)
}

/// Runs the `main` that calls this in a process of its own, with these arguments and an empty home
/// folder, and returns `false` at once in that process. In the calling process, runs `look` with
/// the manager's options, waits until the program has ended successfully, and returns `true`.
/// `look` must make the program end.
pub(crate) fn ran_as_a_program(
    arguments: &[&str],
    look: impl FnOnce(ConnectOptions, &Path) -> Result<(), Failure>,
) -> bool {
    let home = tempfile::tempdir().unwrap();
    let Some(mut command) = program(arguments, home.path()) else {
        return false;
    };
    let mut program = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
    let port = lines.find_map(|line| {
        let line = line.unwrap();
        let (_, rest) = line.split_once(RUNNING)?;
        rest.split_whitespace().next()?.rsplit_once(':')?.1.parse().ok()
    });
    let port = port.expect("the program tells when its manager runs");
    // Reads its further output, so that it does not block.
    let rest = std::thread::spawn(move || lines.count());
    look(ConnectOptions::new().port(port).without_tls(), home.path()).unwrap();
    assert!(program.0.wait().unwrap().success());
    rest.join().unwrap();
    true
}

/// Runs the `main` that calls this in a process of its own, with these arguments, and returns its
/// output. Returns `None` in that process.
pub(crate) fn output_of_the_program(arguments: &[&str]) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let output = program(arguments, home.path())?.output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A process that is killed if the example fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
