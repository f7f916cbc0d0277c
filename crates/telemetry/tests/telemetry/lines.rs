//! Catches log lines.

use std::{
    io,
    sync::{Arc, Mutex},
};

use countersign_telemetry::{LogFormat, Telemetry, TelemetryConfig};
use serde_json::Value;
use tracing::dispatcher::DefaultGuard;

#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Catches what this thread logs while the guard lives.
    pub fn catch(format: LogFormat) -> (Self, DefaultGuard) {
        let (lines, dispatch, _) = Self::of(&TelemetryConfig { format, ..TelemetryConfig::default() });
        (lines, tracing::dispatcher::set_default(&dispatch))
    }

    pub fn of(config: &TelemetryConfig) -> (Self, tracing::Dispatch, Telemetry) {
        let lines = Self::default();
        let writer = lines.clone();
        let (dispatch, telemetry) = Telemetry::build(config, move || writer.clone()).unwrap();
        (lines, dispatch, telemetry)
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub fn json(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
