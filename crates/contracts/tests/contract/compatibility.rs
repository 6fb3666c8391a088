//! The schemas of today against the committed descriptor set of what is in use. What was there must stay:
//! its number, its type, its name in JSON. New fields, messages and values are welcome; `UPDATE_GOLDEN=1`
//! adds them to the set, and never drops anything.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

/// Everything that a reader depends on, by its full name.
fn promises(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    let mut promises = BTreeMap::new();
    for file in &set.file {
        let package = file.package();
        file.message_type.iter().for_each(|message| of_message(package, message, &mut promises));
        file.enum_type.iter().for_each(|each| of_enum(package, each, &mut promises));
    }
    promises
}

fn of_message(scope: &str, message: &DescriptorProto, promises: &mut BTreeMap<String, String>) {
    let name = format!("{scope}.{}", message.name());
    for field in &message.field {
        let group = field.oneof_index.and_then(|at| message.oneof_decl.get(usize::try_from(at).unwrap()));
        let promise = format!(
            "{:?} {:?} {} json {} in {:?}",
            field.label(),
            field.r#type(),
            field.type_name(),
            field.json_name(),
            group.map(|group| group.name())
        );
        promises.insert(format!("{name} field {}", field.number()), format!("{} {promise}", field.name()));
    }
    message.nested_type.iter().for_each(|nested| of_message(&name, nested, promises));
    message.enum_type.iter().for_each(|each| of_enum(&name, each, promises));
}

fn of_enum(scope: &str, each: &EnumDescriptorProto, promises: &mut BTreeMap<String, String>) {
    for value in &each.value {
        promises.insert(format!("{scope}.{} value {}", each.name(), value.number()), value.name().to_owned());
    }
}

#[test]
fn no_change_breaks_who_reads_version_1() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto-schemas/matchpurse-events-v1.binpb");
    let today = FileDescriptorSet::decode(matchpurse_contracts::DESCRIPTORS).unwrap();
    let now = promises(&today);
    assert!(now.len() > 150, "the schemas were not read: {} promises", now.len());
    let committed = std::fs::read(&path).ok().map(|bytes| FileDescriptorSet::decode(&bytes[..]).unwrap());
    let broken: Vec<String> = promises(&committed.clone().unwrap_or_default())
        .into_iter()
        .filter(|(name, promise)| now.get(name) != Some(promise))
        .map(|(name, promise)| format!("{name}: was {promise:?}, is {:?}", now.get(&name)))
        .collect();
    assert!(broken.is_empty(), "readers of version 1 would break:\n{}", broken.join("\n"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, matchpurse_contracts::DESCRIPTORS).unwrap();
    }
    let committed = std::fs::read(&path).expect("the descriptor set is committed");
    let known = promises(&FileDescriptorSet::decode(&committed[..]).unwrap());
    assert_eq!(known, now, "new parts are not in the committed set yet: run with UPDATE_GOLDEN=1");
}
