// Examples in the documentation that are whole programs.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use labwire_client::ConnectOptions;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What a process finds in its environment that was started to be an example's `main`.
const PROGRAM: &str = "LABWIRE_EXAMPLE";

/// What a manager tells when peers can connect; its address follows.
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

/// Runs the `main` that calls this in a process of its own, with these arguments and an empty home folder. In that
/// process it gives `false` at once. Here it gives `true` once `look` was at the manager, by which the program must
/// have been brought to a good end.
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
    // What it writes later is read, so that it is not held up.
    let rest = std::thread::spawn(move || lines.count());
    look(ConnectOptions::new().port(port).without_tls(), home.path()).unwrap();
    assert!(program.0.wait().unwrap().success());
    rest.join().unwrap();
    true
}

/// Runs the `main` that calls this in a process of its own, with these arguments, and gives what it wrote. In that
/// process it gives nothing.
pub(crate) fn output_of_the_program(arguments: &[&str]) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let output = program(arguments, home.path())?.output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A process that does not outlive an example which fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
