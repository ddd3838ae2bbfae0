//! `labwire certdump`: shows the details of a certificate.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use labwire_home::{Existing, Readers, write_whole_file};
use labwire_pki::{PkiError, describe, holds_private_key};

use super::say;

/// Show the details of a certificate.
///
/// The details are the subject, the validity, the names and addresses that the certificate covers,
/// its key, and the fingerprints to compare with those that a client shows before it trusts the
/// manager.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # show the details on standard output
  labwire certdump /path/to/cert.pem

  # write them to a file
  labwire certdump /path/to/cert.pem --out dump.txt

See also: labwire certgen")]
pub(crate) struct Args {
    /// The certificate, in PEM form; several certificates in the file are shown one after the
    /// other.
    #[arg(value_name = "FILE")]
    certfile: PathBuf,

    /// Write the details to this file instead of showing them
    ///
    /// An existing file is not overwritten (see --force).
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Overwrite an existing file
    ///
    /// Its contents are lost. A private key is never overwritten.
    #[arg(long, requires = "out")]
    force: bool,
}

/// Shows the details, or writes them to a file.
///
/// # Errors
/// If the certificate cannot be read, or the file cannot be written or must not be replaced.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let certificate = args.certfile.display();
    let contents =
        fs::read(&args.certfile).with_context(|| format!("cannot read the certificate '{certificate}'"))?;
    let details = describe(&contents).with_context(|| format!("cannot show '{certificate}'"))?;
    let Some(out) = args.out else {
        return say(details);
    };
    let text = format!("Certificate details for {certificate}\n{details}\n");
    write(&out, &text, args.force)?;
    say(format_args!(
        "Dumped the certificate details to {}",
        out.display()
    ))
}

fn write(path: &Path, text: &str, is_forced: bool) -> anyhow::Result<()> {
    let existing = if is_forced {
        Existing::Replace
    } else {
        Existing::Keep
    };
    if is_forced && holds_private_key(path) {
        let path = path.to_owned();
        return Err(PkiError::KeyInTheWay { path }.into());
    }
    let shown = path.display();
    match write_whole_file(path, text.as_bytes(), Readers::Everyone, existing) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(anyhow!(
            "'{shown}' exists and is left as it is; write the details to another file with --out (--force would replace \
             this one, and what it holds would be lost)"
        )),
        written => written.with_context(|| format!("cannot write the details to '{shown}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fixtures/keys")
            .join(name)
    }

    #[test]
    fn the_details_are_written_to_a_file_under_the_name_of_the_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let (certfile, out) = (fixture("msl-rsa.crt"), folder.path().join("new/dump.txt"));
        run(Args {
            certfile: certfile.clone(),
            out: Some(out.clone()),
            force: false,
        })
        .unwrap();
        let text = fs::read_to_string(out).unwrap();
        let title = format!("Certificate details for {}\nVersion: v3\n", certfile.display());
        assert!(text.starts_with(&title), "{text}");
    }

    #[test]
    fn files_that_are_missing_or_no_certificates_are_named() {
        for name in ["no-such.crt", "msl-rsa.key"] {
            let error = run(Args {
                certfile: fixture(name),
                out: None,
                force: false,
            })
            .unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
