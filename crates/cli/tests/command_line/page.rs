//! `docs/cli.md` has every command, and no other.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::{commands, printed};

fn page() -> Result<String> {
    Ok(std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md"))?)
}

/// The commands that stand first in a cell of a table: `matchpurse parked list`.
#[test]
fn the_page_has_every_command_with_what_it_does() -> Result<()> {
    let page = page()?;
    let listed: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `matchpurse ")?.split('`').next()).collect();
    let all = commands()?;
    let below = |name: &str| all.iter().any(|path| path.len() == 2 && path[0] == name);
    let expected: Vec<String> =
        all.iter().filter(|path| path.len() == 2 || !below(&path[0])).map(|path| path.join(" ")).collect();
    let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    assert_eq!(listed, expected);
    Ok(())
}

#[test]
fn the_page_has_the_exit_codes_of_the_help() -> Result<()> {
    let (help, _, _) = printed(&["--help"])?;
    let page = page()?;
    for line in help.split("Exit codes:\n").nth(1).unwrap_or_default().lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(page.contains(&format!("| {code} | {meaning} |")), "{line}");
    }
    Ok(())
}

/// Every command line that the page shows can be read; `UPPER` words stand for what somebody fills in.
#[test]
fn every_command_line_of_the_page_can_be_read() -> Result<()> {
    for line in page()?.lines().filter_map(|line| line.strip_prefix("$ matchpurse ")) {
        let words: Vec<&str> = line.split(" # ").next().unwrap_or_default().split_whitespace().collect();
        let words: Vec<&str> = words.into_iter().take_while(|word| !["|", ">", "<"].contains(word)).collect();
        let mut args: Vec<&str> = words.iter().map(|word| word.trim_matches('\'')).collect();
        args.push("--help");
        let (_, errors, code) = printed(&args)?;
        assert_eq!(code, 0, "{line}: {errors}");
    }
    Ok(())
}
