//! One program for all targets: MATCHPURSE_FUZZ_TARGET says which.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use matchpurse_fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("MATCHPURSE_FUZZ_TARGET").expect("MATCHPURSE_FUZZ_TARGET is not set");
    matchpurse_fuzz::target(&name).unwrap_or_else(|| panic!("no target {name:?}: {:?}", matchpurse_fuzz::targets()))
});

fuzz_target!(|data: &[u8]| TARGET(data));
