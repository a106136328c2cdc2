//! Parses the command line and calls it.

fn main() -> std::process::ExitCode {
    tidegate::app::cli::main()
}
