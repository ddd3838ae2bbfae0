//! Certificates for clients: the authority that issues them, and the list of revoked ones.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use labwire_home::Home;
use labwire_pki::{
    Authority, Certificate, CertificateSummary, ClientCertificate, Curve, KeyKind, PkiError, PrivateKey,
    describe, generate_key, load_chain, revoked_serials,
};

use crate::cli::{UsageError, say, secret, tell};

/// The default validity of an authority, in years.
const YEARS_OF_AUTHORITY: f64 = 20.0;

/// The default validity of a client's certificate, in years.
const YEARS_OF_CLIENT: f64 = 1.0;

/// The most characters of a host in the name of an authority.
const LONGEST_HOST: usize = 32;

/// The extension of the file that lists the certificates of an authority, beside the authority's: lines of a
/// serial number, the last day, and the user, with tabs between them.
const NOTED: &str = "issued";

/// The kind of the keys that are created.
const KEYS: KeyKind = KeyKind::Ecc(Curve::Secp256r1);

/// What to make instead of a certificate of the manager.
#[derive(clap::Args)]
#[command(next_help_heading = "Certificates for clients")]
pub(super) struct ClientArgs {
    /// Create an authority, which issues certificates to clients, with a key of its own
    ///
    /// FILE is its certificate [default: certs/ca.crt in the home folder], which `labwire start
    /// --client-ca` takes. The key, --key-file, is created if it is missing [default: keys/ca.key, or
    /// beside FILE]: whoever has it can log in as any user.
    #[arg(long, conflicts_with_all = ["client", "crl", "revoke", "name", "algorithm", "force"])]
    ca: bool,

    /// Create a certificate and a key with which the user NAME logs in without a password
    ///
    /// FILE is the certificate [default: NAME.crt], and --key-file its key [default: NAME.key],
    /// which is created. The user must be one of the manager: labwire user add NAME
    #[arg(long, value_name = "NAME", conflicts_with_all = ["crl", "revoke", "name", "algorithm", "force"])]
    client: Option<String>,

    /// Revoke a client's certificate: its file, or its serial number; may be repeated
    #[arg(long, value_name = "CERT", conflicts_with_all = ["name", "algorithm", "force", "key_file", "show"])]
    revoke: Vec<String>,

    /// Create or renew the list of revoked certificates FILE [default: certs/ca.crl in the home folder, or
    /// beside --issuer]
    ///
    /// `labwire start --client-crl` takes it, and reads it again at the signal HUP. By default the
    /// list need not be renewed as long as the authority is valid.
    #[arg(long, conflicts_with_all = ["name", "algorithm", "force", "key_file", "show"])]
    crl: bool,

    /// List the certificates that were created with --client: serial number, end and user, and which are revoked
    ///
    /// They are noted in a file beside the authority's certificate, ca.issued. FILE is the list of revoked
    /// certificates [default: as for --crl].
    #[arg(long, conflicts_with_all = ["name", "algorithm", "force", "key_file", "show", "ca", "client", "revoke", "crl"])]
    list: bool,

    /// The certificate of the authority [default: certs/ca.crt in the home folder]
    #[arg(long, value_name = "FILE")]
    issuer: Option<PathBuf>,

    /// The key of the authority [default: keys/ca.key in the home folder, or beside --issuer]
    #[arg(long, value_name = "FILE")]
    issuer_key: Option<PathBuf>,
}

/// The options of `certgen` for all kinds of certificates.
pub(super) struct Common<'a> {
    pub(super) out: Option<&'a Path>,
    pub(super) key_file: Option<&'a Path>,
    /// The password of the key that is created, or of the authority's.
    pub(super) password: Option<&'a [String]>,
    pub(super) years: Option<f64>,
    pub(super) show: bool,
}

impl ClientArgs {
    /// Returns whether something else than a certificate of the manager is to be made.
    pub(super) fn are_meant(&self) -> bool {
        self.ca || self.client.is_some() || self.crl || self.list || !self.revoke.is_empty()
    }

    /// Refuses options without effect.
    pub(super) fn expect_none(&self) -> Result<(), UsageError> {
        let option = match (&self.issuer, &self.issuer_key) {
            (Some(_), _) => "--issuer",
            (None, Some(_)) => "--issuer-key",
            (None, None) => return Ok(()),
        };
        Err(UsageError(format!(
            "{option} goes with --client, --crl, --revoke or --list"
        )))
    }

    /// Makes what is meant.
    pub(super) fn run(&self, common: &Common<'_>) -> anyhow::Result<()> {
        if self.list {
            return self.list(common);
        }
        let password = common.password.map(|words| {
            secret::resolve(words, "Password of the private key: ").context("--key-file-password")
        });
        let password = password.transpose()?;
        match &self.client {
            _ if self.ca => self.create_authority(common, password.as_deref()),
            Some(name) => self.issue(name, common, password.as_deref()),
            None => self.revoke(common, password.as_deref()),
        }
    }

    fn create_authority(&self, common: &Common<'_>, password: Option<&str>) -> anyhow::Result<()> {
        self.expect_none()?;
        let home = Home::resolve()?;
        let (default, default_key) = default_files(&home);
        let certificate = common.out.unwrap_or(&default);
        // Of a file of one's own, the key is beside it.
        let beside = certificate.with_extension("key");
        let key_file = match (common.key_file, common.out) {
            (Some(key), _) => key,
            (None, Some(_)) => &beside,
            (None, None) => &default_key,
        };
        expect_no_file(certificate)?;
        let years = common.years.unwrap_or(YEARS_OF_AUTHORITY);
        let (key, is_new) = match PrivateKey::load(key_file, password) {
            Err(PkiError::KeyFileMissing { .. }) => (generate_key(KEYS)?, true),
            key => (key?, false),
        };
        // Two authorities must not have one name: their lists of revoked certificates are found by it.
        let host: String = labwire_home::hostname().chars().take(LONGEST_HOST).collect();
        let name = format!("Labwire authority {} of {}", key.short_id()?, host.trim());
        let authority = Authority::create(&key, &name, years)?;
        if is_new {
            key.write_new(key_file, password)?;
            say(format_args!("Created the private key '{}'", key_file.display()))?;
        }
        authority.write_new(certificate)?;
        let shown = certificate.display();
        say(format_args!("Created the authority '{shown}'"))?;
        said(authority.der(), common.show, &authority.pem())?;
        tell(format_args!(
            "Keep the key '{}' for yourself: whoever has it can log in as any user. For a user: labwire certgen \
             --client NAME{options}. For the manager: labwire certgen --crl '{list}'{options}, which makes an empty list of \
             revoked certificates, and labwire start --client-ca '{shown}' --client-crl '{list}'; without a list none \
             can be revoked",
            key_file.display(),
            options = issuer_options(common, certificate, key_file),
            list = certificate.with_extension("crl").display(),
        ));
        Ok(())
    }

    fn issue(&self, name: &str, common: &Common<'_>, password: Option<&str>) -> anyhow::Result<()> {
        let is_plain = !name.contains(['/', '\\', '\0']) && !name.starts_with('.');
        if common.out.is_none() && !is_plain {
            bail!(UsageError(format!(
                "the name '{name}' makes no name of a file; give FILE, as in: labwire certgen --client '{name}' user.crt"
            )));
        }
        labwire_wire::check_name(name).map_err(|error| UsageError(format!("--client: {error}")))?;
        let default = PathBuf::from(format!("{name}.crt"));
        let certificate = common.out.unwrap_or(&default);
        let beside = certificate.with_extension("key");
        let key_file = common.key_file.unwrap_or(&beside);
        expect_no_file(certificate)?;
        expect_no_file(key_file)?;
        let authority = self.authority(password)?;
        let key = generate_key(KEYS)?;
        let issued = authority.issue(&key, name, common.years.unwrap_or(YEARS_OF_CLIENT))?;
        // Programs connect without a person who could type a password.
        key.write_new(key_file, None)?;
        issued.write_new(certificate)?;
        let (shown, shown_key) = (certificate.display(), key_file.display());
        say(format_args!("Created the private key '{shown_key}'"))?;
        say(format_args!(
            "Created the certificate '{shown}' for the user '{name}'"
        ))?;
        let serial = ClientCertificate::of(issued.der()).map(|certificate| certificate.serial);
        let serial = serial.unwrap_or_default();
        say(format_args!("Serial number: {serial}"))?;
        self.note(&serial, name, &issued);
        said(issued.der(), common.show, &issued.pem())?;
        tell(format_args!(
            "Give both files to the user, and nobody else the key: labwire status --client-cert '{shown}' --client-key \
             '{shown_key}'"
        ));
        Ok(())
    }

    fn revoke(&self, common: &Common<'_>, password: Option<&str>) -> anyhow::Result<()> {
        let authority = self.authority(password)?;
        // Another command would read the list before this one has written it.
        let _lock = self.lock()?;
        let serials: Result<Vec<_>, _> = self.revoke.iter().map(|text| serial(text, &authority)).collect();
        let default = default_files(&Home::resolve()?).0;
        let default = self.issuer.as_ref().unwrap_or(&default).with_extension("crl");
        let list = common.out.unwrap_or(&default);
        let shown = list.display();
        let is_new = !list.exists();
        let revoked = authority.revoke(list, &serials?, common.years)?;
        if is_new && !self.crl {
            tell(format_args!(
                "There was no list '{shown}', so this one is new: what was revoked in another list must be revoked again"
            ));
        }
        say(format_args!(
            "Wrote the list '{shown}' of {revoked} revoked certificate(s)"
        ))?;
        tell(format_args!(
            "A manager that was started with --client-crl '{shown}' reads it at the signal HUP (kill -HUP and the number \
             of its process). One that was started without --client-crl accepts revoked certificates"
        ));
        Ok(())
    }

    /// Returns the certificate of the authority.
    fn issuer(&self) -> anyhow::Result<PathBuf> {
        match &self.issuer {
            Some(issuer) => Ok(issuer.clone()),
            None => Ok(default_files(&Home::resolve()?).0),
        }
    }

    /// Notes a certificate that was issued beside the authority's. It is valid whether that succeeds or not.
    fn note(&self, serial: &str, name: &str, issued: &Certificate) {
        let noted = || -> anyhow::Result<()> {
            let _lock = self.lock()?;
            let until = CertificateSummary::of(issued.der())
                .context("it cannot be read")?
                .valid_until;
            let path = self.issuer()?.with_extension(NOTED);
            let mut file = File::options().append(true).create(true).open(path)?;
            file.write_all(format!("{serial}\t{}\t{name}\n", until.strftime("%Y-%m-%d")).as_bytes())?;
            Ok(())
        };
        if let Err(error) = noted() {
            tell(format_args!(
                "labwire: the certificate was not noted for `labwire certgen --list`: {error:#}; keep its serial number"
            ));
        }
    }

    fn list(&self, common: &Common<'_>) -> anyhow::Result<()> {
        let issuer = self.issuer()?;
        let noted = issuer.with_extension(NOTED);
        let text = match std::fs::read_to_string(&noted) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!(
                    "there is no '{}': this authority has issued no certificates since Labwire notes them; name the \
                     certificate of another authority with --issuer",
                    noted.display()
                );
            }
            Err(error) => return Err(error).with_context(|| format!("'{}' cannot be read", noted.display())),
        };
        let default = issuer.with_extension("crl");
        let list = common.out.unwrap_or(&default);
        let revoked = match revoked_serials(list) {
            Ok(revoked) => revoked,
            Err(PkiError::Read { reason, .. })
                if common.out.is_none() && reason.kind() == std::io::ErrorKind::NotFound =>
            {
                tell(format_args!(
                    "labwire: there is no list '{}' of revoked certificates",
                    list.display()
                ));
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        let today = labwire_home::present().strftime("%Y-%m-%d").to_string();
        for line in text.lines() {
            let mut parts = line.splitn(3, '\t');
            let (Some(serial), Some(until), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let state = if revoked.iter().any(|revoked| revoked == serial) {
                "  revoked"
            } else if until < &*today {
                "  expired"
            } else {
                ""
            };
            say(format_args!(
                "{serial:32}  {until}  {}{state}",
                labwire_wire::visible(name)
            ))?;
        }
        Ok(())
    }

    /// Locks the certificate of the authority against other commands that revoke. Waits for them.
    fn lock(&self) -> anyhow::Result<File> {
        let (default, _) = default_files(&Home::resolve()?);
        let path = self.issuer.as_ref().unwrap_or(&default);
        let locked = || -> std::io::Result<File> {
            let file = File::open(path)?;
            file.lock()?;
            Ok(file)
        };
        locked().with_context(|| format!("'{}' cannot be locked", path.display()))
    }

    fn authority(&self, password: Option<&str>) -> anyhow::Result<Authority> {
        let (certificate, key) = default_files(&Home::resolve()?);
        let beside = self.issuer.as_ref().map(|issuer| issuer.with_extension("key"));
        let certificate = self.issuer.as_ref().unwrap_or(&certificate);
        let key = self.issuer_key.as_ref().or(beside.as_ref()).unwrap_or(&key);
        Authority::load(certificate, key, password).map_err(|error| match error {
            PkiError::CertificateFileMissing { path } => anyhow::anyhow!(
                "there is no authority '{}'; name its certificate with --issuer, or make one with: labwire certgen --ca",
                path.display()
            ),
            PkiError::KeyFileMissing { path } => anyhow::anyhow!(
                "there is no key '{}' of the authority; name it with --issuer-key",
                path.display()
            ),
            error => error.into(),
        })
    }
}

/// Returns the files of the authority, and of its key, in the home folder.
fn default_files(home: &Home) -> (PathBuf, PathBuf) {
    (
        home.certificate_file().with_file_name("ca.crt"),
        home.key_file().with_file_name("ca.key"),
    )
}

/// Returns the options that name an authority which is not the default one.
fn issuer_options(common: &Common<'_>, certificate: &Path, key: &Path) -> String {
    if common.out.is_none() && common.key_file.is_none() {
        return String::new();
    }
    format!(
        " --issuer '{}' --issuer-key '{}'",
        certificate.display(),
        key.display()
    )
}

fn expect_no_file(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        bail!(PkiError::FileExists {
            path: path.to_owned()
        });
    }
    Ok(())
}

/// Returns the serial number of a certificate's file, or the text itself.
fn serial(text: &str, authority: &Authority) -> anyhow::Result<String> {
    let path = Path::new(text);
    if !path.exists() {
        return Ok(text.to_owned());
    }
    let certificate = load_chain(path)?.swap_remove(0);
    let damaged = || PkiError::DamagedCertificate {
        path: path.to_owned(),
    };
    let issuer = CertificateSummary::of(&certificate).ok_or_else(damaged)?.issuer;
    let own = CertificateSummary::of(authority.der())
        .ok_or_else(damaged)?
        .subject;
    if issuer != own {
        bail!(
            "'{text}' was issued by '{issuer}', and not by this authority, '{own}', which cannot revoke it; see --issuer"
        );
    }
    Ok(ClientCertificate::of(&certificate).ok_or_else(damaged)?.serial)
}

/// Prints what people compare of a certificate.
fn said(der: &[u8], show: bool, pem: &str) -> anyhow::Result<()> {
    let summary = CertificateSummary::of(der).context("the new certificate cannot be read")?;
    say(format_args!("SHA-256 fingerprint: {}", summary.fingerprint))?;
    say(format_args!(
        "Valid until: {}",
        summary.valid_until.strftime("%Y-%m-%d")
    ))?;
    if show {
        say(format_args!("\n{}", describe(pem.as_bytes())?))?;
    }
    Ok(())
}
