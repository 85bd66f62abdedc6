//! Any input at all is answered, and never with a panic.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::model::shape::{Kind, Shape};
use crate::model::{ModelError, Operation, Service, model};

fn operations() -> Vec<&'static Operation> {
    Service::ALL
        .into_iter()
        .flat_map(|service| model().operations(service))
        .collect()
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,8}", inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// A value that is mostly of the shape, made of so many choices.
fn shaped(
    shapes: &[Shape],
    shape: &Shape,
    choices: &mut impl Iterator<Item = u8>,
    any: &Value,
    depth: usize,
) -> Value {
    let mut choose = |of: u8| choices.next().unwrap_or(0) % of;
    match choose(48) {
        0 => return Value::Null,
        1 => return any.clone(),
        _ if depth > 8 => return Value::Null,
        _ => {}
    }
    let count = usize::from(choose(4));
    match &shape.kind {
        Kind::String => match shape.choices.first() {
            Some(choice) if count > 0 => json!(choice),
            _ => any.as_str().map_or_else(
                || json!("mi-0123456789abcdef0"),
                |text| json!(text.repeat(count * 10)),
            ),
        },
        Kind::Integer | Kind::Long => json!(i32::from(choose(255)) - 2),
        Kind::Double => json!(0.5),
        Kind::Boolean => json!(count == 0),
        Kind::Timestamp => json!(f64::from(choose(255)) * 1e7),
        Kind::Blob => json!("e30=".repeat(count)),
        Kind::List(item) => (0..count)
            .map(|_| shaped(shapes, &shapes[*item], choices, any, depth + 1))
            .collect(),
        Kind::Map { value, .. } => (0..count)
            .map(|index| {
                (
                    "k".repeat(index * 40),
                    shaped(shapes, &shapes[*value], choices, any, depth + 1),
                )
            })
            .collect::<Map<_, _>>()
            .into(),
        Kind::Structure(members) => {
            let mut entries = Map::new();
            for member in members {
                if member.required || choices.next().is_some_and(|choice| choice % 2 == 0) {
                    let value = shaped(shapes, &shapes[member.shape], choices, any, depth + 1);
                    entries.insert(member.name.to_owned(), value);
                }
            }
            entries.into()
        }
    }
}

fn answered(operation: &Operation, input: &Value) -> Result<(), TestCaseError> {
    if let Err(ModelError::Validation(message)) = operation.check(input) {
        let count = message.matches("failed to satisfy constraint: ").count();
        let told = match message.split_once(' ') {
            Some(("1", rest)) => rest.starts_with("validation error detected: ").then_some(1),
            Some((count, rest)) if rest.starts_with("validation errors detected: ") => {
                count.parse().ok()
            }
            _ => None,
        };
        prop_assert_eq!(
            told.map(|told: usize| told.min(100)),
            Some(count),
            "{}",
            message
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_answered(which in any::<prop::sample::Index>(), input in any_json()) {
        answered(which.get::<&Operation>(&operations()), &input)?;
    }

    #[test]
    fn what_is_nearly_right_is_answered(
        which in any::<prop::sample::Index>(),
        any in any_json(),
        choices in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let operations = operations();
        let operation = which.get(&operations);
        if let Some(input) = operation.input {
            let shapes = &operation.shapes;
            answered(operation, &shaped(shapes, &shapes[input], &mut choices.into_iter(), &any, 0))?;
        }
    }
}
