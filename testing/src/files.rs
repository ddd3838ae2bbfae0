//! Creates the missing files in a test manager's home folder.

use std::sync::Arc;

use labwire_home::Home;
use labwire_pki::{
    CertificateOptions, Curve, KeyKind, PkiError, ReloadableCertificate, generate_certificate, generate_key,
    load_certified_key, server_config,
};
use labwire_store::{COMPATIBLE_ROUNDS, Database, HashedPassword, StoreError};
use rustls::ServerConfig;

use crate::options::User;

/// Adds the users that are missing in the database.
pub(crate) fn insert_users(home: &Home, users: &[User]) -> Result<(), StoreError> {
    let mut database = Database::open(&home.database())?;
    for user in users {
        if database.rights(&user.name)?.is_none() {
            // The minimum number of rounds, since tests wait for logins.
            let password = HashedPassword::new(&user.name, &user.password, COMPATIBLE_ROUNDS)?;
            database.insert_user(&user.name, &password, user.is_admin)?;
        }
    }
    Ok(())
}

/// Loads the key and the certificate. Creates them if they are missing.
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
