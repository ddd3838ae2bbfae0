//! `labwire certdump`: shows what a certificate says.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::pki::describe;

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
pub struct Args {
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
pub fn run(args: Args) -> anyhow::Result<()> {
    let certificate = args.certfile.display();
    let contents =
        fs::read(&args.certfile).with_context(|| format!("cannot read the certificate '{certificate}'"))?;
    let details = describe(&contents).with_context(|| format!("cannot show '{certificate}'"))?;
    let Some(out) = args.out else {
        println!("{details}");
        return Ok(());
    };
    write(
        &out,
        &format!("Certificate details for {certificate}\n{details}\n"),
    )
    .with_context(|| format!("cannot write the details to '{}'", out.display()))?;
    println!("Dumped the certificate details to {}", out.display());
    Ok(())
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
