//! Counts, and what of them is too much.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A path may allocate so much more than the baseline, in percent.
const TOLERANCE_PERCENT: u64 = 10;

/// What a path allocates when it runs once; what grows is counted again with its new size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) allocations: u64,
    pub(crate) bytes: u64,
}

/// Counts a path. It runs once before, so that what is made once a process does not count.
pub(crate) fn count<T>(mut path: impl FnMut() -> T) -> Counted {
    drop(path());
    let mut kept = None;
    let info = allocation_counter::measure(|| kept = Some(std::hint::black_box(path())));
    drop(kept);
    Counted { allocations: info.count_total, bytes: info.bytes_total }
}

/// In words, what grew, came or went.
pub(crate) fn compare(baseline: &BTreeMap<String, Counted>, now: &BTreeMap<String, Counted>) -> Vec<String> {
    let mut told = Vec::new();
    for (path, counted) in now {
        let Some(was) = baseline.get(path) else {
            told.push(format!("{path}: has no baseline; it makes {}", words(*counted)));
            continue;
        };
        let grew = |was: u64, is: u64| is * 100 > was * (100 + TOLERANCE_PERCENT);
        if grew(was.allocations, counted.allocations) || grew(was.bytes, counted.bytes) {
            told.push(format!("{path}: makes {}, and made {}", words(*counted), words(*was)));
        }
    }
    let gone = baseline.keys().filter(|path| !now.contains_key(*path));
    told.extend(gone.map(|path| format!("{path}: has a baseline, and is not counted any more")));
    told
}

fn words(counted: Counted) -> String {
    format!("{} allocations of {} bytes", counted.allocations, counted.bytes)
}

/// The baseline as it is committed: a line a path, so that a diff says what changed.
pub(crate) fn written(counted: &BTreeMap<String, Counted>) -> String {
    let lines: Vec<String> = counted
        .iter()
        .map(|(path, counted)| {
            format!("  {}: {}", serde_json::json!(path), serde_json::to_string(counted).unwrap())
        })
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

#[test]
fn a_path_that_grows_by_more_than_a_tenth_is_named() {
    let of = |allocations, bytes| BTreeMap::from([("a path".to_owned(), Counted { allocations, bytes })]);
    assert_eq!(compare(&of(100, 1_000), &of(110, 1_100)), Vec::<String>::new());
    assert_eq!(compare(&of(100, 1_000), &of(10, 10)), Vec::<String>::new());
    assert!(compare(&of(100, 1_000), &of(111, 1_000))[0].contains("a path: makes 111 allocations"));
    assert!(compare(&of(100, 1_000), &of(100, 1_101))[0].contains("1101 bytes, and made"));
    assert!(compare(&BTreeMap::new(), &of(1, 1))[0].contains("has no baseline"));
    assert!(compare(&of(1, 1), &BTreeMap::new())[0].contains("not counted"));
}

#[test]
fn what_is_allocated_is_counted() {
    let counted = count(|| vec![vec![0_u8; 100], vec![0_u8; 28]]);
    let outer = u64::try_from(2 * size_of::<Vec<u8>>()).unwrap();
    assert_eq!(counted, Counted { allocations: 3, bytes: 128 + outer });
    assert_eq!(count(|| 7_u8), Counted { allocations: 0, bytes: 0 });
}
