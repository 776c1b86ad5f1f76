//! What all encrypted connections of a server share.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{ServerConfig, ServerConnection};
use thiserror::Error;

use super::certificate::{CertificateError, Contents, CurrentCertificate, Files};
use crate::lifecycle::Lifecycle;
use crate::signals::OnHangup;
use crate::tls_options::TlsOptions;
use crate::warnings::Warnings;
use crate::watch;

/// How often the files are read. A certificate is renewed weeks before it expires.
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
    /// Whether the files can be read again.
    is_watched: bool,
    /// What was loaded last, or found to be wrong.
    tried: Mutex<Contents>,
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
        let contents = files.read();
        let current = Arc::new(CurrentCertificate::new(files.parse(&contents, &provider)?));
        warn_of_permissions(&files);
        let read_once = files.read_once();
        if let Some(path) = read_once {
            tracing::info!(path = %path.display(), "no regular file: the certificate and its key are not read again");
        }
        let is_watched = read_once.is_none();
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<CurrentCertificate>::clone(&current));
        // A client may offer the old version alone, as `curl --http1.0` does.
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        let source = Source { files, provider, current, is_watched, tried: Mutex::new(contents) };
        Ok(Self { config: Arc::new(config), source: Arc::new(source) })
    }

    /// The server's side of a new connection.
    pub(super) fn session(&self) -> Result<ServerConnection, rustls::Error> {
        let mut session = ServerConnection::new(Arc::clone(&self.config))?;
        session.set_buffer_limit(Some(PIECE_BYTES_MAX));
        Ok(session)
    }

    /// Starts the thread that reads the files again when they change, until the drain begins, unless they can be read
    /// once only. Returns what makes it read them even if they have not changed.
    ///
    /// # Errors
    ///
    /// When the system refuses to start a thread.
    pub(crate) fn watch(&self, warnings: &Arc<Warnings>, lifecycle: &Arc<Lifecycle>) -> io::Result<OnHangup> {
        if !self.source.is_watched {
            // SIGHUP does nothing then, rather than end the process.
            return Ok(Box::new(|| ()));
        }
        let [serving, ending, failing] = [(); 3].map(|()| Arc::clone(lifecycle));
        let (source, warnings) = (Arc::clone(&self.source), Arc::clone(warnings));
        let is_wanted = Arc::<AtomicBool>::default();
        let wanted = Arc::clone(&is_wanted);
        let look = move || {
            while !serving.drains_within(LOOK_INTERVAL) {
                source.look(&warnings, wanted.swap(false, Ordering::AcqRel));
            }
        };
        watch::spawn("argus-tls", look, move || ending.is_draining(), move |reason| failing.fail(reason))?;
        Ok(Box::new(move || is_wanted.store(true, Ordering::Release)))
    }

    /// Looks at the files, as the thread does.
    #[cfg(test)]
    pub(super) fn look(&self, warnings: &Warnings) {
        self.source.look(warnings, false);
    }
}

impl Source {
    /// Loads what is in the files if that has changed, or if it `is_wanted`. Files that are not valid together may be
    /// half of a replacement: the next look finds the other half.
    fn look(&self, warnings: &Warnings, is_wanted: bool) {
        let found = self.files.read_again();
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if found == *tried && !is_wanted {
            return;
        }
        let parsed = self.files.parse(&found, &self.provider);
        *tried = found;
        warnings.certificate(parsed.is_err());
        match parsed {
            Ok(certified) => {
                self.current.replace(certified);
                tracing::info!(path = %self.files.certificate.display(), "the certificate was read again");
                warn_of_permissions(&self.files);
            }
            Err(error) => tracing::error!(%error, "the new certificate cannot be used; the old one stays in use"),
        }
    }
}

fn warn_of_permissions(files: &Files) {
    if files.is_key_readable_by_all() {
        tracing::warn!(path = %files.key.display(), "all users can read the private key; `chmod o-r` prevents it");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::testing::Server;

    /// A folder with a certificate and its key.
    fn certificate() -> (TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["argus.test".to_owned()]).unwrap();
        let files = Files { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        (folder, files)
    }

    /// As `<(…)` of a shell names a pipe.
    fn path_of(pipe: &io::PipeReader) -> PathBuf {
        format!("/dev/fd/{}", pipe.as_raw_fd()).into()
    }

    #[test]
    fn a_key_from_a_pipe_is_read_once() {
        let (_folder, files) = certificate();
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&fs::read(&files.key).unwrap()).unwrap();
        drop(writer);
        let tls = Tls::load(Files { key: path_of(&reader), ..files }).unwrap();
        let server = Server::start("");
        let (warnings, lifecycle) = (&server.node.warnings, &server.node.lifecycle);
        let holders = Arc::strong_count(lifecycle);
        tls.watch(warnings, lifecycle).unwrap()();
        assert_eq!(Arc::strong_count(lifecycle), holders, "no thread reads the files again");
    }

    #[test]
    fn a_file_that_becomes_a_pipe_is_not_waited_for() {
        let (_folder, files) = certificate();
        let (tls, server) = (Tls::load(files.clone()).unwrap(), Server::start(""));
        let (reader, _writer) = io::pipe().unwrap();
        fs::remove_file(&files.key).unwrap();
        symlink(path_of(&reader), &files.key).unwrap();
        tls.look(&server.node.warnings);
        assert!(server.node.warnings.text().unwrap().contains("the new certificate cannot be used"));
    }
}
