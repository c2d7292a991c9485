//! Portable snapshots through the C ABI.

mod common;

use std::ptr;

use common::*;

/// A network of which all weights learn, with momentum in one part and Adam in another.
const POLICY: &str = "cfg:hidden=32,layers=2,intermediate=24,head_size=32,decay_rank=3,a_rank=3,v_rank=3,g_rank=5;\
                      policy:schedule=0..900:train(lr=0.01,momentum=0.5,bptt=7)|900..100000:train(opt=adam,lr=0.002,stride=3)";

/// Methods of every kind of state.
fn methods() -> Vec<String> {
    [LEARNING, FROZEN, GRU, REPLAYING, "mix:mem=64K", "mix:neural=none,fast=2,mem=256K", "level:5"]
        .map(str::to_owned)
        .into_iter()
        .chain([mixed_with(REPLAYING), mixed_with(LEARNING), POLICY.to_owned(), mixed_with(POLICY)])
        .collect()
}

fn save(snapshot: &Snapshot) -> Vec<u8> {
    let mut len = 0;
    // SAFETY: a snapshot; a query has no buffer, and then the buffer has `len` bytes.
    unsafe {
        assert_eq!(gptz_snapshot_save(snapshot.0, ptr::null_mut(), 0, &mut len), GPTZ_ERROR_BUFFER_TOO_SMALL);
        let mut blob = vec![0u8; len];
        assert_eq!(gptz_snapshot_save(snapshot.0, blob.as_mut_ptr().cast(), len, &mut len), GPTZ_OK, "{}", message());
        assert_eq!(blob.len(), len);
        blob
    }
}

fn load(blob: &[u8]) -> Result<Snapshot, gptz_status> {
    let mut out = ptr::null_mut();
    // SAFETY: the blob's own bytes.
    match unsafe { gptz_snapshot_load(blob.as_ptr().cast(), blob.len(), &mut out) } {
        GPTZ_OK => Ok(Snapshot(out)),
        status => {
            assert!(out.is_null());
            Err(status)
        }
    }
}

fn id(snapshot: &Snapshot) -> [u8; 8] {
    let mut id = [0; 8];
    // SAFETY: a snapshot, and room for 8 bytes.
    assert_eq!(unsafe { gptz_snapshot_id(snapshot.0, id.as_mut_ptr()) }, GPTZ_OK);
    id
}

#[test]
fn a_loaded_snapshot_goes_on_as_the_saved_one() {
    for method in methods() {
        let n = if method == "level:5" { 400 } else { 3000 };
        let h = Handle::new(&method);
        // In the middle of a run of feeds, at odd places.
        h.feed(&ALICE[..n / 3]);
        h.feed(&ALICE[n / 3..n]);
        let snapshot = h.snapshot();
        let blob = save(&snapshot);
        let loaded = load(&blob).unwrap();
        assert_eq!(id(&loaded), id(&snapshot));
        assert!(save(&loaded) == blob, "{method}: saved before any use");
        let other = Handle::new(&method);
        assert_eq!(other.restore(&loaded), GPTZ_OK, "{}", message());
        assert_eq!(other.predict(), h.predict(), "{method}");
        assert!(save(&loaded) == blob && save(&other.snapshot()) == blob, "{method}: saved again");
        for part in ALICE[n..n + 700].chunks(311) {
            h.feed(part);
            other.feed(part);
        }
        assert_eq!(other.predict(), h.predict(), "{method}");
        assert!(save(&h.snapshot()) == save(&other.snapshot()), "{method}");
        assert_eq!(id(&h.snapshot()), id(&other.snapshot()));

        // As a base, of a handle that has fed nothing.
        let text = &ALICE[n..n + 300];
        assert_eq!(h.set_base(Some(&snapshot)), GPTZ_OK);
        let fresh = Handle::new(&method);
        assert_eq!(fresh.set_base(Some(&loaded)), GPTZ_OK);
        drop((snapshot, loaded));
        let frame = h.compress(text);
        assert_eq!(fresh.compress(text), frame, "{method}");
        assert_eq!(fresh.decompress(&frame), text);
        fresh.reset();
        assert_eq!(save(&fresh.snapshot()), blob);
    }
}

#[test]
fn an_identifier_tells_histories_apart() {
    let (a, b) = (Handle::new("mix:mem=64K"), Handle::new("mix:mem=128K"));
    let fresh = id(&a.snapshot());
    assert_ne!(fresh, id(&b.snapshot()), "another method");
    a.feed(b"abc");
    let fed = id(&a.snapshot());
    assert_ne!(fed, fresh);
    a.reset();
    assert_eq!(id(&a.snapshot()), fresh);
    a.feed(b"a");
    a.feed(b"bc");
    assert_eq!(id(&a.snapshot()), fed, "however the bytes are divided");
    // A base without any byte is not the state of a handle without a base in frames, but it has the same identifier.
    a.reset();
    let empty = a.snapshot();
    assert_eq!(a.set_base(Some(&empty)), GPTZ_OK);
    assert_eq!(id(&a.snapshot()), fresh);
}

#[test]
fn other_methods_and_weights_are_named() {
    let h = Handle::new("mix:mem=64K");
    h.feed(&ALICE[..100]);
    let loaded = load(&save(&h.snapshot())).unwrap();
    let other = Handle::new("mix:mem=128K");
    for status in [other.set_base(Some(&loaded)), other.restore(&loaded)] {
        assert_eq!(status, GPTZ_ERROR_MISMATCH);
        assert!(message().contains("mem=64K") && message().contains("mem=128K"), "{}", message());
    }
    let model = Model::from_memory(WEIGHTS).unwrap();
    let of_model = Handle::from_model(&model, None).unwrap();
    of_model.feed(&ALICE[..50]);
    let loaded = load(&save(&of_model.snapshot())).unwrap();
    assert_eq!(of_model.restore(&loaded), GPTZ_OK);
    let mut changed = WEIGHTS.to_vec();
    let last = changed.len() - 2;
    changed[last] ^= 1;
    let others = Handle::from_model(&Model::from_memory(&changed).unwrap(), None).unwrap();
    assert_eq!(others.restore(&loaded), GPTZ_ERROR_MISMATCH);
    assert_eq!(message().matches("with weights").count(), 2, "{}", message());
}

#[test]
fn every_cut_and_every_flipped_byte_is_told() {
    let h = Handle::new("mix:orders=0-2,word=0,match=1,sparse=0,mem=64K");
    h.feed(&ALICE[..60]);
    let blob = save(&h.snapshot());
    for cut in 0..blob.len() {
        let status = load(&blob[..cut]).err().unwrap();
        assert_eq!(status, if cut == 0 { GPTZ_ERROR_FORMAT } else { GPTZ_ERROR_TRUNCATED }, "{cut}: {}", message());
    }
    for at in 0..blob.len() {
        let mut damaged = blob.clone();
        damaged[at] ^= 0x41;
        let status = load(&damaged).err().unwrap();
        let expected = [GPTZ_ERROR_FORMAT, GPTZ_ERROR_CORRUPT, GPTZ_ERROR_TRUNCATED];
        assert!(expected.contains(&status), "{at}: {status} {}", message());
    }
    assert_eq!(load(&[&blob[..], b"x"].concat()).err(), Some(GPTZ_ERROR_CORRUPT));
    assert_eq!(load(b"no snapshot").err(), Some(GPTZ_ERROR_FORMAT));
    assert!(message().contains("no snapshot"), "{}", message());
}

/// With a valid checksum, a snapshot may still contain anything. It is refused, or it can be used.
#[test]
fn forged_snapshots_do_no_harm() {
    for method in [GRU, "mix:mem=64K", LEARNING, POLICY] {
        let h = Handle::new(method);
        h.feed(&ALICE[..80]);
        let blob = save(&h.snapshot());
        let end = blob.len() - 4;
        for (i, at) in (8..end).step_by((end / 400).max(1)).enumerate() {
            let mut forged = blob.clone();
            forged[at] = forged[at].wrapping_add([1, 0x80, 0xff][i % 3]);
            let crc = crc32fast::hash(&forged[..end]);
            forged[end..].copy_from_slice(&crc.to_le_bytes());
            if let Ok(loaded) = load(&forged) {
                let other = Handle::new(method);
                if other.restore(&loaded) == GPTZ_OK {
                    other.predict();
                    other.feed(&ALICE[..30]);
                    save(&other.snapshot());
                }
            }
        }
    }
}

#[test]
fn arguments_are_checked() {
    let h = Handle::new("mix:mem=64K");
    let snapshot = h.snapshot();
    let blob = save(&snapshot);
    let (mut len, mut out, mut small) = (7, h.0.cast(), [0u8; 20]);
    // SAFETY: NULL, and buffers of the stated sizes.
    unsafe {
        assert_eq!(gptz_set(h.0, 99, 0), GPTZ_ERROR_ARGUMENT);
        let before = message();
        assert_eq!(gptz_snapshot_save(snapshot.0, ptr::null_mut(), 0, &mut len), GPTZ_ERROR_BUFFER_TOO_SMALL);
        assert_eq!((len, message()), (blob.len(), before), "a query leaves the message alone");
        let too_small = gptz_snapshot_save(snapshot.0, small.as_mut_ptr().cast(), 20, &mut len);
        assert_eq!((too_small, len, small), (GPTZ_ERROR_BUFFER_TOO_SMALL, blob.len(), [0; 20]));
        assert!(message().contains(&blob.len().to_string()), "{}", message());
        assert_eq!(gptz_snapshot_save(ptr::null(), ptr::null_mut(), 0, &mut len), GPTZ_ERROR_ARGUMENT);
        assert_eq!(len, 0);
        assert_eq!(gptz_snapshot_save(h.0.cast(), ptr::null_mut(), 0, &mut len), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_snapshot_save(snapshot.0, ptr::null_mut(), 0, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(gptz_snapshot_load(ptr::null(), 5, &mut out), GPTZ_ERROR_ARGUMENT);
        assert!(out.is_null());
        assert_eq!(gptz_snapshot_load(blob.as_ptr().cast(), blob.len(), ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
        let mut id = [7u8; 8];
        assert_eq!(gptz_snapshot_id(ptr::null(), id.as_mut_ptr()), GPTZ_ERROR_ARGUMENT);
        assert_eq!(id, [0; 8]);
        assert_eq!(gptz_snapshot_id(snapshot.0, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
    }
}
