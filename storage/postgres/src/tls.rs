//! TLS to the server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What is verified of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verification {
    /// Nothing: the connection is encrypted, but whoever is between may be the server.
    None,
    /// That an authority we trust has signed it.
    Chain,
    /// This, and that it is for the name of the host.
    ChainAndName,
}

/// Why TLS cannot be used.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    /// The file of certificates could not be read.
    #[error("cannot read the certificates of {0}: {1}")]
    Roots(PathBuf, rustls::pki_types::pem::Error),
    /// There is no authority to trust.
    #[error("there are no certificates of authorities; name a file of them with `sslrootcert=PATH`")]
    NoRoots,
    /// The certificates cannot be used.
    #[error("{0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(#[from] rustls::Error),
}

/// The settings of TLS.
pub(crate) struct Tls(ClientConfig);

impl Tls {
    /// # Errors
    ///
    /// [`TlsError`].
    pub(crate) fn new(verification: Verification, roots: Option<&Path>) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let inner = match verification {
            Verification::None => None,
            Verification::Chain | Verification::ChainAndName => {
                let roots = Arc::new(root_certificates(roots)?);
                Some(WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?)
            }
        };
        let checks_name = verification == Verification::ChainAndName;
        let verifier = Arc::new(Verifier { inner, checks_name, provider: Arc::clone(&provider) });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self(config))
    }

    pub(crate) fn connector(self) -> MakeRustlsConnect {
        MakeRustlsConnect::new(self.0)
    }
}

/// The authorities that are trusted: those of the file, or those of the system.
fn root_certificates(path: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match path {
        Some(path) => {
            let broken = |error| TlsError::Roots(path.to_owned(), error);
            for certificate in CertificateDer::pem_file_iter(path).map_err(broken)? {
                roots.add(certificate.map_err(broken)?)?;
            }
        }
        // Some of the system's may be of a kind that rustls does not know.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

/// Verifies as much as was asked for.
#[derive(Debug)]
struct Verifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    checks_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        let verified = inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
