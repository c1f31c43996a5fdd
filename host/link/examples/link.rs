//! `spared link` alone, for the tests: they need an executable to start.

fn main() -> std::process::ExitCode {
    spared_link::run()
}
