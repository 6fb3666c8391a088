//! Finds the providers: every folder of `src/` with a `mod.rs` is one, and stands in the registry.

use std::{env, error::Error, fmt::Write, fs, path::Path};

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
    fs::write(Path::new(&env::var_os("OUT_DIR").ok_or("cargo sets it")?).join("registry.rs"), registry)?;
    Ok(())
}
