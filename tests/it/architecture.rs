//! The shape that ARCHITECTURE.md promises, held.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Crates that only one of ours may use in a program, because each is dangerous in its own way.
const OWNERS: &[(&str, &[&str])] = &[
    ("lapin", &["bus", "bench"]),
    ("tokio-postgres", &["store", "testkit", "bench"]),
    ("deadpool-postgres", &["store"]),
    ("refinery", &["store"]),
    ("actix-web", &["ingress", "api", "bench"]),
    ("actix-http", &["ingress"]),
    ("actix-service", &["ingress"]),
    ("reqwest", &["service-kit"]),
    ("hyper", &["simulator"]),
    ("hyper-util", &["simulator"]),
    ("jsonwebtoken", &["providers", "api"]),
    ("utoipa", &["api"]),
    ("askama", &["api"]),
    ("aws-lc-rs", &["api"]),
    ("async-rs", &["bus"]),
    ("rustls", &["tls"]),
    ("tokio-rustls", &["tls"]),
    ("rustls-native-certs", &["tls"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn metadata() -> Result<Metadata> {
    Ok(MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".into()])
        .exec()?)
}

/// Every dependency of ours in programs: (crate, what it depends on), without our prefix.
fn dependencies(metadata: &Metadata) -> BTreeSet<(String, String)> {
    let ours = |name: &str| name.strip_prefix("matchpurse-").unwrap_or(name).to_owned();
    let mut all = BTreeSet::new();
    for package in &metadata.packages {
        for dependency in &package.dependencies {
            if dependency.kind == DependencyKind::Normal {
                all.insert((ours(&package.name), ours(&dependency.name)));
            }
        }
    }
    all
}

/// The words between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The table of ARCHITECTURE.md: which crate may depend on which; none stands for all.
fn table() -> Result<BTreeMap<String, Option<BTreeSet<String>>>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let map =
        text.split("## Code map").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
    let mut table = BTreeMap::new();
    for line in map.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, crates, _, allowed, _] = cells[..] else { panic!("a row of other than three cells: {line}") };
        let allowed = (allowed != "all").then(|| quoted(allowed).into_iter().collect());
        table.extend(quoted(crates).into_iter().map(|name| (name, allowed.clone())));
    }
    Ok(table)
}

#[test]
fn crates_depend_only_on_what_the_table_allows() -> Result<()> {
    let metadata = metadata()?;
    let table = table()?;
    let members: BTreeSet<String> =
        metadata.packages.iter().map(|p| p.name.trim_start_matches("matchpurse-").to_owned()).collect();
    assert_eq!(
        table.keys().cloned().collect::<BTreeSet<_>>(),
        members,
        "the table's crates are not the workspace's"
    );
    let forbidden: Vec<String> = dependencies(&metadata)
        .into_iter()
        .filter(|(_, to)| members.contains(to))
        .filter(|(from, to)| {
            table.get(from).is_none_or(|allowed| allowed.as_ref().is_some_and(|a| !a.contains(to)))
        })
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect();
    assert!(forbidden.is_empty(), "edges that the table does not have: {forbidden:#?}");
    Ok(())
}

#[test]
fn a_dangerous_dependency_has_one_owner() -> Result<()> {
    let dependencies = dependencies(&metadata()?);
    for (dependency, owners) in OWNERS {
        let users: Vec<&str> = dependencies
            .iter()
            .filter(|(_, to)| to == dependency)
            .map(|(from, _)| from.as_str())
            .filter(|from| !owners.contains(from))
            .collect();
        assert!(users.is_empty(), "{dependency} belongs to {owners:?}, but {users:?} use it too");
        assert!(
            dependencies.iter().any(|(_, to)| to == dependency),
            "nobody uses {dependency}: drop its line"
        );
    }
    Ok(())
}

/// All Rust files below a folder.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// What only generated code names.
const NAMED_BY_GENERATED: &[(&str, &str)] = &[("matchpurse-contracts", "pbjson")];

/// Which files of other folders these have compiled in: a file by `#[path]`, or, where that is a `mod.rs`, its folder.
fn compiled_in(files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in files {
        let Some(folder) = file.parent() else { continue };
        for line in std::fs::read_to_string(file)?.lines() {
            let path = line.trim().strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]"));
            match path.map(|path| folder.join(path)) {
                Some(module) if module.ends_with("mod.rs") => {
                    rust_files(&module.with_file_name(""), &mut found)?
                }
                Some(module) => found.push(module),
                None => {}
            }
        }
    }
    Ok(found)
}

/// Whatever is built and not used is somebody else's code for nothing.
#[test]
fn every_dependency_is_named_by_who_has_it() -> Result<()> {
    let metadata = metadata()?;
    let folders: Vec<&Path> = metadata
        .packages
        .iter()
        .filter_map(|package| Some(package.manifest_path.parent()?.as_std_path()))
        .collect();
    let mut unused = Vec::new();
    for package in &metadata.packages {
        let Some(folder) = package.manifest_path.parent() else { continue };
        let mut files = Vec::new();
        rust_files(folder.as_std_path(), &mut files)?;
        // A package may have another one in its folder.
        let inner = |file: &PathBuf| {
            let within = folders.iter().filter(|other| file.starts_with(other));
            within.max_by_key(|other| other.as_os_str().len()).is_some_and(|own| *own == folder.as_std_path())
        };
        files.retain(inner);
        files.extend(compiled_in(&files)?);
        let mut words = BTreeSet::new();
        for file in &files {
            let text = std::fs::read_to_string(file)?;
            let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.extend(parts.map(str::to_owned));
        }
        for dependency in &package.dependencies {
            let name = dependency.rename.as_deref().unwrap_or(&dependency.name);
            let excused = NAMED_BY_GENERATED.contains(&(package.name.as_str(), name));
            if !excused && !words.contains(&name.replace('-', "_")) {
                unused.push(format!("{} has {name} and does not name it", package.name));
            }
        }
    }
    assert_eq!(unused, [""; 0], "take them out of the Cargo.toml");
    Ok(())
}

#[test]
fn a_provider_is_named_in_its_own_folder_only() -> Result<()> {
    let providers = root().join("crates/providers/src");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&providers)? {
        let entry = entry?;
        if entry.path().join("mod.rs").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    assert!(names.len() >= 4, "{names:?}");
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files)?;
    let mut told = Vec::new();
    for file in files {
        let shown = file.strip_prefix(root())?.to_string_lossy().replace('\\', "/");
        let own = |name: &String| shown.starts_with(&format!("crates/providers/src/{name}/"));
        // What a test sends is data, and a test is not part of any program.
        if shown.contains("/tests/") || names.iter().any(own) {
            continue;
        }
        let text = std::fs::read_to_string(&file)?.to_lowercase();
        told.extend(
            names.iter().filter(|name| text.contains(name.as_str())).map(|name| format!("{shown}: {name}")),
        );
    }
    assert!(told.is_empty(), "providers named outside of their folders: {told:#?}");
    Ok(())
}

/// What is read from the archive stands for a verification that nobody can do again.
#[test]
fn only_the_store_says_what_was_kept() -> Result<()> {
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files)?;
    let mut told = Vec::new();
    for file in files {
        let shown = file.strip_prefix(root())?.to_string_lossy().replace('\\', "/");
        if !shown.contains("/tests/") && std::fs::read_to_string(&file)?.contains("Kept::read_back") {
            told.push(shown);
        }
    }
    assert_eq!(told, ["crates/store/src/kept.rs"], "who else makes what counts as verified?");
    Ok(())
}

/// From a transaction's `NOTIFY` to the end of its commit PostgreSQL lets nobody else commit who has one.
#[test]
fn only_what_comes_after_a_commit_notifies() -> Result<()> {
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files)?;
    let mut told = Vec::new();
    for file in files {
        let shown = file.strip_prefix(root())?.to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&file)?;
        if !shown.contains("/tests/") && (text.contains("pg_notify(") || text.contains("\"NOTIFY ")) {
            told.push(shown);
        }
    }
    assert_eq!(told, ["crates/store/src/tell.rs"], "`Tx::tell` does it");
    Ok(())
}

#[test]
fn the_pure_crates_are_pure() -> Result<()> {
    let mut told = Vec::new();
    for name in ["domain", "providers"] {
        let mut files = Vec::new();
        rust_files(&root().join("crates").join(name).join("src"), &mut files)?;
        assert!(files.len() > 5);
        for file in files {
            let text = std::fs::read_to_string(&file)?;
            let words =
                ["async fn", ".await", "SystemTime::now", "Instant::now", "std::net", "tokio::", "std::fs"];
            told.extend(
                words
                    .iter()
                    .filter(|word| text.contains(**word))
                    .map(|word| format!("{}: {word}", file.display())),
            );
        }
        let lints = std::fs::read_to_string(root().join("crates").join(name).join("clippy.toml"))?;
        assert!(
            lints.contains("SystemTime::now") && lints.contains("\"f64\""),
            "{name}/clippy.toml lost a rule"
        );
    }
    assert!(told.is_empty(), "{told:#?}");
    Ok(())
}

#[test]
fn files_stay_readable() -> Result<()> {
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files)?;
    let mut long = Vec::new();
    for file in files {
        let shown = file.display().to_string();
        let lines = std::fs::read_to_string(&file)?.lines().count();
        if lines > 600 && !shown.contains("/tests/") {
            long.push(format!("{shown}: {lines} lines"));
        }
    }
    assert!(long.is_empty(), "over 600 lines: {long:#?}");
    Ok(())
}

#[test]
fn a_target_without_a_test_program_has_no_tests() -> Result<()> {
    for package in &metadata()?.packages {
        for target in package.targets.iter().filter(|target| !target.test) {
            let sources = if target.is_lib() {
                let mut files = Vec::new();
                rust_files(
                    target.src_path.parent().expect("a file is in a folder").as_std_path(),
                    &mut files,
                )?;
                files
            } else if target.is_bin() {
                vec![target.src_path.clone().into_std_path_buf()]
            } else {
                continue;
            };
            for source in sources {
                let text = std::fs::read_to_string(&source)?;
                assert!(!text.contains("#[cfg(test)]"), "nobody runs the tests in {}", source.display());
            }
        }
    }
    Ok(())
}
