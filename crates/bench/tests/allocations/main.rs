//! What the hot paths allocate, against what stands in `baseline.json`: counted, not timed, so that a busy machine
//! changes nothing. A path that allocates more than a tenth more often, or more bytes, than it did fails the test.
//!
//! `UPDATE_GOLDEN=1` writes what was counted; read the diff before committing it, because the guard is only as good as
//! the figures that it guards.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy lets tests do so, but takes the functions that they share for something else"
)]

mod guard;
mod paths;
#[path = "../../../providers/tests/sources/mod.rs"]
mod sources;

use std::collections::BTreeMap;
use std::path::Path;

use guard::{Counted, compare};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/allocations/baseline.json");

#[test]
fn no_hot_path_allocates_more_than_it_did() {
    let counted = paths::count_all();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(BASELINE, guard::written(&counted)).unwrap();
        return;
    }
    let baseline = std::fs::read(BASELINE).unwrap_or_else(|error| panic!("{BASELINE}: {error}"));
    let baseline: BTreeMap<String, Counted> = serde_json::from_slice(&baseline).unwrap();
    let grown = compare(&baseline, &counted);
    let file = Path::new(BASELINE).strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
    assert!(
        grown.is_empty(),
        "{}\nIf that is worth it, `UPDATE_GOLDEN=1 tests/run -p matchpurse-bench` writes {}.",
        grown.join("\n"),
        file.display()
    );
}
