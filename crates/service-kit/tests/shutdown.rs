//! Signals act on a whole process, so the test runs itself once more as the process to be stopped.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use matchpurse_service_kit::shutdown;

#[test]
#[ignore = "not a test: the process that the other test stops"]
fn the_child() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let token = shutdown::on_signals().unwrap();
        println!("\nlistening");
        token.cancelled().await;
        println!("\nstopping");
        // A drain that never ends.
        std::future::pending::<()>().await;
    });
}

fn wait_for(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) {
    let found = lines.any(|line| line.is_ok_and(|line| line == word));
    assert!(found, "the child ended before it said {word:?}");
}

fn send(child: &Child, signal: &str) {
    let kill = format!("kill -{signal} {}", child.id());
    let sent = Command::new("sh").args(["-c", &kill]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}

#[test]
fn the_first_signal_asks_and_the_second_insists() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_child", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        wait_for(&mut lines, "listening");
        send(&child, first);
        wait_for(&mut lines, "stopping");
        assert!(child.try_wait().unwrap().is_none(), "it drains until it is told again");
        send(&child, second);
        assert_eq!(child.wait().unwrap().code(), Some(143));
    }
}
