use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use matchpurse_local_servers::{Error, Postgres, PostgresOptions};
use tokio_postgres::{Client, NoTls};

use crate::{TestFolder, eventually, is_running};

fn kept(folder: &TestFolder) -> PostgresOptions {
    PostgresOptions { data_dir: folder.path().join("postgres"), ..Default::default() }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ask(client: &Client, query: &str) -> String {
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_temporary_server_is_durable_private_and_leaves_nothing() {
    let postgres = Postgres::start_temporary().await.unwrap();
    let client = connect(&postgres.url()).await;

    assert_eq!(ask(&client, "SHOW fsync").await, "on");
    assert_eq!(ask(&client, "SHOW synchronous_commit").await, "on");
    assert_eq!(ask(&client, "SHOW data_checksums").await, "on");
    assert_eq!(ask(&client, "SHOW listen_addresses").await, "127.0.0.1");
    assert_ne!(ask(&client, "SHOW wal_compression").await, "off");

    let (pid, folder) = (postgres.pid(), postgres.folder().to_owned());
    postgres.stop().await.unwrap();
    assert!(!is_running(pid));
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_dropped_server_is_stopped_and_its_folder_deleted() {
    let postgres = Postgres::start_temporary().await.unwrap();
    let (pid, folder) = (postgres.pid(), postgres.folder().to_owned());
    assert!(is_running(pid));

    drop(postgres);

    assert!(!is_running(pid));
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused_and_the_first_unharmed() {
    let folder = TestFolder::new();
    let first = Postgres::start(kept(&folder)).await.unwrap();

    let error = Postgres::start(kept(&folder)).await.err().unwrap();

    let us = format!("another matchpurse (process {}) is using", std::process::id());
    assert!(error.to_string().starts_with(&us), "{error}");
    assert_eq!(ask(&connect(&first.url()).await, "SELECT 'here'").await, "here");
    first.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_committed_survives_a_crash_and_a_new_run() {
    let folder = TestFolder::new();
    let mut postgres = Postgres::start(kept(&folder)).await.unwrap();
    let url = postgres.url();
    let client = connect(&url).await;
    client
        .batch_execute("CREATE TABLE ledger (entry text); INSERT INTO ledger VALUES ('hold')")
        .await
        .unwrap();

    postgres.kill9().await;
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
    postgres.restart().await.unwrap();
    assert_eq!(postgres.url(), url);
    assert_eq!(ask(&connect(&url).await, "SELECT entry FROM ledger").await, "hold");

    // A new run finds the folder of one that was killed.
    postgres.kill9().await;
    drop(postgres);
    let postgres = Postgres::start(kept(&folder)).await.unwrap();
    assert_eq!(ask(&connect(&postgres.url()).await, "SELECT entry FROM ledger").await, "hold");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn an_immediate_stop_keeps_what_was_committed_and_nothing_else() {
    let mut postgres = Postgres::start_temporary().await.unwrap();
    let (url, pid) = (postgres.url(), postgres.pid());
    let client = connect(&url).await;
    client
        .batch_execute("CREATE TABLE ledger (entry text); INSERT INTO ledger VALUES ('hold')")
        .await
        .unwrap();
    client.batch_execute("BEGIN; INSERT INTO ledger VALUES ('payout')").await.unwrap();

    postgres.stop_immediately().await.unwrap();

    assert!(!is_running(pid));
    eventually("the client knows", async || client.is_closed()).await;
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
    postgres.restart().await.unwrap();
    assert_eq!(postgres.url(), url);
    let all = "SELECT string_agg(entry, ' ') FROM ledger";
    assert_eq!(ask(&connect(&url).await, all).await, "hold");
    let log = fs::read_to_string(postgres.log_file()).unwrap();
    assert!(log.contains("received immediate shutdown request"), "{log}");
    assert!(
        log.contains("database system was not properly shut down; automatic recovery in progress"),
        "{log}"
    );
    postgres.stop().await.unwrap();
}

/// A session that computes does not notice that its server is gone, and would stand in the way of the next.
#[tokio::test]
async fn a_busy_session_does_not_outlive_a_crash() {
    let mut postgres = Postgres::start_temporary().await.unwrap();
    let busy = connect(&postgres.url()).await;
    let session: i32 = busy.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let computing = tokio::spawn(async move { busy.batch_execute("DO 'BEGIN LOOP END LOOP; END'").await });
    let client = connect(&postgres.url()).await;
    let state = format!("SELECT state FROM pg_stat_activity WHERE pid = {session} AND query LIKE 'DO %'");
    eventually("the session computes", async || {
        client.query_opt(&state, &[]).await.unwrap().is_some_and(|row| row.get::<_, &str>(0) == "active")
    })
    .await;

    postgres.kill9().await;

    assert!(computing.await.unwrap().is_err());
    postgres.restart().await.unwrap();
    assert_eq!(ask(&connect(&postgres.url()).await, "SELECT 'here'").await, "here");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_pid_file_that_names_a_living_process_does_not_stop_the_start() {
    let folder = TestFolder::new();
    Postgres::start(kept(&folder)).await.unwrap().stop().await.unwrap();
    let data = folder.path().join("postgres/data");
    // Our own number: in a container the same few numbers come back at every start.
    let stale = format!("{}\n{}\n1700000000\n5432\n\n127.0.0.1\n\n", std::process::id(), data.display());
    fs::write(data.join("postmaster.pid"), stale).unwrap();

    let postgres = Postgres::start(kept(&folder)).await.unwrap();

    assert_eq!(ask(&connect(&postgres.url()).await, "SELECT 'here'").await, "here");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let folder = TestFolder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();

    let error = Postgres::start(PostgresOptions { port: Some(port), ..kept(&folder) }).await.err().unwrap();

    assert!(matches!(error, Error::PortTaken { port: named } if named == port), "{error}");
}

#[tokio::test]
async fn data_of_another_version_are_refused_untouched() {
    let folder = TestFolder::new();
    Postgres::start(kept(&folder)).await.unwrap().stop().await.unwrap();
    let version = folder.path().join("postgres/data/PG_VERSION");
    fs::write(&version, "9\n").unwrap();

    let error = Postgres::start(kept(&folder)).await.err().unwrap();

    assert!(error.to_string().contains("were made by PostgreSQL 9"), "{error}");
    assert_eq!(fs::read_to_string(&version).unwrap(), "9\n");
}

/// The sharpest case is root, whose home nobody else may enter; an ordinary user runs PostgreSQL as itself.
#[tokio::test]
async fn a_folder_that_is_closed_to_others_still_gets_a_server() {
    let folder = TestFolder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();

    let postgres = Postgres::start(kept(&folder)).await.unwrap();

    assert_eq!(ask(&connect(&postgres.url()).await, "SELECT 'here'").await, "here");
    let used = postgres.folder().to_owned();
    if rustix::process::geteuid().is_root() {
        assert_eq!(postgres.instead_of(), Some(&*folder.path().join("postgres")));
        assert!(used.starts_with("/var/tmp"), "{}", used.display());
    } else {
        assert_eq!(postgres.instead_of(), None);
        assert!(used.starts_with(folder.path()), "{}", used.display());
    }
    postgres.stop().await.unwrap();
    // The same place again on the next run, or the data would be lost to the user.
    let again = Postgres::start(kept(&folder)).await.unwrap();
    assert_eq!(again.folder(), used);
    again.stop().await.unwrap();
    fs::remove_dir_all(used).unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_no_obstacle() {
    let folder = TestFolder::new();
    let data_dir = folder.path().join("long name, with a comma".repeat(5));
    let options = PostgresOptions { data_dir: data_dir.clone(), ..Default::default() };
    let postgres = Postgres::start(options).await.unwrap();
    assert_eq!(ask(&connect(&postgres.url()).await, "SELECT 'here'").await, "here");
    assert!(sockets(&data_dir.join("data")).is_empty());
    postgres.stop().await.unwrap();

    let data_dir = folder.path().join("a, b");
    let options = PostgresOptions { data_dir: data_dir.clone(), ..Default::default() };
    let postgres = Postgres::start(options).await.unwrap();
    assert_eq!(sockets(&data_dir.join("data")).len(), 1);
    postgres.stop().await.unwrap();
}

fn sockets(data: &Path) -> Vec<String> {
    let names = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".s.PGSQL.") && !name.ends_with(".lock")).collect()
}

#[tokio::test]
async fn sessions_of_a_stopped_server_end_with_it() {
    let postgres = Postgres::start_temporary().await.unwrap();
    let client = connect(&postgres.url()).await;
    let session: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let session = session.unsigned_abs();

    postgres.stop().await.unwrap();

    assert!(!is_running(session));
    eventually("the client knows", async || client.is_closed()).await;
}
