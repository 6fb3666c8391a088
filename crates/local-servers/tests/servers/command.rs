//! The program `local-servers`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{TestFolder, eventually, is_running};

fn run(args: &[&str], script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-servers"));
    command.arg("run").args(args).args(["--", "sh", "-c", script]);
    command.env_remove("MATCHPURSE_TEST_DATABASE_URL").env_remove("MATCHPURSE_TEST_AMQP_URL");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn first_line(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap().unwrap_or_default()
}

fn server_pid(folder: &Path) -> u32 {
    let text = fs::read_to_string(folder.join("postgres/data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_command_gets_the_url_and_its_exit_code_is_passed_on() {
    let output = run(&["--postgres"], "echo $MATCHPURSE_TEST_DATABASE_URL; exit 7").output().await.unwrap();

    assert_eq!(output.status.code(), Some(7));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("postgres://postgres@127.0.0.1:"), "{stdout}");
}

#[tokio::test]
async fn a_server_whose_url_is_given_is_not_started() {
    let mut command = run(&["--postgres", "--rabbitmq"], "echo $MATCHPURSE_TEST_DATABASE_URL");
    command
        .env("MATCHPURSE_TEST_DATABASE_URL", "postgres://given")
        .env("MATCHPURSE_TEST_AMQP_URL", "amqp://given");

    let output = command.output().await.unwrap();

    assert_eq!(String::from_utf8(output.stdout).unwrap(), "postgres://given\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[tokio::test]
async fn a_termination_reaches_the_command_and_the_servers_stop() {
    let folder = TestFolder::new();
    let dir = folder.path().display().to_string();
    let script = "trap 'kill $!; exit 9' TERM; sleep 100 & echo ready; wait";
    let mut child = run(&["--postgres", "--dir", &dir], script).spawn().unwrap();
    assert_eq!(first_line(&mut child).await, "ready");
    let server = server_pid(folder.path());

    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();

    assert_eq!(child.wait().await.unwrap().code(), Some(9));
    assert!(!is_running(server));
}

/// A killed parent cannot stop anything: the system has to.
#[tokio::test]
async fn the_servers_end_when_their_parent_is_killed() {
    let folder = TestFolder::new();
    let dir = folder.path().display().to_string();
    let command = run(&["--postgres", "--rabbitmq", "--dir", &dir], "echo ready; read -r line");
    check_killed_parent(command, folder.path()).await;
    eventually("the broker and its port mapper end", async || brokers(folder.path()).is_empty()).await;
}

/// Without util-linux's `setpriv` (BusyBox, macOS) a watchdog process does it.
#[tokio::test]
async fn the_servers_end_when_their_parent_is_killed_without_setpriv() {
    let folder = TestFolder::new();
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).unwrap();
    for program in ["sh", "id"] {
        symlink(Path::new("/usr/bin").join(program), programs.join(program)).unwrap();
    }
    let dir = folder.path().display().to_string();
    let mut command = run(&["--postgres", "--dir", &dir], "echo ready; read -r line");
    command.env("PATH", &programs);
    check_killed_parent(command, folder.path()).await;
}

async fn check_killed_parent(mut command: Command, folder: &Path) {
    let mut child = command.spawn().unwrap();
    assert_eq!(first_line(&mut child).await, "ready");
    let server = server_pid(folder);
    assert!(is_running(server));

    child.kill().await.unwrap();

    eventually("the server ends", async || !is_running(server)).await;
}

/// The programs whose working folder is the broker's; where there is no `/proc`, none.
fn brokers(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let folders = entries.filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok());
    folders.filter(|cwd| cwd.starts_with(folder.join("rabbitmq"))).collect()
}
