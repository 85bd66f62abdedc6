//! `capstan run`.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use capstan_runner::{Observer, RunControl};
use tokio::signal::unix::{SignalKind, signal};

use super::{request, runner};
use crate::arguments::{Output, RunArguments};
use crate::exit::{self, Exit};
use crate::render;

pub(crate) fn run(arguments: RunArguments) -> Result<Exit> {
    let runner = runner(&arguments.document)?;
    for warning in runner.policy.warnings() {
        render::warning(&warning);
    }
    let request = match &arguments.resume {
        Some(_) => None,
        None => {
            let mut request = request(&runner, &arguments.document)?;
            request.run_id.clone_from(&arguments.run_id);
            Some(request)
        }
    };
    let json = arguments.document.output == Output::Json;
    let observer: Arc<dyn Observer> = render::observer(json);
    let control = RunControl::default();
    for text in &arguments.signal {
        let (name, payload) = text
            .split_once('=')
            .map_or((text.as_str(), None), |(name, json)| {
                (name, Some(json.to_owned()))
            });
        control.signal(name, payload);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        tokio::spawn(interrupts(control.clone()));
        match (request, &arguments.resume) {
            (Some(request), _) => runner.run(request, observer, control).await,
            (None, id) => {
                runner
                    .resume(id.as_deref().unwrap_or_default(), observer, control)
                    .await
            }
        }
    })?;
    // Tasks that wait for a signal or a closed socket are not waited for.
    runtime.shutdown_background();
    if json {
        // A result that nobody can have had is no success.
        let text = serde_json::to_string_pretty(&result)?;
        let mut out = std::io::stdout();
        writeln!(out, "{text}").context("the result cannot be written")?;
    } else {
        render::summary(&result);
    }
    Ok(exit::of_run(&result))
}

/// The first interrupt cancels, the second kills.
async fn interrupts(control: RunControl) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    let mut count = 0;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        count += 1;
        if count == 1 {
            render::note(
                "cancelling: the current step is stopped, final steps still run; once more to stop everything",
            );
            control.cancel();
        } else {
            control.kill();
        }
    }
}
