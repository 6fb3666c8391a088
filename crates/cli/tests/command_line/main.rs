//! The command line without any server: help, completions, man pages, exit codes, and the page of the documentation.

mod codes;
mod help;
mod page;

use std::process::{Command, Output};

use anyhow::{Context as _, Result};

/// Runs the program with nothing of the environment that it would go by.
fn run(args: &[&str]) -> Result<Output> {
    command(args).output().context("matchpurse did not start")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_matchpurse"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MATCHPURSE_")) {
        command.env_remove(name);
    }
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR"] {
        command.env_remove(name);
    }
    command.args(args).env("COLUMNS", "100");
    command
}

/// What it printed, and its exit code.
fn printed(args: &[&str]) -> Result<(String, String, i32)> {
    let output = run(args)?;
    let code = output.status.code().context("it was killed")?;
    Ok((String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?, code))
}

/// The commands with their subcommands, by the completions for bash: each line of `case` there names one.
fn commands() -> Result<Vec<Vec<String>>> {
    let (help, _, _) = printed(&["--help"])?;
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
        let names = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
        names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    };
    let mut all = Vec::new();
    for name in names(help.split("Options:").next().unwrap_or_default()) {
        let (own, _, _) = printed(&[&name, "--help"])?;
        let listed = own.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
        let below = listed.map(names).unwrap_or_default();
        all.push(vec![name.clone()]);
        all.extend(below.into_iter().filter(|one| one != "help").map(|one| vec![name.clone(), one]));
    }
    Ok(all)
}
