//! Asks a running server whether it is ready: the health check of containers, which may hold no other program.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{ArgMatches, Args, FromArgMatches as _};
use thiserror::Error;

use crate::settings::Settings;
use crate::tls;

/// Longest time for the whole check, the look-up of a name included.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Most bytes of an answer that are read. A health document has some hundred.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Most characters of an answer's body that are printed.
const SHOWN_CHARS_MAX: usize = 500;

/// The route that is asked if the URL has no path.
const READY: &str = "/health/ready";

/// Asks a server whether it is ready, and prints its answer
///
/// For health checks of containers and scripts. The server has 5 seconds to answer. The certificate of an `https`
/// server is not checked: whoever answers is healthy.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 it is ready, 1 it is not, or does not answer, 2 a bad argument or setting.")]
pub(crate) struct HealthArguments {
    /// The server, as `http://HOST:PORT` or `https://HOST:PORT`; with a path, that route is asked instead of
    /// `/health/ready` [default: the address of `ARGUS_ENDPOINT`, or the loopback address if that stands for all
    /// addresses; the port of `ARGUS_PORT` if it is set; with `ARGUS_TLS_CERT` by `https`]
    #[arg(value_name = "URL")]
    url: Option<Url>,
}

/// The command to ask a server whether it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCommand {
    url: Url,
}

/// A URL of a health route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    /// Host and port as given, for the header field `Host`.
    authority: String,
    /// Where to connect to, the first that accepts.
    addresses: Addresses,
    /// The path, and the query if there is one.
    target: String,
}

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Where a server may be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Addresses {
    /// A host with its port, for the resolver.
    Named(String),
    /// All addresses of this machine are listened to.
    Loopback(Vec<SocketAddr>),
}

/// A text is no URL that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected http://HOST:PORT, as in http://127.0.0.1:3000, or https://HOST:PORT, with or without a path")]
pub struct UrlError;

/// Why a server counts as not ready.
#[derive(Debug, Error)]
enum Unhealthy {
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[source] io::Error),
    #[error("no answer within {} seconds", TIME_MAX.as_secs())]
    Late,
    #[error("the answer is not HTTP; does the port belong to another program?")]
    NotHttp,
    #[error("{0}")]
    NotReady(Answer),
}

/// What a server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// On one line, and not longer than what is shown.
    body: String,
}

impl HealthCommand {
    /// The command with these arguments. Without a URL, it is the server with the settings in the environment.
    ///
    /// # Errors
    ///
    /// A setting in the environment is wrong.
    pub(crate) fn of(matches: &ArgMatches, program: &'static str) -> Result<Self, clap::Error> {
        let url = match HealthArguments::from_arg_matches(matches)?.url {
            Some(url) => url,
            None => {
                let settings = Settings::read(program, [program])?;
                let scheme = if settings.tls.is_on() { Scheme::Https } else { Scheme::Http };
                Url::of_endpoint(scheme, &settings.endpoint)
            }
        };
        Ok(Self { url })
    }

    /// Asks the server, and prints one line about it.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        let Self { url } = self;
        // A closed output changes nothing; the exit code carries the result too.
        match ask(url) {
            Ok(answer) => {
                drop(writeln!(io::stdout(), "argus: {url}: {answer}"));
                ExitCode::SUCCESS
            }
            Err(error) => {
                drop(writeln!(io::stderr(), "error: {url}: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

/// Asks on a thread of its own, because a look-up of a name has no timeout. The thread ends with the process.
fn ask(url: &Url) -> Result<Answer, Unhealthy> {
    let (sender, answer) = mpsc::channel();
    let asked = url.clone();
    let asking = thread::Builder::new().name("argus-health".to_owned()).spawn(move || {
        // The receiver may have timed out.
        let _ = sender.send(asked.ask());
    });
    asking.map_err(Unhealthy::Connect)?;
    answer.recv_timeout(TIME_MAX).unwrap_or(Err(Unhealthy::Late))
}

impl Url {
    /// The readiness of the server that listens on this endpoint. One that listens on all addresses is asked on the
    /// loopback address.
    fn of_endpoint(scheme: Scheme, endpoint: &str) -> Self {
        let addresses = match endpoint.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_unspecified() => {
                let port = address.port();
                let (v4, v6) = ((Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into());
                // `[::]` takes connections of both kinds, unless the system is set to one.
                Addresses::Loopback(if address.is_ipv4() { vec![v4] } else { vec![v6, v4] })
            }
            Ok(_) | Err(_) => Addresses::Named(endpoint.to_owned()),
        };
        let authority = match &addresses {
            Addresses::Named(name) => name.clone(),
            Addresses::Loopback(all) => all.first().map_or_else(|| endpoint.to_owned(), SocketAddr::to_string),
        };
        Self { scheme, authority, addresses, target: READY.to_owned() }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        match &self.addresses {
            Addresses::Named(name) => TcpStream::connect(name),
            Addresses::Loopback(all) => TcpStream::connect(all.as_slice()),
        }
    }

    fn ask(&self) -> Result<Answer, Unhealthy> {
        let stream = self.connect().map_err(Unhealthy::Connect)?;
        match self.scheme {
            Scheme::Http => self.ask_over(stream),
            Scheme::Https => self.ask_over(tls::encrypt(self.host(), stream).map_err(Unhealthy::Connect)?),
        }
    }

    /// The host alone. An IPv6 address has no brackets.
    fn host(&self) -> &str {
        let (host, _) = split_port(&self.authority);
        host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
    }

    fn ask_over(&self, mut stream: impl io::Read + io::Write) -> Result<Answer, Unhealthy> {
        // The end of an answer to HTTP/1.0 is the end of the connection.
        let request = format!("GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", self.target, self.authority);
        stream.write_all(request.as_bytes()).map_err(Unhealthy::Broken)?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map_err(Unhealthy::Broken)?;
        let answer = Answer::parse(&bytes).ok_or(Unhealthy::NotHttp)?;
        if answer.status == 200 { Ok(answer) } else { Err(Unhealthy::NotReady(answer)) }
    }
}

impl Scheme {
    /// The port that need not be written.
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// Host and port. The port is what follows the last colon outside of brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let split = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    split.map_or((authority, None), |(host, port)| (host, Some(port)))
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (Scheme::Http, rest),
            (None, Some(rest)) => (Scheme::Https, rest),
            (None, None) => return Err(UrlError),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_plain || authority.contains(['@', '?']) {
            return Err(UrlError);
        }
        let (host, port) = match split_port(authority) {
            (host, None) => (host, scheme.port()),
            (host, Some(port)) => (host, port.parse::<u16>().map_err(|_| UrlError)?),
        };
        if host.is_empty() || (host.contains(':') && !(host.starts_with('[') && host.ends_with(']'))) {
            return Err(UrlError);
        }
        let target = if path.is_empty() || path == "/" { READY } else { path };
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            addresses: Addresses::Named(format!("{host}:{port}")),
            target: target.to_owned(),
        })
    }
}

impl Answer {
    /// `None` if it is not a whole head of an HTTP/1 answer.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut words = head.lines().next()?.split(' ');
        words.next()?.strip_prefix("HTTP/1.")?;
        let status = words.next().filter(|status| status.len() == 3)?.parse().ok()?;
        let shown = body.trim().chars().map(|char| if char.is_control() { ' ' } else { char });
        Some(Self { status, body: shown.take(SHOWN_CHARS_MAX).collect() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.target)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.body)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::TcpListener;

    use super::*;

    /// The result of asking a server that reads a request and sends these bytes; and the request.
    fn asked(answer: &'static [u8]) -> (Result<Answer, Unhealthy>, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream.write_all(answer).unwrap();
            String::from_utf8(request).unwrap()
        });
        let result = ask(&url);
        (result, server.join().unwrap())
    }

    #[test]
    fn a_ready_server_is_healthy() {
        let (result, request) = asked(b"HTTP/1.0 200 OK\r\nx: y\r\n\r\n{\"status\":\n\"warn\"}\n");
        assert_eq!(result.unwrap(), Answer { status: 200, body: "{\"status\": \"warn\"}".to_owned() });
        assert!(request.starts_with("GET /health/ready HTTP/1.0\r\nHost: 127.0.0.1:"), "{request}");
    }

    #[test]
    fn any_other_answer_is_not() {
        for (answer, expected) in [
            (&b"HTTP/1.1 503 Service Unavailable\r\n\r\n{\"status\":\"fail\"}"[..], "503 {\"status\":\"fail\"}"),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "404 "),
            (b"HTTP/1.1 200 OK\r\n", "not HTTP"),
            (b"\x15\x03\x03\0\x02\x02\x32", "not HTTP"),
            (b"", "not HTTP"),
        ] {
            let error = asked(answer).0.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        assert!(matches!(ask(&url), Err(Unhealthy::Connect(_))));
    }

    #[test]
    fn urls_are_read() {
        for (text, scheme, authority, address, target) in [
            ("http://127.0.0.1:3000", Scheme::Http, "127.0.0.1:3000", "127.0.0.1:3000", "/health/ready"),
            ("http://argus/", Scheme::Http, "argus", "argus:80", "/health/ready"),
            ("http://[::1]:3000/health/live", Scheme::Http, "[::1]:3000", "[::1]:3000", "/health/live"),
            ("http://[::1]", Scheme::Http, "[::1]", "[::1]:80", "/health/ready"),
            ("https://argus", Scheme::Https, "argus", "argus:443", "/health/ready"),
            ("https://argus:3000/", Scheme::Https, "argus:3000", "argus:3000", "/health/ready"),
        ] {
            let expected = Url {
                scheme,
                authority: authority.to_owned(),
                addresses: Addresses::Named(address.to_owned()),
                target: target.to_owned(),
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for wrong in [
            "",
            "127.0.0.1:3000",
            "http://",
            "http://:3000",
            "http://a:b",
            "http://::1:3000",
            "http://a b/",
            "https://",
        ] {
            assert_eq!(wrong.parse::<Url>(), Err(UrlError), "{wrong}");
        }
    }

    #[test]
    fn a_server_on_all_addresses_is_asked_on_the_loopback_address() {
        for (endpoint, shown, addresses) in [
            ("127.0.0.1:3000", "http://127.0.0.1:3000/health/ready", None),
            ("events.example:80", "http://events.example:80/health/ready", None),
            ("0.0.0.0:4000", "http://127.0.0.1:4000/health/ready", Some(vec!["127.0.0.1:4000"])),
            ("[::]:4000", "http://[::1]:4000/health/ready", Some(vec!["[::1]:4000", "127.0.0.1:4000"])),
        ] {
            let url = Url::of_endpoint(Scheme::Http, endpoint);
            assert_eq!(url.to_string(), shown);
            let secure = Url::of_endpoint(Scheme::Https, endpoint).to_string();
            assert_eq!(secure, shown.replace("http:", "https:"));
            let expected = addresses.map_or_else(
                || Addresses::Named(endpoint.to_owned()),
                |all| Addresses::Loopback(all.iter().map(|address| address.parse().unwrap()).collect()),
            );
            assert_eq!(url.addresses, expected);
        }
    }
}
