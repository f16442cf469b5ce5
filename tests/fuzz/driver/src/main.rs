//! `MELTEMI_FUZZ_TARGET=NAME meltemi-fuzz-driver [libFuzzer's arguments] CORPUS...`
#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<meltemi_fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("MELTEMI_FUZZ_TARGET").unwrap_or_default();
    meltemi_fuzz::target(&name).unwrap_or_else(|| {
        let known: Vec<_> = meltemi_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("MELTEMI_FUZZ_TARGET is {name:?}; use one of {known:?}");
        std::process::exit(64)
    })
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
