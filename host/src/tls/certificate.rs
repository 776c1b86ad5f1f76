//! The server's certificate: read from files, and replaced while the server runs.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use thiserror::Error;

use crate::reread::is_read_once;

/// Most bytes of a file that are read. A chain of certificates has some thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;

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
    /// Reads both files at the start.
    pub(super) fn read(&self) -> Contents {
        Contents { certificate: read(&self.certificate), key: read(&self.key) }
    }

    /// Reads both files again.
    pub(super) fn read_again(&self) -> Contents {
        Contents { certificate: read_again(&self.certificate), key: read_again(&self.key) }
    }

    /// The file that cannot be read again, if there is one.
    pub(super) fn read_once(&self) -> Option<&Path> {
        [&*self.certificate, &*self.key].into_iter().find(|path| is_read_once(path))
    }

    /// What the files contain: a chain of certificates, the server's first, and its key, in PEM.
    pub(super) fn parse(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, CertificateError> {
        let of_file =
            |path: &Path, reason: &String| CertificateError::File { path: path.to_owned(), reason: reason.clone() };
        let certificate = contents.certificate.as_ref().map_err(|reason| of_file(&self.certificate, reason))?;
        let key = contents.key.as_ref().map_err(|reason| of_file(&self.key, reason))?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| not_pem(&self.certificate, &error, "certificate"))?;
        if chain.is_empty() {
            return Err(not_pem(&self.certificate, &pem::Error::NoItemsFound, "certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| not_pem(&self.key, &error, "private key"))?;
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

    /// Whether all users of this machine may read the key.
    pub(super) fn is_key_readable_by_all(&self) -> bool {
        fs::metadata(&self.key).is_ok_and(|found| found.mode() & 0o004 != 0)
    }
}

/// What was found in both files, or why it could not be read. It tells a version of the files from another, whatever
/// their times and permissions are.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
}

/// Without the key.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => Err("it has more than 1 MiB".to_owned()),
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("there is no such file".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn read_again(path: &Path) -> Result<Vec<u8>, String> {
    if is_read_once(path) { Err("it is no regular file any more".to_owned()) } else { read(path) }
}

fn not_pem(path: &Path, error: &pem::Error, wanted: &str) -> CertificateError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library may add errors, each of which has a text")]
    let reason = match error {
        pem::Error::NoItemsFound => format!("there is no {wanted} in PEM in this file"),
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
