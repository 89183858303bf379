//! Authorities and the certificates that they issue, good and bad, as PEM files.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::DnType;
use rcgen::IsCa;
use rcgen::KeyPair;
use rcgen::date_time_ymd;

/// Who issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name or address.
    pub fn issue(&self, name: &str) -> Issued {
        self.sign(params(name))
    }

    /// The same, no longer valid.
    pub fn issue_expired(&self, name: &str) -> Issued {
        let mut params = params(name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }
}

/// A certificate for this name that nobody issued.
pub fn self_signed(name: &str) -> Issued {
    let key = KeyPair::generate().unwrap();
    let certificate = params(name).self_signed(&key).unwrap().pem();
    Issued { certificate, key: key.serialize_pem() }
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let paths = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        write(&paths.0, &self.certificate);
        write(&paths.1, &self.key);
        paths
    }
}

/// Writes a file that only its owner may read, as a whole: it is renamed into its place.
pub fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600).open(&new);
    std::io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
    fs::rename(&new, path).unwrap();
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
