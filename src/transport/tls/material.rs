//! The files that TLS is made of: authorities, our certificates, our key.
//!
//! Reads them, bounded, and tells by content whether anything changed. Knows nothing of what they hold.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::transport::private_file::Unreadable;
use crate::transport::private_file::read;

/// Where the material lies; all files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Authorities that the peer's certificate must come from; none for those of the system.
    pub authorities: Option<PathBuf>,
    /// Our certificate, with those between it and its authority, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What the files said when they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Material {
    /// The authorities, where a file names them.
    pub authorities: Option<Vec<u8>>,
    /// Who we are, where the peer is to know.
    pub identity: Option<Identity>,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The chain, our own first.
    pub certificates: Vec<u8>,
    /// The key; wiped when dropped.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Files {
    /// Reads all of them; blocks as reading files does.
    ///
    /// # Errors
    /// [`Unreadable`] with the path.
    pub fn read(&self) -> Result<Material, Unreadable> {
        let authorities = self.authorities.as_deref().map(read).transpose()?;
        let identity = match &self.identity {
            Some((certificates, key)) => {
                Some(Identity { certificates: read(certificates)?.to_vec(), key: read(key)? })
            }
            None => None,
        };
        Ok(Material { authorities: authorities.map(|bytes| bytes.to_vec()), identity })
    }
}
