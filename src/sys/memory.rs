//! How much memory this process may use, as far as the control groups say.
//!
//! Read once at open, to size the arena. A limit that cannot be read counts as none.

use std::fs;

/// The tightest memory limit of our control group (v2, else v1), in bytes; `None` where there is none.
pub fn limit_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().filter_map(limit_of_line).min()
}

/// One line of `/proc/self/cgroup`: `hierarchy:controllers:path`.
fn limit_of_line(line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, file) = if controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    // Limits nest: every ancestor's holds too. Inside a container the path may not be visible: then
    // the root of the mount is our own group.
    let mut tightest: Option<u64> = None;
    let mut group = path.trim_end_matches('/');
    loop {
        let text = fs::read_to_string(format!("{root}{group}/{file}")).unwrap_or_default();
        if let Ok(limit) = text.trim().parse::<u64>() {
            tightest = Some(tightest.map_or(limit, |tighter| tighter.min(limit)));
        }
        match group.rsplit_once('/') {
            Some((parent, _)) => group = parent,
            None => return tightest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_other_controllers_have_no_limit() {
        assert_eq!(limit_of_line("4:cpuset:/x"), None);
        assert_eq!(limit_of_line("rubbish"), None);
    }
}
