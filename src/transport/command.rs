//! Runs a command and takes what it prints: for tokens that somebody else issues.
//!
//! Blocks its thread, bounded in time and bytes. The child gets none of our descriptors but its output, an
//! unblocked signal mask, no input, and a process group of its own, which is ended as a whole.

use std::io;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use mio::unix::pipe::Receiver;
use thiserror::Error;
use zeroize::Zeroizing;

/// What a pipe holds: a command that prints more waits for a reader and is ended at the deadline.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
const LOOK: Duration = Duration::from_millis(20);
/// In looks: 30 s.
const LOOKS_MAX: u32 = 1_500;

/// Why there is no output. Holds no byte of it.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It was not started, or the system lost it.
    #[error("the command could not be run: {0}")]
    Io(#[from] io::Error),
    /// It ended with an error.
    #[error("the command failed: {0}")]
    Failed(ExitStatus),
    /// It did not end in time, or printed more than 64 KiB.
    #[error("the command was ended after 30 s")]
    TooLong,
}

/// What `sh -c command` prints on its standard output.
///
/// # Errors
/// See [`CommandError`]. Where it took too long, nothing that it started is running any more, but what made a process
/// group of its own.
pub fn output(command: &str) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    output_within(LOOKS_MAX, command)
}

fn output_within(looks_max: u32, command: &str) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let status = wait(looks_max, &mut child)?;
    if !status.success() {
        return Err(CommandError::Failed(status));
    }
    let Some(pipe) = child.stdout.take() else { return Ok(Zeroizing::default()) };
    // A grandchild may hold the other end: what is there now is all that counts.
    let mut pipe = Receiver::from(pipe);
    pipe.set_nonblocking(true)?;
    let mut bytes = Zeroizing::new(vec![0; OUTPUT_BYTES_MAX]);
    let mut filled = 0;
    while filled < bytes.len() {
        match io::Read::read(&mut pipe, &mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn wait(looks_max: u32, child: &mut Child) -> Result<ExitStatus, CommandError> {
    for _ in 0..looks_max {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => std::thread::sleep(LOOK),
            // The host has its children reaped: then nobody knows how it ended, and its output must do.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                return Ok(ExitStatus::from_raw(0));
            }
            Err(error) => return Err(error.into()),
        }
    }
    end_group(child);
    // Both fail only if it has ended meanwhile.
    let _ended = child.kill();
    let _reaped = child.wait();
    Err(CommandError::TooLong)
}

/// Ends what the shell started, too: else a pipeline that hangs would be left behind by each try. The child is not
/// reaped, so the number is still its group's.
fn end_group(child: &Child) {
    let script = format!("kill -s KILL -- -{}", child.id());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Best effort: without it the shell alone is ended.
    let _ended = command.status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_prints_is_taken_and_failures_say_nothing_of_it() {
        assert_eq!(&output("printf abc").unwrap()[..], b"abc");
        let text = output("printf canary; exit 3").unwrap_err().to_string();
        assert!(text.contains('3') && !text.contains("canary"), "{text}");
        // A grandchild that holds the output open is not waited for.
        assert_eq!(&output("sleep 5 & printf x").unwrap()[..], b"x");
    }

    #[test]
    fn all_that_a_command_started_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        let command = format!("sleep 300 & echo $! > {}; wait", path.display());
        // Long enough for the shell to write its child's number.
        let number = (1..).map(|tenths| {
            let late = output_within(5 * tenths, &command).unwrap_err();
            assert!(matches!(late, CommandError::TooLong), "{late}");
            std::fs::read_to_string(&path).unwrap_or_default().trim().to_owned()
        });
        let number = number.into_iter().find(|number| !number.is_empty()).unwrap();
        let is_over = || {
            let status = std::fs::read_to_string(format!("/proc/{number}/status"));
            status.map_or(true, |status| status.contains("State:\tZ"))
        };
        assert!((0..500).any(|_| is_over() || {
            std::thread::sleep(LOOK);
            false
        }));
    }
}
