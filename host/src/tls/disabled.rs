//! Stands in for TLS in programs that are built without it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use clap::Args;

use crate::lifecycle::Lifecycle;
use crate::signals::OnHangup;

/// No options.
#[derive(Args, Clone, Debug)]
pub struct TlsOptions {}

/// There is none.
#[derive(Clone, Debug)]
pub enum Tls {}

/// There is none.
pub type TlsError = Infallible;

impl TlsOptions {
    /// Nothing to load.
    ///
    /// # Errors
    ///
    /// None.
    pub fn load(&self) -> Result<Option<Tls>, TlsError> {
        Ok(None)
    }
}

impl Tls {
    pub(crate) fn watch(&self, _: &Arc<Lifecycle>) -> io::Result<OnHangup> {
        match *self {}
    }
}
