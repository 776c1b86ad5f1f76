//! The server's certificate: read from files, and replaced while the server runs.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use thiserror::Error;

/// Where the certificate and its key are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Why the files are no certificate and its key.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read, or is not PEM.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Both are valid, and do not belong together.
    #[error("the key in {key} is not that of the first certificate in {certificate}")]
    Mismatch {
        /// The file with the certificates.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
}

impl Files {
    /// Reads both files: a chain of certificates, the server's first, and its key, in PEM.
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| unreadable(&self.certificate, &error, "certificate"))?;
        if chain.is_empty() {
            return Err(unreadable(&self.certificate, &pem::Error::NoItemsFound, "certificate"));
        }
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unreadable(&self.key, &error, "private key"))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| {
            if error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
                return CertificateError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() };
            }
            if let Error::InvalidCertificate(reason) = error {
                let reason = format!("the first certificate is not valid: {reason:?}");
                return CertificateError::File { path: self.certificate.clone(), reason };
            }
            let reason = format!("the key is not one that TLS can use (RSA, ECDSA or Ed25519): {error}");
            CertificateError::File { path: self.key.clone(), reason }
        })
    }

    /// Whether everybody on this machine may read the key.
    pub(super) fn is_key_open(&self) -> bool {
        fs::metadata(&self.key).is_ok_and(|found| found.mode() & 0o007 != 0)
    }

    /// What tells a version of the files from another.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp([&self.certificate, &self.key].map(|path| fs::metadata(path).ok().map(|found| file_stamp(&found))))
    }
}

/// A version of both files; `None` for one that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<(Option<SystemTime>, u64, u64)>; 2]);

fn file_stamp(found: &Metadata) -> (Option<SystemTime>, u64, u64) {
    (found.modified().ok(), found.len(), found.ino())
}

fn unreadable(path: &Path, error: &pem::Error, wanted: &str) -> CertificateError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library may add errors, each of which has a text")]
    let reason = match error {
        pem::Error::NoItemsFound => format!("there is no {wanted} in PEM in this file"),
        pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => "there is no such file".to_owned(),
        pem::Error::Io(error) => error.to_string(),
        other => format!("not valid PEM: {other}"),
    };
    CertificateError::File { path: path.to_owned(), reason }
}

/// The certificate for every connection, which can be replaced.
#[derive(Debug)]
pub(super) struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl CurrentCertificate {
    pub(super) fn new(certified: CertifiedKey) -> Self {
        Self(RwLock::new(Arc::new(certified)))
    }

    /// New connections get this one from now on.
    pub(super) fn replace(&self, certified: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
