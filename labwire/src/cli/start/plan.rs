//! The plan of a start, and the files that it needs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use labwire_device::DEFAULT_PORT;
use labwire_home::{Home, others_can_read};
use labwire_manager::{Authentication, BindError, Limits, LogControl, Manager, Settings, try_listening};
use labwire_pki::{ReloadableCertificate, TlsFiles, server_config, server_config_with_clients};
use labwire_store::{Database, Store, StoreOptions, totp_key_file};
use tracing::{info, warn};

use super::certificate::{self, Prepared};
use super::clients::{ClientFiles, Clients, Judge};
use super::options::Options;
use super::port_user;
use super::record;
use super::tell_fingerprint;
use crate::system::KEEP_FROM_OTHERS;

/// The error for a manager at which no user could log in, with the remedy.
pub(super) fn no_users(database: &Path) -> String {
    format!(
        "The 'auth_users' table is empty, no one could log in\nTo add a user run: labwire user add NAME --database \
         '{}' (or choose another database with --database or LABWIRE_DATABASE)",
        database.display()
    )
}

/// The files of the certificate, and the certificate that connections present.
pub(super) type Certificate = (TlsFiles, Arc<ReloadableCertificate>);

/// The files that a running manager reads again.
pub(crate) struct Reloadable {
    pub(super) certificate: Option<Certificate>,
    pub(super) clients: Option<Clients>,
}

/// The configuration of a manager to be started.
pub(crate) struct Plan {
    /// All options except the secrets and the limits, which have fields of their own.
    pub(crate) options: Options,
    pub(crate) authentication: Authentication,
    /// The checked limits from the options.
    pub(crate) limits: Limits,
    /// The password of the private key.
    pub(crate) key_password: Option<String>,
    pub(crate) home: Home,
}

/// The prepared certificate and database, not logged yet.
pub(crate) struct Ready {
    prepared: Option<Prepared>,
    /// The certificates of clients, and what is to be logged about them: the first is no warning.
    clients: Option<(Clients, Vec<String>)>,
    store: Store,
    record: record::Prepared,
    database: PathBuf,
    is_new_database: bool,
    /// What is to be warned of once there is a log.
    doubts: Vec<String>,
}

/// Notes in the database where its manager records. Returns what is to be warned of: that commands do not learn it, or
/// that users have a second factor whose key is not there.
fn doubts(record: &record::Prepared, file: &Path) -> Vec<String> {
    let mut database = match Database::open(file) {
        Ok(database) => database,
        Err(error) => return vec![record::not_noted(&error)],
    };
    let noted = record::note(record, &mut database);
    let lost = lost_totp_key(&database, file);
    noted
        .err()
        .map(|error| record::not_noted(&error))
        .into_iter()
        .chain(lost)
        .collect()
}

/// Returns what is wrong if users have a second factor and its key is not there. What else is wrong with the database,
/// others tell.
fn lost_totp_key(database: &Database, file: &Path) -> Option<String> {
    if totp_key_file(file).exists() {
        return None;
    }
    let states = database.totp_states().ok()?;
    let active = states.iter().filter(|state| state.is_active).count();
    super::without_totp_key(file, active)
}

impl Plan {
    /// Reads or creates certificate and database. Blocks: creating a key takes a while.
    pub(crate) fn prepare(&self) -> anyhow::Result<Ready> {
        let prepared = if self.options.disable_tls.unwrap_or(false) {
            None
        } else {
            let password = self.key_password.clone();
            Some(certificate::prepare(&self.home, &self.options, password)?)
        };
        let clients = ClientFiles::of(&self.options)?
            .map(Clients::prepare)
            .transpose()?;
        let database = self.database();
        let is_new_database = !database.exists();
        let store = Store::open(&database, &store_options(&self.options)).with_context(|| self.unusable())?;
        let record = record::prepare(&self.options, &database)?;
        Ok(Ready {
            doubts: doubts(&record, &database),
            prepared,
            clients,
            store,
            record,
            database,
            is_new_database,
        })
    }

    /// Fails if the manager cannot listen: before files are made, which clients and commands on this computer would
    /// take for those of the manager that has the port.
    pub(super) async fn check_listening(&self) -> anyhow::Result<()> {
        let host = self.options.host.as_deref();
        let port = self.options.port.unwrap_or(DEFAULT_PORT);
        let tried = try_listening(host, port).await;
        tried.map(drop).map_err(|error| cannot_listen(host, port, &error))
    }

    /// Binds the manager's sockets.
    pub(crate) async fn bind_manager(&self, settings: Settings) -> anyhow::Result<Manager> {
        let host = self.options.host.as_deref();
        let port = self.options.port.unwrap_or(DEFAULT_PORT);
        let bound = Manager::bind(host, port, settings).await;
        bound.map_err(|error| match error {
            BindError::Io(error) => cannot_listen(host, port, &error),
            BindError::Limit(error) => error.into(),
        })
    }

    /// Returns the file of the database.
    pub(super) fn database(&self) -> PathBuf {
        database(&self.home, &self.options)
    }

    fn unusable(&self) -> String {
        format!(
            "cannot use the database {} (choose another one with --database or LABWIRE_DATABASE)",
            self.database().display()
        )
    }
}

impl Ready {
    /// Fails if the table of admitted users or hostnames cannot be read, or if no user could log
    /// in.
    pub(crate) async fn check_admission(&self, plan: &Plan) -> anyhow::Result<()> {
        match plan.authentication {
            Authentication::Login | Authentication::Certificate => {
                let names = self.store.usernames().await;
                if names.with_context(|| plan.unusable())?.is_empty() {
                    bail!(no_users(&plan.database()));
                }
            }
            Authentication::Hostname => {
                // Without the table the manager would run, and admit no peer.
                let names = self.store.hostnames().await;
                names.with_context(|| plan.unusable())?;
            }
            Authentication::Password(_) | Authentication::None { .. } => {}
        }
        Ok(())
    }

    /// Logs which files were read or created.
    pub(super) fn tell(&self, host: Option<&str>) {
        if let Some(prepared) = &self.prepared {
            tell_certificate(prepared, host);
        }
        if let Some((_, told)) = &self.clients {
            let (first, doubts) = told
                .split_first()
                .map_or((None, &[][..]), |(first, doubts)| (Some(first), doubts));
            if let Some(first) = first {
                info!("{first}");
            }
            for doubt in doubts {
                warn!("{doubt}");
            }
        }
        let how = if self.is_new_database { "created" } else { "loaded" };
        info!("{how} the database {}", self.database.display());
        match &self.record.told {
            Ok(told) => info!("{told}"),
            Err(told) => warn!("{told}"),
        }
        for doubt in &self.doubts {
            warn!("{doubt}");
        }
    }

    /// Returns the file of the certificate, if there is one.
    pub(crate) fn certificate_file(&self) -> Option<PathBuf> {
        let prepared = self.prepared.as_ref();
        prepared.map(|prepared| prepared.files.certificate.clone())
    }

    /// Returns the settings for [`Plan::bind_manager`], and the files that are read again.
    pub(crate) fn into_settings(self, plan: &Plan, log: LogControl) -> (Settings, Reloadable) {
        let certificate = self.prepared.map(|prepared| {
            let shown = ReloadableCertificate::new(prepared.certified);
            (prepared.files, Arc::new(shown))
        });
        let clients = self.clients.map(|(clients, _)| clients);
        let tls = certificate.as_ref().map(|(_, certificate)| {
            let certificate = Arc::clone(certificate) as _;
            match &clients {
                Some(clients) => server_config_with_clients(certificate, Arc::clone(&clients.trust)),
                None => server_config(certificate),
            }
        });
        let judge = clients.as_ref().map(|clients| Judge(Arc::clone(&clients.trust)));
        let settings = Settings {
            authentication: plan.authentication.clone(),
            roles: plan.options.roles.unwrap_or(false),
            limits: plan.limits,
            store: self.store,
            recording: self.record.recording,
            tls,
            certificates: judge.map(|judge| Arc::new(judge) as _),
            log,
        };
        let reloadable = Reloadable { certificate, clients };
        (settings, reloadable)
    }
}

/// Returns the file of the database.
pub(super) fn database(home: &Home, options: &Options) -> PathBuf {
    options.database.clone().unwrap_or_else(|| home.database())
}

fn store_options(options: &Options) -> StoreOptions {
    let default = StoreOptions::default();
    StoreOptions {
        audit_max_rows: options.connections_max_rows.unwrap_or(default.audit_max_rows),
        audit_max_age_days: options.connections_max_days.unwrap_or(default.audit_max_age_days),
        upgrade_passwords: options.upgrade_passwords.unwrap_or(default.upgrade_passwords),
    }
}

/// The error for a manager that cannot listen, with the remedy.
pub(super) fn cannot_listen(host: Option<&str>, port: u16, error: &std::io::Error) -> anyhow::Error {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            let user = port_user::of_port(port).map_or_else(
                || "another program, perhaps another manager, listens there: stop it".to_owned(),
                |user| user.to_string(),
            );
            format!(
                "; {user}, or choose another port with --port (or LABWIRE_PORT); with --port 0 the system chooses a free one"
            )
        }
        ErrorKind::PermissionDenied => "; choose a port above 1023 with --port (or LABWIRE_PORT)".to_owned(),
        // An unknown host name has no error kind of its own.
        _ if host.is_some() => {
            "; --host (or LABWIRE_HOST) must be a name or an address of this computer".to_owned()
        }
        _ => String::new(),
    };
    anyhow!("cannot listen on {}:{port}: {error}{remedy}", host.unwrap_or("*"))
}

/// Logs the certificate. Its first line is the first line of the log: existing tools read the
/// certificate's path from the end of it.
fn tell_certificate(prepared: &Prepared, host: Option<&str>) {
    info!("loaded certificate {}", prepared.files.certificate.display());
    for created in &prepared.created {
        info!("{created}");
    }
    tell_fingerprint(&prepared.files, &prepared.certified, host);
    let files = &prepared.files;
    let key = files.key.as_ref().unwrap_or(&files.certificate);
    if let Ok(Some(_)) = others_can_read(key) {
        let key = key.display();
        warn!(
            "other users of this computer can read the private key, unless it is encrypted: {KEEP_FROM_OTHERS} {key}"
        );
    }
}
