//! The certificate of the manager: chosen, and created if it is missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use labwire_home::Home;
use labwire_pki::{
    CertificateOptions, PkiError, PrivateKey, TlsFiles, generate_certificate, load_certified_key,
    load_or_create_key,
};
use rustls::sign::CertifiedKey;

use super::options::Options;

/// A loaded certificate, and messages about the files that were created for it.
pub(super) struct Prepared {
    pub(super) files: TlsFiles,
    pub(super) certified: Arc<CertifiedKey>,
    /// Log messages about the created files.
    pub(super) created: Vec<String>,
}

/// The result of [`foresee`].
pub(super) enum Outlook {
    /// An existing certificate, with its file.
    Ready(PathBuf, Arc<CertifiedKey>),
    /// The files that would be created.
    ToBeMade(Vec<PathBuf>),
}

/// Returns what [`prepare`] would do. Creates nothing.
pub(super) fn foresee(
    home: &Home,
    options: &Options,
    key_password: Option<&str>,
) -> Result<Outlook, PkiError> {
    let load = |certificate: PathBuf, key: Option<&Path>| {
        let certified = load_certified_key(&certificate, key, key_password)?;
        Ok(Outlook::Ready(certificate, certified))
    };
    match (&options.cert_file, &options.key_file) {
        (Some(certificate), key) => load(certificate.clone(), key.as_deref()),
        (None, Some(key)) => {
            let certificate = home.certificate_file();
            if belongs(&certificate, key, key_password)? {
                return load(certificate, Some(key));
            }
            PrivateKey::load(key, key_password)?;
            Ok(Outlook::ToBeMade(vec![certificate]))
        }
        (None, None) => {
            let (certificate, key) = default_files(home, options.host.as_deref());
            if certificate.is_file() {
                expect_key(&certificate, &key)?;
                return load(certificate, Some(&key));
            }
            if key.is_file() {
                PrivateKey::load(&key, key_password)?;
                return Ok(Outlook::ToBeMade(vec![certificate]));
            }
            Ok(Outlook::ToBeMade(vec![key, certificate]))
        }
    }
}

/// Chooses the certificate and key as MSL-Network does, and creates missing default files.
pub(super) fn prepare(
    home: &Home,
    options: &Options,
    key_password: Option<String>,
) -> Result<Prepared, PkiError> {
    let mut created = Vec::new();
    let (certificate, key) = match (&options.cert_file, &options.key_file) {
        (Some(certificate), key) => (certificate.clone(), key.clone()),
        (None, Some(key)) => {
            let certificate = home.certificate_file();
            if !belongs(&certificate, key, key_password.as_deref())? {
                let key = PrivateKey::load(key, key_password.as_deref())?;
                create(&certificate, &key, options, &mut created)?;
            }
            (certificate, Some(key.clone()))
        }
        (None, None) => {
            let (certificate, key) = default_files(home, options.host.as_deref());
            if certificate.is_file() {
                expect_key(&certificate, &key)?;
            } else {
                let (private_key, is_new) = load_or_create_key(&key, key_password.as_deref())?;
                if is_new {
                    created.push(format!("created the private key {}", key.display()));
                }
                create(&certificate, &private_key, options, &mut created)?;
            }
            (certificate, Some(key))
        }
    };
    let certified = load_certified_key(&certificate, key.as_deref(), key_password.as_deref())?;
    Ok(Prepared {
        files: TlsFiles {
            certificate,
            key,
            key_password,
        },
        certified,
        created,
    })
}

/// Returns the file of the key that belongs to this certificate.
pub(super) fn key_file(home: &Home, options: &Options, certificate: &Path) -> PathBuf {
    match (&options.cert_file, &options.key_file) {
        (_, Some(key)) => key.clone(),
        (Some(_), None) => certificate.to_owned(),
        (None, None) => default_files(home, options.host.as_deref()).1,
    }
}

fn default_files(home: &Home, host: Option<&str>) -> (PathBuf, PathBuf) {
    match host {
        None => (home.certificate_file(), home.key_file()),
        Some(host) => (home.certificate_file_for(host), home.key_file_for(host)),
    }
}

/// Fails if the default certificate has no key: a program may have saved it there as that of
/// another manager.
fn expect_key(certificate: &Path, key: &Path) -> Result<(), PkiError> {
    if key.exists() {
        return Ok(());
    }
    Err(PkiError::NoKeyForCertificate {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    })
}

/// Whether the certificate exists and was created for the key.
fn belongs(certificate: &Path, key: &Path, password: Option<&str>) -> Result<bool, PkiError> {
    if !certificate.is_file() {
        return Ok(false);
    }
    match load_certified_key(certificate, Some(key), password) {
        Ok(_) => Ok(true),
        Err(PkiError::KeyMismatch { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn create(
    certificate: &Path,
    key: &PrivateKey,
    options: &Options,
    created: &mut Vec<String>,
) -> Result<(), PkiError> {
    // `write_to` replaces no file of another origin.
    generate_certificate(key, &certificate_options(options.host.as_deref()))?.write_to(certificate)?;
    created.push(format!(
        "created the self-signed certificate {}",
        certificate.display()
    ));
    Ok(())
}

/// Options of a certificate for this computer and for the name that clients use.
fn certificate_options(host: Option<&str>) -> CertificateOptions {
    let mut certificate = CertificateOptions::for_this_computer();
    match host.map(str::parse) {
        Some(Ok(address)) if !certificate.addresses.contains(&address) => certificate.addresses.push(address),
        Some(Err(_)) => {
            let host = host.unwrap_or_default().to_owned();
            if !certificate.alternative_names.contains(&host) {
                certificate.alternative_names.push(host);
            }
        }
        _ => {}
    }
    certificate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        (folder, home)
    }

    #[test]
    fn the_first_start_makes_key_and_certificate_and_the_next_one_takes_them() {
        let (_folder, home) = home();
        let first = prepare(&home, &Options::default(), None).unwrap();
        assert_eq!(first.created.len(), 2);
        let second = prepare(&home, &Options::default(), None).unwrap();
        assert!(second.created.is_empty());
        assert_eq!(first.certified.cert, second.certified.cert);
    }

    #[test]
    fn a_certificate_of_another_manager_in_the_place_of_the_own_one_is_told_and_kept() {
        let (folder, home) = home();
        prepare(&home, &Options::default(), None).unwrap();
        std::fs::remove_file(home.key_file()).unwrap();
        let error = prepare(&home, &Options::default(), None)
            .err()
            .expect("it has no key");
        let remedy = folder.path().join("certs/localhost_1875.crt");
        let text = error.to_string();
        assert!(text.contains(remedy.to_str().unwrap()), "{text}");
        assert!(foresee(&home, &Options::default(), None).is_err());
        assert!(!home.key_file().exists());
        std::fs::rename(home.certificate_file(), remedy).unwrap();
        assert_eq!(
            prepare(&home, &Options::default(), None).unwrap().created.len(),
            2
        );
    }

    #[test]
    fn a_host_has_a_certificate_of_its_own() {
        let (_folder, home) = home();
        let options = Options {
            host: Some("bench.example".into()),
            ..Options::default()
        };
        let prepared = prepare(&home, &options, None).unwrap();
        assert_eq!(
            prepared.files.certificate,
            home.certificate_file_for("bench.example")
        );
        let names = certificate_options(Some("bench.example")).alternative_names;
        assert!(names.contains(&"bench.example".to_owned()));
    }

    #[test]
    fn a_key_of_its_own_makes_the_default_certificate_anew_only_when_it_must() {
        let (folder, home) = home();
        prepare(&home, &Options::default(), None).unwrap();
        let key = folder.path().join("own.key");
        load_or_create_key(&key, None).unwrap();
        let options = Options {
            key_file: Some(key),
            ..Options::default()
        };
        let first = prepare(&home, &options, None).unwrap();
        let second = prepare(&home, &options, None).unwrap();
        assert_eq!(first.certified.cert, second.certified.cert);
        let error = prepare(&home, &Options::default(), None)
            .err()
            .expect("the default key is another one");
        assert!(matches!(error, PkiError::KeyMismatch { .. }));
    }
}
