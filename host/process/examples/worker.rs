//! `spared worker` alone, because tests need an executable to start.

fn main() -> std::process::ExitCode {
    spared_process::worker::run()
}
