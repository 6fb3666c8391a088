//! The first run of a newcomer.

use std::net::TcpListener;
use std::process::Output;

use anyhow::{Result, ensure};
use insta::assert_snapshot;
use matchpurse_testkit::Database;

use crate::errors::without_numbers;
use crate::system::Folder;
use crate::system::service::{free_port, program};

/// Fewer than the demo plays, for the sake of time.
const LIVES: &str = "120";

fn demo(arguments: &[&str], folder: &Folder) -> Result<Output> {
    let common = ["demo", "--exit", "--lives", LIVES, "--api-port", "0"];
    Ok(program("matchpurse")?.args(common).args(arguments).current_dir(&folder.0).output()?)
}

/// The demo ended well, and says that everything is as it must be: the last words, and the figures that no play
/// may change.
fn is_clean(output: &Output) -> Result<()> {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}: {out}\n{err}", output.status);
    for words in ["trial balance 0.00 USD", ", 0 broken", "0 differences", "audit clean"] {
        ensure!(out.contains(words), "no {words:?} in:\n{out}");
    }
    for words in ["refused", "repeats", "in escrow now", "rewards", "offers", "statistics", "parked"] {
        ensure!(out.contains(words), "no {words:?} in:\n{out}");
    }
    Ok(())
}

/// What a demo says last that ends with this code.
fn last_words(output: &Output, code: i32) -> Result<String> {
    let err = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{}: {err}", output.status);
    let start = err.rfind("matchpurse: ").unwrap_or_default();
    Ok(without_numbers(err.get(start..).unwrap_or_default()))
}

#[tokio::test]
async fn the_demo_is_clean_on_a_given_database() -> Result<()> {
    let (database, folder) = (Database::create().await?, Folder::new()?);
    let given = ["--port", "0", "--database-url", &database.url()];
    is_clean(&demo(&given, &folder)?)?;
    ensure!(std::fs::read_dir(&folder.0)?.next().is_none(), "it left something in the working folder");
    // What is there now would be counted as if the next play had brought it.
    assert_snapshot!(last_words(&demo(&given, &folder)?, 4)?, @"matchpurse: this database has events of source arena already; give the demo one without");
    Ok(())
}

#[test]
fn the_demo_is_clean_on_a_private_database() -> Result<()> {
    let folder = Folder::new()?;
    is_clean(&demo(&["--port", "0", "--data-dir", "data"], &folder)?)?;
    // The next one begins anew.
    is_clean(&demo(&["--port", "0", "--data-dir", "data", "--seed", "2"], &folder)?)
}

#[tokio::test]
async fn a_demo_that_cannot_start_says_why() -> Result<()> {
    let (database, folder) = (Database::create().await?, Folder::new()?);
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let taken = listener.local_addr()?.port().to_string();
    let output = demo(&["--port", &taken, "--database-url", &database.url()], &folder)?;
    assert_snapshot!(last_words(&output, 4)?.replace(&taken, "TAKEN"), @r"
    matchpurse: the services did not start; if a port is taken, choose another one with --port or --api-port
      because: cannot listen on 127.0.0.1:TAKEN, the value of `ingress.listen`
      because: Address already in use
    ");
    let nobody = format!("postgres://somebody@127.0.0.1:{}/nowhere", free_port()?);
    let output = demo(&["--port", "0", "--database-url", &nobody], &folder)?;
    assert_snapshot!(last_words(&output, 3)?.replace(&nobody, "NOBODY"), @r"
    matchpurse: the database NOBODY was not migrated
      because: the connection to the database failed
      because: error connecting to server
      because: Connection refused
    ");
    Ok(())
}
