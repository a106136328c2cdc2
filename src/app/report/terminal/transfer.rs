//! How much of what is fetched has come, redrawn in place.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A bar on the terminal.
#[derive(Debug)]
pub struct Transfer(ProgressBar);

impl Default for Transfer {
    fn default() -> Self {
        Self::new()
    }
}

impl Transfer {
    /// Starts before it is known how much will come.
    pub fn new() -> Self {
        let bar = ProgressBar::no_length();
        bar.set_draw_target(ProgressDrawTarget::stdout_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("  {spinner} asking for what is there") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// So many bytes will come.
    pub fn begin(&self, bytes: u64) {
        let shown =
            "  {spinner} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(shown) {
            self.0.set_style(style);
        }
        self.0.set_position(0);
        self.0.set_length(bytes);
    }

    /// So many more have come.
    pub fn moved(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Writes a line that stays above it.
    pub fn above(&self, line: &str) {
        self.0.println(line);
    }

    /// Takes it away.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
