//! Tests of the mapping: bounds, what a file shows, the append pair, failed allocation.

use super::*;
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn what_is_stored_is_in_the_file_and_blocks_are_allocated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let mut mapping = Mapping::create(&path, 8192).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 8192);
    assert!(metadata.blocks() * 512 >= 8192, "a hole would be a SIGBUS on a full disk");
    assert_eq!(metadata.mode() & 0o777, 0o600);
    mapping.populate(0..8192).unwrap();
    mapping.write(4095, b"ab");
    mapping.atomic_u64(64).store(7, Ordering::Release);
    mapping.atomic_u32(8188).store(9, Ordering::Release);
    mapping.sync(0..8192).unwrap();
    drop(mapping);

    let bytes = fs::read(&path).unwrap();
    assert_eq!(&bytes[4095..4097], b"ab");
    assert_eq!(bytes[64], 7);
    let again = Mapping::open(&path).unwrap();
    assert_eq!(again.len(), 8192);
    assert_eq!(again.atomic_u32(8188).load(Ordering::Acquire), 9);
    let mut copy = [0; 2];
    again.read_into(4095, &mut copy);
    assert_eq!(&copy, b"ab");
    again.touch(0..8192);
    again.read_into(4095, &mut copy);
    assert_eq!(&copy, b"ab", "touching changes nothing");
}

#[test]
fn create_takes_no_existing_file_and_open_no_link_and_no_empty_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, b"").unwrap();
    assert_eq!(Mapping::create(&path, 4096).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert!(path.exists(), "a file that was there is not ours to remove");
    assert_eq!(Mapping::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(Mapping::open(&link).is_err());
    assert!(Mapping::anonymous(0).is_err());
}

#[test]
fn a_failed_allocation_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    assert!(Mapping::create(&path, 1 << 60).is_err());
    assert!(!path.exists());
}

#[test]
fn bounds_and_alignment_are_checked() {
    let mapping = Mapping::anonymous(4096).unwrap();
    let panics = |f: &dyn Fn()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
    };
    mapping.atomic_u64(4088);
    panics(&|| {
        mapping.atomic_u64(4096);
    });
    panics(&|| {
        mapping.atomic_u64(4);
    });
    panics(&|| {
        mapping.atomic_u32(4094);
    });
    panics(&|| {
        mapping.atomic_u64(usize::MAX - 7);
    });
    panics(&|| mapping.read_into(4090, &mut [0; 7]));
    panics(&|| mapping.populate(0..4097).unwrap());
}
