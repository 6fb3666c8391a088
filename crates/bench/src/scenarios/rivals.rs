//! What a studio would write today, in the languages that it would be written in: installed once, with pinned
//! versions, into a folder of its own; left out, with the reason, where Node or Python is not there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::programs::{bare, on_path};
use crate::say;

/// A rival that is no Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    Fastify,
    FastApi,
}

impl Rival {
    pub(super) const ALL: [Self; 2] = [Self::Fastify, Self::FastApi];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fastify => "Fastify + amqplib",
            Self::FastApi => "FastAPI + aio-pika",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Fastify => "fastify",
            Self::FastApi => "fastapi",
        }
    }

    /// Installs it, unless it is there, and returns what starts it.
    pub(super) fn install(self) -> Result<Installed> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals").join(self.folder());
        let into = root()?.join(self.folder());
        std::fs::create_dir_all(&into)?;
        match self {
            Self::Fastify => {
                let there = into.join("package-lock.json");
                let wanted = std::fs::read(source.join("package-lock.json"))?;
                if std::fs::read(&there).ok().as_ref() != Some(&wanted) || !into.join("node_modules").is_dir()
                {
                    say("installing Fastify and amqplib");
                    std::fs::copy(source.join("package.json"), into.join("package.json"))?;
                    std::fs::write(&there, wanted)?;
                    let mut npm = Command::new("npm");
                    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&into);
                    ran(npm)?;
                }
                // Modules are looked for beside the file.
                std::fs::copy(source.join("server.mjs"), into.join("server.mjs"))?;
                Ok(Installed { program: on_path("node")?, arguments: vec![into.join("server.mjs")] })
            }
            Self::FastApi => {
                let (python, there) = (into.join("venv/bin/python"), into.join("requirements.txt"));
                let wanted = std::fs::read(source.join("requirements.txt"))?;
                if std::fs::read(&there).ok().as_ref() != Some(&wanted) || !python.is_file() {
                    say("installing FastAPI and aio-pika");
                    let mut venv = Command::new("python3");
                    venv.args(["-m", "venv"]).arg(into.join("venv"));
                    ran(venv)?;
                    let mut pip = Command::new(&python);
                    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
                    pip.arg(source.join("requirements.txt"));
                    ran(pip)?;
                    std::fs::write(&there, wanted)?;
                }
                Ok(Installed { program: python, arguments: vec![source.join("server.py")] })
            }
        }
    }
}

/// What starts a rival.
pub(super) struct Installed {
    program: PathBuf,
    arguments: Vec<PathBuf>,
}

impl Installed {
    pub(super) fn command(&self) -> Command {
        let mut command = bare(&self.program);
        command.args(&self.arguments);
        command
    }
}

/// Where rivals are installed: beside this program.
fn root() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.parent().context("this program has no folder")?.join("bench-rivals"))
}

fn ran(mut command: Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} is not there"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
