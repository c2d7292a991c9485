//! Golden frames: every build must read them and write the same bytes, at every CPU level and on every machine.
//!
//! They are provisional until streams and lanes are built, and never change afterwards. `GPTZ_RENEW_GOLDEN=1` rewrites
//! them. Use it only after the numerics or format version was raised (or, before 1.0, with an entry in CHANGELOG.md).

mod common;

use std::path::PathBuf;

use common::*;

/// The registered method 1.
const NETWORK: &str = "cfg:hidden=128,layers=1,intermediate=256,decay_rank=8,a_rank=8,v_rank=8,g_rank=16,head_size=32,\
                       seed=0,train=adam,lr=0.001,stride=1";

/// Name, method, options, content.
type Case = (&'static str, Handle, Vec<(i32, i64)>, Vec<u8>);

fn cases() -> Vec<Case> {
    let text = &ALICE[..6000];
    let mixed = [&text[..3000], &noise(4096, 6), &text[3000..5000]].concat();
    let weights = Model::from_memory(WEIGHTS).unwrap();
    let based = Handle::new(LEARNING);
    based.feed(&ALICE[6000..9000]);
    let snapshot = based.snapshot();
    assert_eq!(based.set_base(Some(&snapshot)), GPTZ_OK);
    let mix_based = Handle::new("mix:mem=64K");
    mix_based.feed(&ALICE[6000..9000]);
    let snapshot = mix_based.snapshot();
    assert_eq!(mix_based.set_base(Some(&snapshot)), GPTZ_OK);
    let sgd = LEARNING.replace("adam", "sgd").replace("stride=1", "stride=4");
    let lanes = format!("mix:neural=({FROZEN};head:train=sgd,lr=0.02)+({REPLAYING}),mem=1M");
    let head64 = "cfg:hidden=64,layers=2,intermediate=33,decay_rank=5,a_rank=3,v_rank=7,g_rank=9;weights=f32";
    vec![
        ("mix", Handle::new("level:3"), vec![], text.to_vec()),
        ("mix-blocks", Handle::new("level:1"), vec![(GPTZ_PARAM_BLOCK_LOG, 12), (GPTZ_PARAM_CODER, 1)], mixed.clone()),
        ("mix-nine", Handle::new("level:2"), vec![], text.to_vec()),
        ("mix-neural", Handle::new(&mixed_with(LEARNING)), vec![], text.to_vec()),
        ("gru", Handle::new(GRU), vec![], text[..2000].to_vec()),
        ("mix-gru", Handle::new(&mixed_with(REPLAYING)), vec![], text[..2000].to_vec()),
        ("mix-base", mix_based, vec![], text[..500].to_vec()),
        ("network", Handle::new(NETWORK), vec![], text.to_vec()),
        ("adam-rans", Handle::new(LEARNING), vec![(GPTZ_PARAM_CODER, 1)], text.to_vec()),
        ("adam-blocks", Handle::new(LEARNING), vec![(GPTZ_PARAM_BLOCK_LOG, 12)], mixed),
        ("adam-base", based, vec![], text[..500].to_vec()),
        ("sgd", Handle::new(&sgd), vec![(GPTZ_PARAM_CHECKSUM, 0)], text.to_vec()),
        ("frozen", Handle::new(FROZEN), vec![], text[..1000].to_vec()),
        ("frozen-f32-64", Handle::new(head64), vec![], text[..1000].to_vec()),
        ("weights", Handle::from_model(&weights, None).unwrap(), vec![], text[..1000].to_vec()),
        ("weights-f32", Handle::from_model(&weights, Some("weights=f32")).unwrap(), vec![], text[..1000].to_vec()),
        ("v2-mix", Handle::new("mix:orders=0-3,mem=64K"), vec![(GPTZ_PARAM_FORMAT, 2)], text.to_vec()),
        ("v2-range", Handle::new(LEARNING), vec![(GPTZ_PARAM_FORMAT, 2)], text.to_vec()),
        ("v2-rans", Handle::new(LEARNING), vec![(GPTZ_PARAM_FORMAT, 2), (GPTZ_PARAM_CODER, 1)], text.to_vec()),
        ("empty", Handle::new("level:3"), vec![], vec![]),
        (
            "lanes",
            Handle::new(&lanes),
            vec![(GPTZ_PARAM_LANES, 4), (GPTZ_PARAM_BLOCK_LOG, 12)],
            [&ALICE[..6000], &ALICE[1000..3001]].concat(),
        ),
        (
            "lanes-mix",
            Handle::new("level:1"),
            vec![(GPTZ_PARAM_LANES, 8), (GPTZ_PARAM_BLOCK_LOG, 13), (GPTZ_PARAM_SEGMENT_LOG, 16)],
            ALICE[..90_001].to_vec(),
        ),
        (
            "segments",
            Handle::new("mix:orders=0-2,mem=64K"),
            vec![(GPTZ_PARAM_SEGMENT_LOG, 16)],
            ALICE[..70_000].to_vec(),
        ),
    ]
}

/// Cases with the built-in model.
#[cfg(feature = "builtin-model")]
fn builtin_cases() -> Vec<Case> {
    let mixed = [&ALICE[..3000], &noise(4096, 6), &WEIGHTS[..12288], &ALICE[3000..5000]].concat();
    vec![
        ("builtin", Handle::new("builtin:1"), vec![], ALICE[..1000].to_vec()),
        ("default", Handle::default(), vec![], ALICE[..6000].to_vec()),
        ("default-blocks", Handle::default(), vec![(GPTZ_PARAM_BLOCK_LOG, 12)], mixed),
        ("default-lanes", Handle::default(), vec![(GPTZ_PARAM_LANES, 8)], ALICE[..9000].to_vec()),
        ("level-6", Handle::new("level:6"), vec![(GPTZ_PARAM_CODER, 1)], ALICE[..2000].to_vec()),
    ]
}

/// No cases without the built-in model.
#[cfg(not(feature = "builtin-model"))]
fn builtin_cases() -> Vec<Case> {
    vec![]
}

#[test]
fn golden_frames_do_not_change() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let mut names = Vec::new();
    for (name, handle, options, content) in cases().into_iter().chain(builtin_cases()) {
        for (param, value) in options {
            assert_eq!(handle.set(param, value), GPTZ_OK);
        }
        let path = folder.join(format!("{name}.gptz"));
        let frame = handle.compress(&content);
        if std::env::var_os("GPTZ_RENEW_GOLDEN").is_some() {
            std::fs::write(&path, &frame).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        assert!(handle.decompress(&golden) == content, "{name} is decoded to another content");
        assert!(frame == golden, "{name} is encoded to other bytes: {}, golden {}", frame.len(), golden.len());
        names.push(format!("{name}.gptz"));
    }
    names.push(golden_records(&folder));
    let mut there: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    if cfg!(not(feature = "builtin-model")) {
        names.extend(
            ["builtin", "default", "default-blocks", "default-lanes", "level-6"].map(|name| format!("{name}.gptz")),
        );
    }
    there.sort();
    names.sort();
    assert_eq!(there, names, "every golden frame is tested");
}

/// Golden records, end to end in one file. Returns its name.
fn golden_records(folder: &std::path::Path) -> String {
    let name = "records.bin";
    let h = Handle::new("mix:mem=64K");
    h.feed(&ALICE[6000..9000]);
    assert_eq!(h.set_base(Some(&h.snapshot())), GPTZ_OK);
    let noise = noise(20, 9);
    let contents = [&ALICE[..60], &[], &noise, &ALICE[60..260]];
    let (status, lens, all) = records(&h, gptz_records_compress, &contents, 1000);
    assert_eq!(status, GPTZ_OK);
    let all = &all[..lens.iter().sum()];
    if std::env::var_os("GPTZ_RENEW_GOLDEN").is_some() {
        std::fs::write(folder.join(name), all).unwrap();
    }
    let golden = std::fs::read(folder.join(name)).unwrap();
    assert_eq!(golden, all, "records are encoded to other bytes");
    let (status, sizes, back) = records(&h, gptz_records_decompress, &pieces(&golden, &lens), 300);
    assert_eq!((status, &back[..sizes.iter().sum()]), (GPTZ_OK, &contents.concat()[..]));
    name.to_owned()
}
