//! `labwire keygen`: makes a private key.

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;

use super::secret;
use crate::home::Home;
use crate::pki::{Curve, KeyKind, PkiError, generate_key};

/// Make a private key.
///
/// The manager proves with its private key that it is the one whose certificate a client trusts. Whoever has the
/// key can pass for the manager, so the file is readable by you alone, and a password protects it further.
///
/// `labwire start` makes a key by itself if there is none yet: you need this command only for a key of another
/// kind, with a password, or in another place.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # an RSA key with 2048 bits and no password, in the default place
  labwire keygen

  # an elliptic-curve key, smaller and quicker than RSA and just as safe
  labwire keygen ecc

  # an RSA key with 3072 bits and a password of several words
  labwire keygen rsa --size 3072 --password WhatEVER you wAnt!

  # the password is on the first line of a file, so that your shell's history never sees it
  labwire keygen --password /path/to/password.txt

See also: labwire certgen")]
pub struct Args {
    /// What kind of key to make.
    #[arg(value_enum, ignore_case = true, default_value_t = Algorithm::Rsa)]
    algorithm: Algorithm,

    /// The curve of an ecc key: secp256r1, secp384r1 or secp521r1.
    #[arg(short, long, value_name = "CURVE", default_value_t = Curve::default())]
    curve: Curve,

    /// Encrypt the key with a password.
    ///
    /// Several words are one password, joined with single spaces. The path of an existing file means the first
    /// line of that file, and a lone '-' the first line of the standard input. Without a word you are asked
    /// for the password.
    #[arg(short, long, value_name = "WORD", num_args = 0..)]
    password: Option<Vec<String>>,

    /// Where to save the key [default: keys/localhost.key in the home folder].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The size of an RSA key in bits: 2048, 3072 or 4096.
    #[arg(short, long, value_name = "BITS", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,

    /// Overwrite a key that exists. Clients that trust the certificate of the old key will refuse the manager
    /// until they get a certificate of the new one.
    #[arg(long)]
    force: bool,
}

/// The kinds of keys, as they are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    /// Known to every TLS library there is.
    Rsa,
    /// Outdated: refused, because no current TLS library accepts its certificates.
    Dsa,
    /// Elliptic curves: smaller and quicker than RSA.
    Ecc,
    /// The newest: small and quick, for peers with a TLS library of this decade.
    Ed25519,
}

/// Makes the key and says where it is.
///
/// # Errors
/// When the kind of key is refused, the file exists already (unless forced) or cannot be written.
pub fn run(args: Args) -> anyhow::Result<()> {
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
    // Before the password is asked for and the key made, which takes a while; what counts is the check of
    // `write_new`.
    if !args.force && path.is_file() {
        return Err(PkiError::FileExists { path }).context(KEEPING);
    }
    let password = match args.password {
        Some(words) => Some(secret::resolve(&words, "Password for the new private key: ")?),
        None => None,
    };
    let key = generate_key(kind)?;
    if args.force {
        key.write_to(&path, password.as_deref())?;
    } else {
        key.write_new(&path, password.as_deref())
            .map_err(|error| match error {
                PkiError::FileExists { .. } => anyhow::Error::new(error).context(KEEPING),
                other => other.into(),
            })?;
    }
    println!(
        "Created private {} key '{}'",
        args.algorithm.name(),
        path.display()
    );
    Ok(())
}

const KEEPING: &str = "clients may trust the key that is there: save the new one elsewhere with --out, or replace \
                       the old one with --force";

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
