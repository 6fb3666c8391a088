//! The program `matchpurse` is each service, too, when it is called by the service's name: so it is in the image.

use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::system::Folder;
use crate::system::service::{Service, program};

/// What a program says when it is called like that, and whether it calls that an error.
fn said(command: &mut Command, argument: &str) -> Result<(bool, String, String)> {
    // Without the variables of whoever runs the tests.
    let output = command.arg(argument).env_clear().output().context("it did not start")?;
    let text = |bytes| String::from_utf8(bytes).context("not UTF-8");
    Ok((output.status.success(), text(output.stdout)?, text(output.stderr)?))
}

#[test]
fn called_by_a_services_name_it_is_that_service() -> Result<()> {
    let folder = Folder::new()?;
    let matchpurse = program("matchpurse")?;
    for service in Service::ALL {
        let name = format!("matchpurse-{}", service.name());
        let link = folder.0.join(&name);
        symlink(matchpurse.get_program(), &link)?;
        // The help has the service's own sentence; the configuration in effect is only printed after its own checks.
        for argument in ["--help", "--version", "check-config", "nonsense"] {
            let own = said(&mut program(&name)?, argument)?;
            let linked = said(&mut Command::new(&link), argument)?;
            ensure!(own == linked, "{name} {argument}: as a program {own:?}, as a link {linked:?}");
            ensure!(own.0 || !argument.starts_with("--"), "{name} {argument}: {own:?}");
        }
    }
    Ok(())
}
