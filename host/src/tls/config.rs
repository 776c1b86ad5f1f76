//! What all encrypted connections of a server share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{ServerConfig, ServerConnection};
use thiserror::Error;

use super::certificate::{CertificateError, CurrentCertificate, Files, Stamp};
use crate::lifecycle::Lifecycle;
use crate::signals::OnHangup;
use crate::tls_options::TlsOptions;
use crate::watch;

/// How often the files are looked at. A certificate is renewed weeks before it expires.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Most bytes of an answer that are encrypted before they are written.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Why a server cannot use TLS as it is told to.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificate or its key.
    #[error("TLS: {0}")]
    Certificate(#[from] CertificateError),
    /// None with the versions and ciphers that this program has.
    #[error("TLS could not be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// TLS for the connections of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    source: Arc<Source>,
}

/// Where the certificate comes from.
#[derive(Debug)]
struct Source {
    files: Files,
    provider: Arc<CryptoProvider>,
    current: Arc<CurrentCertificate>,
}

impl Tls {
    /// Reads the certificate, if there is to be one.
    ///
    /// # Errors
    ///
    /// [`TlsError`], which names the file and what is wrong with it.
    pub fn of(options: &TlsOptions) -> Result<Option<Self>, TlsError> {
        match (options.tls_cert.clone(), options.tls_key.clone()) {
            (Some(certificate), Some(key)) => Self::load(Files { certificate, key }).map(Some),
            (_, _) => Ok(None),
        }
    }

    fn load(files: Files) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let current = Arc::new(CurrentCertificate::new(files.load(&provider)?));
        if files.is_key_open() {
            tracing::warn!(path = %files.key.display(), "other users can read the private key; `chmod 600` closes it");
        }
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<CurrentCertificate>::clone(&current));
        // A client may offer the old version alone, as `curl --http1.0` does.
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        Ok(Self { config: Arc::new(config), source: Arc::new(Source { files, provider, current }) })
    }

    /// The server's side of a new connection.
    pub(super) fn session(&self) -> Result<ServerConnection, rustls::Error> {
        let mut session = ServerConnection::new(Arc::clone(&self.config))?;
        session.set_buffer_limit(Some(PIECE_BYTES_MAX));
        Ok(session)
    }

    /// Starts the thread that reads the files again when they change, until the drain begins. Returns what makes it
    /// read them even if they have not.
    ///
    /// # Errors
    ///
    /// When the system refuses to start a thread.
    pub(crate) fn watch(&self, lifecycle: &Arc<Lifecycle>) -> io::Result<OnHangup> {
        let [serving, ending, failing] = [(); 3].map(|()| Arc::clone(lifecycle));
        let source = Arc::clone(&self.source);
        let is_wanted = Arc::<AtomicBool>::default();
        let wanted = Arc::clone(&is_wanted);
        let look = move || {
            let mut stamp = source.files.stamp();
            while !serving.drains_within(LOOK_INTERVAL) {
                source.look(&mut stamp, wanted.swap(false, Ordering::AcqRel));
            }
        };
        watch::spawn("argus-tls", look, move || ending.is_draining(), move |reason| failing.fail(reason))?;
        Ok(Box::new(move || is_wanted.store(true, Ordering::Release)))
    }

    /// Reads the files again, as the thread does.
    #[cfg(test)]
    pub(super) fn reload(&self) {
        self.source.reload();
    }
}

impl Source {
    /// Reads the files again if they have changed since `stamp`, or if it `is_wanted`.
    fn look(&self, stamp: &mut Stamp, is_wanted: bool) {
        // Before reading: if they change meanwhile, the next look reads them once more.
        let found = self.files.stamp();
        if found != *stamp || is_wanted {
            *stamp = found;
            self.reload();
        }
    }

    /// Files that are not valid together may be half of a replacement. The next look finds the other half.
    fn reload(&self) {
        match self.files.load(&self.provider) {
            Ok(certified) => {
                self.current.replace(certified);
                tracing::info!(path = %self.files.certificate.display(), "the certificate was read again");
            }
            Err(error) => tracing::error!(%error, "the new certificate cannot be used; the old one stays in use"),
        }
    }
}
