//! What a manager for a test has in its home folder, made where it is missing.

use std::sync::Arc;

use labwire_home::Home;
use labwire_pki::{
    CertificateOptions, Curve, KeyKind, PkiError, ReloadableCertificate, generate_certificate, generate_key,
    load_certified_key, server_config,
};
use labwire_store::{COMPATIBLE_ROUNDS, Database, HashedPassword, StoreError};
use rustls::ServerConfig;

use crate::builder::User;

/// Sees to it that the database has these users.
pub(crate) fn insert_users(home: &Home, users: &[User]) -> Result<(), StoreError> {
    let mut database = Database::open(&home.database())?;
    for user in users {
        if database.rights(&user.name)?.is_none() {
            // The fewest rounds that there can be: tests that log in wait for them.
            let password = HashedPassword::new(&user.name, &user.password, COMPATIBLE_ROUNDS)?;
            database.insert_user(&user.name, &password, user.is_admin)?;
        }
    }
    Ok(())
}

/// Sees to it that there are a key and a certificate, and takes them.
pub(crate) fn encryption(home: &Home) -> Result<Arc<ServerConfig>, PkiError> {
    let (certificate, key) = (home.certificate_file(), home.key_file());
    if !certificate.is_file() {
        // An RSA key would take a second.
        let private_key = generate_key(KeyKind::Ecc(Curve::Secp256r1))?;
        private_key.write_to(&key, None)?;
        generate_certificate(&private_key, &CertificateOptions::for_this_computer())?
            .write_to(&certificate)?;
    }
    let certified = load_certified_key(&certificate, Some(&key), None)?;
    Ok(server_config(Arc::new(ReloadableCertificate::new(certified))))
}
