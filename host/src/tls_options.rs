//! Options of TLS.

#[cfg(feature = "tls")]
use std::path::PathBuf;

use clap::Args;

/// Options of TLS.
#[cfg(feature = "tls")]
#[derive(Args, Clone, Debug)]
pub struct TlsOptions {
    /// Serve HTTPS with this certificate: a file in PEM, with the server's certificate first, and then those that lead
    /// to its authority. It is read again on SIGHUP, and when it changes; one that is not valid is reported, and the
    /// old one stays in use
    #[arg(long, env = "ARGUS_TLS_CERT", value_name = "FILE", requires = "tls_key", help_heading = "TLS")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of the certificate: a file in PEM, which only the server should be able to read
    #[arg(long, env = "ARGUS_TLS_KEY", value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    pub tls_key: Option<PathBuf>,
}

/// Options of TLS, of which a program without it has none.
#[cfg(not(feature = "tls"))]
#[derive(Args, Clone, Debug)]
pub struct TlsOptions {}

impl TlsOptions {
    /// Whether the server speaks HTTPS.
    pub(crate) fn is_on(&self) -> bool {
        #[cfg(feature = "tls")]
        let is_on = self.tls_cert.is_some();
        #[cfg(not(feature = "tls"))]
        let is_on = false;
        is_on
    }
}
