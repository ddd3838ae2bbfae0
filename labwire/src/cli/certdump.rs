//! `labwire certdump`: shows what a certificate says.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use labwire_manager::describe;

use super::say;

/// Show what a certificate says.
///
/// You see who the certificate is for, how long it is valid, the names and addresses it covers, its key, and the
/// fingerprints to compare with what a client shows before it trusts the manager.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # show the details here
  labwire certdump /path/to/cert.pem

  # write them to a file
  labwire certdump /path/to/cert.pem --out dump.txt

See also: labwire certgen")]
pub(crate) struct Args {
    /// The certificate, in PEM form; a chain of several is shown one after the other.
    #[arg(value_name = "FILE")]
    certfile: PathBuf,

    /// Write the details to this file instead of showing them.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Shows the details, or writes them to a file.
///
/// # Errors
/// When the certificate cannot be read or the file cannot be written.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let certificate = args.certfile.display();
    let contents =
        fs::read(&args.certfile).with_context(|| format!("cannot read the certificate '{certificate}'"))?;
    let details = describe(&contents).with_context(|| format!("cannot show '{certificate}'"))?;
    let Some(out) = args.out else {
        return say(details);
    };
    write(
        &out,
        &format!("Certificate details for {certificate}\n{details}\n"),
    )
    .with_context(|| format!("cannot write the details to '{}'", out.display()))?;
    say(format_args!(
        "Dumped the certificate details to {}",
        out.display()
    ))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
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
            })
            .unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
