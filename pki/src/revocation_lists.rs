//! Lists of revoked certificates, as authorities publish them (RFC 5280, section 5).

use std::collections::HashMap;
use std::path::Path;

use labwire_home::present;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::asn1_rs::{Any, BitString};
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::client_trust::{ClientTrustError, Root, Roots, day, read};
use crate::describe::printable;

/// Which of the lists of an issuer one is.
#[derive(Clone, Debug)]
struct Edition {
    number: Option<BigUint>,
    /// When the list was made, in seconds since 1970.
    this_update: i64,
}

impl Edition {
    /// Returns whether a list was made before another one. The number decides; lists with the same number, or
    /// without, by their time. An authority that has begun to number its lists does not end.
    fn is_older_than(&self, other: &Self) -> bool {
        match (&self.number, &other.number) {
            (Some(own), Some(others)) if own != others => own < others,
            (None, Some(_)) => true,
            _ => self.this_update < other.this_update,
        }
    }
}

/// A list of revoked certificates.
pub(crate) struct List {
    /// The issuer in DER form, and for people.
    issuer: Vec<u8>,
    name: String,
    /// The public keys of the authorities that have signed it, in DER form.
    signers: Vec<Vec<u8>>,
    edition: Edition,
    /// When the next list comes, in seconds since 1970.
    next_update: i64,
}

impl List {
    /// Parses a list in DER form. Returns the number of certificates that it revokes, too.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    fn parse(der: &[u8], roots: &Roots) -> Result<(Self, usize), String> {
        let (_, list) = CertificateRevocationList::from_der(der).map_err(|_| "it is damaged")?;
        let next = list.next_update();
        let next = next.ok_or("it does not tell when the next one comes")?;
        let issuer = list.issuer().as_raw();
        let name = printable(&list.issuer().to_string());
        let authorities = roots.authorities.iter();
        let namesakes: Vec<_> = authorities.filter(|root| root.subject == issuer).collect();
        let signers = namesakes.iter().filter(|root| is_signed_by(der, &root.key));
        let signers: Vec<_> = signers.map(|root| root.key.clone()).collect();
        if signers.is_empty() && !namesakes.is_empty() {
            // Every handshake would be refused because of it.
            return Err(format!(
                "no authority in '{}' has signed it with an algorithm that is accepted, though its issuer is '{name}'",
                roots.path.display()
            ));
        }
        let edition = Edition {
            number: list.crl_number().cloned(),
            this_update: list.last_update().timestamp(),
        };
        let parsed = Self {
            issuer: issuer.to_vec(),
            name,
            signers,
            edition,
            next_update: next.timestamp(),
        };
        Ok((parsed, list.iter_revoked_certificates().count()))
    }

    /// Returns what is wrong with the time of the list.
    fn doubt(&self, now: i64) -> Option<String> {
        let (name, next) = (&self.name, self.next_update);
        let left = next - now;
        if left <= 0 {
            Some(format!(
                "the list of revoked certificates of '{name}' is overdue since {}, so its certificates are refused; \
                 renew it (labwire certgen --crl, or who runs the authority), then send HUP",
                day(next)
            ))
        } else if left < (next - self.edition.this_update) / 10 {
            Some(format!(
                "the list of revoked certificates of '{name}' must be renewed by {}, or its certificates are refused",
                day(next)
            ))
        } else {
            None
        }
    }
}

/// The newest list of each issuer that was in use, by the issuer in DER form.
#[derive(Debug, Default)]
pub(crate) struct Newest(HashMap<Vec<u8>, Edition>);

impl Newest {
    /// Checks that none of the lists in a file is older than the newest one of its issuer.
    pub(crate) fn check(&self, path: &Path, lists: &[List]) -> Result<(), ClientTrustError> {
        let is_older = |list: &&List| {
            let known = self.0.get(&list.issuer);
            known.is_some_and(|known| list.edition.is_older_than(known))
        };
        lists.iter().find(is_older).map_or(Ok(()), |list| {
            Err(ClientTrustError::OlderList {
                path: path.to_owned(),
                issuer: list.name.clone(),
            })
        })
    }

    /// Remembers lists that were checked. Issuers that have no list among them are not forgotten.
    pub(crate) fn remember(&mut self, lists: &[List]) {
        let editions = lists
            .iter()
            .map(|list| (list.issuer.clone(), list.edition.clone()));
        self.0.extend(editions);
    }
}

/// Lists of revoked certificates, of one file.
pub(crate) struct Lists {
    pub(crate) der: Vec<CertificateRevocationListDer<'static>>,
    /// What is in them, in the same order.
    pub(crate) contents: Vec<List>,
    /// The number of revoked certificates.
    pub(crate) revoked: usize,
}

impl Lists {
    /// Reads the lists in a PEM file. Those of the authorities must be signed by them.
    pub(crate) fn read(path: &Path, roots: &Roots) -> Result<Self, ClientTrustError> {
        let contents = read(path)?;
        let blocks = lists_from_pem(&contents).ok_or_else(|| ClientTrustError::NoList {
            path: path.to_owned(),
        })?;
        let (mut lists, mut revoked) = (Vec::<List>::new(), 0);
        for (index, block) in blocks.iter().enumerate() {
            let unusable = |reason| ClientTrustError::UnusableList {
                path: path.to_owned(),
                number: index + 1,
                reason,
            };
            let (list, count) = List::parse(block, roots).map_err(unusable)?;
            if lists.iter().any(|known| known.issuer == list.issuer) {
                // Only one of them would count.
                return Err(unusable(format!(
                    "it is the second one of '{}'; keep the newest one only",
                    list.name
                )));
            }
            revoked += count;
            lists.push(list);
        }
        let der = blocks.into_iter().map(CertificateRevocationListDer::from);
        Ok(Self {
            der: der.collect(),
            contents: lists,
            revoked,
        })
    }

    /// Returns what keeps clients out, now or soon: a list that is overdue, missing, or signed by another authority
    /// of the same name.
    pub(crate) fn doubts(&self, roots: &Roots) -> Vec<String> {
        let now = present().as_second();
        let of_lists = self.contents.iter().filter_map(|list| list.doubt(now));
        let of_roots = roots.authorities.iter().filter_map(|root| self.doubt(root));
        of_lists.chain(of_roots).collect()
    }

    fn doubt(&self, root: &Root) -> Option<String> {
        let name = &root.name;
        match self.contents.iter().find(|list| list.issuer == root.subject) {
            Some(list) if list.signers.contains(&root.key) => None,
            Some(_) => Some(format!(
                "the list of revoked certificates of '{name}' is signed with the key of another authority of that \
                 name, so the certificates of this one are refused; give each authority its own name"
            )),
            None => Some(format!(
                "there is no list of revoked certificates of '{name}', so its certificates are refused; add one \
                 (labwire certgen --crl)"
            )),
        }
    }
}

/// Returns whether a list in DER form is signed with the private key of a `SubjectPublicKeyInfo`. The algorithms are
/// those of handshakes, each of which verifies the list again.
fn is_signed_by(list: &[u8], key: &[u8]) -> bool {
    let verified = || {
        let (signed, _) = split(list)?;
        let (_, after) = split(signed)?;
        let contents = signed.strip_suffix(after)?;
        let (algorithm, signature) = split(after)?;
        let (_, signature) = BitString::from_der(signature).ok()?;
        let (key_algorithm, key) = split(split(key)?.0)?;
        let (_, key) = BitString::from_der(key).ok()?;
        let supported = aws_lc_rs::default_provider().signature_verification_algorithms;
        let mut fitting = supported.all.iter().filter(|known| {
            *known.signature_alg_id() == *algorithm && *known.public_key_alg_id() == *key_algorithm
        });
        fitting.find(|known| {
            let verified = known.verify_signature(&key.data, contents, &signature.data);
            verified.is_ok()
        })
    };
    verified().is_some()
}

/// Returns the contents of the first value in DER form, and what follows the value.
fn split(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, value) = Any::from_der(der).ok()?;
    Some((value.data, rest))
}

/// Returns the lists of revoked certificates among the blocks of a PEM file. Returns `None` if there
/// are none or a block is incomplete.
pub(crate) fn lists_from_pem(contents: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text = String::from_utf8_lossy(contents);
    let blocks = pem::parse_many(text.as_bytes()).ok()?;
    let lists = blocks.into_iter().filter(|block| block.tag() == "X509 CRL");
    let lists: Vec<_> = lists.map(pem::Pem::into_contents).collect();
    (!lists.is_empty()).then_some(lists)
}
