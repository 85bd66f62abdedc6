//! The engine, as every process of Capstan configures it.

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::error::RuntimeError;

/// Wasm stack of one instance. Deep recursion ends here, long before the host's own stack.
const MAX_WASM_STACK: usize = 512 << 10;
/// Guests yield to the host after this much fuel, which is what makes deadlines and cancellation prompt.
pub(crate) const YIELD_INTERVAL: u64 = 1_000_000;
/// Instances alive at once in one worker: a step, and the steps of documents nested in it.
const INSTANCES: u32 = 16;
/// The most that one memory can have; the step's own limit comes on top.
const MAX_MEMORY: usize = 4 << 30;

fn config() -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .wasm_component_model(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .max_wasm_stack(MAX_WASM_STACK)
        .async_stack_size(MAX_WASM_STACK + (512 << 10))
        .concurrency_support(false)
        .native_unwind_info(false)
        .memory_init_cow(true);
    config
}

fn pooling() -> PoolingAllocationConfig {
    let mut pooling = PoolingAllocationConfig::default();
    pooling
        .total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * 4)
        .total_memories(INSTANCES * 2)
        .total_tables(INSTANCES * 4)
        .total_stacks(INSTANCES)
        .max_memory_size(MAX_MEMORY)
        .max_tables_per_module(4)
        .max_tables_per_component(32)
        .max_memories_per_component(8)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .table_elements(100_000)
        .pagemap_scan(wasmtime::Enabled::Auto)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10);
    pooling
}

/// The engine that runs steps: with pooled instances where there is address space for them.
pub(crate) fn for_steps() -> Result<Engine, RuntimeError> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling()));
    Engine::new(&pooled)
        .or_else(|_| Engine::new(&config()))
        .map_err(RuntimeError::engine)
}

/// The engine that compiles. What it makes runs in the other one: they differ in how instances are allocated,
/// not in the code.
pub(crate) fn for_compiling() -> Result<Engine, RuntimeError> {
    let mut compiling = config();
    compiling.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling()));
    Engine::new(&compiling)
        .or_else(|_| Engine::new(&config()))
        .map_err(RuntimeError::engine)
}
