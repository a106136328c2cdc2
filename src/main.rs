//! Parses the command line and calls it.

/// Bytes of the block that [`keep_memory`] lets go of.
const BLOCK: usize = 1 << 20;

fn main() -> std::process::ExitCode {
    keep_memory();
    tidegate::app::cli::main()
}

/// Lets the allocator of glibc keep what is freed: after a block of this size was given back once, it
/// returns memory to the kernel only in pieces twice as large (`mallopt(3)`, dynamic thresholds).
/// Without it the heap grows and shrinks by a few pages with every event that is written.
fn keep_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK)));
}
