//! The guard as a program of its own, for tests; see `meltemi_testkit::guard`.

fn main() -> std::process::ExitCode {
    meltemi_testkit::guard::run(std::env::args_os().skip(1))
}
