//! Programs of a scripted world.

use std::sync::Arc;
use std::time::Instant;

use super::Child;
use super::end::record;
use super::output::{Queue, lock};
use crate::bindings::capstan::host::process::{ExitStatus, OutputTarget, Usage};
use crate::bindings::capstan::host::types::{Error, OutputStream as WitStream};
use crate::capability::scripted;
use crate::shared::StepShared;
use crate::step::OutputStream;
use crate::world::{World, WorldCommand, WorldEnd, WorldExit};

/// Runs a program; it has ended when the component gets to see it.
pub(super) fn run(
    shared: &Arc<StepShared>,
    world: &Arc<dyn World>,
    command: WorldCommand,
    targets: [OutputTarget; 2],
) -> Result<Child, Error> {
    let (program, timeout) = (command.program.clone(), command.timeout);
    let WorldEnd {
        stdout,
        stderr,
        exit,
        wall_millis,
    } = world
        .run(command)
        .map_err(|why| scripted::failure(&program, why))?;
    let queue = Queue::new();
    let outputs = [
        (stdout, OutputStream::Stdout, WitStream::Stdout),
        (stderr, OutputStream::Stderr, WitStream::Stderr),
    ];
    for ((data, stream, source), target) in outputs.into_iter().zip(targets) {
        if data.is_empty() {
            continue;
        }
        if matches!(target, OutputTarget::Step | OutputTarget::Both) {
            shared.output(stream, &data);
        }
        if matches!(target, OutputTarget::Capture | OutputTarget::Both) {
            lock(&queue.chunks).push_back((source, data));
        }
    }
    let status = match exit {
        WorldExit::Code(code) => ExitStatus::Code(code),
        WorldExit::Signal(signal) => ExitStatus::Signal(signal),
        WorldExit::TimedOut => ExitStatus::TimedOut,
    };
    let usage = Usage {
        wall_millis,
        cpu_millis: 0,
        peak_memory_bytes: 0,
    };
    record(shared, &program, &status, &usage);
    Ok(Child {
        process: None,
        program,
        started: Instant::now(),
        timeout,
        queue: Arc::new(queue),
        readers: Vec::new(),
        end: Some((status, usage)),
        shared: Arc::clone(shared),
    })
}
