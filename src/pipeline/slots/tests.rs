//! The life of slots: made, found, adopted, removed, and what is left where somebody died in between.

use super::*;

fn adopt_dead(roots: &Roots) -> Vec<Slot> {
    roots.instances().into_iter().filter_map(|instance| roots.adopt(instance)).collect()
}

fn roots(dir: &Path) -> Roots {
    Roots::new(Some(&dir.join("ring")), Some(&dir.join("spool")), "test")
}

#[test]
fn a_slot_is_ours_until_dropped_then_adopted_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let roots = roots(dir.path());
    let slot = roots.create().unwrap();
    let instance = slot.instance();
    assert!(adopt_dead(&roots).is_empty() && !roots.has_dead(), "its owner lives");
    fs::write(slot.arena_path(), b"arena").unwrap();
    drop(slot);
    assert!(roots.has_dead());
    let adopted = adopt_dead(&roots);
    assert_eq!(adopted.len(), 1);
    assert_eq!(adopted[0].instance(), instance);
    assert!(adopt_dead(&roots).is_empty(), "adopted once");
    let spool_dir = adopted[0].spool_dir().to_owned();
    adopted.into_iter().for_each(|slot| slot.remove().unwrap());
    assert!(!spool_dir.exists());
    assert!(adopt_dead(&roots).is_empty());
}

#[test]
fn slots_are_found_with_their_owners_and_strangers_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let roots = roots(dir.path());
    let slot = roots.create().unwrap();
    fs::write(slot.arena_path(), b"arena").unwrap();
    fs::write(roots.spool.join("file"), b"").unwrap();
    fs::create_dir_all(roots.spool.join("test/no-instance")).unwrap();
    let found = find(&roots.spool).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].name.as_str(), found[0].instance), ("test", slot.instance()));
    assert_eq!((&found[0].owner, found[0].arena_bytes), (&Owner::Alive, Some(5)));
    drop(slot);
    assert_eq!(find(&roots.spool).unwrap()[0].owner, Owner::Dead);
    assert!(find(&dir.path().join("absent")).is_err());
}

#[test]
fn the_rings_of_a_slot_whose_spool_lies_elsewhere_are_no_slot() {
    let dir = tempfile::tempdir().unwrap();
    let slot = roots(dir.path()).create().unwrap();
    fs::write(slot.arena_path(), b"arena").unwrap();
    drop(slot);
    let beside = Roots::new(Some(&dir.path().join("ring")), None, "test");
    assert!(adopt_dead(&beside).is_empty(), "its spool would be thought empty");
    assert_eq!(find(&dir.path().join("ring")).unwrap(), []);
    assert_eq!(adopt_dead(&roots(dir.path())).len(), 1);
}

#[test]
fn rings_whose_spool_was_deleted_are_a_slot_again_but_not_where_the_disk_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let roots = roots(dir.path());
    let (gone, stays) = (roots.create().unwrap(), roots.create().unwrap());
    let (instance, spool_dir) = (gone.instance(), gone.spool_dir().to_owned());
    fs::write(gone.arena_path(), b"arena").unwrap();
    fs::remove_dir_all(&spool_dir).unwrap();
    assert!(adopt_dead(&roots).is_empty(), "its owner lives");
    drop(gone);
    let away = roots.spool.with_extension("unmounted");
    fs::rename(&roots.spool, &away).unwrap();
    assert_eq!(roots.instances(), [], "nobody knows what its spool holds");
    fs::rename(&away, &roots.spool).unwrap();
    let adopted = adopt_dead(&roots);
    assert_eq!(adopted.iter().map(Slot::instance).collect::<Vec<_>>(), [instance]);
    adopted.into_iter().for_each(|slot| slot.remove().unwrap());
    assert_eq!(roots.instances(), [stays.instance()]);
    assert!(!roots.ring_dir(instance).exists());
}

#[test]
fn the_quota_sees_the_files_of_all_slots_but_the_own() {
    let dir = tempfile::tempdir().unwrap();
    let roots = roots(dir.path());
    let (own, other) = (roots.create().unwrap(), roots.create().unwrap());
    for slot in [&own, &other] {
        fs::write(slot.spool_dir().join("00000000000000000001.seg"), vec![1; 1 << 16]).unwrap();
        fs::write(slot.spool_dir().join("notes.txt"), vec![1; 1 << 16]).unwrap();
    }
    assert_eq!(roots.bytes_beside(own.instance()), 1 << 16);
    drop(other);
    assert_eq!(roots.bytes_beside(own.instance()), 1 << 16, "living or dead");
}

#[test]
fn what_is_not_ours_keeps_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let roots = roots(dir.path());
    let slot = roots.create().unwrap();
    let foreign = slot.spool_dir().join("notes.txt");
    fs::write(&foreign, b"mine").unwrap();
    slot.remove().unwrap();
    assert_eq!(fs::read(&foreign).unwrap(), b"mine");
}

#[test]
fn what_is_kept_for_others_waits_for_no_heir_but_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let separate = roots(dir.path());
    let together = Roots::new(Some(&dir.path().join("one")), None, "test");
    for roots in [&separate, &together] {
        for kept in ["notes.txt", spool::QUARANTINE_DIR] {
            let slot = roots.create().unwrap();
            fs::write(slot.spool_dir().join(kept), b"kept").unwrap();
            let (instance, spool_dir) = (slot.instance(), slot.spool_dir().to_owned());
            slot.remove().unwrap();
            assert!(!roots.has_dead() && adopt_dead(roots).is_empty(), "{kept}");
            let found = find(&roots.spool).unwrap();
            assert!(found.iter().any(|slot| slot.instance == instance), "{kept}");
            for ours in ["00000000000000000001.seg", "ledger", "slot"] {
                fs::write(spool_dir.join(ours), b"").unwrap();
                assert!(roots.has_dead(), "{ours}");
                fs::remove_file(spool_dir.join(ours)).unwrap();
            }
            file::create_private_directory(&roots.ring_dir(instance)).unwrap();
            fs::write(roots.ring_dir(instance).join(ARENA_FILE), b"arena").unwrap();
            assert!(roots.has_dead(), "its rings may hold records");
            fs::remove_file(roots.ring_dir(instance).join(ARENA_FILE)).unwrap();
        }
    }
}

#[test]
fn siblings_that_close_and_clean_up_cost_nobody_a_slot() {
    let dir = tempfile::tempdir().unwrap();
    let roots = roots(dir.path());
    let closing = || {
        for _ in 0..300 {
            let slot = roots.create().unwrap();
            assert!(slot.spool_dir().join(SLOT_FILE).exists() && slot.ring_lock.is_some());
            assert!(SlotLock::acquire(slot.spool_dir()).unwrap().is_none(), "it is locked");
            slot.remove().unwrap();
        }
    };
    let cleaning = || (0..300).for_each(|_| roots.remove_unfinished());
    std::thread::scope(|scope| {
        let closers = [scope.spawn(closing), scope.spawn(closing), scope.spawn(cleaning)];
        closers.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert!(!dir.path().join("spool/test").exists(), "nothing is left");
}

#[test]
fn what_was_left_unfinished_is_removed_and_what_is_being_made_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let roots = roots(dir.path());
    let made = roots.spool_dir(InstanceId([1; 16])).with_extension(UNFINISHED_EXTENSION);
    let left = roots.spool_dir(InstanceId([2; 16])).with_extension(UNFINISHED_EXTENSION);
    for dir in [&made, &left] {
        file::create_private_directory(dir).unwrap();
        write_slot_file(dir, dir, NOBODY).unwrap();
    }
    let _maker = SlotLock::acquire(&made).unwrap().unwrap();
    roots.remove_unfinished();
    assert!(made.join(SLOT_FILE).exists() && !left.exists());
    assert_eq!(roots.instances(), []);
}

#[test]
fn what_an_heir_left_of_a_removal_is_removed_by_the_next_and_what_is_being_removed_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let roots = roots(dir.path());
    let [empty, locked, in_hand] = [1, 2, 3].map(|byte| roots.spool_dir(InstanceId([byte; 16])));
    let foreign = roots.spool_dir(InstanceId([4; 16]));
    for dir in [&empty, &locked, &in_hand, &foreign] {
        file::create_private_directory(dir).unwrap();
    }
    fs::write(locked.join(LOCK_FILE), b"").unwrap();
    fs::write(foreign.join("notes.txt"), b"mine").unwrap();
    let heir = SlotLock::acquire(&in_hand).unwrap().unwrap();
    roots.remove_unfinished();
    assert!(!empty.exists() && !locked.exists() && in_hand.exists());
    assert_eq!(fs::read(foreign.join("notes.txt")).unwrap(), b"mine");
    drop(heir);
    roots.remove_unfinished();
    assert!(!in_hand.exists());
}
