//! What processes have used, as Linux counts it.

use std::collections::HashMap;
use std::fs;

/// Linux tells user space its times in hundredths of a second, whatever its own clock does.
const TICKS_A_SECOND: f64 = 100.0;

/// The CPU time of a process and everything below it, in seconds; of those that have ended too, as far as their parent
/// has taken notice. Zero for a process that is not there.
pub(crate) fn cpu_seconds_of_tree(root: u32) -> f64 {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut ticks: HashMap<u32, u64> = HashMap::new();
    let Ok(folders) = fs::read_dir("/proc") else { return 0.0 };
    for folder in folders.flatten() {
        let Some(pid) = folder.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Some((parent, used)) = stat(pid) else { continue };
        children.entry(parent).or_default().push(pid);
        ticks.insert(pid, used);
    }
    let mut sum = 0;
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        sum += ticks.get(&pid).copied().unwrap_or(0);
        open.extend(children.remove(&pid).unwrap_or_default());
    }
    sum as f64 / TICKS_A_SECOND
}

/// The parent of a process, and the ticks of itself and of its children that have ended.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
    let parent = u32::try_from(number(1)?).ok()?;
    Some((parent, number(11)? + number(12)? + number(13)? + number(14)?))
}

/// The most memory that a process has had so far, in MiB.
pub(crate) fn peak_mib(pid: u32) -> f64 {
    field_kib(pid, "VmHWM:") / 1024.0
}

/// The memory that a process has, in MiB.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    field_kib(pid, "VmRSS:") / 1024.0
}

/// The CPU time that all cores had so far, and the part of it that this machine's host gave to others, in ticks. Zeros where
/// nobody tells.
pub(crate) fn given_and_stolen() -> (u64, u64) {
    read_given_and_stolen(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

fn read_given_and_stolen(stat: &str) -> (u64, u64) {
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu "));
    let fields = line.unwrap_or_default().split_whitespace().filter_map(|field| field.parse().ok());
    // User, nice, system, idle, waiting, two kinds of interrupts, stolen; guests' times are in the first two again.
    let times: Vec<u64> = fields.take(8).collect();
    (times.iter().sum(), times.get(7).copied().unwrap_or(0))
}

fn field_kib(pid: u32, field: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_took_is_told_from_what_was_there() {
        let stat = "cpu  10 20 30 40 1 2 3 44 5 6\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(read_given_and_stolen(stat), (150, 44));
        assert_eq!(read_given_and_stolen("intr 5"), (0, 0));
        assert!(given_and_stolen().0 > 0);
    }

    #[test]
    fn this_process_has_used_something() {
        let pid = std::process::id();
        let mut sum = 0_u64;
        while cpu_seconds_of_tree(pid) < 0.05 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(peak_mib(pid) >= resident_mib(pid) * 0.9 && resident_mib(pid) > 0.5);
        assert_eq!(cpu_seconds_of_tree(u32::MAX), 0.0);
    }
}
