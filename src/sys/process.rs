//! What names this process, as far as itself is concerned.
//!
//! Used only to recognise one's own: whether another process lives is never judged by a pid.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// A text that is the same for all code of this process and for no other process: pid, start time in clock
/// ticks since boot, and the inode of the pid namespace (0 where `/proc` does not tell).
pub fn token() -> String {
    // Read anew each time: a forked child is another process.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses and may hold spaces; start time is the 22nd.
    let start_time = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    let namespace = fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino());
    format!("{} {} {namespace}", std::process::id(), start_time.unwrap_or("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_has_pid_start_and_namespace_and_stays_the_same() {
        let token = token();
        let fields: Vec<u64> = token.split(' ').map(|field| field.parse().unwrap()).collect();
        assert_eq!(fields[0], u64::from(std::process::id()));
        assert!(fields[1] > 0 && fields[2] > 0, "{token}");
        assert_eq!(token, super::token());
    }
}
