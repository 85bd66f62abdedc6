//! Memory and tables, summed over all that a component has.

use wasmtime::ResourceLimiter;

use crate::step::StopReason;

/// A limit that was reached, as the error of a trap.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct LimitReached {
    pub(crate) reason: StopReason,
    pub(crate) message: String,
}

#[derive(Debug)]
pub(crate) struct Limiter {
    pub(crate) memory_limit: usize,
    pub(crate) table_limit: usize,
    pub(crate) instances: usize,
    pub(crate) memory: usize,
    pub(crate) peak_memory: usize,
    pub(crate) tables: usize,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_sub(current).saturating_add(desired);
        if total > self.memory_limit {
            return Err(wasmtime::Error::new(LimitReached {
                reason: StopReason::MemoryLimitExceeded,
                message: format!(
                    "the component asked for {total} bytes of memory; its limit is {}",
                    self.memory_limit
                ),
            }));
        }
        self.memory = total;
        self.peak_memory = self.peak_memory.max(total);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.tables.saturating_sub(current).saturating_add(desired);
        if total > self.table_limit {
            return Err(wasmtime::Error::new(LimitReached {
                reason: StopReason::TableLimitExceeded,
                message: format!(
                    "the component asked for {total} table elements; its limit is {}",
                    self.table_limit
                ),
            }));
        }
        self.tables = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }
}
