//! Finds the providers: every folder of `src/` with a `mod.rs` is one, and stands in the registry, with its fixtures.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src");
    let source = Path::new(&env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets it")?).join("src");
    let mut names = Vec::new();
    for entry in fs::read_dir(&source)? {
        let entry = entry?;
        if entry.path().join("mod.rs").is_file() {
            names.push(entry.file_name().into_string().map_err(|name| format!("not UTF-8: {name:?}"))?);
        }
    }
    names.sort();
    let mut registry = String::new();
    for name in &names {
        writeln!(registry, "#[path = {:?}]\nmod {name};", source.join(name).join("mod.rs"))?;
    }
    writeln!(registry, "\nstatic REGISTRY: &[&dyn Provider] = &[")?;
    for name in &names {
        writeln!(registry, "    &{name}::Adapter,")?;
    }
    writeln!(registry, "];")?;
    writeln!(registry, "\nstatic FIXTURES: &[(&str, &[fixtures::File])] = &[")?;
    for name in &names {
        writeln!(registry, "    ({name:?}, &[")?;
        for (fixture, body, meta) in fixtures(&source.join(name).join("fixtures"))? {
            writeln!(registry, "        ({fixture:?}, include_bytes!({body:?}), {meta:?}),")?;
        }
        writeln!(registry, "    ]),")?;
    }
    writeln!(registry, "];")?;
    fs::write(Path::new(&env::var_os("OUT_DIR").ok_or("cargo sets it")?).join("registry.rs"), registry)?;
    Ok(())
}

/// A delivery: its name, the file of its body, and what is not usual about it, a JSON object.
type Fixture = (String, PathBuf, String);

/// The deliveries of a folder.
#[expect(clippy::disallowed_methods, reason = "a build script has nobody who waits for it")]
fn fixtures(folder: &Path) -> Result<Vec<Fixture>, Box<dyn Error>> {
    let mut fixtures = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(name) = file.strip_suffix(".json") else { continue };
        // `source.json` configures the tests' source.
        if name != "source" && !name.ends_with(".meta") {
            let meta = folder.join(format!("{name}.meta.json"));
            let meta = if meta.is_file() { fs::read_to_string(meta)? } else { "{}".to_owned() };
            fixtures.push((name.to_owned(), path, meta));
        }
    }
    fixtures.sort();
    Ok(fixtures)
}
