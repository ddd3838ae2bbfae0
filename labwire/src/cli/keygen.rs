//! `labwire keygen`: creates a private key.

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use labwire_home::Home;
use labwire_pki::{Curve, KeyKind, PkiError, generate_key};

use super::{say, secret};

/// Create a private key.
///
/// The manager proves its identity to clients with its private key. Any program that has the key
/// can impersonate the manager, so only you can read the file. A password protects the key further.
///
/// `labwire start` creates a key if there is none. You need this command only for a key of another
/// kind, with a password, or in another file.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  # an RSA key with 2048 bits and no password, in the default file
  labwire keygen

  # an elliptic-curve key, smaller and faster than RSA and just as secure
  labwire keygen ecc

  # an RSA key with 3072 bits and a password of several words
  labwire keygen rsa --size 3072 --password WhatEVER you wAnt!

  # the password is the first line of a file, to keep it out of the history
  labwire keygen --password /path/to/password.txt

See also: labwire certgen")]
pub(crate) struct Args {
    /// The kind of key.
    #[arg(value_enum, ignore_case = true, default_value_t = Algorithm::Rsa)]
    algorithm: Algorithm,

    /// The curve of an ecc key: secp256r1, secp384r1 or secp521r1.
    #[arg(short, long, value_name = "CURVE", default_value_t = Curve::default())]
    curve: Curve,

    /// Encrypt the key with a password
    ///
    /// Several words are one password, joined with single spaces. If the text is the path of a
    /// file, the password is the first line of the file; if no such file exists, the text itself is
    /// the password, with a warning if it looks like a path. A lone '-' reads the first line of standard input. Without a
    /// word, a prompt asks for the password.
    #[arg(short, long, value_name = "WORD", num_args = 0..)]
    password: Option<Vec<String>>,

    /// The file to save the key to [default: keys/localhost.key in the home folder].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The size of an RSA key in bits: 2048, 3072 or 4096.
    #[arg(short, long, value_name = "BITS", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,

    /// Overwrite an existing key
    ///
    /// Clients that trust the certificate of the old key refuse the manager until they get a
    /// certificate of the new one.
    #[arg(long)]
    force: bool,
}

/// The kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    /// Supported by every TLS library.
    Rsa,
    /// Supported by MSL-Network and refused here: no current TLS library accepts its certificates.
    #[value(hide = true)]
    Dsa,
    /// Elliptic curves: smaller and faster than RSA.
    Ecc,
    /// The newest: small and fast, for peers with a current TLS library.
    Ed25519,
}

/// Creates the key and prints its path.
///
/// # Errors
/// If the kind of key is refused, or the file exists already (unless forced) or cannot be written.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let kind = match args.algorithm {
        Algorithm::Rsa => KeyKind::Rsa { bits: args.size },
        Algorithm::Ecc => KeyKind::Ecc(args.curve),
        Algorithm::Ed25519 => KeyKind::Ed25519,
        Algorithm::Dsa => return Err(PkiError::DsaRefused.into()),
    };
    let path = match args.out {
        Some(path) => path,
        None => Home::resolve()?.key_file(),
    };
    // An early check, before the password prompt and the slow key generation. The check of
    // `write_new` is the decisive one.
    if !args.force && path.is_file() {
        return Err(kept(&PkiError::FileExists { path }));
    }
    let password = match args.password {
        Some(words) => {
            let password = secret::resolve_new(&words, "Password for the new private key: ");
            Some(password.context("--password")?)
        }
        None => None,
    };
    let key = generate_key(kind)?;
    let password = password.as_deref();
    match if args.force {
        key.write_to(&path, password)
    } else {
        key.write_new(&path, password)
    } {
        Err(error @ PkiError::FileExists { .. }) => return Err(kept(&error)),
        other => other?,
    }
    say(format_args!(
        "Created private {} key '{}'",
        args.algorithm.name(),
        path.display()
    ))
}

/// The error for a key that is not overwritten, with the remedy.
fn kept(error: &PkiError) -> anyhow::Error {
    anyhow::anyhow!(
        "{error}, because clients may trust the key in it; save the new key elsewhere with --out (--force would \
         replace the old one, and it would be lost)"
    )
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Dsa => "DSA",
            Self::Ecc => "ECC",
            Self::Ed25519 => "Ed25519",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::fs;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    fn typed(line: &[&str]) -> Args {
        Typed::try_parse_from([&["keygen"], line].concat())
            .unwrap_or_else(|error| panic!("{error}"))
            .args
    }

    #[test]
    fn without_options_the_key_is_as_msl_network_makes_it() {
        let args = typed(&[]);
        assert_eq!(args.algorithm, Algorithm::Rsa);
        assert_eq!((args.size, args.curve), (2048, Curve::Secp384r1));
        assert!(args.password.is_none() && args.out.is_none() && !args.force);
    }

    #[test]
    fn the_options_of_msl_network_are_taken_in_both_forms() {
        let args = typed(&["dsa", "--size", "3072", "--password", "WhatEVER", "you", "wAnt!"]);
        assert_eq!((args.algorithm, args.size), (Algorithm::Dsa, 3072));
        assert_eq!(args.password.unwrap(), ["WhatEVER", "you", "wAnt!"]);
        let args = typed(&["ecc", "-c", "SECP521R1", "-o", "a.pem", "-s", "4096", "-p", "-"]);
        assert_eq!(
            (args.algorithm, args.curve, args.size),
            (Algorithm::Ecc, Curve::Secp521r1, 4096)
        );
        assert_eq!(args.out.unwrap().to_str(), Some("a.pem"));
        assert_eq!(args.password.unwrap(), ["-"]);
        assert!(typed(&["-p"]).password.unwrap().is_empty());
    }

    #[test]
    fn dsa_is_refused_with_what_to_use_instead() {
        let message = run(typed(&["dsa"])).unwrap_err().to_string();
        assert!(message.contains("'rsa', 'ecc' or 'ed25519'"), "{message}");
    }

    #[test]
    fn a_key_is_overwritten_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.key");
        let out = path.to_str().unwrap();
        run(typed(&["ed25519", "--out", out])).unwrap();
        let first = fs::read(&path).unwrap();
        let message = run(typed(&["ed25519", "--out", out])).unwrap_err().to_string();
        assert!(message.contains(out) && message.contains("--force"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), first);
        run(typed(&["ed25519", "--out", out, "--force"])).unwrap();
        assert_ne!(fs::read(&path).unwrap(), first);
    }
}
