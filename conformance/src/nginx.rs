//! A real nginx in front of a subject, as in production.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::patience;
use crate::failure::Failure;

/// Where packages install it. These folders may be missing in `PATH`.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin"];
/// How often to try to start one: its port is free when chosen, but may be taken a moment later.
const STARTS_MAX: usize = 10;
/// How often to check whether it listens.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A running nginx. Dropping it ends it.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    /// Its configuration, log and temporary files.
    folder: TempDir,
}

/// The path of nginx, if installed.
#[must_use]
pub fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join("nginx")).find(|program| program.is_file())
}

impl Nginx {
    /// Starts one that passes every request to `upstream`, with these directives in its `server` block beside
    /// `proxy_pass`. Everything else is nginx's default, except that bodies may have any length.
    ///
    /// # Errors
    ///
    /// [`Failure::Skipped`] if there is no nginx, [`Failure::Unmet`] if it does not start.
    pub fn start(upstream: SocketAddr, directives: &str) -> Result<Self, Failure> {
        let program = program().ok_or_else(|| Failure::skipped("needs nginx (Debian: apt-get install nginx-light)"))?;
        for _ in 0..STARTS_MAX {
            let folder = TempDir::with_prefix("argus-nginx-").map_err(unmet("a temporary folder for nginx"))?;
            let address = free_address()?;
            let configuration = configuration(folder.path(), address, upstream, directives);
            std::fs::write(folder.path().join("nginx.conf"), configuration)
                .map_err(unmet("a configuration of nginx"))?;
            let child = Command::new(&program)
                .arg("-p")
                .arg(folder.path())
                .args(["-e", "error.log", "-c", "nginx.conf"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(unmet("nginx to start"))?;
            let mut nginx = Self { child, address, folder };
            if nginx.listens()? {
                return Ok(nginx);
            }
            let log = std::fs::read_to_string(nginx.folder.path().join("error.log")).unwrap_or_default();
            if !log.contains("Address already in use") {
                return Err(Failure::unmet(format!("nginx to listen at {address}; its log: {log}")));
            }
        }
        Err(Failure::unmet("a port for nginx"))
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it listens; returns false if it has ended instead.
    fn listens(&mut self) -> Result<bool, Failure> {
        let deadline = Instant::now() + patience();
        while Instant::now() < deadline {
            if self.child.try_wait().map_err(unmet("a process that can be waited for"))?.is_some() {
                return Ok(false);
            }
            // nginx writes this file when the port is bound. An answer from the port would prove nothing: another
            // test's server may listen there.
            if self.folder.path().join("nginx.pid").exists() {
                return Ok(true);
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Err(Failure::unmet(format!("nginx to listen at {} within {:?}", self.address, patience())))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unmet(what: &str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::unmet(format!("{what}: {error}"))
}

fn free_address() -> Result<SocketAddr, Failure> {
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    any.and_then(|listener| listener.local_addr()).map_err(unmet("a free port"))
}

/// A single process, which is easy to end, with all its files within the folder.
fn configuration(folder: &Path, address: SocketAddr, upstream: SocketAddr, directives: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{ }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address};
        location / {{
            proxy_pass http://{upstream};
            {directives}
        }}
    }}
}}
"
    )
}
