//! What processes cost: CPU time and memory, from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// Hundredths of a second: the unit of times in `/proc`, on every Linux that we know.
const TICK: Duration = Duration::from_millis(10);

/// What some processes have cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, their own and the kernel's for them.
    pub cpu: Duration,
    /// The most memory that each had at a time, added up, in bytes.
    pub peak: u64,
}

/// Looks at the processes; those that are gone count nothing.
pub fn of(pids: &[u32]) -> Usage {
    pids.iter().fold(Usage::default(), |sum, pid| Usage {
        cpu: sum.cpu + cpu(*pid).unwrap_or_default(),
        peak: sum.peak + peak(*pid).unwrap_or_default(),
    })
}

fn cpu(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may contain anything.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some(TICK * (ticks(11)? + ticks(12)?))
}

fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// The process of this machine that listens on a port, where the system shows it to us.
pub fn listener(port: u16) -> Option<u32> {
    let sockets: BTreeSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| {
            fs::read_to_string(table)
                .unwrap_or_default()
                .lines()
                .skip(1)
                .filter_map(|line| inode(line, port))
                .collect::<Vec<_>>()
        })
        .collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let files = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        let mut links = files.filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| sockets.contains(&link.to_string_lossy().into_owned())).then_some(pid)
    })
}

/// `socket:[inode]` of a row that listens on the port.
fn inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, own) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == "0A" && u16::from_str_radix(own, 16).ok()? == port;
    listens.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something_and_is_found_by_its_port() {
        let own = std::process::id();
        assert!(of(&[own]).peak > 1024 * 1024);
        let listener_here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(listener_here.local_addr().unwrap().port()), Some(own));
        assert_eq!(of(&[u32::MAX]), Usage::default());
    }
}
