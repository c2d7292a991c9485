//! Every CPU level writes the same frames. This file has a single test, because the limit applies to the whole process.

mod common;

use common::*;

#[test]
fn every_level_writes_the_same_frames_and_reads_those_of_the_others() {
    let levels = match std::env::consts::ARCH {
        "x86_64" => &[GPTZ_CPU_PORTABLE, GPTZ_CPU_AVX2, GPTZ_CPU_AVX512][..],
        "aarch64" => &[GPTZ_CPU_PORTABLE, GPTZ_CPU_NEON],
        _ => &[GPTZ_CPU_PORTABLE],
    };
    let text = &ALICE[..20_000];
    let content = [text, &noise(6000, 2)].concat();
    let path = concat!("file:", env!("CARGO_MANIFEST_DIR"), "/tests/data/rwkv7-tiny.safetensors");
    let float = format!("{FROZEN};weights=f32");
    let sgd = LEARNING.replace("adam", "sgd").replace("stride=1", "stride=3");
    let mix = mixed_with(LEARNING);
    let mix_gru = mixed_with(REPLAYING);
    // A method that uses all data in the library.
    let all = if cfg!(feature = "builtin-model") { "level:6" } else { "level:3" };
    let policy = format!(
        "{FROZEN};policy:schedule=0..30%:train(opt=adam,lr=0.003)|30%..60%:train(lr=0.05,momentum=0.9,clip=0.01,bptt=5)|\
         repeat(60%..100%,period=100,pattern=50:train(scope=head+bias+ffn,opt=adam)+20:infer+30:train(stride=3))"
    );
    let policy_mix = format!("mix:neural=({FROZEN};policy:schedule=0..1000000:train(opt=adam)),mem=64K");
    for method in [&policy, &policy_mix, LEARNING, FROZEN, &float, &sgd, path, "mix:mem=1M", &mix, GRU, &mix_gru, all] {
        // Policies train in every byte at the portable level too, so they get less.
        let content = if method.contains("policy") { &content[17_000..] } else { &content[..] };
        let mut frames = Vec::new();
        for level in levels {
            assert_eq!(gptz_set_cpu_level(*level), GPTZ_OK);
            let h = Handle::new(method);
            h.set(GPTZ_PARAM_BLOCK_LOG, 12);
            // SAFETY: a live handle.
            assert_eq!(unsafe { gptz_live_begin(h.0, 2000) }, GPTZ_OK);
            h.feed(&text[..2000]);
            let snapshot = h.snapshot();
            h.set(GPTZ_PARAM_LANES, 4);
            let plain = h.compress(content);
            h.set(GPTZ_PARAM_LANES, 1);
            assert_eq!(h.set_base(Some(&snapshot)), GPTZ_OK);
            let based = h.compress(&text[..3000]);
            frames.push((plain, based, h.predict(), h.cross_entropy(&text[..3000])));
        }
        assert!(frames.windows(2).all(|w| w[0] == w[1]), "{method}");
        for level in levels {
            assert_eq!(gptz_set_cpu_level(*level), GPTZ_OK);
            assert!(Handle::new(method).decompress(&frames[0].0) == content);
        }
    }
    assert_eq!(gptz_set_cpu_level(GPTZ_CPU_AUTO), GPTZ_OK);

    // gptz_cpu_level returns the limited level.
    // SAFETY: static strings.
    let name = || unsafe { std::ffi::CStr::from_ptr(gptz_cpu_level()) }.to_str().unwrap();
    let best = name();
    assert_eq!(gptz_set_cpu_level(GPTZ_CPU_PORTABLE), GPTZ_OK);
    assert_eq!(name(), "portable");
    assert_eq!(gptz_set_cpu_level(GPTZ_CPU_AUTO), GPTZ_OK);
    assert_eq!(name(), best);
    for unknown in [-1, 5, 99] {
        assert_eq!(gptz_set_cpu_level(unknown), GPTZ_ERROR_ARGUMENT);
        assert_eq!(name(), best);
    }
}
