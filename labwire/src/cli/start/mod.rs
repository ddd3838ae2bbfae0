//! `labwire start`: the manager itself.

mod certificate;
mod options;

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use labwire_home::{Home, create_private_folder, fingerprint_sha256};
use labwire_manager::{
    Authentication, Level, Limits, Manager, ManagerHandle, ReloadableCertificate, Settings, Store,
    StoreOptions, TlsFiles, hostname, load_certified_key, server_config, start_logging,
};
use rustls::sign::CertifiedKey;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::cli::{UsageError, explain, secret};

use certificate::Prepared;
use options::Options;

pub(crate) use options::StartArgs;

/// The port that peers use when they are not told another one: the year in which the BIPM was founded.
const DEFAULT_PORT: u16 = 1875;

/// How long threads that cannot be interrupted are waited for at the end.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// Starts the manager and serves until it is asked to stop.
pub(crate) fn run(arguments: StartArgs) -> anyhow::Result<()> {
    let options = arguments.complete()?;
    let level = level(&options)?;
    let authentication = authentication(&options)?;
    let home = Home::resolve()?;
    allow_many_descriptors();
    let prepared = prepare_certificate(&home, &options)?;
    let database = options.database.clone().unwrap_or_else(|| home.database());
    let is_new_database = !database.exists();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the manager")?;
    let unusable = || format!("cannot use the database {}", database.display());
    let store = Store::open(&database, &store_options(&options)).with_context(unusable)?;
    let no_users = || runtime.block_on(store.usernames()).map(|names| names.is_empty());
    if authentication == Authentication::Login && no_users().with_context(unusable)? {
        bail!(
            "The 'auth_users' table is empty, no one could log in\n\
             To add a user to the 'auth_users' table run the \"labwire user\" command"
        );
    }

    let log_file = log_file(&home, &options)?;
    let format = options.log_format.unwrap_or_default().into();
    let (log, log_guard) = start_logging(&log_file, level, format)
        .with_context(|| format!("cannot write the log file {}", log_file.display()))?;
    if let Some(prepared) = &prepared {
        tell_certificate(prepared);
    }
    info!(
        "{} the database {}",
        if is_new_database { "created" } else { "loaded" },
        database.display()
    );
    tell_authentication(&authentication);

    let certificate = prepared.map(|prepared| {
        (
            prepared.files,
            Arc::new(ReloadableCertificate::new(prepared.certified)),
        )
    });
    let tls = certificate
        .as_ref()
        .map(|(_, certificate)| server_config(Arc::clone(certificate) as _));
    let settings = Settings {
        authentication,
        limits: Limits::default(),
        store,
        tls,
        log,
    };
    let served = runtime.block_on(serve(&options, settings, certificate));
    if let Err(error) = &served {
        error!("{}", explain(error));
    }
    // A lookup or a password's hash that is still under way on a thread is not waited for.
    runtime.shutdown_timeout(LAST_THREADS);
    drop(log_guard);
    served
}

/// Takes all the descriptors that the system grants: each connection needs one, and the usual limit of 1,024 is
/// kept low only for programs that use `select`.
fn allow_many_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Without it the manager serves fewer peers at once, and says so when they come.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    }
}

/// The one way in which peers are admitted.
fn authentication(options: &Options) -> anyhow::Result<Authentication> {
    let is_on = |flag: Option<bool>| flag.unwrap_or(false);
    let chosen: Vec<_> = [
        ("--auth-hostname", is_on(options.auth_hostname)),
        ("--auth-login", is_on(options.auth_login)),
        ("--auth-password", options.auth_password.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_chosen)| is_chosen.then_some(name))
    .collect();
    if chosen.len() > 1 {
        bail!(UsageError(format!(
            "Cannot specify multiple authentication methods: {} were given here, in the environment or in the \
             configuration",
            chosen.join(" and ")
        )));
    }
    let open = is_on(options.open);
    if let (true, Some(name)) = (open, chosen.first()) {
        bail!(UsageError(format!(
            "--open admits everyone, it cannot go with {name}"
        )));
    }
    Ok(if let Some(words) = &options.auth_password {
        let password = secret::resolve(words, "The password for the manager: ");
        Authentication::Password(password.context("--auth-password")?)
    } else if is_on(options.auth_login) {
        Authentication::Login
    } else if is_on(options.auth_hostname) {
        Authentication::Hostname
    } else {
        Authentication::None { open }
    })
}

fn level(options: &Options) -> anyhow::Result<Level> {
    let text = options.log_level.as_deref().unwrap_or("INFO");
    let wrong = || {
        UsageError(format!(
            "Cannot set logging level to '{text}', use TRACE, DEBUG, INFO, WARNING, ERROR or a number"
        ))
    };
    Ok(Level::parse(text).ok_or_else(wrong)?)
}

fn prepare_certificate(home: &Home, options: &Options) -> anyhow::Result<Option<Prepared>> {
    if options.disable_tls.unwrap_or(false) {
        return Ok(None);
    }
    let password = options.key_file_password.as_ref();
    let password = password
        .map(|words| secret::resolve(words, "The password of the private key: "))
        .transpose()
        .context("--key-file-password")?;
    Ok(Some(certificate::prepare(home, options, password)?))
}

fn store_options(options: &Options) -> StoreOptions {
    let default = StoreOptions::default();
    StoreOptions {
        audit_max_rows: options.connections_max_rows.unwrap_or(default.audit_max_rows),
        audit_max_age_days: options.connections_max_days.unwrap_or(default.audit_max_age_days),
        upgrade_passwords: options.upgrade_passwords.unwrap_or(default.upgrade_passwords),
    }
}

fn log_file(home: &Home, options: &Options) -> anyhow::Result<PathBuf> {
    let path = options.log_file.clone().unwrap_or_else(|| home.new_log_file());
    if let Some(folder) = path.parent() {
        create_private_folder(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    Ok(path)
}

/// The first line of the log: existing tools read the certificate's path from its end.
fn tell_certificate(prepared: &Prepared) {
    info!("loaded certificate {}", prepared.files.certificate.display());
    for created in &prepared.created {
        info!("{created}");
    }
    tell_fingerprint(&prepared.certified);
    let files = &prepared.files;
    let key = files.key.as_ref().unwrap_or(&files.certificate);
    if key
        .metadata()
        .is_ok_and(|key| key.permissions().mode() & 0o077 != 0)
    {
        let key = key.display();
        warn!(
            "other users of this computer can read the private key, unless it is encrypted: chmod 600 {key}"
        );
    }
}

fn tell_fingerprint(certified: &CertifiedKey) {
    if let Some(certificate) = certified.cert.first() {
        info!(
            "the certificate's SHA-256 fingerprint is {}",
            fingerprint_sha256(certificate)
        );
    }
}

fn tell_authentication(authentication: &Authentication) {
    match authentication {
        Authentication::Hostname => info!("using trusted hosts for authentication"),
        Authentication::Password(_) => info!("using a password for authentication"),
        Authentication::Login => info!("using a login for authentication"),
        Authentication::None { open: true } => {
            warn!(
                "not using authentication: EVERYONE who can reach this computer can use every service (--open)"
            );
        }
        Authentication::None { open: false } => {
            info!(
                "not using authentication, serving this computer only (see --auth-password, --auth-login, --auth-hostname)"
            );
        }
    }
}

type Certificate = (TlsFiles, Arc<ReloadableCertificate>);

async fn serve(
    options: &Options,
    settings: Settings,
    certificate: Option<Certificate>,
) -> anyhow::Result<()> {
    let host = options.host.as_deref();
    let port = options.port.unwrap_or(DEFAULT_PORT);
    let signals = Signals::new().context("cannot listen for signals")?;
    let manager = Manager::bind(host, port, settings)
        .await
        .map_err(|error| cannot_listen(host, port, &error))?;
    let handle = manager.handle();
    let next = next_steps(host, manager.port(), certificate.as_ref().map(|(files, _)| files));
    let state = if certificate.is_some() {
        "ENABLED"
    } else {
        "DISABLED"
    };
    let host = host.map_or_else(hostname, str::to_owned);
    info!(
        "Network Manager running on {host}:{} (TLS {state})",
        manager.port()
    );
    for line in next {
        info!("{line}");
    }
    let following = tokio::spawn(signals.follow(handle, certificate));
    manager.run(std::future::pending()).await;
    following.abort();
    Ok(())
}

/// Why the manager cannot listen, and what to do about it.
fn cannot_listen(host: Option<&str>, port: u16, error: &std::io::Error) -> anyhow::Error {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            "; another program, perhaps another manager, listens there: stop it, or choose a port with --port"
        }
        ErrorKind::PermissionDenied => "; choose a port above 1023 with --port",
        ErrorKind::AddrNotAvailable => "; --host must be a name or an address of this computer",
        _ => "",
    };
    anyhow!("cannot listen on {}:{port}: {error}{remedy}", host.unwrap_or("*"))
}

/// What a person may want to type next.
fn next_steps(host: Option<&str>, port: u16, tls: Option<&TlsFiles>) -> [String; 2] {
    let host = host.unwrap_or("localhost");
    let by_hand = match tls {
        None => format!("nc {host} {port}"),
        Some(files) => {
            // An IPv6 address goes between brackets, so that its colons are not taken for the port's.
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host.to_owned()
            };
            let certificate = for_shell(&files.certificate);
            format!("openssl s_client -quiet -connect {host}:{port} -CAfile {certificate}")
        }
    };
    [
        format!("to talk to it by hand: {by_hand}   then type: client, identity, exit"),
        "to make an administrator: labwire user add NAME --admin   to stop: Ctrl-C".to_owned(),
    ]
}

/// A path as it is typed into a shell: between quotes if it needs them.
fn for_shell(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+@%,:=".contains(character);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The signals that a manager follows.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The first request to stop lets requests under way be answered, the second does not wait for them.
    async fn follow(mut self, manager: ManagerHandle, certificate: Option<Certificate>) {
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => info!("CTRL+C keyboard interrupt received"),
                _ = self.terminate.recv() => info!("termination signal received"),
                _ = self.hang_up.recv() => {
                    reload(&manager, certificate.as_ref()).await;
                    continue;
                }
            }
            if stopping {
                manager.stop_waiting();
            }
            manager.shut_down();
            stopping = true;
        }
    }
}

/// Takes up what was changed on disk. What cannot be read stays as it is.
async fn reload(manager: &ManagerHandle, certificate: Option<&Certificate>) {
    match manager.reload().await {
        Ok(()) => info!("opened the log file anew and looked up the trusted hostnames"),
        Err(error) => error!("cannot open the log file anew, the old one is kept: {error}"),
    }
    if let Some((files, current)) = certificate {
        match load(files.clone()).await {
            Ok(certified) => {
                info!("loaded certificate {}", files.certificate.display());
                tell_fingerprint(&certified);
                current.replace(certified);
            }
            Err(error) => error!(
                "cannot load the certificate, the old one is kept: {}",
                explain(&error)
            ),
        }
    }
}

/// Loads certificate and key beside what the manager's threads do: an encrypted key takes a while.
async fn load(files: TlsFiles) -> anyhow::Result<Arc<CertifiedKey>> {
    let TlsFiles {
        certificate,
        key,
        key_password,
    } = files;
    let load = move || load_certified_key(&certificate, key.as_deref(), key_password.as_deref());
    let loaded = tokio::task::spawn_blocking(load).await;
    Ok(loaded.context("the loading of the key has failed")??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_copied_into_a_shell() {
        for (path, typed) in [
            (
                "/home/ada/.labwire/certs/localhost.crt",
                "/home/ada/.labwire/certs/localhost.crt",
            ),
            ("/lab 7/a.crt", "'/lab 7/a.crt'"),
            ("/ada's $HOME", r"'/ada'\''s $HOME'"),
        ] {
            assert_eq!(for_shell(Path::new(path)), typed);
        }
    }
}
