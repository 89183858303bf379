//! Three receivers: two embedded in this process, the third in a process of its own, to be killed.

use std::error::Error;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use logdrive::receiver::Options;
use logdrive::receiver::Receiver;

/// First argument of the process that is to be killed.
pub const CHILD: &str = "--as-receiver";
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// The three receivers, each with a directory of its own below a temporary one.
pub struct Receivers {
    embedded: Vec<Receiver>,
    child: Option<Child>,
    addresses: Vec<SocketAddr>,
    root: tempfile::TempDir,
}

impl Receivers {
    pub fn start() -> Result<Self, Box<dyn Error>> {
        let root = tempfile::tempdir()?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let embedded = [1, 2]
            .map(|number| Receiver::start(Options::new(any_port, dir(root.path(), number))))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let (child, address) = start_child(any_port, &dir(root.path(), 3))?;
        let mut addresses: Vec<_> = embedded.iter().map(Receiver::local_addr).collect();
        addresses.push(address);
        Ok(Self { embedded, child: Some(child), addresses, root })
    }

    /// Where the client finds them.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.addresses.iter().map(SocketAddr::to_string).collect();
        format!("receivers://{}/demo", addresses.join(","))
    }

    /// Their addresses, and whether each is running.
    pub fn states(&self) -> impl Iterator<Item = (SocketAddr, bool)> {
        let is_running = [true, true, self.child.is_some()];
        self.addresses.iter().copied().zip(is_running)
    }

    /// Kills the third with SIGKILL, in the middle of whatever it does.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Starts the third again, where it was.
    pub fn restart(&mut self) -> Result<(), Box<dyn Error>> {
        let (child, _) = start_child(self.addresses[2], &dir(self.root.path(), 3))?;
        self.child = Some(child);
        Ok(())
    }

    /// Stops them all.
    pub fn stop(&mut self) -> Result<Vec<PathBuf>, Box<dyn Error>> {
        for receiver in self.embedded.drain(..) {
            receiver.shutdown(STOP_DEADLINE)?;
        }
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            child.wait()?;
        }
        Ok([1, 2, 3].map(|number| dir(self.root.path(), number)).to_vec())
    }
}

fn dir(root: &Path, number: u32) -> PathBuf {
    root.join(format!("receiver-{number}"))
}

/// Starts this program again as a receiver, and waits until it listens.
fn start_child(address: SocketAddr, dir: &Path) -> Result<(Child, SocketAddr), Box<dyn Error>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([CHILD, &address.to_string()])
        .arg(dir)
        // Ctrl-C is for the demo, which then stops its receivers.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(stdout) = &mut child.stdout {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let address = line.trim().parse().map_err(|_| "receiver 3 does not start")?;
    Ok((child, address))
}

/// What that program does: receives until its standard input is closed, also by its parent's death.
pub fn run_child(address: &str, dir: &str) -> Result<(), Box<dyn Error>> {
    let receiver = Receiver::start(Options::new(address.parse()?, dir))?;
    println!("{}", receiver.local_addr());
    io::stdin().read_to_end(&mut Vec::new())?;
    receiver.shutdown(STOP_DEADLINE)?;
    Ok(())
}
