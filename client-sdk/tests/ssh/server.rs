//! An `sshd` of the test's own, and an agent.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use labwire_client::ssh::{HostKeys, Ssh, SshOptions};
use tempfile::TempDir;

/// How long anything may take that a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// How often another port is tried when somebody else was faster.
const PORT_ATTEMPTS: usize = 10;

/// A running server. Its folder holds the keys, and whatever the test puts there; it ends when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
    folder: TempDir,
}

impl Server {
    /// Starts a server that lets the current user in with the key file `user_key`.
    pub(crate) fn start() -> Self {
        let folder = TempDir::with_prefix("labwire-sshd-").unwrap();
        make_key(&folder.path().join("host_key"), "ed25519", "");
        let public = make_key(&folder.path().join("user_key"), "ed25519", "");
        std::fs::write(folder.path().join("authorized_keys"), public).unwrap();
        for _ in 0..PORT_ATTEMPTS {
            if let Some((process, port)) = start_sshd(folder.path()) {
                return Self {
                    process,
                    port,
                    folder,
                };
            }
        }
        panic!("no free port for sshd in {PORT_ATTEMPTS} attempts");
    }

    /// A file in the server's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in the server's folder, as text.
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Lets one more key in.
    pub(crate) fn authorize(&self, public: &str) {
        let mut keys = self.text("authorized_keys");
        keys.push_str(public);
        std::fs::write(self.path("authorized_keys"), keys).unwrap();
    }

    /// Options without a way to log in, which accept the server.
    pub(crate) fn options(&self) -> SshOptions {
        SshOptions::new(format!("{}@127.0.0.1", user()))
            .port(self.port)
            .known_hosts(self.path("known_hosts"))
            .host_keys(HostKeys::Accept)
            .timeout(DEADLINE)
            .ask_with(|question| panic!("nobody is to be asked, but {question:?}"))
    }

    /// Options that lead to the server and log in.
    pub(crate) fn with_key(&self) -> SshOptions {
        self.options().key_file(self.path("user_key"))
    }

    pub(crate) async fn connect(&self) -> Ssh {
        Ssh::connect(&self.with_key()).await.unwrap()
    }

    /// Writes a program into the server's folder; gives its path.
    pub(crate) fn program(&self, name: &str, script: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An `ssh-agent`; it ends when it is dropped.
pub(crate) struct Agent {
    process: Child,
    pub(crate) socket: PathBuf,
}

impl Agent {
    pub(crate) fn start(folder: &Path) -> Self {
        let socket = folder.join("agent");
        let mut command = Command::new("ssh-agent");
        command
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = spawn(&mut command, "openssh-client");
        // It tells its socket when it listens there.
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.contains("SSH_AUTH_SOCK"), "{line}");
        Self { process, socket }
    }

    pub(crate) fn add(&self, key: &Path) {
        let mut command = Command::new("ssh-add");
        command
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .stderr(Stdio::null());
        assert!(spawn(&mut command, "openssh-client").wait().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes a pair of keys; gives the public one.
pub(crate) fn make_key(path: &Path, kind: &str, passphrase: &str) -> String {
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
        .arg(path);
    assert!(spawn(&mut command, "openssh-client").wait().unwrap().success());
    std::fs::read_to_string(path.with_extension("pub")).unwrap()
}

/// The fingerprint of a key, as OpenSSH tells it.
pub(crate) fn fingerprint(path: &Path) -> String {
    let output = Command::new("ssh-keygen").arg("-lf").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

/// The user that the tests run as.
pub(crate) fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn spawn(command: &mut Command, package: &str) -> Child {
    command.spawn().unwrap_or_else(|error| {
        panic!(
            "the tests need {}, which is missing here ({error}); install it with: sudo apt-get install -y {package}",
            command.get_program().display()
        )
    })
}

/// Starts `sshd` on a free port. `None` when somebody else took that port before it could.
fn start_sshd(folder: &Path) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = folder.join("sshd_config");
    std::fs::write(
        &config,
        format!(
            "ListenAddress 127.0.0.1\nHostKey {0}/host_key\nAuthorizedKeysFile {0}/authorized_keys\nPidFile none\n\
             UsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nLogLevel VERBOSE\n",
            folder.display()
        ),
    )
    .unwrap();
    prepare_privilege_separation();
    let sshd = if Path::new("/usr/sbin/sshd").exists() {
        "/usr/sbin/sshd"
    } else {
        "sshd"
    };
    let mut command = Command::new(sshd);
    command
        .args(["-D", "-e", "-f"])
        .arg(&config)
        .args(["-p", &port.to_string()]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut process = spawn(&mut command, "openssh-server");
    let (sender, lines) = mpsc::channel();
    let stderr = BufReader::new(process.stderr.take().unwrap());
    // What it says is kept for a test that fails, and read to the end, so that it is never held up.
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut said = Vec::new();
    while let Ok(line) = lines.recv_timeout(DEADLINE) {
        if line.contains("Server listening on") {
            return Some((process, port));
        }
        said.push(line);
    }
    // It has ended, or says nothing more.
    let _ = process.kill();
    let _ = process.wait();
    assert!(
        said.iter().any(|line| line.contains("Address already in use")),
        "sshd does not start; it said: {said:#?}"
    );
    None
}

/// The superuser's `sshd` wants an empty folder, which Debian's service makes when it starts. Without that service
/// nobody has made it.
fn prepare_privilege_separation() {
    let folder = Path::new("/run/sshd");
    if user() == "root" && !folder.exists() {
        std::fs::create_dir_all(folder).unwrap();
    }
}
