//! Waits until a service is healthy. While it waits nothing of it is in memory: each look is a call of its own, and the
//! next may happen after a restart of the machine.

use std::time::Duration;

use capstan_sdk::{Context, Error, Event, Failure, Step, action, http, json, step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a document gives to the step.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Inputs {
    /// Where the service tells of its health.
    url: String,
    /// The status that a healthy service answers with.
    #[serde(default = "ok")]
    status: u16,
    /// A word that has to be in the answer, if any.
    contains: Option<String>,
    /// Seconds from one look to the next.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 3600))]
    every_seconds: u64,
    /// How many looks there are before it is given up.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1))]
    attempts: u32,
}

fn ok() -> u16 {
    200
}

fn ten() -> u64 {
    10
}

fn thirty() -> u32 {
    30
}

/// What is kept while it waits.
#[derive(Serialize, Deserialize)]
enum State {
    /// The service was asked so often, and was not healthy.
    Asked { inputs: Inputs, times: u32 },
}

#[derive(Serialize)]
struct Healthy {
    url: String,
    attempts: u32,
}

/// Waits until a service answers as a healthy one does.
#[action("acme:waitHealthy", resume = again)]
#[host("${inputs.url}", methods = ["GET"], reason = "asks the service how it is")]
fn wait(_: &Context, inputs: Inputs) -> Result<Step<State, Healthy>, Failure> {
    look(inputs, 1)
}

fn again(_: &Context, state: State, _: Event) -> Result<Step<State, Healthy>, Failure> {
    let State::Asked { inputs, times } = state;
    look(inputs, times + 1)
}

fn look(inputs: Inputs, times: u32) -> Result<Step<State, Healthy>, Failure> {
    let problem = match http::get(&inputs.url)
        .timeout(Duration::from_secs(10))
        .send()
    {
        Ok(response) => unhealthy(&inputs, response.status(), &response.text()?),
        // A service that does not answer may do so later. A denial does not go away by itself.
        Err(error @ (Error::Io(_) | Error::TimedOut)) => Some(Failure::from(error).message),
        Err(error) => return Err(error.into()),
    };
    let Some(problem) = problem else {
        println!("{} is healthy after {times} looks", inputs.url);
        return Ok(Step::Done(Healthy {
            url: inputs.url,
            attempts: times,
        }));
    };
    step::log_with(
        step::Level::Warn,
        "not healthy",
        &json!({ "problem": problem, "look": times }),
    );
    if times >= inputs.attempts {
        let failure = Failure::timed_out(format!(
            "{} is not healthy after {times} looks: {problem}",
            inputs.url
        ));
        return Err(failure.with_detail(json!({ "attempts": times, "problem": problem })));
    }
    let pause = Duration::from_secs(inputs.every_seconds);
    Ok(Step::sleep(pause, State::Asked { inputs, times }, problem))
}

/// Why an answer is not that of a healthy service.
fn unhealthy(inputs: &Inputs, status: u16, text: &str) -> Option<String> {
    if status != inputs.status {
        return Some(format!("it answers with status {status}"));
    }
    match &inputs.contains {
        Some(word) if !text.contains(word.as_str()) => {
            Some(format!("its answer does not hold `{word}`"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use capstan_sdk::{inputs, json};

    use super::{Inputs, unhealthy};

    #[test]
    fn an_answer_is_judged_by_its_status_and_text() {
        let wanted: Inputs =
            inputs::typed(&json!({ "url": "http://localhost/", "contains": "ready" })).unwrap();
        assert_eq!(unhealthy(&wanted, 200, "all ready"), None);
        assert!(
            unhealthy(&wanted, 200, "starting")
                .unwrap()
                .contains("ready")
        );
        assert!(unhealthy(&wanted, 503, "ready").unwrap().contains("503"));
    }
}
