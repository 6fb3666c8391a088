//! Help, completions and man pages.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::{command, commands, printed};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help")
}

/// The help of every command is what stands in `tests/golden/help`; `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_help_is_as_it_was() -> Result<()> {
    let all = commands()?;
    assert!(all.len() > 60, "{all:?}");
    let mut pages = vec![("matchpurse".to_owned(), vec!["--help"])];
    pages.push(("matchpurse-short".to_owned(), vec!["-h"]));
    for path in &all {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        pages.push((path.join("-"), args));
    }
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut different = Vec::new();
    for (name, args) in &pages {
        let (text, errors, code) = printed(args)?;
        assert_eq!((errors.as_str(), code), ("", 0), "{name}");
        // Of a usage clap makes one line, however long it is.
        let mut lines = text.lines().filter(|line| !line.starts_with("Usage:"));
        assert!(lines.all(|line| line.chars().count() <= 100), "{name} is too wide:\n{text}");
        let path = golden().join(format!("{name}.txt"));
        if update {
            std::fs::create_dir_all(golden())?;
            std::fs::write(&path, &text)?;
        } else if std::fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
            different.push(name.as_str());
        }
    }
    let names: Vec<String> = pages.iter().map(|(name, _)| format!("{name}.txt")).collect();
    for entry in std::fs::read_dir(golden())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        assert!(names.contains(&name), "there is no such command any more: {name}");
    }
    assert!(
        different.is_empty(),
        "other than in tests/golden/help (UPDATE_GOLDEN=1 writes it): {different:?}"
    );
    Ok(())
}

/// Colours are for terminals, or whoever wants them.
#[test]
fn there_are_no_colours_in_a_pipe_unless_somebody_wants_them() -> Result<()> {
    for (args, variable, coloured) in [
        (&["--help"][..], None, false),
        (&["--help", "--color", "always"][..], None, true),
        (&["--color=always", "parked", "--help"][..], None, true),
        (&["--help"][..], Some(("CLICOLOR_FORCE", "1")), true),
        (&["--help", "--color", "never"][..], Some(("CLICOLOR_FORCE", "1")), false),
        (&["send", "--list"][..], None, false),
        (&["send", "--list", "--color", "always"][..], None, true),
        (&["send", "--list"][..], Some(("CLICOLOR_FORCE", "1")), true),
        (&["send", "--list"][..], Some(("NO_COLOR", "1")), false),
    ] {
        let output = command(args).envs(variable).output()?;
        let text = String::from_utf8(output.stdout)?;
        assert_eq!(text.contains('\u{1b}'), coloured, "{args:?} {variable:?}");
    }
    Ok(())
}

#[test]
fn completions_are_scripts_that_know_every_command() -> Result<()> {
    let all = commands()?;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (script, errors, code) = printed(&["completions", shell])?;
        assert_eq!((errors.as_str(), code), ("", 0), "{shell}");
        for path in &all {
            let name = path.last().context("a command has a name")?;
            assert!(script.contains(name.as_str()), "{shell} does not know {path:?}");
        }
    }
    let (script, _, _) = printed(&["completions", "bash"])?;
    let bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut bash = bash.context("bash is needed to read what is written for it")?;
    bash.stdin.take().context("piped")?.write_all(script.as_bytes())?;
    let read = bash.wait_with_output()?;
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    Ok(())
}

#[test]
fn every_command_has_a_man_page() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("matchpurse-man-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (_, _, code) = printed(&["man", "--out", folder.to_str().context("a temporary folder is text")?])?;
    assert_eq!(code, 0);
    let mut pages: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        pages.push(entry?.file_name().to_string_lossy().into_owned());
    }
    for path in commands()? {
        let name = format!("matchpurse-{}.1", path.join("-"));
        assert!(pages.contains(&name), "{name} is not among {pages:?}");
        let text = std::fs::read_to_string(folder.join(&name))?;
        let args: Vec<&str> = ["man"].into_iter().chain(path.iter().map(String::as_str)).collect();
        let (single, _, _) = printed(&args)?;
        for page in [&text, &single] {
            assert!(page.contains(".SH NAME\n") && page.contains(".SH SYNOPSIS\n"), "{name}: {page}");
        }
    }
    let (page, _, _) = printed(&["man"])?;
    assert!(page.starts_with(".ie ") && page.contains("Exit codes") && page.contains("\\-\\-json"), "{page}");
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
