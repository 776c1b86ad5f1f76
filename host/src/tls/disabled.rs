//! Stands in for TLS in programs that are built without it.

use std::convert::Infallible;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use crate::lifecycle::Lifecycle;
use crate::signals::OnHangup;
use crate::tls_options::TlsOptions;
use crate::warnings::Warnings;

/// There is none.
#[derive(Clone, Debug)]
pub enum Tls {}

/// There is none.
pub type TlsError = Infallible;

impl Tls {
    /// Nothing to load.
    ///
    /// # Errors
    ///
    /// None.
    pub fn of(_: &TlsOptions) -> Result<Option<Self>, TlsError> {
        Ok(None)
    }

    pub(crate) fn watch(&self, _: &Arc<Warnings>, _: &Arc<Lifecycle>) -> io::Result<OnHangup> {
        match *self {}
    }
}

/// A connection cannot be encrypted.
///
/// # Errors
///
/// Always.
pub(crate) fn encrypt(_: &str, _: TcpStream) -> io::Result<TcpStream> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this program was built without TLS"))
}
