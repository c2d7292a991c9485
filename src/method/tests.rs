use std::path::{Path, PathBuf};

use super::registry::{REGISTERED, available_level_method, level_method, reference, resolve};
use super::{Base, DEFAULT, Method};
use crate::container::{MAX_METHOD_LEN, MethodRef};
use crate::error::Status;
use crate::model::builtin;

const ALL: &str = "cfg:hidden=256,layers=6,intermediate=1024,decay_rank=32,a_rank=32,v_rank=32,g_rank=64,\
                   seed=0,train=none,lr=0.001,stride=1";

fn canonical(text: &str) -> String {
    Method::parse(text).unwrap().canonical()
}

#[test]
fn every_spelling_of_a_method_has_one_canonical_form() {
    assert_eq!(canonical("cfg:"), ALL);
    assert_eq!(canonical(ALL), ALL);
    assert_eq!(canonical("cfg: layers = 6 , hidden=256;weights=i8"), ALL);
    assert_eq!(canonical("256,1024,6,none,0,0.5"), ALL);
    assert_eq!(canonical("cfg:256,1024,6,none,0,0.001,1"), ALL);
    assert_eq!(canonical("cfg:train=none,lr=0.25,stride=9"), ALL);
    let sgd = canonical("64,64,1,sgd,5,1e-3,2");
    assert!(
        sgd.starts_with("cfg:hidden=64,layers=1,intermediate=64,")
            && sgd.ends_with("seed=5,train=sgd,lr=0.001,stride=2")
    );
    assert!(canonical("cfg:head_size=32,hidden=32;weights=f32").ends_with(",stride=1;weights=f32"));
    assert!(canonical("cfg:head_size=32,hidden=32").contains("g_rank=64,head_size=32,seed=0"));
    let mix = "mix:neural=none,orders=0-6,word=1,match=1,sparse=1,mem=16M";
    for same in ["mix:", mix, " mix: sparse=1 , mem=16M,neural=none", "level:3"] {
        assert_eq!(canonical(same), mix);
    }
    assert_eq!(
        canonical("mix:orders=0-2,mem=64K,match=0"),
        "mix:neural=none,orders=0-2,word=1,match=0,sparse=1,mem=64K"
    );
    assert_eq!(canonical("mix:fast=0"), canonical("mix:"));
    assert_eq!(canonical("mix:fast=2"), canonical("level:1"));
    let with_network = canonical("mix:neural=(cfg:train=adam;weights=f32),mem=128M,word=0");
    let network = canonical("cfg:train=adam;weights=f32");
    assert_eq!(with_network, format!("mix:neural=({network}),orders=0-6,word=0,match=1,sparse=1,mem=128M"));
    assert_eq!(canonical(&with_network), with_network);
    assert!(canonical("mix:neural=(file:x)").starts_with("mix:neural=(file:),orders"));
    let gru = "gru:embed=32,hidden=128,bptt=10,lr=0.01,clip=5,seed=0";
    for same in ["gru:", gru, " gru: clip=5.0 ,layers=1, stride=1,train=sgd,replay=0"] {
        assert_eq!(canonical(same), gru);
    }
    let all = "gru:embed=16,hidden=32,layers=2,bptt=8,stride=4,replay=1,train=adam,lr=0.002,clip=0.5,seed=9";
    assert_eq!(canonical(all), all);
    assert!(canonical(&format!("mix:neural=({all})")).starts_with(&format!("mix:neural=({all}),orders=")));
    let built_in = "mix:neural=(builtin:1;head:train=sgd,lr=0.01,stride=1),orders=0-6,word=1,match=1,sparse=1,mem=16M";
    for same in ["mix:neural=(builtin:1;head:)", " mix: neural = ( builtin:1; head: stride=1 ) ", built_in] {
        assert_eq!(canonical(same), built_in);
    }
    let two = format!("mix:neural=(file:;weights=f32;head:train=adam,lr=0.5,stride=3)+({gru}),orders=0-6");
    assert!(
        canonical(&format!("mix:neural=(file:a+b;head:stride=3,lr=0.5,train=adam;weights=f32) + ({gru})"))
            .starts_with(&two)
    );
    assert_eq!(canonical("builtin:1;weights=f32"), "builtin:1;weights=f32");
    assert_eq!(canonical("file:/no/such/thing"), "file:");
    assert_eq!(canonical(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")), "file:");
    assert_eq!(canonical("file:x;weights=f32"), "file:;weights=f32");
}

#[test]
fn an_open_model_replaces_a_path() {
    let canonical = |text| Method::of_model(text).map(|m| m.canonical());
    assert_eq!(canonical("").unwrap(), "file:");
    assert_eq!(canonical("weights=f32").unwrap(), "file:;weights=f32");
    let mix = "mix:neural=(file:;head:train=sgd,lr=0.02,stride=1),orders=0-4,word=1,match=1,sparse=1,mem=1M";
    assert_eq!(canonical(mix).unwrap(), mix);
    assert!(canonical("mix:mem=1M").unwrap().starts_with("mix:neural=(file:),"));
    for wrong in ["file:", "mix:neural=(file:x)", "mix:neural=none", "mix:neural=(builtin:1)", "level:3", "cfg:"] {
        assert_eq!(canonical(wrong).unwrap_err().status(), Status::Method, "{wrong}");
    }
}

#[test]
fn registered_methods_are_canonical_and_resolve() {
    for (id, text) in REGISTERED {
        let text = text.to_str().unwrap();
        assert_eq!(canonical(text), text);
        assert_eq!(reference(text), MethodRef::Registered(id));
        assert_eq!(resolve(&MethodRef::Registered(id)).unwrap(), text);
    }
    assert_eq!(canonical(DEFAULT), resolve(&MethodRef::Registered(if builtin::CARRIED { 6 } else { 2 })).unwrap());
    assert!((1..=9).all(|level| matches!(reference(&canonical(&format!("level:{level}"))), MethodRef::Registered(_))));
    assert_eq!(resolve(&MethodRef::Registered(255)).unwrap_err().status(), Status::Format);
}

#[test]
fn levels_have_canonical_methods_from_1_to_the_last() {
    for level in 1..=9 {
        let method = level_method(level).unwrap();
        assert_eq!(method, canonical(&format!("level:{level}")));
        let available = available_level_method(level).map(|text| text.to_str().unwrap());
        assert_eq!(available, (level <= 3 || builtin::CARRIED).then_some(method));
    }
    for level in [i64::MIN, -1, 0, 10, 256, i64::MAX] {
        assert!(level_method(level).is_none() && available_level_method(level).is_none());
    }
}

#[test]
fn a_path_keeps_its_blanks() {
    let path_of = |text: &str| match Method::parse(text).unwrap().networks.remove(0).base {
        Base::File(path) => path,
        other => panic!("{text}: {other:?}"),
    };
    for (text, path) in [
        ("file:/a b", "/a b"),
        (" file: a ", " a "),
        ("file:a\n", "a\n"),
        ("file:a ;weights=f32", "a "),
        ("mix:neural=(file: a )", " a "),
        ("mix: neural = ( file:a\t) , mem=1M", "a\t"),
        ("mix:neural=(file:a, b (1) ;weights=f32)", "a, b (1) "),
    ] {
        assert_eq!(path_of(text), PathBuf::from(path), "{text:?}");
    }
    // A path without a prefix, of a file that exists.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(" a ");
    std::fs::write(&path, b"").unwrap();
    let text = path.to_str().unwrap();
    assert_eq!(Path::new(&path_of(text)), path);
    assert!(Method::parse(text.trim_end()).is_err());
}

#[test]
fn a_method_string_has_at_most_4096_bytes() {
    let long = |n: usize| format!("file:{}", "x".repeat(n - 5));
    assert!(Method::parse(&long(MAX_METHOD_LEN)).is_ok());
    let blanks = format!("{}mix:", " ".repeat(MAX_METHOD_LEN));
    let keys = "a=1,".repeat(1 << 20);
    for text in [&long(MAX_METHOD_LEN + 1), &blanks, &format!("cfg:{keys}"), &format!("level:{keys}")] {
        for parse in [Method::parse, Method::of_model] {
            let e = parse(text).unwrap_err();
            assert!(e.status() == Status::Method && e.message().contains("4096"), "{e}");
            assert!(e.message().len() < 250);
        }
    }
}

#[test]
fn a_message_keeps_its_reason_with_a_long_text() {
    let x = "x".repeat(3000);
    for (text, reason) in [
        (x.clone(), "nor a file that exists"),
        (format!("cfg:hidden={x}"), "a whole number is needed"),
        (format!("cfg:lr={x}"), "a number such as"),
        (format!("cfg:train={x}"), "none, sgd and adam are allowed"),
        (format!("cfg:{x}=1"), "an unknown key"),
        (format!("cfg:{x}"), "key=value is needed"),
        (format!("cfg:;{x}"), "an unknown segment"),
        (format!("cfg:;weights={x}"), "i8 and f32 are allowed"),
        (format!("cfg:;policy:{x}"), "schedule=RULE is needed"),
        (format!("gru:train={x}"), "sgd and adam are allowed"),
        (format!("gru:;weights={x}"), "no frozen weights"),
        (format!("mix:mem={x}"), "a power of two"),
        (format!("mix:orders={x}"), "0-2 to 0-8"),
        (format!("mix:word={x}"), "0 and 1 are allowed"),
        (format!("mix:neural={x}"), "(file:PATH) are allowed"),
        (format!("mix:neural=({x}"), "not closed"),
        (format!("mix:neural={x})"), "has no opening one"),
        (format!("mix:neural=(builtin:{x})"), "no such model"),
        (format!("level:{x}"), "level:9 are known"),
        (format!("level:5;{x}"), "nothing may follow a level"),
        (format!("1,{x}"), "values; 6 are needed"),
    ] {
        let e = Method::parse(&text).unwrap_err();
        assert!(e.message().contains(reason), "{reason}: {e}");
        assert!(e.message().len() <= 500, "{reason}: {} bytes", e.message().len());
    }
}

#[test]
fn messages_quote_the_mistake() {
    let cases = [
        ("", "\"\""),
        ("nonsense", "nonsense"),
        ("cfgg:hidden=64", "cfgg"),
        ("file:", "file:"),
        ("cfg:hiden=64", "hiden"),
        ("cfg:hidden", "hidden"),
        ("cfg:hidden=", "hidden="),
        ("cfg:hidden=-64", "-64"),
        ("cfg:hidden=+64", "+64"),
        ("cfg:hidden=6 4", "6 4"),
        ("cfg:hidden=064", "leading zeros"),
        ("cfg:hidden=0x40", "0x40"),
        ("cfg:seed=00", "seed=00"),
        ("cfg:hidden=64,hidden=64", "hidden"),
        ("cfg:hidden=64,,layers=1", "\"\""),
        ("cfg:hidden=65", "hidden=65"),
        ("cfg:hidden=99999999999999999999", "99999999999999999999"),
        ("cfg:head_size=16", "head_size=16"),
        ("cfg:layers=0", "layers=0"),
        ("cfg:train=rmsprop", "rmsprop"),
        ("cfg:lr=nan", "nan"),
        ("cfg:lr=-0.0", "-0.0"),
        ("cfg:lr=inf", "inf"),
        ("cfg:lr=1.5", "1.5"),
        ("cfg:lr=.5", "decimal point"),
        ("cfg:lr=00.5", "lr=00.5"),
        ("cfg:lr=+1", "lr=+1"),
        ("cfg:lr=1e", "lr=1e"),
        ("cfg:lr=0 5", "lr=0 5"),
        ("cfg:lr=1e-39", "too small"),
        ("cfg:lr=1e-50", "too small"),
        ("cfg:train=sgd,lr=0", "a rate above 0"),
        ("cfg:lr=0.0,train=adam", "a rate above 0"),
        ("cfg:train=sgd,lr=0,001", "a decimal point"),
        ("64,64,1,adam,0,0,001", "a decimal point"),
        ("64,64,1,adam,0,0,1", "a decimal point"),
        ("64,64,1,adam,0,0", "a rate above 0"),
        ("64,64,1,adam,0,0.001,01", "stride=01"),
        ("cfg:stride=0", "stride=0"),
        ("cfg:seed=18446744073709551616", "18446744073709551616"),
        ("256,1024", "256,1024"),
        ("256,1024,6,none,0,0.001,1,1", "256,1024,6"),
        ("256,1024,six,none,0,0.001", "six"),
        ("cfg:;weights=i4", "i4"),
        ("cfg:;weights=i8;weights=i8", "weights=i8"),
        ("cfg:;", "\"\""),
        ("cfg:;threads=4", "threads=4"),
        ("mix:orders=0-9", "orders=0-9"),
        ("mix:orders=1-6", "orders=1-6"),
        ("mix:mem=3M", "mem=3M"),
        ("mix:mem=32K", "mem=32K"),
        ("mix:mem=256M", "mem=256M"),
        ("mix:word=2", "word=2"),
        ("mix:fast=3", "fast=3"),
        ("mix:word=1,word=1", "word"),
        ("mix:words=1", "words"),
        ("mix:neural=cfg:hidden=64", "neural=cfg"),
        ("mix:neural=(mix:)", "(mix:)"),
        ("mix:neural=(Cargo.toml)", "Cargo.toml"),
        ("mix:neural=(cfg:hidden=65)", "hidden=65"),
        ("mix:neural=(cfg:hidden=64", "not closed"),
        ("mix:neural=none),", "has no opening one"),
        ("mix:;weights=f32", "weights"),
        ("level:0", "level:0"),
        ("level:10", "level:10"),
        ("gru:embed=8", "embed=8"),
        ("gru:hidden=4096", "hidden=4096"),
        ("gru:layers=9", "layers=9"),
        ("gru:bptt=0", "bptt=0"),
        ("gru:bptt=65", "bptt=65"),
        ("gru:stride=11", "stride=11"),
        ("gru:replay=65", "replay=65"),
        ("gru:train=none", "train=none"),
        ("gru:lr=-1", "lr=-1"),
        ("gru:clip=inf", "clip=inf"),
        ("gru:lr=0", "lr=0"),
        ("gru:clip=0.0", "clip=0.0"),
        ("gru:bptt=1,replay=1", "replay=1"),
        ("gru:;weights=f32", "weights=f32"),
        ("mix:neural=(gru:;weights=i8)", "weights=i8"),
        ("gru:size=1", "size=1"),
        ("builtin:", "builtin:"),
        ("builtin:0", "builtin:0"),
        ("builtin:1;head:", "head:"),
        ("mix:neural=(builtin:1;head:;head:)", "head:"),
        ("mix:neural=(builtin:1;head:seed=1)", "seed=1"),
        ("mix:neural=(builtin:1;head:train=none)", "train=none"),
        ("mix:neural=(gru:;head:)", "head:"),
        ("mix:neural=(cfg:train=sgd;head:)", "head:"),
        ("mix:neural=(builtin:1)+(builtin:1)", "(builtin:1)+(builtin:1)"),
        ("mix:neural=(gru:)+(gru:)+(gru:)", "+(gru:)+"),
        ("mix:neural=(gru:)+", "(gru:)+"),
        ("mix:neural=none+(gru:)", "none+(gru:)"),
        ("mix:neural=(file:)", "a path is missing"),
        ("level:", "level:"),
        ("level:+3", "level:+3"),
        ("level:03", "level:03"),
        ("level:5;weights=f32", "segments follow a base, as in mix:neural=(builtin:1;weights=f32)"),
        ("mix:orders=0-06", "orders=0-06"),
        ("mix:neural=(builtin:1;head:lr=0)", "a rate above 0"),
    ];
    for (text, quoted) in cases {
        let e = Method::parse(text).expect_err(text);
        assert_eq!(e.status(), Status::Method, "{text}");
        assert!(e.message().contains(quoted), "{text}: {e}");
    }
}
