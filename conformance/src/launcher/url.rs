//! Servers at a URL.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use super::{Demand, Exit, Identity, Launcher, Running, Signal};
use crate::failure::Failure;

/// Uses a server that is already running.
#[derive(Clone, Debug)]
pub struct UrlLauncher {
    address: SocketAddr,
}

#[derive(Debug)]
struct Remote {
    address: SocketAddr,
}

impl UrlLauncher {
    /// A launcher for the server at `url`, which is `http://HOST:PORT`.
    ///
    /// # Errors
    ///
    /// A message if it is another scheme or the host has no address.
    pub fn new(url: &str) -> Result<Self, String> {
        let authority = url.strip_prefix("http://").ok_or_else(|| format!("{url}: expected http://HOST:PORT"))?;
        let authority = authority.trim_end_matches('/');
        let mut addresses = authority.to_socket_addrs().map_err(|error| format!("{url}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{url}: the host has no address"))?;
        Ok(Self { address })
    }
}

impl Launcher for UrlLauncher {
    fn identity(&self) -> Identity {
        Identity::Address(self.address)
    }

    fn start(&self, demand: Demand<'_>) -> Result<Box<dyn Running>, Failure> {
        match demand {
            Demand::Any => Ok(Box::new(Remote { address: self.address })),
            Demand::Empty => Err(Failure::skipped("needs an empty server of its own")),
            Demand::Settings(settings) | Demand::Again(_, settings) | Demand::BrokenLog(_, settings) => {
                Err(Failure::skipped(format!("needs a server of its own with the settings {settings:?}")))
            }
        }
    }

    fn run_to_exit(&self, _arguments: &[&str]) -> Result<Exit, Failure> {
        Err(Failure::skipped("needs the program, not a running server"))
    }

    fn wrapped(&self, _wrapper: &[String]) -> Result<Box<dyn Launcher>, Failure> {
        Err(Failure::skipped("needs the program, not a running server"))
    }
}

impl Running for Remote {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn sees_clients(&self) -> bool {
        false
    }

    fn process(&self) -> Option<u32> {
        None
    }

    fn repository(&self) -> Option<String> {
        None
    }

    fn folder(&self) -> Option<&Path> {
        None
    }

    fn signal(&self, _signal: Signal) -> Result<(), Failure> {
        Err(Failure::skipped("needs control of the server's process"))
    }

    fn wait(&mut self) -> Result<Exit, Failure> {
        Err(Failure::skipped("needs control of the server's process"))
    }

    fn log(&self) -> String {
        String::new()
    }
}
