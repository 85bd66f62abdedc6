//! One budget for the guest's own work and for what its host does for it.
//!
//! The engine counts the guest's instructions. Host functions cannot reach that count while they run; they note what
//! they cost ([`StepShared::charge`](crate::shared::StepShared::charge)), and it is taken from the engine's count when
//! the call returns, so that a guest is stopped at its limit however it spends its fuel.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use wasmtime::{CallHook, CallHookHandler, StoreContextMut, Trap};

use crate::engine::YIELD_INTERVAL;
use crate::runtime::StepState;
use crate::tariff;

/// Settles the fuel of a store at each return from the host.
#[derive(Debug, Default)]
pub(crate) struct FuelHook {
    /// Charged since the guest last gave way. Setting a store's fuel starts the engine's own interval anew, so a guest
    /// of nothing but host calls would never give way to the step's deadline by that alone.
    since_yield: AtomicU64,
}

#[async_trait]
impl CallHookHandler<StepState> for FuelHook {
    async fn handle_call_event(
        &self,
        mut store: StoreContextMut<'_, StepState>,
        at: CallHook,
    ) -> wasmtime::Result<()> {
        match at {
            CallHook::CallingHost => store.data().shared.note_fuel(store.get_fuel()?),
            CallHook::ReturningFromHost => {
                let before = store.get_fuel()?;
                store.data().shared.charge(tariff::CALL);
                match store.data().shared.settle_fuel(before) {
                    Some(left) => {
                        store.set_fuel(left)?;
                        let charged = before - left;
                        let since = self.since_yield.fetch_add(charged, Ordering::Relaxed);
                        if since.saturating_add(charged) >= YIELD_INTERVAL {
                            self.since_yield.store(0, Ordering::Relaxed);
                            tokio::task::yield_now().await;
                        }
                    }
                    None => {
                        store.set_fuel(0)?;
                        return Err(Trap::OutOfFuel.into());
                    }
                }
            }
            CallHook::CallingWasm | CallHook::ReturningFromWasm => {}
        }
        Ok(())
    }
}
