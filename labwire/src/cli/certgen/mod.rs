//! `labwire certgen`: creates a self-signed certificate.

mod clients;
mod names;
mod peers;

use std::path::{Path, PathBuf};

use anyhow::Context;
use labwire_home::Home;
use labwire_pki::{
    CertificateOptions, CertificateSummary, Hash, PkiError, PrivateKey, describe, generate_certificate,
    load_chain, load_or_create_key,
};

use rustls::pki_types::CertificateDer;

use super::{UsageError, say, secret, tell};
use names::HostName;

/// Create a self-signed certificate, or certificates for clients.
///
/// The certificate identifies the manager to its clients. It contains the public half of a private
/// key, this computer's host name, `localhost`, all current addresses of the computer, and the
/// names and addresses given with --name: those by which clients reach the manager. Give every
/// client a copy, or let the client fetch one (`labwire trust`) and compare the fingerprint.
///
/// `labwire start` creates a certificate if there is none. Create a new one with this command when
/// the name or an address of the computer has changed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  # a certificate with the default key (created if missing), in the default file
  labwire certgen

  # for clients that connect by these names and this address, too
  labwire certgen --name lab-pc.example.org,lab-pc --name 192.168.1.5

  # a certificate with a key of your own, in a file of your own
  labwire certgen --key-file /path/to/key.pem /path/to/cert.pem

  # valid for three months only, and shown afterwards
  labwire certgen --years-valid 0.25 --show

  # an authority, with which users log in by certificates
  labwire certgen --ca
  labwire certgen --client ada
  labwire certgen --revoke ada.crt
  labwire certgen --list

See also: labwire keygen, labwire certdump")]
pub(crate) struct Args {
    /// The file to save the certificate to [default: certs/localhost.crt in the home folder]
    ///
    /// A certificate that labwire has created is overwritten, any other file is not (see --force).
    /// A running manager uses the new certificate after the signal HUP, and clients that saved the
    /// old one must fetch it again.
    #[arg(value_name = "FILE")]
    out: Option<PathBuf>,

    /// Further words, which are probably meant as names.
    #[arg(hide = true)]
    more: Vec<String>,

    /// A host name or an address by which clients reach the manager
    ///
    /// May be repeated, and be several with commas between them. A name may begin with `*.`, which
    /// stands for one more label.
    #[arg(short, long, value_name = "NAME", value_delimiter = ',')]
    name: Vec<HostName>,

    /// The hash of the signature: SHA256, SHA384 or SHA512 [default: the one that fits the key]
    ///
    /// An RSA key works with each of them; its default is SHA256. Each curve works with one:
    /// secp256r1 with SHA256, secp384r1 with SHA384 and secp521r1 with SHA512. An Ed25519 key takes
    /// none.
    #[arg(short, long, value_name = "HASH")]
    algorithm: Option<Hash>,

    /// The private key to sign with [default: keys/localhost.key in the home folder, created if
    /// missing].
    #[arg(short, long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// The password of the private key
    ///
    /// Several words are one password, joined with single spaces. If the text is the path of a
    /// file, the password is the first line of the file; if no such file exists, the text itself is
    /// the password, with a warning if it looks like a path. A lone '-' reads the first line of standard input. Without a
    /// word, a prompt asks for the password.
    #[arg(short = 'p', long, value_name = "WORD", num_args = 0..)]
    key_file_password: Option<Vec<String>>,

    /// Validity of the certificate in years; 0.25 means three months [default: 100; with --ca: 20;
    /// with --client: 1].
    #[arg(short, long, value_name = "YEARS", allow_negative_numbers = true)]
    years_valid: Option<f64>,

    /// Overwrite a certificate that labwire did not create
    ///
    /// For example one that an authority has issued, or that another program has created: labwire
    /// cannot create it again. A private key is never overwritten.
    #[arg(long)]
    force: bool,

    /// Show the details of the new certificate.
    #[arg(long)]
    show: bool,

    #[command(flatten)]
    clients: clients::ClientArgs,
}

/// Creates the certificate, and a default key for it if there is none, and prints its path.
///
/// # Errors
/// If the key cannot be read, the options do not fit it, or a file cannot be written or must not be
/// replaced.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    expect_one_file(&args)?;
    if args.clients.are_meant() {
        return args.clients.run(&clients::Common {
            out: args.out.as_deref(),
            key_file: args.key_file.as_deref(),
            password: args.key_file_password.as_deref(),
            years: args.years_valid,
            show: args.show,
        });
    }
    args.clients.expect_none()?;
    let password = match &args.key_file_password {
        Some(words) => {
            let password = secret::resolve(words, "Password of the private key: ");
            Some(password.context("--key-file-password")?)
        }
        None => None,
    };
    let options = options(&args)?;
    let key = match &args.key_file {
        Some(path) => PrivateKey::load(path, password.as_deref())?,
        None => default_key(password.as_deref())?,
    };
    let certificate = generate_certificate(&key, &options)?;
    let path = match args.out {
        Some(path) => path,
        None => Home::resolve()?.certificate_file(),
    };
    let former = Former::of(&path);
    if args.force {
        certificate.replace(&path)?;
    } else {
        certificate.write_to(&path).map_err(not_replaced)?;
    }
    let summary = CertificateSummary::of(certificate.der()).context("the new certificate cannot be read")?;
    show(&path, &summary, former.is_replaced)?;
    if args.show {
        say(format_args!("\n{}", describe(certificate.pem().as_bytes())?))?;
    }
    if former.is_replaced {
        let former = former.certificate.as_deref();
        tell(peers::to_be_told(&path, &summary, former, &args.name));
    } else if names::may_be_meant(&path) {
        let shown = path.display();
        tell(format_args!(
            "'{shown}' was taken for the path of a file; to make a certificate for a host of this name: labwire certgen \
             --name {shown}"
        ));
    }
    Ok(())
}

/// Returns the options of the certificate. They are checked before anything is made, so that an error
/// leaves no new key behind.
fn options(args: &Args) -> Result<CertificateOptions, PkiError> {
    let default = CertificateOptions::for_this_computer();
    let years = args.years_valid.unwrap_or(default.years_valid);
    if years.is_nan() || years <= 0.0 {
        return Err(PkiError::ValidityOutOfRange { years });
    }
    let mut options = CertificateOptions {
        years_valid: years,
        hash: args.algorithm,
        ..default
    };
    for name in &args.name {
        name.add_to(&mut options);
    }
    Ok(options)
}

/// The content of the file before.
struct Former {
    /// Its first certificate, in DER form.
    certificate: Option<CertificateDer<'static>>,
    /// Whether there was a file that was not empty.
    is_replaced: bool,
}

impl Former {
    fn of(path: &Path) -> Self {
        let file = path.metadata();
        Self {
            certificate: load_chain(path).ok().and_then(|chain| chain.into_iter().next()),
            is_replaced: file.is_ok_and(|file| file.is_file() && file.len() > 0),
        }
    }
}

/// Prints what people compare of the new certificate.
fn show(path: &Path, summary: &CertificateSummary, is_replaced: bool) -> anyhow::Result<()> {
    let path = path.display();
    if is_replaced {
        say(format_args!("Replaced the certificate '{path}'"))?;
    } else {
        say(format_args!("Created the self-signed certificate '{path}'"))?;
    }
    say(format_args!("SHA-256 fingerprint: {}", summary.fingerprint))?;
    say(format_args!("Names: {}", summary.names.join(", ")))?;
    say(format_args!(
        "Valid until: {}",
        summary.valid_until.strftime("%Y-%m-%d")
    ))
}

/// Refuses words that can only be meant as names of hosts.
fn expect_one_file(args: &Args) -> Result<(), UsageError> {
    let first = args.out.as_deref().map(Path::to_string_lossy);
    let is_address = first
        .as_deref()
        .is_some_and(|first| first.parse::<std::net::IpAddr>().is_ok());
    if args.more.is_empty() && !is_address {
        return Ok(());
    }
    let mut words: Vec<&str> = first.as_deref().into_iter().collect();
    words.extend(args.more.iter().map(String::as_str));
    Err(UsageError(format!(
        "one FILE at most was expected; names and addresses for the certificate are given with --name: labwire certgen \
         --name {}",
        words.join(",")
    )))
}

/// Adds to the error about a kept file which option replaces it.
fn not_replaced(error: PkiError) -> anyhow::Error {
    let hint = match error {
        PkiError::NotOwn { .. } => Some("--force would replace it, and what it holds would be lost"),
        _ => None,
    };
    match hint {
        Some(hint) => anyhow::anyhow!("{error}; {hint}"),
        None => error.into(),
    }
}

fn default_key(password: Option<&str>) -> anyhow::Result<PrivateKey> {
    let path = Home::resolve()?.key_file();
    let (key, created) = load_or_create_key(&path, password)?;
    if created {
        say(format_args!("Created private RSA key '{}'", path.display()))?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use labwire_pki::{KeyKind, generate_key};
    use std::fs;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    fn typed(line: &[&str]) -> Args {
        Typed::try_parse_from([&["certgen"], line].concat())
            .unwrap_or_else(|error| panic!("{error}"))
            .args
    }

    #[test]
    fn the_options_of_msl_network_are_taken_in_both_forms() {
        let args = typed(&["--key-file", "key.pem", "cert.pem"]);
        assert_eq!(args.out.unwrap().to_str(), Some("cert.pem"));
        assert_eq!(args.key_file.unwrap().to_str(), Some("key.pem"));
        assert!(args.algorithm.is_none() && !args.show && !args.force);
        let line = [
            "cert.pem", "-k", "key.pem", "-a", "sha512", "-y", "0.25", "--show", "-p", "two", "words",
        ];
        let args = typed(&line);
        assert_eq!(args.algorithm, Some(Hash::Sha512));
        assert_eq!(args.years_valid, Some(0.25));
        assert_eq!(args.key_file_password.unwrap(), ["two", "words"]);
        assert!(args.show);
    }

    #[test]
    fn a_certificate_is_made_with_an_encrypted_key_and_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (key, out) = (folder.path().join("some.key"), folder.path().join("some.crt"));
        generate_key(KeyKind::Ed25519)
            .unwrap()
            .write_to(&key, Some("two words"))
            .unwrap();
        let line = [
            out.to_str().unwrap(),
            "-k",
            key.to_str().unwrap(),
            "--show",
            "-p",
            "two",
            "words",
        ];
        run(typed(&line)).unwrap();
        let first = fs::read(&out).unwrap();
        run(typed(&line)).unwrap();
        assert_ne!(fs::read(&out).unwrap(), first);
    }

    #[test]
    fn a_certificate_of_another_program_is_replaced_by_force_only() {
        let folder = tempfile::tempdir().unwrap();
        let (key, out) = (folder.path().join("some.key"), folder.path().join("some.crt"));
        generate_key(KeyKind::Ed25519)
            .unwrap()
            .write_to(&key, None)
            .unwrap();
        let line = [out.to_str().unwrap(), "-k", key.to_str().unwrap()];
        let foreign = "the only copy";
        fs::write(&out, foreign).unwrap();
        let message = run(typed(&line)).unwrap_err().to_string();
        assert!(
            message.contains("some.crt") && message.contains("--force"),
            "{message}"
        );
        assert_eq!(fs::read(&out).unwrap(), foreign.as_bytes());
        run(typed(&[&line[..], &["--force"]].concat())).unwrap();
        assert!(
            fs::read(&out)
                .unwrap()
                .starts_with(b"-----BEGIN CERTIFICATE-----")
        );
        // `--force` does not replace a key either.
        let line = [key.to_str().unwrap(), "-k", key.to_str().unwrap(), "--force"];
        assert!(
            run(typed(&line))
                .unwrap_err()
                .to_string()
                .contains("holds a private key")
        );
    }

    #[test]
    fn a_validity_of_nothing_is_refused_before_anything_is_made() {
        for years in ["0", "-1", "nan"] {
            let message = run(typed(&["--years-valid", years])).unwrap_err().to_string();
            assert!(message.contains("a number above 0"), "{message}");
        }
    }
}
