//! How much a step may use. Every limit has a default, can be lowered, and never raised, by a document.

use serde::{Deserialize, Serialize};

/// Upper bounds for one step attempt; `fuel`, `output_bytes`, `child_cpu_millis`, `http_requests` and `http_bytes`
/// are also drawn from what the run as a whole has left ([`crate::Policy::run_limits`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Fuel: about one unit for each WebAssembly instruction, plus the tariff for host calls and child CPU time.
    pub fuel: u64,
    /// Bytes over all linear memories of the component.
    pub memory_bytes: u64,
    /// Elements over all tables of the component.
    pub table_elements: u64,
    /// Core instances.
    pub instances: u32,
    /// Host resources held at once.
    pub handles: u32,
    /// Bytes that one host call may copy in or out.
    pub host_call_bytes: u64,
    /// Milliseconds from start to end.
    pub wall_millis: u64,
    /// Bytes of output kept, both streams together; more ends the step.
    pub output_bytes: u64,
    /// File descriptors of a child.
    pub open_files: u64,
    /// Child processes and threads at once.
    pub processes: u64,
    /// CPU milliseconds of all children together.
    pub child_cpu_millis: u64,
    /// Bytes of memory of all children together.
    pub child_memory_bytes: u64,
    /// Bytes in the step's private folders, and the size of any one file that it writes. See also
    /// [`disk_files`](Self::disk_files).
    pub disk_bytes: u64,
    /// HTTP requests and proxied connections.
    pub http_requests: u64,
    /// HTTP and proxied bytes, both directions.
    pub http_bytes: u64,
}

impl Limits {
    /// Files and folders in the step's private folders: one for each 4 KiB of its disk, and no fewer than 10,000.
    #[must_use]
    pub fn disk_files(&self) -> u64 {
        (self.disk_bytes / 4_096).max(10_000)
    }
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            fuel: 50_000_000_000_000,
            memory_bytes: 256 * MIB,
            table_elements: 100_000,
            instances: 64,
            handles: 1_000,
            host_call_bytes: 8 * MIB,
            wall_millis: 48 * 3_600_000,
            output_bytes: 64 * MIB,
            open_files: 1_024,
            processes: 512,
            child_cpu_millis: 4 * 3_600_000,
            child_memory_bytes: 2_048 * MIB,
            disk_bytes: 4_096 * MIB,
            http_requests: 1_000,
            http_bytes: 8_192 * MIB,
        }
    }
}
