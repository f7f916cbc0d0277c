//! Load and micro benchmarks: limits and ratios, measured in one run.
fn main() {}
