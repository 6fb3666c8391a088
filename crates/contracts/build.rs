//! Compiles `proto-schemas/` to Rust: protox instead of protoc, so that no tool has to be installed.

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto-schemas");
    let out = env::var("OUT_DIR")?;
    println!("cargo::rerun-if-changed={}", root.display());
    let descriptors =
        protox::compile(["matchpurse/events/v1/event.proto", "matchpurse/events/v1/group.proto"], [&root])?;
    let encoded = protox::prost::Message::encode_to_vec(&descriptors);
    fs::write(Path::new(&out).join("descriptors.bin"), &encoded)?;

    prost_build::Config::new()
        .compile_well_known_types()
        .bytes(["."])
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .extern_path(".google.protobuf", "::pbjson_types")
        .ignore_unknown_fields()
        .build(&[".matchpurse"])?;
    Ok(())
}
