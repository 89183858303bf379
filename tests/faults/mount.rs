//! File systems of the test's own: loop images, tmpfs, overlays, read-only mounts. Needs root; where mounting is not
//! possible the row says so and skips them.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system; unmounted and removed when dropped.
pub struct Mount {
    root: TempDir,
    name: &'static str,
}

/// Kinds of file systems that a test can make for itself.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Tmpfs,
    Ext4,
    Xfs,
    Btrfs,
    /// ext4 behind FUSE.
    Fuse,
    /// An overlay of two directories.
    Overlay,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Tmpfs => "tmpfs",
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
            Kind::Fuse => "fuse",
            Kind::Overlay => "overlay",
        }
    }

    /// The least that its tools accept, with room for some segments.
    const fn megabytes(self) -> u64 {
        match self {
            Kind::Tmpfs | Kind::Ext4 | Kind::Fuse | Kind::Overlay => 64,
            Kind::Xfs => 320,
            Kind::Btrfs => 128,
        }
    }
}

impl Mount {
    /// Mounts a fresh file system; none, with the reason printed, where that is not possible here.
    pub fn new(kind: Kind) -> Option<Self> {
        let root = TempDir::with_prefix_in("logdrive-mount-", "/dev/shm").ok()?;
        let mount = Self { root, name: kind.name() };
        for dir in ["at", "below", "above", "work"] {
            fs::create_dir(mount.root.path().join(dir)).unwrap();
        }
        let (image, at) = (mount.root.path().join("image"), mount.dir());
        let made = match kind {
            Kind::Tmpfs => {
                let size = format!("size={}m", kind.megabytes());
                run("mount", &["-t", "tmpfs", "-o", &size, "none", text(&at)])
            }
            Kind::Overlay => {
                let part = |name: &str| mount.root.path().join(name).display().to_string();
                let (below, above, work) = (part("below"), part("above"), part("work"));
                let options = format!("lowerdir={below},upperdir={above},workdir={work}");
                run("mount", &["-t", "overlay", "-o", &options, "none", text(&at)])
            }
            Kind::Ext4 | Kind::Xfs | Kind::Btrfs | Kind::Fuse => {
                let file = fs::File::create(&image).unwrap();
                file.set_len(kind.megabytes() << 20).unwrap();
                let (tool, options): (_, &[&str]) = match kind {
                    Kind::Xfs => ("mkfs.xfs", &["-q", "-f"]),
                    Kind::Btrfs => ("mkfs.btrfs", &["-q", "-f", "-M"]),
                    _ => ("mkfs.ext4", &["-q", "-F", "-m", "0"]),
                };
                let mounted = run(tool, &[options, &[text(&image)]].concat());
                mounted.and_then(|()| match kind {
                    Kind::Fuse => run("fuse2fs", &[text(&image), text(&at), "-o", "fakeroot,rw"]),
                    _ => run("mount", &["-o", "loop", text(&image), text(&at)]),
                })
            }
        };
        match made {
            Ok(()) => Some(mount),
            Err(reason) => {
                println!("{}: skipped, {reason}", kind.name());
                std::mem::forget(mount);
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn dir(&self) -> PathBuf {
        self.root.path().join("at")
    }

    /// Mounts it again with other options.
    pub fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), text(&self.dir())]).unwrap();
    }

    /// Its kind.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process that was killed a moment ago may still hold it.
        let _unmounted = run("umount", &["-l", text(&self.dir())]);
    }
}

/// Runs a tool to its end; what it said where it failed.
pub fn run(tool: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(tool).args(arguments).output();
    let output = output.map_err(|error| format!("{tool}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{tool}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
