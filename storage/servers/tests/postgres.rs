//! Real `PostgreSQL` servers: what survives what, and that nothing is left of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use argus_servers::{Durability, PostgresServer, PostgresVersion, TestPostgres};

/// The variable that makes the test [`holds_a_server_for_another_test`] do so.
const HOLD_VARIABLE: &str = "ARGUS_SERVERS_TEST_HOLD";

fn is_listening(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The segment of shared memory of a server, from the file that names it.
fn segment(data: &Path) -> String {
    let about = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    about.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

fn has_segment(segment: &str) -> bool {
    let all = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    all.lines().any(|line| line.split_whitespace().nth(1) == Some(segment))
}

#[test]
fn all_installed_versions_start_and_answer() {
    if PostgresVersion::for_test().is_none() {
        return;
    }
    for version in PostgresVersion::installed() {
        let server = PostgresServer::start(&version, Durability::Volatile).unwrap();
        let (number, encoding) = (server.sql("show server_version_num"), server.sql("show server_encoding"));
        assert_eq!(number.unwrap().parse::<u32>().unwrap() / 10_000, version.major());
        assert_eq!(encoding.unwrap(), "UTF8");
        assert_eq!(server.sql("show max_connections").unwrap(), "400");
        assert_eq!(server.sql("select 1, 'a'; select 2").unwrap(), "1|a\n2");
        assert!(server.sql("select 1; select nothing").unwrap_err().to_string().contains("nothing"));
    }
}

#[test]
fn what_is_committed_survives_a_kill() {
    let Some(server) = PostgresServer::for_test(None, Durability::Synced) else { return };
    assert_eq!(server.sql("show fsync").unwrap(), "on");
    let port = server.port();
    server.sql("create table kept (n int); insert into kept select generate_series(1, 1000)").unwrap();
    server.kill();
    assert!(!is_listening(port));
    assert!(server.sql("select 1").is_err());
    // There is nothing left to kill.
    server.kill();
    server.restart().unwrap();
    assert!(server.log().contains("was not properly shut down"), "{}", server.log());
    assert_eq!(server.port(), port);
    assert_eq!(server.sql("select count(*) from kept").unwrap(), "1000");
}

#[test]
fn a_kill_ends_a_connection_in_the_middle_of_a_statement() {
    let Some(server) = PostgresServer::for_test(None, Durability::Volatile) else { return };
    server.sql("create sequence begun").unwrap();
    thread::scope(|scope| {
        let statement = scope.spawn(|| server.sql("select nextval('begun'); select pg_sleep(1000)"));
        // The value of a sequence is seen by others before the transaction ends.
        while server.sql("select is_called from begun").unwrap() != "t" {}
        let begun = Instant::now();
        server.kill();
        assert!(statement.join().unwrap().is_err());
        assert!(begun.elapsed() < Duration::from_secs(100), "{:?}", begun.elapsed());
    });
}

#[test]
fn what_is_committed_survives_a_stop_and_a_restart() {
    let Some(server) = PostgresServer::for_test(None, Durability::Volatile) else { return };
    server.sql("create table kept (n int); insert into kept values (7)").unwrap();
    server.stop().unwrap();
    assert!(!is_listening(server.port()));
    for _ in 0..2 {
        server.restart().unwrap();
        assert!(!server.log().contains("was not properly shut down"), "{}", server.log());
        assert_eq!(server.sql("select n from kept").unwrap(), "7");
    }
}

#[test]
fn settings_are_in_effect_at_once_and_after_a_restart() {
    let Some(server) = PostgresServer::for_test(None, Durability::Volatile) else { return };
    assert_eq!(server.sql("show fsync").unwrap(), "off");
    for (name, value) in [("statement_timeout", "77s"), ("application_name", "it's"), ("fsync", "on")] {
        server.set(name, value).unwrap();
        assert_eq!(
            server.sql(&format!("show {name}")).unwrap(),
            if name == "application_name" { "psql" } else { value }
        );
    }
    server.set("max_connections", "40").unwrap();
    server.restart().unwrap();
    assert_eq!(server.sql("show statement_timeout; show max_connections; show fsync").unwrap(), "77s\n40\non");
    let wrong = server.set("statement_timeout", "soon").unwrap_err().to_string();
    assert!(wrong.contains("soon"), "{wrong}");
}

#[test]
fn nothing_is_left_of_a_server() {
    let Some(version) = PostgresVersion::for_test() else { return };
    // Another user than root has to get at the data.
    let private = tempfile::tempdir().unwrap();
    fs::set_permissions(private.path(), fs::Permissions::from_mode(0o700)).unwrap();
    for kill in [false, true] {
        let folder = tempfile::TempDir::new_in(private.path()).unwrap();
        let data = folder.path().join("data");
        let server = PostgresServer::start_in(folder, &version, Durability::Volatile).unwrap();
        let (port, segment) = (server.port(), segment(&data));
        assert!(is_listening(port) && has_segment(&segment));
        if kill {
            server.kill();
        }
        drop(server);
        assert!(!is_listening(port), "killed: {kill}");
        assert!(!has_segment(&segment), "killed: {kill}");
        assert_eq!(fs::read_dir(private.path()).unwrap().count(), 0, "killed: {kill}");
    }
}

#[test]
fn holds_a_server_for_another_test() {
    if env::var_os(HOLD_VARIABLE).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let server = PostgresServer::start_in(folder, &PostgresVersion::usual().unwrap(), Durability::Volatile).unwrap();
    println!("\n{} {}", server.port(), path.display());
    // Until it is killed.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn nothing_is_left_if_the_process_of_the_test_is_killed() {
    if PostgresVersion::for_test().is_none() {
        return;
    }
    let mut holder = Command::new(env::current_exe().unwrap());
    holder.args(["--exact", "holds_a_server_for_another_test", "--nocapture"]).env(HOLD_VARIABLE, "1");
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    let announced =
        lines.filter_map(|line| line.split_once(" /").map(|(port, path)| (port.parse(), format!("/{path}"))));
    let (port, folder) = announced.filter_map(|(port, folder)| Some((port.ok()?, folder))).next().unwrap();
    let segment = segment(&Path::new(&folder).join("data"));
    assert!(is_listening(port) && has_segment(&segment));
    holder.kill().unwrap();
    holder.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while is_listening(port) || Path::new(&folder).exists() || has_segment(&segment) {
        assert!(Instant::now() < deadline, "a server is left on port {port}, or its folder {folder}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_schema_goes_with_its_value() {
    let Some(database) = TestPostgres::for_test() else { return };
    let [one, other] = [database.schema("servers"), database.schema("servers")];
    let there =
        |name: &str| database.sql(&format!("select count(*) from pg_namespace where nspname = '{name}'")).unwrap();
    assert_ne!(one.name(), other.name());
    assert_eq!(one.url(), format!("{}?schema={}", database.url(), one.name()));
    for schema in [&one, &other] {
        assert_eq!(there(schema.name()), "0");
        database.sql(&format!("create schema {0}; create table {0}.events (n int)", schema.name())).unwrap();
    }
    let name = one.name().to_owned();
    drop(one);
    assert_eq!((there(&name), there(other.name())), ("0".to_owned(), "1".to_owned()));
}
