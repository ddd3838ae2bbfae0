//! The scripts around the tests: missing programs are reported before anything is compiled, and a
//! claim needs its test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A computer with very few programs, as a folder.
struct Computer(TempDir);

impl Computer {
    /// `user` is the number of the user; 0 is the superuser.
    fn new(user: u32) -> Self {
        let computer = Self(tempfile::tempdir().unwrap());
        let folders: Vec<_> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
        for name in ["bash", "cat", "dirname", "grep", "tr", "sort"] {
            let mut places = folders.iter().map(|folder| folder.join(name));
            let place = places.find(|place| place.exists()).unwrap();
            symlink(place, computer.0.path().join(name)).unwrap();
        }
        computer.with("id", &format!("echo {user}"))
    }

    /// Adds a program that runs this shell script.
    fn with(self, name: &str, words: &str) -> Self {
        let path = self.0.path().join(name);
        fs::write(&path, format!("#!{}/bash\n{words}\n", self.0.path().display())).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Runs the tests there, without a terminal for questions.
    fn runs_the_tests(&self, variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new("bash");
        command
            .arg(root().join("tests/run"))
            .env_clear()
            .env("PATH", self.0.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        command.output().unwrap()
    }
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

#[test]
fn what_the_tests_need_is_named_with_the_command_that_installs_it() {
    let computer = Computer::new(1_000).with("apt-get", "echo it must not be started; exit 9");
    let output = computer.runs_the_tests(&[]);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let command = "sudo apt-get install -y -q --no-install-recommends ";
    let packages = told.split_once(command).expect(&told).1;
    for package in ["build-essential", "python3-venv", "openssl", "netcat-openbsd"] {
        assert!(packages.contains(package), "{told}");
    }
    assert!(!told.contains("cargo"), "{told}");
}

#[test]
fn what_the_tests_need_is_installed_for_the_superuser_and_where_nobody_can_be_asked() {
    for (user, variables, starts) in [
        (0, &[][..], "apt-get install -y "),
        (1_000, &[("CI", "true")], "sudo apt-get install -y "),
    ] {
        let computer = Computer::new(user)
            .with("apt-get", "echo \"started: apt-get $*\"")
            .with("sudo", "echo \"started: sudo $*\"");
        let output = computer.runs_the_tests(variables);
        let told = told(&output);
        assert!(told.contains(&format!("started: {starts}")), "{told}");
        // The installation has changed nothing, and that is detected before anything is compiled.
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("still missing after the installation"), "{told}");
        assert!(!told.contains("cargo"), "{told}");
    }
}

#[test]
fn without_a_package_manager_that_is_known_the_packages_are_named() {
    let output = Computer::new(0).runs_the_tests(&[]);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("openssl") && told.contains("names of Debian packages"),
        "{told}"
    );
}

/// Checks the claims of SECURITY.md against the output of a test runner.
fn check_claims(printed: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("printed");
    fs::write(&file, printed).unwrap();
    let mut command = Command::new("bash");
    command
        .arg(root().join("tests/claims"))
        .arg(file)
        .output()
        .unwrap()
}

#[test]
fn a_claim_needs_a_test_that_has_passed() {
    let page = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let is_test = |code: &&str| {
        code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && code.matches('_').count() >= 3
    };
    let names: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(names.len() > 30, "{names:?}");
    let passed = |name: &&str| format!("test hardening::module::{name} ... ok\n");
    let printed: String = names.iter().map(passed).collect();
    let output = check_claims(&printed);
    assert!(output.status.success(), "{}", told(&output));

    let claimed = names[7];
    for other in [
        String::new(),
        format!("test hardening::module::{claimed} ... FAILED\n"),
        format!("test hardening::module::{claimed} ... ignored\n"),
        format!("test hardening::module::not_{claimed} ... ok\n"),
    ] {
        let output = check_claims(&printed.replace(&passed(&claimed), &other));
        let told = told(&output);
        assert!(!output.status.success(), "{other:?}: {told}");
        assert!(told.contains(&format!("`{claimed}`")), "{other:?}: {told}");
    }
}

/// What a test has started is stopped when the test fails, and would go on running if the process
/// ended at once.
#[test]
fn a_missing_requirement_fails_a_test_and_does_not_end_the_process() {
    let failed = std::panic::catch_unwind(|| crate::support::requirements::give_up("a program is missing"));
    let reason = failed.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*reason, "a program is missing");
}
