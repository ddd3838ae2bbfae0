// Another computer with an SSH server, in the process of an example in the documentation.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use labwire_client::ssh::{HostKeys, SshOptions};
use russh::server::{Auth, Config, Handle, Handler, Msg, Session};
use russh::{Channel, ChannelId};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tempfile::TempDir;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Says that a manager runs, and stays.
const MANAGER: &str = "#!/bin/sh\necho \"$@\"; echo 'Network Manager running on raspberrypi:1876 (TLS ENABLED)'; exec sleep 60\n";

/// Fails as a program does whose port is taken.
const FAILS: &str = "#!/bin/sh\necho 'the port 1876 is in use'; exit 3\n";

/// Runs an example beside a computer whose home folder has the programs `bin/mypackage` and `bin/fails`.
pub(crate) fn lab(example: impl AsyncFnOnce(Pi) -> Result<(), Failure>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { example(Pi::start().await).await.unwrap() });
}

/// The same for an example without a runtime of its own.
pub(crate) fn blocking_lab(example: impl FnOnce(Pi) -> Result<(), Failure>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    example(runtime.block_on(Pi::start())).unwrap();
}

/// The computer. What was started on it ends when it is dropped.
pub(crate) struct Pi {
    home: TempDir,
    port: u16,
    started: Arc<Mutex<Vec<Child>>>,
}

impl Pi {
    async fn start() -> Self {
        let home = TempDir::with_prefix("labwire-pi-").unwrap();
        std::fs::create_dir(home.path().join("bin")).unwrap();
        for (name, script) in [("mypackage", MANAGER), ("fails", FAILS)] {
            let path = home.path().join("bin").join(name);
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        make_key(&home.path().join("host_key"), "");
        let key = russh::keys::load_secret_key(home.path().join("host_key"), None).unwrap();
        let config = Arc::new(Config {
            keys: vec![key],
            auth_rejection_time: std::time::Duration::ZERO,
            ..Config::default()
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pi = Self {
            port: listener.local_addr().unwrap().port(),
            started: Arc::default(),
            home,
        };
        let (home, started) = (pi.home.path().to_owned(), Arc::clone(&pi.started));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let peer = Peer {
                    home: home.clone(),
                    started: Arc::clone(&started),
                    input: Arc::default(),
                };
                let session = russh::server::run_stream(Arc::clone(&config), stream, peer);
                tokio::spawn(async move { session.await?.await });
            }
        });
        pi
    }

    /// Makes options lead here, where nothing is known and asked of the user who runs the example.
    pub(crate) fn at(&self, options: SshOptions) -> SshOptions {
        options
            .port(self.port)
            .known_hosts(self.home.path().join("known_hosts"))
            .host_keys(HostKeys::Accept)
    }

    /// Options that log in.
    pub(crate) fn options(&self) -> SshOptions {
        self.at(SshOptions::new("pi@localhost").password("raspberry"))
    }

    /// A file in the home folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Makes a key file that lets `pi` in.
    pub(crate) fn key_file(&self, passphrase: &str) -> PathBuf {
        let path = self.path("key");
        make_key(&path, passphrase);
        path
    }

    /// The fingerprint of the server's key.
    pub(crate) fn fingerprint(&self) -> String {
        let key = russh::keys::load_secret_key(self.path("host_key"), None).unwrap();
        key.public_key()
            .fingerprint(russh::keys::HashAlg::Sha256)
            .to_string()
    }
}

impl Drop for Pi {
    fn drop(&mut self) {
        for mut process in self.started.lock().unwrap().drain(..) {
            // Programs that a shell has left running are of its group, which is there as long as one of them is.
            let _ = kill_process_group(Pid::from_child(&process), Signal::KILL);
            let _ = process.wait();
        }
    }
}

fn make_key(path: &Path, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", passphrase, "-C", "example", "-f"])
        .arg(path)
        .status();
    assert!(
        made.expect("ssh-keygen is there; install openssh-client")
            .success()
    );
}

/// Who has connected: `pi` with a key or with the password `raspberry`.
struct Peer {
    home: PathBuf,
    started: Arc<Mutex<Vec<Child>>>,
    input: Arc<Mutex<Option<ChildStdin>>>,
}

impl Handler for Peer {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        if (user, password) == ("pi", "raspberry") {
            return Ok(Auth::Accept);
        }
        Ok(Auth::reject())
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        _: russh::server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(if user == "pi" {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: russh::server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(String::from_utf8_lossy(command).as_ref())
            .env("HOME", &self.home)
            .current_dir(&self.home)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        *self.input.lock().unwrap() = shell.stdin.take();
        let (output, errors) = (shell.stdout.take().unwrap(), shell.stderr.take().unwrap());
        let process = Pid::from_child(&shell);
        self.started.lock().unwrap().push(shell);
        session.channel_success(channel)?;
        let handle = session.handle();
        tokio::task::spawn_blocking(move || tell(process, output, errors, channel, &handle));
        Ok(())
    }

    async fn data(&mut self, _: ChannelId, data: &[u8], _: &mut Session) -> Result<(), russh::Error> {
        if let Some(input) = self.input.lock().unwrap().as_mut() {
            // A command that reads nothing may have ended.
            let _ = input.write_all(data);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, _: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        *self.input.lock().unwrap() = None;
        Ok(())
    }

    async fn channel_close(&mut self, _: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        *self.input.lock().unwrap() = None;
        Ok(())
    }
}

/// Passes on what a command writes, and tells how it ended.
fn tell(
    process: Pid,
    mut output: impl Read,
    mut errors: impl Read + Send,
    channel: ChannelId,
    handle: &Handle,
) {
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pass_on(&mut errors, |bytes| {
                runtime.block_on(handle.extended_data(channel, 1, bytes)).is_ok()
            });
        });
        pass_on(&mut output, |bytes| {
            runtime.block_on(handle.data(channel, bytes)).is_ok()
        });
    });
    // It is left to be waited for, so that its number stays its own.
    let status = waitid(
        WaitId::Pid(process),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    );
    let code = status.ok().flatten().and_then(|status| status.exit_status());
    runtime.block_on(async {
        let code = code.and_then(|code| u32::try_from(code).ok()).unwrap_or(255);
        let _ = handle.exit_status_request(channel, code).await;
        let _ = handle.eof(channel).await;
        let _ = handle.close(channel).await;
    });
}

fn pass_on(source: &mut impl Read, send: impl Fn(Vec<u8>) -> bool) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = source.read(&mut buffer) {
        if !send(buffer[..read].to_vec()) {
            return;
        }
    }
}
