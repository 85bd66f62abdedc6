//! `capstan:host/parameters`.

use super::Answer;
use crate::bindings::capstan::host::parameters::{Host, Value};
use crate::broker::ParameterValue;
use crate::runtime::StepState;

impl Host for StepState {
    async fn get(&mut self, name: String) -> Answer<Value> {
        let shared = &self.shared;
        if !shared.component.allows_parameter(&name) {
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
