//! `matchpurse completions` and `matchpurse man`: what shells and `man` know of the command line.

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::exit::{Ending, not_there, usage};
use crate::help::command;
use crate::out::Out;
use crate::say;

/// Print what a shell completes commands and flags by
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Print the manual page, of the whole program or of a command
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The command whose page is wanted: parked, or parked list
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    path: Vec<String>,
    /// Write all pages into this folder instead, which must be there
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Prints the script.
pub(crate) fn completions(args: &CompletionsArgs, out: Out) -> Result<Ending> {
    no_json(out)?;
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "matchpurse", &mut script);
    stdout().write_all(&script).context("failed to print")?;
    Ok(Ending::Done)
}

/// Prints a page, or writes all of them.
pub(crate) fn man(args: &ManArgs, out: Out) -> Result<Ending> {
    no_json(out)?;
    if let Some(folder) = &args.out {
        let written = clap_mangen::generate_to(command(), folder);
        written.with_context(|| format!("failed to write into {}", folder.display()))?;
        say(&format!("the pages are in {}", folder.display()));
        return Ok(Ending::Done);
    }
    // Built, each knows its whole name: `matchpurse-parked-list`.
    let mut whole = command().disable_help_subcommand(true);
    whole.build();
    let found = args.path.iter().try_fold(&whole, |one, name| one.find_subcommand(name));
    let found = found.ok_or_else(|| not_there(format!("there is no command {}", args.path.join(" "))))?;
    let mut page = Vec::new();
    Man::new(found.clone()).render(&mut page)?;
    stdout().write_all(&page).context("failed to print")?;
    Ok(Ending::Done)
}

/// A script and a page are what they are.
fn no_json(out: Out) -> Result<()> {
    if out.json() { Err(usage("this is printed as it is; there is no JSON of it")) } else { Ok(()) }
}
