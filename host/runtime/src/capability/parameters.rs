//! `capstan:host/parameters`.

use super::Answer;
use crate::bindings::capstan::host::parameters::{Host, Value};
use crate::broker::ParameterValue;
use crate::runtime::StepState;

/// The parameters that say how Capstan itself works on this node. Whether one is set is no secret: an action that
/// does without it has to know, and must not take a refusal for an absence.
#[must_use]
pub fn is_own_parameter(name: &str) -> bool {
    name.starts_with("/capstan/")
}

impl Host for StepState {
    async fn get(&mut self, name: String) -> Answer<Value> {
        let shared = &self.shared;
        // The supervisor tells whether one of Capstan's own is set at all, and refuses it like the others if it is.
        if !shared.component.allows_parameter(&name) && !is_own_parameter(&name) {
            return Ok(Err(shared.deny(
                "parameters",
                &name,
                format!("grants: {{ parameters: [\"{name}\"] }}"),
            )));
        }
        Ok(match shared.broker.parameter(shared.id, &name).await {
            Ok(ParameterValue::Text(text)) => Ok(Value::Text(text)),
            Ok(ParameterValue::List(list)) => Ok(Value::TextList(list)),
            Err(error) => Err(shared.broker_error(error)),
        })
    }
}
