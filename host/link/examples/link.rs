//! Runs `spared link` alone, for the tests, which need an executable to start.

fn main() -> std::process::ExitCode {
    spared_link::run()
}
