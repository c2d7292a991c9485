//! Compiles C and C++ programs with the committed headers, links them with both libraries, and runs the examples.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const WARNINGS: [&str; 5] = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];
/// The system libraries that Rust's standard library needs, as in the Makefile.
const SYSTEM: [&str; 5] = ["-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

/// The directory of the libraries that cargo built together with this test.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn compiler() -> Command {
    compiler_named(&std::env::var("CC").unwrap_or_default())
}

/// A compiler may be given with options, as make takes it: "gcc -m64".
fn compiler_named(cc: &str) -> Command {
    let mut words = cc.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command.args(words);
    command
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

#[derive(Clone, Copy, PartialEq)]
enum Link {
    Shared,
    Static,
}

/// The run path of programs. It is a DT_RPATH, which precedes LD_LIBRARY_PATH, because that may name an older build of
/// cargo.
fn rpath(libraries: &Path) -> String {
    format!("-Wl,--disable-new-dtags,-rpath,{}", libraries.display())
}

/// Compiles a C file and links it; returns the program.
fn build(source: &str, link: Link, folder: &Path) -> PathBuf {
    let kind = if link == Link::Shared { "shared" } else { "static" };
    let program = folder.join(format!("{}-{kind}", Path::new(source).file_stem().unwrap().to_str().unwrap()));
    let libraries = libraries();
    let mut cc = compiler();
    cc.args(WARNINGS).args(["-O1", "-I"]).arg(Path::new(ROOT).join("include"));
    cc.arg(Path::new(ROOT).join(source)).arg("-o").arg(&program);
    match link {
        Link::Shared => {
            cc.arg("-L").arg(&libraries).arg("-lgptz").arg(rpath(&libraries));
            cc.args(["-lpthread", "-ldl"]);
        }
        Link::Static => {
            cc.arg(libraries.join("libgptz.a")).args(SYSTEM);
        }
    }
    run(&mut cc);
    program
}

#[test]
fn the_header_is_c99_without_warnings() {
    run(compiler().args(WARNINGS).args(["-x", "c", "-fsyntax-only"]).arg(Path::new(ROOT).join("include/gptz.h")));
}

#[test]
fn the_header_is_c89_apart_from_stdint() {
    // C89 has no stdint.h, but the system's header works in C89 mode too.
    for standard in ["-std=c89", "-std=c99", "-std=c11"] {
        let mut cc = compiler();
        cc.args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-x", "c", "-fsyntax-only"]);
        run(cc.arg(Path::new(ROOT).join("include/gptz.h")));
    }
}

#[test]
fn a_compiler_may_be_several_words() {
    for (cc, program, arguments) in
        [("gcc -m64", "gcc", &["-m64"][..]), (" ccache  gcc", "ccache", &["gcc"]), ("", "cc", &[])]
    {
        let command = compiler_named(cc);
        assert_eq!((command.get_program(), command.get_args().len()), (program.as_ref(), arguments.len()));
        assert!(command.get_args().eq(arguments.iter().map(std::ffi::OsStr::new)));
    }
}

#[test]
fn the_abi_works_from_c() {
    let folder = tempfile::tempdir().unwrap();
    for link in [Link::Shared, Link::Static] {
        let output = run(&mut Command::new(build("tests/c/abi.c", link, folder.path())));
        assert!(output.stderr.is_empty(), "the library prints: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
    }
}

#[test]
fn language_models_work_from_c() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny.gguf");
    for link in [Link::Shared, Link::Static] {
        let output = run(Command::new(build("tests/c/language_model.c", link, folder.path())).arg("-w").arg(&model));
        assert!(output.stderr.is_empty(), "the library prints: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
    }
    // The example, on the model that the program wrote.
    let generate = build("examples-c/generate.c", Link::Shared, folder.path());
    let text = run(Command::new(&generate).arg(&model).args(["the path", "10"])).stdout;
    assert!(text.starts_with(b"the path") && (19..=29).contains(&text.len()), "{text:?}");
    let failed = Command::new(&generate).arg(&model).args(["two\nlines", "1"]).output().unwrap();
    assert!(!failed.status.success() && String::from_utf8_lossy(&failed.stderr).contains("0x0a"));
}

#[test]
fn threads_may_end_around_and_inside_calls() {
    let folder = tempfile::tempdir().unwrap();
    for link in [Link::Shared, Link::Static] {
        let program = build("tests/c/thread_end.c", link, folder.path());
        let output = run(Command::new(program).arg(Path::new(ROOT).join("tests/data/rwkv7-tiny.safetensors")));
        assert!(output.stderr.is_empty(), "the library prints: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
    }
}

/// A C++ compiler with the arguments that link a program with the shared library.
fn cpp(standard: &str, source: &Path, program: &Path) -> Command {
    let libraries = libraries();
    let mut cc = Command::new(std::env::var_os("CXX").unwrap_or("c++".into()));
    cc.arg(standard).args(&WARNINGS[1..]).arg("-I").arg(Path::new(ROOT).join("include")).arg(source);
    cc.arg("-o").arg(program).arg("-L").arg(&libraries).arg("-lgptz");
    cc.arg(rpath(&libraries)).arg("-lpthread").current_dir(ROOT);
    cc
}

#[test]
fn the_cpp_wrapper_works() {
    let folder = tempfile::tempdir().unwrap();
    for (source, argument) in [("gptz_hpp.cpp", Some("tests/data/rwkv7-tiny.safetensors")), ("failures.cpp", None)] {
        let program = folder.path().join(source).with_extension("");
        run(&mut cpp("-std=c++17", &Path::new(ROOT).join("tests/cpp").join(source), &program));
        let output = run(Command::new(program).args(argument).current_dir(ROOT));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
    }
}

#[test]
fn the_cpp_wrapper_says_in_one_error_which_cpp_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("old.cpp");
    std::fs::write(&source, "#include <gptz.hpp>\n").unwrap();
    for standard in ["-std=c++11", "-std=c++14"] {
        let output = cpp(standard, &source, &folder.path().join("old")).env("LC_ALL", "C").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains("gptz.hpp needs C++17"), "{text}");
        assert_eq!(text.matches("error: ").count(), 1, "{text}");
    }
}

#[test]
fn simple_round_trips_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let [input, frame, output] = ["in.txt", "frame.gptz", "out.txt"].map(|n| folder.path().join(n));
    let text = &std::fs::read(Path::new(ROOT).join("tests/data/alice29.txt")).unwrap()[..20_000];
    std::fs::write(&input, text).unwrap();
    let weights = format!("file:{ROOT}/tests/data/rwkv7-tiny.safetensors");
    for link in [Link::Shared, Link::Static] {
        let program = build("examples-c/simple.c", link, folder.path());
        // Without a method, the reader is created from the frame. The weights of the file are random, so it cannot
        // predict the text, which is stored.
        let cases =
            [(None, 9_000), (Some(weights.as_str()), 20_100), (Some("cfg:hidden=64,train=sgd,lr=0.01"), 14_000)];
        for (method, bound) in cases {
            let mut command = Command::new(&program);
            command.args([&input, &frame, &output]).args(method);
            let printed = String::from_utf8(run(&mut command).stdout).unwrap();
            assert!(printed.contains("20000 bytes decompressed, equal to the input"), "{printed}");
            let size = std::fs::metadata(&frame).unwrap().len();
            assert!(printed.contains(&format!("20000 bytes to {size}")) && size < bound, "{printed}");
            assert!(std::fs::read(&output).unwrap() == text);
        }
        let failed = Command::new(&program).args([&folder.path().join("none"), &frame, &output]).output().unwrap();
        assert!(!failed.status.success() && !failed.stderr.is_empty());
        let failed = Command::new(&program).args([&input, &frame, &output]).arg("cfg:hidden=65").output().unwrap();
        assert!(String::from_utf8_lossy(&failed.stderr).contains("GPTZ_ERROR_METHOD: hidden=65"));
    }
}

#[test]
fn predict_prints_the_next_byte() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("ab.txt");
    std::fs::write(&text, "ab".repeat(3000)).unwrap();
    let program = build("examples-c/predict.c", Link::Shared, folder.path());
    for (prompt, next) in [("a", "'b'"), ("ab", "'a'")] {
        let printed = String::from_utf8(run(Command::new(&program).arg(&text).arg(prompt)).stdout).unwrap();
        let likeliest = printed.lines().nth(1).unwrap();
        let percent: f64 = likeliest.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(likeliest.contains(next) && percent > 90.0, "{printed}");
        assert_eq!(printed.lines().count(), 11);
    }
}

#[test]
fn generate_continues_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let program = build("examples-c/generate.c", Link::Shared, folder.path());
    if cfg!(feature = "builtin-model") {
        let args = ["builtin", "It was the best of", "20"];
        let printed = run(Command::new(&program).args(args)).stdout;
        assert!(printed.starts_with(b"It was the best of") && printed.len() == 18 + 20 + 1);
        let drawn = ["builtin", "It was the best of", "20", "temperature=2,seed=3"];
        let [a, b] = [0, 1].map(|_| run(Command::new(&program).args(drawn)).stdout);
        assert!(a == b && a != printed);
    }
}

#[test]
fn distance_names_the_nearest_text_first() {
    let folder = tempfile::tempdir().unwrap();
    let alice = include_bytes!("data/alice29.txt");
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let program = build("examples-c/distance.c", Link::Shared, folder.path());
    let numbers: String = (0..3000).map(|i| format!("{},", i * 7919 % 10_007)).collect();
    let text = file("text", &alice[..8000]);
    let others =
        [file("numbers", numbers.as_bytes()), file("later", &alice[8000..16_000]), file("same", &alice[..8000])];
    let printed = String::from_utf8(run(Command::new(&program).arg(&text).args(&others)).stdout).unwrap();
    let found: Vec<(f64, &str)> = printed
        .lines()
        .map(|line| line.split_once("  ").map(|(n, name)| (n.parse().unwrap(), name)).unwrap())
        .collect();
    let order: Vec<bool> = ["same", "later", "numbers"].iter().zip(&found).map(|(n, f)| f.1.ends_with(n)).collect();
    assert!(found.len() == 3 && order == [true; 3], "{printed}");
    assert!(found[0].0 < 0.2 && found[2].0 > 0.8, "{printed}");
}

/// The text that examples work on, as a file.
fn text_file(folder: &Path, n: usize) -> PathBuf {
    let path = folder.join("text.txt");
    let text = &std::fs::read(Path::new(ROOT).join("tests/data/alice29.txt")).unwrap()[..n];
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn small_messages_are_smaller_with_a_base() {
    let folder = tempfile::tempdir().unwrap();
    let printed = run(&mut Command::new(build("examples-c/small_messages.c", Link::Shared, folder.path()))).stdout;
    let printed = String::from_utf8(printed).unwrap();
    let row = printed.lines().find(|l| l.starts_with("version 2")).unwrap();
    let means: Vec<f64> = row.split_whitespace().skip(2).map(|n| n.parse().unwrap()).collect();
    assert!(means[2] < 0.5 * means[0] && means[2] < 0.5 * means[1], "{printed}");
    let row = printed.lines().find(|l| l.starts_with("records")).unwrap();
    let record: f64 = row.split_whitespace().last().unwrap().parse().unwrap();
    assert!(record < means[2] - 15.0, "a record has no header: {printed}");
}

#[test]
fn a_base_that_was_saved_serves_other_processes() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read(Path::new(ROOT).join("tests/data/alice29.txt")).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let (first, second) = (file("first", &text[..3000]), file("second", &text[3000..6000]));
    let lines = file("lines", &text[6000..8000]);
    let program = build("examples-c/base.c", Link::Shared, folder.path());
    let [base, records] = ["base", "records"].map(|name| folder.path().join(name));
    let made = run(Command::new(&program).arg("make").arg(&base).args([&first, &second])).stdout;
    let length = std::fs::metadata(&base).unwrap().len();
    assert!(String::from_utf8(made).unwrap().contains(&format!("{length} bytes")));
    run(Command::new(&program).arg("write").args([&base, &lines, &records]));
    assert!(std::fs::metadata(&records).unwrap().len() < 1400);
    let read = run(Command::new(&program).arg("read").args([&base, &records])).stdout;
    assert!(read == text[6000..8000]);
    // A damaged base is told.
    let mut damaged = std::fs::read(&base).unwrap();
    damaged[200] ^= 1;
    let damaged = file("damaged", &damaged);
    let output = Command::new(&program).arg("read").args([&damaged, &records]).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("CRC-32"));
}

#[test]
fn seek_reads_from_the_middle_and_salvages() {
    let folder = tempfile::tempdir().unwrap();
    let program = build("examples-c/seek.c", Link::Shared, folder.path());
    let [input, frames, output] = ["in", "frames", "out"].map(|name| folder.path().join(name));
    let seek = |arguments: &[&std::ffi::OsStr]| Command::new(&program).args(arguments).output().unwrap();
    let text = std::fs::read(Path::new(ROOT).join("tests/data/alice29.txt")).unwrap();
    std::fs::write(&input, &text).unwrap();
    assert!(seek(&["-c".as_ref(), input.as_ref(), frames.as_ref()]).status.success());
    // Two frames after each other.
    let once = std::fs::read(&frames).unwrap();
    let mut twice = once.repeat(2);
    std::fs::write(&frames, &twice).unwrap();
    let content = text.repeat(2);
    for (offset, len) in [(0, 10), (100_000, 100_000), (text.len() - 5, 10), (content.len() - 3, 100), (1 << 40, 5)] {
        let found = seek(&[frames.as_ref(), offset.to_string().as_ref(), len.to_string().as_ref()]);
        assert!(found.status.success() && found.stderr.is_empty(), "{found:?}");
        assert!(found.stdout == content[offset.min(content.len())..content.len().min(offset.saturating_add(len))]);
    }
    // Damage in the last block of the first frame: the second one is saved, where it belongs.
    twice[once.len() - 1000] ^= 1;
    std::fs::write(&frames, &twice).unwrap();
    let found = seek(&["-s".as_ref(), frames.as_ref(), output.as_ref()]);
    assert_eq!(found.status.code(), Some(3), "{found:?}");
    assert!(String::from_utf8_lossy(&found.stdout).contains("lost: frame at byte 0"), "{found:?}");
    let saved = std::fs::read(&output).unwrap();
    assert!(saved.len() == content.len() && saved[text.len()..] == text[..] && saved[..100_000] == text[..100_000]);
}

#[test]
fn stream_passes_files_through_small_buffers() {
    let folder = tempfile::tempdir().unwrap();
    let program = build("examples-c/stream.c", Link::Shared, folder.path());
    let [input, frame, output] = ["in", "frame", "out"].map(|name| folder.path().join(name));
    let stream = |arguments: &[&std::ffi::OsStr]| Command::new(&program).args(arguments).output().unwrap();
    let (c, d, level) = ("-c".as_ref(), "-d".as_ref(), "level:1".as_ref());
    let text = std::fs::read(Path::new(ROOT).join("tests/data/alice29.txt")).unwrap();
    // Also lengths that are multiples of the buffer.
    for len in [0, 1, 65_536, 131_072, text.len()] {
        std::fs::write(&input, &text[..len]).unwrap();
        let made = stream(&[c, input.as_ref(), frame.as_ref(), level]);
        assert!(made.status.success() && made.stderr.is_empty(), "{made:?}");
        assert!(stream(&[d, frame.as_ref(), output.as_ref()]).status.success());
        assert!(std::fs::read(&output).unwrap() == text[..len]);
    }
    // Two frames after each other, to the standard output.
    let once = std::fs::read(&frame).unwrap();
    std::fs::write(&frame, [&once[..], &once[..]].concat()).unwrap();
    assert!(stream(&[d, frame.as_ref(), "-".as_ref()]).stdout == [&text[..], &text[..]].concat());
    // A cut input leaves the old output and nothing else.
    std::fs::write(&frame, &once[..once.len() - 10]).unwrap();
    let cut = stream(&[d, frame.as_ref(), output.as_ref()]);
    assert!(!cut.status.success() && String::from_utf8_lossy(&cut.stderr).contains("ends within a frame"), "{cut:?}");
    assert!(std::fs::read(&output).unwrap() == text);
    assert!(!folder.path().join("out.part").exists());
}

#[test]
fn progress_prints_percentages_and_cancels() {
    let folder = tempfile::tempdir().unwrap();
    let (text, program) = (text_file(folder.path(), 8000), build("examples-c/progress.c", Link::Shared, folder.path()));
    let whole = run(Command::new(&program).arg(&text));
    assert!(String::from_utf8_lossy(&whole.stderr).contains("100"), "{whole:?}");
    let cancelled = run(Command::new(&program).args(["-c", "40"]).arg(&text));
    assert!(String::from_utf8_lossy(&cancelled.stdout).to_lowercase().contains("cancel"), "{cancelled:?}");
}

#[test]
fn threads_write_the_same_frame() {
    let folder = tempfile::tempdir().unwrap();
    let (text, program) = (text_file(folder.path(), 4000), build("examples-c/threads.c", Link::Shared, folder.path()));
    run(Command::new(&program).arg(&text));
    run(Command::new(&program).arg(&text).arg("3").arg(Path::new(ROOT).join("tests/data/rwkv7-tiny.safetensors")));
}

#[test]
fn convert_keeps_the_builtin_model_through_all_formats() {
    let folder = tempfile::tempdir().unwrap();
    let program = build("examples-c/convert.c", Link::Shared, folder.path());
    let model = Path::new(ROOT).join("models/gptz-1.safetensors");
    let [gguf, apr, back, small] = ["a.gguf", "a.apr", "a.safetensors", "small.gguf"].map(|n| folder.path().join(n));
    let convert = |from: &Path, to: &Path, more: &[&str]| run(Command::new(&program).args([from, to]).args(more));
    convert(&model, &gguf, &["gguf"]);
    convert(&gguf, &apr, &["apr"]);
    convert(&apr, &back, &["safetensors"]);
    let fingerprint = |path: &Path| *gptz::model::file::Model::open(path).unwrap().fingerprint();
    assert_eq!(fingerprint(&model), fingerprint(&back));
    let open = |path: &Path| gptz::weights::Tensors::open(path).unwrap();
    assert_eq!(open(&model).metadata(), open(&back).metadata());
    // Matrices become Q8_0 where their rows are whole blocks; the others stay I8 with their scales.
    convert(&apr, &small, &["gguf", "Q8_0"]);
    let (before, after) = (open(&model), open(&small));
    for i in 0..before.len() {
        let info = before.info(i);
        let Some(j) = after.find(&info.name) else {
            assert!(info.name.ends_with(".scale"), "{}", info.name);
            continue;
        };
        let [mut a, mut b] = [0, 1].map(|_| vec![0f32; info.values() as usize]);
        before.read_f32(i, &mut a).unwrap();
        after.read_f32(j, &mut b).unwrap();
        let most = a.iter().fold(0f32, |m, x| m.max(x.abs()));
        assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() <= most / 200.0), "{}", info.name);
    }
    assert!(after.len() < before.len() && small.metadata().unwrap().len() < back.metadata().unwrap().len() * 3 / 2);
    let failed = Command::new(&program).args([&model, &small]).args(["safetensors", "Q8_0"]).output().unwrap();
    assert!(String::from_utf8_lossy(&failed.stderr).contains("have no type Q8_0"));
}

#[test]
fn a_plugin_opens_the_library() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("plugin");
    let mut cc = compiler();
    cc.args(WARNINGS).arg("-I").arg(Path::new(ROOT).join("include"));
    run(cc.arg(Path::new(ROOT).join("examples-c/plugin.c")).arg("-o").arg(&program).arg("-ldl"));
    run(Command::new(&program).arg(libraries().join("libgptz.so")));
    let failed = Command::new(&program).arg("/nonexistent/libgptz.so").output().unwrap();
    assert!(!failed.status.success());
}
