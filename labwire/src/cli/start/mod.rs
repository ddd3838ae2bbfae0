//! `labwire start`: runs the manager.

mod budgets;
mod certificate;
mod check;
mod clients;
mod hints;
mod limits;
mod notify;
mod options;
mod plan;
mod port_user;
mod record;
mod sources;
mod values;

use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use labwire_device::{StopSignal, StopSignals};
use labwire_home::{Home, create_private_folder, fingerprint_sha256, hostname};
use labwire_manager::{
    Authentication, Level, LogControl, Manager, ManagerHandle, TERMINAL_TARGET, may_be_log, start_logging,
};
use labwire_pki::{CertificateHealth, TlsFiles, load_certified_key};
use labwire_store::totp_key_file;
use rustls::sign::CertifiedKey;
use tracing::{error, info, warn};

use crate::cli::{UsageError, ending, explain, secret};
use crate::system::{self, ReloadSignal};

use clients::ClientFiles;
use notify::Notifier;
use plan::{Ready, Reloadable};

pub(crate) use options::{Options, StartArgs};
pub(crate) use plan::Plan;
pub(crate) use record::{RecordPlace, record_beside, record_in};

/// Timeout for threads that cannot be interrupted when the program ends.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// Starts the manager and serves until a signal or an administrator stops it.
pub(crate) fn run(arguments: StartArgs) -> anyhow::Result<()> {
    if arguments.check {
        return check::run(arguments);
    }
    let options = arguments.complete()?;
    level(&options)?;
    let limits = limits::limits(&options)?;
    limits::log_rotation(&options)?;
    record::options(&options)?;
    let authentication = authentication(&options)?;
    let home = Home::resolve()?;
    let plan = Plan {
        key_password: key_password(&options)?,
        options,
        authentication,
        limits,
        home,
    };
    let serve = async |serving: Serving| {
        serving.announcement.tell();
        serving.manager.run(std::future::pending()).await;
        Ok(())
    };
    plan.run(serve, ManagerHandle::shut_down)
}

/// A manager that is bound, with its log started.
pub(crate) struct Serving {
    pub(crate) manager: Manager,
    /// The file of the certificate, if there is one.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) announcement: Announcement,
}

/// The log lines at the end of a start: hints, and that the manager runs. A supervisor is told the latter,
/// too.
pub(crate) struct Announcement {
    hints: Vec<String>,
    running: String,
    notifier: Option<Arc<Notifier>>,
}

impl Announcement {
    /// Logs that the manager runs. Scripts wait for this line, which is the last one of a start.
    /// The hints come before it, and only on a terminal.
    pub(crate) fn tell(self) {
        system::tell_running();
        if stdout().is_terminal() {
            for hint in self.hints {
                info!(target: TERMINAL_TARGET, "{hint}");
            }
        }
        info!("{}", self.running);
        if let Some(notifier) = self.notifier {
            notifier.ready(&self.running);
        }
    }
}

impl Plan {
    /// Starts the log and the manager, and runs `serve` with the manager. The first signal to stop
    /// calls `on_signal`; a second one stops the manager at once.
    pub(crate) fn run<T>(
        self,
        serve: impl AsyncFnOnce(Serving) -> anyhow::Result<T>,
        on_signal: impl Fn(&ManagerHandle) + Send + 'static,
    ) -> anyhow::Result<T> {
        let level = level(&self.options)?;
        system::prepare_descriptors(self.limits.connections);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the threads of the manager")?;
        runtime
            .block_on(async { system::keep_file_size_limit() })
            .context("cannot listen for signals")?;
        let overlooked = overlooked(&self.home);
        // Checked before any file is created.
        expect_log(&log_path(&self.home, &self.options))?;
        runtime.block_on(self.check_listening())?;
        let ready = self.prepare()?;
        runtime.block_on(ready.check_admission(&self))?;
        let log_file = log_file(&self.home, &self.options)?;
        let format = self.options.log_format.unwrap_or_default().into();
        let rotation = limits::log_rotation(&self.options)?;
        let (log, log_guard) = start_logging(&log_file, level, format, rotation).with_context(|| {
            format!(
                "cannot write the log file {} (choose another one with --log-file or LABWIRE_LOG_FILE)",
                log_file.display()
            )
        })?;
        ready.tell(self.options.host.as_deref());
        if let Some(overlooked) = overlooked {
            info!("{overlooked}");
        }
        tell_authentication(&self.authentication);
        if self.options.roles.unwrap_or(false) {
            tell_roles(&self.authentication, ClientFiles::are_in(&self.options));
        }
        info!("this manager counts on {}", budgets::told(&self.limits));
        if let Some(doubt) = budgets::doubt(&self.limits, self.options.line, self.options.queue) {
            warn!("{doubt}");
        }
        let served = runtime.block_on(async {
            let signals = Signals::new().context("cannot listen for signals")?;
            ending::hand_over();
            let (serving, files) = self.bind(ready, log).await?;
            let handle = serving.manager.handle();
            let host = self.options.host.clone();
            let notifier = serving.announcement.notifier.clone();
            let attending = notifier.clone().map(|notifier| {
                let (handle, drain) = (handle.clone(), self.limits.drain);
                tokio::spawn(async move { notifier.attend(&handle, drain).await })
            });
            let following = tokio::spawn(signals.follow(handle, files, host, notifier.clone(), on_signal));
            let served = serve(serving).await;
            following.abort();
            if let Some(notifier) = notifier {
                // The task may not have noticed it yet.
                notifier.stopping(self.limits.drain);
            }
            if let Some(attending) = attending {
                attending.abort();
            }
            served
        });
        if let Err(error) = &served {
            error!("{}", explain(error));
        }
        // Does not wait for a lookup or a password hash that still runs on another thread.
        runtime.shutdown_timeout(LAST_THREADS);
        drop(log_guard);
        served
    }

    async fn bind(&self, ready: Ready, log: LogControl) -> anyhow::Result<(Serving, Reloadable)> {
        let (settings, reloadable) = ready.into_settings(self, log);
        let host = self.options.host.as_deref();
        let manager = self.bind_manager(settings).await?;
        if let Some(unreachable) = hints::unreachable(host, &manager.addresses()) {
            warn!("{unreachable}");
        }
        let files = reloadable.certificate.as_ref().map(|(files, _)| files);
        let state = if files.is_some() { "ENABLED" } else { "DISABLED" };
        let name = host.map_or_else(hostname, str::to_owned);
        let running = format!(
            "Network Manager running on {name}:{} (TLS {state})",
            manager.port()
        );
        let next = hints::next_steps(self, manager.port(), files);
        let serving = Serving {
            certificate: files.map(|files| files.certificate.clone()),
            announcement: Announcement {
                hints: next.into(),
                running,
                notifier: Notifier::from_environment().map(Arc::new),
            },
            manager,
        };
        Ok((serving, reloadable))
    }
}

/// Returns the method by which peers are admitted.
fn authentication(options: &Options) -> anyhow::Result<Authentication> {
    let is_on = |flag: Option<bool>| flag.unwrap_or(false);
    let chosen: Vec<_> = [
        ("--auth-hostname", is_on(options.auth_hostname)),
        ("--auth-login", is_on(options.auth_login)),
        ("--auth-password", options.auth_password.is_some()),
        ("--auth-certificate", is_on(options.auth_certificate)),
    ]
    .into_iter()
    .filter_map(|(name, is_chosen)| is_chosen.then_some(name))
    .collect();
    if chosen.len() > 1 {
        bail!(UsageError(format!(
            "Cannot specify multiple authentication methods: {} were given here, in the environment or in the \
             configuration; keep one of them, and switch others off as in --auth-login=false",
            chosen.join(" and ")
        )));
    }
    let open = is_on(options.open);
    if let (true, Some(name)) = (open, chosen.first()) {
        bail!(UsageError(format!(
            "--open admits everyone, it cannot go with {name}; leave one of them out, here, in the environment \
             (LABWIRE_OPEN) and in the configuration"
        )));
    }
    Ok(if let Some(words) = &options.auth_password {
        let password = secret::resolve(words, "The password for the manager: ");
        Authentication::Password(password.context("--auth-password (or LABWIRE_AUTH_PASSWORD)")?)
    } else if is_on(options.auth_login) {
        Authentication::Login
    } else if is_on(options.auth_hostname) {
        Authentication::Hostname
    } else if is_on(options.auth_certificate) {
        Authentication::Certificate
    } else {
        Authentication::None { open }
    })
}

fn level(options: &Options) -> anyhow::Result<Level> {
    let text = options.log_level.as_deref().unwrap_or("INFO");
    let wrong = || {
        UsageError(format!(
            "Cannot set logging level to '{text}' (--log-level, LABWIRE_LOG_LEVEL), use TRACE, DEBUG, INFO, WARNING, \
             ERROR or a number"
        ))
    };
    Ok(Level::parse(text).ok_or_else(wrong)?)
}

/// Returns the password of the private key.
fn key_password(options: &Options) -> anyhow::Result<Option<String>> {
    if options.disable_tls.unwrap_or(false) {
        return Ok(None);
    }
    let words = options.key_file_password.as_ref();
    words
        .map(|words| secret::resolve(words, "The password of the private key: "))
        .transpose()
        .context("--key-file-password (or LABWIRE_KEY_FILE_PASSWORD)")
}

fn log_path(home: &Home, options: &Options) -> PathBuf {
    options.log_file.clone().unwrap_or_else(|| home.new_log_file())
}

/// Refuses a file that contains something other than a log: the manager would append lines to it.
fn expect_log(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    if !may_be_log(path).with_context(|| format!("cannot read {shown} (--log-file, LABWIRE_LOG_FILE)"))? {
        bail!(
            "{shown} is no log, and nothing was written to it: name another file with --log-file (or LABWIRE_LOG_FILE)"
        );
    }
    Ok(())
}

fn log_file(home: &Home, options: &Options) -> anyhow::Result<PathBuf> {
    let path = log_path(home, options);
    if let Some(folder) = path.parent() {
        create_private_folder(folder)
            .with_context(|| {
                format!(
                    "cannot create the folder {} for the log (choose another file with --log-file or LABWIRE_LOG_FILE)",
                    folder.display()
                )
            })?;
    }
    Ok(path)
}

/// Logs the certificate's fingerprint, and why clients would not accept it from a manager with this
/// host.
fn tell_fingerprint(files: &TlsFiles, certified: &CertifiedKey, host: Option<&str>) {
    let Some(certificate) = certified.cert.first() else {
        return;
    };
    info!(
        "the certificate's SHA-256 fingerprint is {}",
        fingerprint_sha256(certificate)
    );
    if let Some(health) = CertificateHealth::of(certificate) {
        let own_name = hostname();
        let troubles = [health.trouble(), health.trouble_with(host.unwrap_or(&own_name))];
        let key = files.key.as_ref().unwrap_or(&files.certificate);
        for trouble in troubles.into_iter().flatten() {
            warn!("{trouble}; {}", health.remedy(&files.certificate, key));
        }
    }
}

/// Returns a warning about an installation of MSL-Network that a new home folder does not use.
fn overlooked(home: &Home) -> Option<String> {
    let other = home.overlooked_installation()?;
    let (own, other) = (home.root().display(), other.display());
    Some(format!(
        "found an installation of MSL-Network in {other}, which is not used: this manager has files of its own in {own}; \
         to use those of MSL-Network, start it with the environment variable MSL_NETWORK_HOME={other}"
    ))
}

/// Returns what is wrong with the key of second factors, which as many users have; `None` if they can log in.
fn without_totp_key(database: &Path, second_factors: usize) -> Option<String> {
    let key = totp_key_file(database);
    (second_factors > 0 && !key.exists()).then(|| {
        format!(
            "{second_factors} user(s) have a second factor and cannot log in, since its key {} is missing; put it back from \
             a copy, or take the second factor away: labwire totp disable USER",
            key.display()
        )
    })
}

fn tell_authentication(authentication: &Authentication) {
    if let Some(empty) = hints::empty_variables() {
        warn!("{empty}");
    }
    match authentication {
        Authentication::Hostname => info!("using trusted hosts for authentication"),
        Authentication::Password(_) => info!("using a password for authentication"),
        Authentication::Login => info!("using a login for authentication"),
        Authentication::Certificate => info!("using client certificates for authentication"),
        Authentication::None { open: true } => {
            warn!(
                "not using authentication: EVERYONE who can reach this computer can use every service (--open)"
            );
        }
        Authentication::None { open: false } => {
            info!(
                "not using authentication, serving this computer only (see --auth-password, --auth-login, --auth-hostname, --auth-certificate)"
            );
        }
    }
}

fn tell_roles(authentication: &Authentication, has_certificates: bool) {
    if *authentication == Authentication::Login || has_certificates {
        info!("peers may do only what is granted to their users (--roles)");
    } else {
        warn!(
            "no peer has a user without --auth-login, so peers may do only what is granted to the group 'everyone' \
             (--roles); add --auth-login, or grant it: labwire grant add operator --to-group everyone"
        );
    }
}

/// The signals that a manager handles.
struct Signals {
    stop: StopSignals,
    hang_up: ReloadSignal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            stop: StopSignals::listen()?,
            hang_up: ReloadSignal::listen()?,
        })
    }

    /// Handles signals. The first request to stop lets the requests in flight finish; the second
    /// does not wait for them.
    async fn follow(
        mut self,
        manager: ManagerHandle,
        files: Reloadable,
        host: Option<String>,
        notifier: Option<Arc<Notifier>>,
        stop: impl Fn(&ManagerHandle),
    ) {
        let mut stopping = false;
        loop {
            tokio::select! {
                signal = self.stop.next() => match signal {
                    StopSignal::Interrupt => info!("CTRL+C keyboard interrupt received"),
                    StopSignal::Terminate => info!("termination signal received"),
                },
                _ = self.hang_up.recv() => {
                    if let Some(notifier) = &notifier {
                        notifier.reloading();
                    }
                    reload(&manager, &files, host.as_deref()).await;
                    if let Some(notifier) = &notifier {
                        notifier.reloaded();
                    }
                    continue;
                }
            }
            // An administrator may have stopped it before.
            if stopping || manager.is_shutting_down() {
                manager.stop_waiting();
                manager.shut_down();
            } else {
                stop(&manager);
            }
            stopping = true;
        }
    }
}

/// Reloads the files that may have changed. Keeps the current state of a file that cannot be read.
async fn reload(manager: &ManagerHandle, files: &Reloadable, host: Option<&str>) {
    // Before the manager checks the certificates of connected peers again.
    if let Some(clients) = &files.clients
        && let Err(error) = clients.reload().await
    {
        error!(
            "cannot load the authorities or the lists of revoked client certificates, the old ones are kept: {}",
            explain(&error)
        );
    }
    match manager.reload().await {
        Ok(()) => info!("opened the log file anew and looked up the trusted hostnames"),
        Err(error) => error!("cannot open the log file anew, the old one is kept: {error}"),
    }
    if let Some((files, current)) = &files.certificate {
        match load(files.clone()).await {
            Ok(certified) => {
                info!("loaded certificate {}", files.certificate.display());
                tell_fingerprint(files, &certified, host);
                current.replace(certified);
            }
            Err(error) => error!(
                "cannot load the certificate, the old one is kept: {}",
                explain(&error)
            ),
        }
    }
}

/// Loads certificate and key on another thread: decrypting a key takes a while.
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
