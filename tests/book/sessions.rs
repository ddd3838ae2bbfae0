//! The sessions of each page, typed one after another on a computer made of namespaces.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::super::support::process::Process;
use super::super::support::requirements::{left_out, python_environment};
use super::super::support::{DEADLINE, POLL_INTERVAL};
use super::page::{Block, Page, pages, repository};
use super::shape::{begins_with_shape, is_shape};

/// What is done on a page, in its order.
enum Step {
    /// A command that readers do not see.
    Hidden(String),
    /// A file with these contents.
    File { name: String, text: String },
    /// A command that ends, with its output.
    Command { typed: String, shown: Vec<String> },
    /// A program that runs until the end of the page, with the beginning of its output.
    Program { typed: String, shown: Vec<String> },
}

/// Returns the commands of a session with their outputs.
fn commands(lines: &[String]) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    let mut lines = lines.iter();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else {
            let (_, shown) = commands.last_mut().expect("a session begins with a command");
            shown.push(line.clone());
            continue;
        };
        let mut command = command.to_owned();
        let until = command
            .split_once("<<'")
            .and_then(|(_, rest)| rest.split_once('\''));
        if let Some((word, _)) = until {
            let word = word.to_owned();
            for line in lines.by_ref() {
                write!(command, "\n{line}").expect("a string can be written to");
                if *line == word {
                    break;
                }
            }
        }
        while command.ends_with('\\') {
            let line = lines.next().expect("the command goes on");
            write!(command, "\n{line}").expect("a string can be written to");
        }
        commands.push((command, Vec::new()));
    }
    commands
}

/// Returns what is done on a page.
fn steps(page: &Page) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut file = None;
    for block in &page.blocks {
        match block {
            Block::Hidden(command) => steps.push(Step::Hidden(command.clone())),
            Block::File(name) => file = Some(name.clone()),
            Block::Code { lines, .. } if file.is_some() => steps.extend(file.take().map(|name| Step::File {
                name,
                text: lines.join("\n") + "\n",
            })),
            Block::Code { info, lines } if info == "console" => {
                let commands = commands(lines).into_iter();
                steps.extend(commands.map(|(typed, shown)| Step::Command { typed, shown }));
            }
            Block::Code { info, lines } if info == "console,keep" => {
                let commands = commands(lines).into_iter();
                steps.extend(commands.map(|(typed, shown)| Step::Program { typed, shown }));
            }
            Block::Code { .. } | Block::LeftOut(_) => {}
        }
    }
    steps
}

/// Returns the command for the shell of a computer.
fn computer(mount_point: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--uts", "--ipc", "--net", "--pid"]);
    command.args(["--fork", "--kill-child", "--mount-proc"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .arg("bash")
        .arg(repository("tests/book/computer"))
        .arg(mount_point)
        .arg(env!("CARGO_BIN_EXE_labwire"))
        .arg(python_environment());
    command
}

/// The shell of a computer. Everything that runs on it ends with it.
struct Computer {
    shell: Process,
    /// Files that the computer and the test share.
    shared: tempfile::TempDir,
    _mount_point: tempfile::TempDir,
    typed: usize,
    /// With what the lines begin that the page does not show.
    left_out: Vec<String>,
    /// Whether a program may still be starting of which nothing is to be seen.
    is_starting: bool,
}

impl Computer {
    /// Returns `None`, and reports it, where a computer of namespaces cannot be made.
    fn start() -> Option<Self> {
        let [shared, mount_point] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut attempt = computer(mount_point.path());
        // Its shell ends at once.
        let attempt = attempt.stdin(Stdio::null()).output().expect("unshare is there");
        if !attempt.status.success() {
            let reason = String::from_utf8_lossy(&attempt.stderr).into_owned();
            left_out(&format!(
                "the sessions of the book, which need namespaces: {}",
                reason.trim()
            ));
            return None;
        }
        Some(Self {
            shell: Process::spawn("the computer", &mut computer(mount_point.path())),
            shared,
            _mount_point: mount_point,
            typed: 0,
            left_out: Vec::new(),
            is_starting: false,
        })
    }

    fn printed(&self, file: &Path) -> Vec<String> {
        let text = fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let is_left_out = |line: &&str| self.left_out.iter().any(|beginning| line.starts_with(beginning));
        // A page shows no blank lines at the end.
        let lines = text.trim_end().lines().filter(|line| !is_left_out(line));
        lines.map(str::to_owned).collect()
    }

    /// Types a command, and returns the file with its output.
    fn type_command(&mut self, command: &str, background: &str) -> std::path::PathBuf {
        self.typed += 1;
        let script = self.shared.path().join(format!("{}.sh", self.typed));
        fs::write(&script, format!("{command}\n")).unwrap();
        let output = script.with_extension("out");
        let (script, printed) = (script.display(), output.display());
        self.shell
            .type_line(&format!(". {script} </dev/null >{printed} 2>&1 {background}"));
        self.shell.type_line(&format!("echo typed {}", self.typed));
        let typed = format!("typed {}", self.typed);
        self.shell.wait_for(command, |line| (line == typed).then_some(()));
        output
    }

    fn execute(&mut self, step: &Step) {
        match step {
            Step::Hidden(command) => drop(self.type_command(command, "")),
            Step::File { name, text } => {
                let source = self.shared.path().join(format!("{}.file", self.typed));
                fs::write(&source, text).unwrap();
                let source = source.display();
                self.type_command(&format!("mkdir -p $(dirname {name}); cp {source} {name}"), "");
            }
            Step::Command { typed, shown } => {
                let deadline = Instant::now() + DEADLINE;
                loop {
                    let output = self.type_command(typed, "");
                    let printed = self.printed(&output);
                    if is_shape(shown, &printed) {
                        break;
                    }
                    let may_come = self.is_starting && Instant::now() < deadline;
                    assert!(may_come, "{}", difference(typed, shown, &printed));
                    std::thread::sleep(POLL_INTERVAL);
                }
                self.is_starting = false;
            }
            Step::Program { typed, shown } => {
                let output = self.type_command(typed, "&");
                self.is_starting |= shown.is_empty();
                let deadline = Instant::now() + DEADLINE;
                while !begins_with_shape(shown, &self.printed(&output)) {
                    let printed = self.printed(&output);
                    assert!(
                        Instant::now() < deadline,
                        "{}",
                        difference(typed, shown, &printed)
                    );
                    std::thread::sleep(POLL_INTERVAL);
                }
            }
        }
    }
}

fn difference(typed: &str, shown: &[String], printed: &[String]) -> String {
    let [shown, printed] = [shown, printed].map(|lines| lines.join("\n"));
    format!("`{typed}` prints:\n{printed}\n\nand the page shows:\n{shown}")
}

/// Does what a page shows.
fn follow(name: &str) {
    let page = Page::read(&repository("docs/src").join(name));
    let Some(mut computer) = Computer::start() else {
        return;
    };
    for block in &page.blocks {
        if let Block::LeftOut(beginning) = block {
            computer.left_out.push(beginning.clone());
        }
    }
    for step in steps(&page) {
        computer.execute(&step);
    }
}

/// Defines a test for each page, and the list of them.
macro_rules! pages_with_sessions {
    ($($test:ident: $page:literal,)*) => {
        const PAGES: &[&str] = &[$($page),*];
        $(
            #[test]
            fn $test() {
                follow($page);
            }
        )*
    };
}

pages_with_sessions! {
    five_minutes_print_what_the_page_shows: "five-minutes.md",
    the_rust_tutorial_prints_what_the_page_shows: "tutorials/rust.md",
    the_python_tutorial_prints_what_the_page_shows: "tutorials/python.md",
    the_shell_tutorial_prints_what_the_page_shows: "tutorials/shell.md",
    an_instrument_without_code_prints_what_the_page_shows: "tutorials/instrument.md",
    the_labview_tutorial_prints_what_the_page_shows: "tutorials/labview.md",
    the_laboratory_prints_what_the_page_shows: "laboratory.md",
    moving_from_msl_network_prints_what_the_page_shows: "msl-network.md",
    who_may_do_what_prints_what_the_page_shows: "who.md",
    operating_prints_what_the_page_shows: "operating.md",
    troubleshooting_prints_what_the_page_shows: "troubleshooting.md",
}

#[test]
fn every_page_with_a_session_is_followed() {
    for (name, page) in pages() {
        let is_session =
            |block: &Block| matches!(block, Block::Code { info, .. } if info.starts_with("console"));
        let is_of_the_book = page.path.starts_with(repository("docs/src"));
        let has_session = is_of_the_book && page.blocks.iter().any(is_session);
        assert_eq!(has_session, PAGES.contains(&name.as_str()), "{name}");
    }
}
