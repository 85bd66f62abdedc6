//! Parameters: their definitions, and the values that callers give them.

use std::collections::BTreeMap;

use capstan_syntax::{Diagnostic, Node, Position, Value as NodeValue, nearest};
use serde::Serialize;
use serde_json::Value;

use crate::document::unknown_fields;
use crate::interpolation::refers_to_store;
use crate::pattern::Pattern;

/// The type of a parameter. Types of AWS resources behave as text or lists of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "SSM's words")]
pub enum ParameterType {
    String,
    StringList,
    Integer,
    Boolean,
    StringMap,
    MapList,
}

/// A parameter of a document.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ParameterType,
    /// For people.
    pub description: String,
    /// Without one, the caller must give a value.
    pub default: Option<Value>,
    /// The only values there may be.
    pub allowed_values: Vec<Value>,
    /// Java's dialect, found anywhere in the value, as the SSM agent does.
    pub allowed_pattern: Option<String>,
    /// Characters of text, or of each text of a list.
    pub min_chars: Option<u64>,
    /// The same, at most.
    pub max_chars: Option<u64>,
    /// Items of a list or map.
    pub min_items: Option<u64>,
    /// The same, at most.
    pub max_items: Option<u64>,
    /// Passed in the environment instead of being pasted into scripts.
    pub env_var: bool,
    /// Where it is defined.
    pub position: Position,
}

const FIELDS: &[&str] = &[
    "type",
    "description",
    "default",
    "allowedValues",
    "allowedPattern",
    "displayType",
    "minItems",
    "maxItems",
    "minChars",
    "maxChars",
    "interpolationType",
];
const TYPES: &[&str] = &[
    "String",
    "StringList",
    "Integer",
    "Boolean",
    "StringMap",
    "MapList",
];

pub(crate) fn read_parameters(
    node: &Node,
    problems: &mut Vec<Diagnostic>,
    lints: &mut Vec<Diagnostic>,
) -> Vec<Parameter> {
    let Some(entries) = node.as_map() else {
        if node.value != NodeValue::Null {
            problems.push(Diagnostic::wrong_type(node, "`parameters` is a mapping"));
        }
        return Vec::new();
    };
    let mut list = Vec::new();
    for entry in entries {
        if entry.key.is_empty() || !entry.key.chars().all(|c| c.is_ascii_alphanumeric()) {
            lints.push(
                Diagnostic::warning(
                    "parameter-name",
                    entry.position,
                    format!(
                        "the name `{}` is not of letters and digits alone",
                        entry.key
                    ),
                )
                .help("the SSM agent drops such a parameter without a word"),
            );
        }
        list.push(read_parameter(
            &entry.key,
            entry.position,
            &entry.node,
            problems,
            lints,
        ));
    }
    list
}

fn read_parameter(
    name: &str,
    position: Position,
    node: &Node,
    problems: &mut Vec<Diagnostic>,
    lints: &mut Vec<Diagnostic>,
) -> Parameter {
    let mut parameter = Parameter {
        name: name.to_owned(),
        kind: ParameterType::String,
        description: String::new(),
        default: None,
        allowed_values: Vec::new(),
        allowed_pattern: None,
        min_chars: None,
        max_chars: None,
        min_items: None,
        max_items: None,
        env_var: false,
        position,
    };
    let Some(entries) = node.as_map() else {
        problems.push(Diagnostic::wrong_type(
            node,
            format!("the parameter `{name}` is a mapping"),
        ));
        return parameter;
    };
    unknown_fields(entries, FIELDS, "a parameter", problems);
    if node
        .get("type")
        .is_none_or(|kind| kind.value == NodeValue::Null)
    {
        problems.push(
            Diagnostic::error(
                "parameter-type",
                position,
                format!("the parameter `{name}` has no `type`"),
            )
            .help(format!("the types are {}", TYPES.join(", "))),
        );
    }
    for entry in entries {
        let value = &entry.node;
        // A field without a value is as good as none.
        if value.value == NodeValue::Null {
            continue;
        }
        let text = value.scalar_text();
        let number = || {
            text.as_deref()
                .and_then(|text| text.trim().parse::<u64>().ok())
        };
        match entry.key.as_str() {
            "type" => match text.as_deref().map(parse_type) {
                Some(Some(kind)) => {
                    parameter.kind = kind;
                    if text.as_deref() == Some("SecureString") {
                        lints.push(
                            Diagnostic::warning(
                                "secure-string",
                                value.position,
                                format!("`{name}` is not kept secret: command documents have no parameters of type SecureString"),
                            )
                            .help("put the value into Parameter Store and refer to it with {{ssm-secure:NAME}} where an action takes that"),
                        );
                    }
                }
                _ => {
                    let word = text.unwrap_or_default();
                    let help = nearest(&word, TYPES.iter().copied()).map_or_else(
                        || format!("the types are {}", TYPES.join(", ")),
                        |near| format!("did you mean `{near}`?"),
                    );
                    problems.push(
                        Diagnostic::error(
                            "parameter-type",
                            value.position,
                            format!("there is no parameter type `{word}`"),
                        )
                        .help(help),
                    );
                }
            },
            "description" => parameter.description = text.unwrap_or_default(),
            "default" => parameter.default = Some(value.to_json()),
            "allowedValues" => match value.as_list() {
                Some(items) => parameter.allowed_values = items.iter().map(Node::to_json).collect(),
                None => problems.push(Diagnostic::wrong_type(value, "`allowedValues` is a list")),
            },
            "allowedPattern" => match text {
                Some(text) => {
                    if let Err(why) = Pattern::compile(&text) {
                        lints.push(Diagnostic::warning(
                            "pattern",
                            value.position,
                            format!("the pattern cannot be read: {why}"),
                        ));
                    }
                    parameter.allowed_pattern = Some(text);
                }
                None => problems.push(Diagnostic::error(
                    "type",
                    value.position,
                    "`allowedPattern` is text",
                )),
            },
            key @ ("minChars" | "maxChars" | "minItems" | "maxItems") => {
                let Some(number) = number() else {
                    problems.push(Diagnostic::error(
                        "type",
                        value.position,
                        format!("`{key}` is a whole number"),
                    ));
                    continue;
                };
                *match key {
                    "minChars" => &mut parameter.min_chars,
                    "maxChars" => &mut parameter.max_chars,
                    "minItems" => &mut parameter.min_items,
                    _ => &mut parameter.max_items,
                } = Some(number);
            }
            "interpolationType" => match text.as_deref() {
                Some("ENV_VAR") => parameter.env_var = true,
                Some("TEXT_REPLACEMENT" | "") => {}
                _ => problems.push(Diagnostic::error(
                    "interpolation-type",
                    value.position,
                    "`interpolationType` is ENV_VAR, or absent",
                )),
            },
            _ => {}
        }
    }
    if parameter.env_var && parameter.kind != ParameterType::String {
        problems.push(Diagnostic::error(
            "interpolation-type",
            position,
            format!("ENV_VAR is for parameters of type String, and `{name}` is none"),
        ));
    }
    if let Some(default) = &parameter.default
        && let Err(why) = convert(parameter.kind, default).and_then(|value| parameter.check(&value))
    {
        lints.push(Diagnostic::warning(
            "default",
            position,
            format!("the default of `{name}` does not pass its own rules: {why}"),
        ));
    }
    parameter
}

fn parse_type(text: &str) -> Option<ParameterType> {
    Some(match text {
        "String" | "SecureString" => ParameterType::String,
        "StringList" => ParameterType::StringList,
        "Integer" => ParameterType::Integer,
        "Boolean" => ParameterType::Boolean,
        "StringMap" => ParameterType::StringMap,
        "MapList" => ParameterType::MapList,
        text if text.starts_with("List<AWS::") && text.ends_with('>') => ParameterType::StringList,
        text if text.starts_with("AWS::") => ParameterType::String,
        _ => return None,
    })
}

/// A caller's value, in the API's form (a list of texts) or as it is, in the parameter's type.
pub(crate) fn convert(kind: ParameterType, value: &Value) -> Result<Value, String> {
    // The API passes every value as a list of texts.
    let single = match value {
        Value::Array(items) if items.len() == 1 => &items[0],
        other => other,
    };
    let text = || match single {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err("one text is wanted".to_owned()),
    };
    let json = |value: &Value| match value {
        Value::String(text) => {
            serde_json::from_str::<Value>(text).map_err(|_| format!("`{text}` is not JSON"))
        }
        other => Ok(other.clone()),
    };
    match kind {
        ParameterType::String => match single {
            Value::Array(items) if items.is_empty() => Err("one text is wanted".into()),
            Value::Object(_) | Value::Array(_) if !matches!(value, Value::Array(items) if items.len() > 1) => {
                Ok(Value::String(single.to_string()))
            }
            _ => text().map(Value::String),
        },
        ParameterType::StringList => {
            let items = match value {
                Value::Array(items) => items.clone(),
                other => vec![other.clone()],
            };
            items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Ok(Value::String(text)),
                    Value::Number(number) => Ok(Value::String(number.to_string())),
                    Value::Bool(value) => Ok(Value::String(value.to_string())),
                    Value::Null | Value::Array(_) | Value::Object(_) => {
                        Err("a list of texts is wanted".to_owned())
                    }
                })
                .collect()
        }
        ParameterType::Integer => {
            let text = text()?;
            text.trim()
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| format!("`{text}` is not a whole number"))
        }
        ParameterType::Boolean => match text()?.trim() {
            "true" | "True" | "TRUE" => Ok(true.into()),
            "false" | "False" | "FALSE" => Ok(false.into()),
            other => Err(format!("`{other}` is neither true nor false")),
        },
        ParameterType::StringMap => match json(single)? {
            map @ Value::Object(_) => Ok(map),
            _ => Err("a mapping is wanted".into()),
        },
        ParameterType::MapList => {
            let items = match value {
                Value::Array(items) if items.len() != 1 => items.clone(),
                _ => match json(single)? {
                    Value::Array(items) => items,
                    one => vec![one],
                },
            };
            let items: Vec<Value> = items.iter().map(json).collect::<Result<_, _>>()?;
            if items.iter().all(Value::is_object) {
                Ok(Value::Array(items))
            } else {
                Err("a list of mappings is wanted".into())
            }
        }
    }
}

fn plain_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// What the rules are about: the text, or each of a list; anything else as JSON.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(plain_text).collect(),
        other => vec![plain_text(other)],
    }
}

impl Parameter {
    /// Whether a converted value keeps the parameter's rules.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        self.check_pattern(value)?;
        self.check_range(value)
    }

    /// The rule that is always checked, also of a value that names a parameter of Parameter Store.
    fn check_pattern(&self, value: &Value) -> Result<(), String> {
        let Some(pattern) = &self.allowed_pattern else {
            return Ok(());
        };
        let compiled = Pattern::compile(pattern)
            .map_err(|why| format!("its allowedPattern cannot be read: {why}"))?;
        for text in texts(value) {
            if !compiled.is_match(&text)? {
                return Err(format!("`{text}` does not match {pattern}"));
            }
        }
        Ok(())
    }

    /// Which values there may be, and how long they are.
    fn check_range(&self, value: &Value) -> Result<(), String> {
        let texts = texts(value);
        if !self.allowed_values.is_empty() {
            let allowed: Vec<String> = self.allowed_values.iter().map(plain_text).collect();
            for text in &texts {
                if !allowed.contains(text) {
                    return Err(format!("`{text}` is not one of {}", allowed.join(", ")));
                }
            }
        }
        for text in &texts {
            let count = text.chars().count() as u64;
            if self.min_chars.is_some_and(|min| count < min) {
                return Err(format!(
                    "`{text}` is shorter than {} characters",
                    self.min_chars.unwrap_or(0)
                ));
            }
            if self.max_chars.is_some_and(|max| count > max) {
                return Err(format!(
                    "a value of {count} characters is longer than {}",
                    self.max_chars.unwrap_or(0)
                ));
            }
        }
        let items = match value {
            Value::Array(items) => Some(items.len() as u64),
            Value::Object(map) => Some(map.len() as u64),
            _ => None,
        };
        if let Some(items) = items {
            if self.min_items.is_some_and(|min| items < min) {
                return Err(format!(
                    "{items} items are fewer than {}",
                    self.min_items.unwrap_or(0)
                ));
            }
            if self.max_items.is_some_and(|max| items > max) {
                return Err(format!(
                    "{items} items are more than {}",
                    self.max_items.unwrap_or(0)
                ));
            }
        }
        Ok(())
    }
}

/// Takes the callers' values and the defaults together.
pub(crate) fn bind(
    parameters: &[Parameter],
    arguments: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>, Vec<Diagnostic>> {
    let mut values = BTreeMap::new();
    let mut problems = Vec::new();
    let problem = |code, message: String| Diagnostic {
        position: None,
        ..Diagnostic::error(code, Position { line: 1, column: 1 }, message)
    };
    for name in arguments.keys() {
        if !parameters.iter().any(|parameter| parameter.name == *name) {
            let mut one = problem(
                "unknown-parameter",
                format!("the document has no parameter `{name}`"),
            );
            one.help = nearest(
                name,
                parameters.iter().map(|parameter| parameter.name.as_str()),
            )
            .map(|near| format!("did you mean `{near}`?"));
            problems.push(one);
        }
    }
    for parameter in parameters {
        let value = match (arguments.get(&parameter.name), &parameter.default) {
            (Some(value), _) => convert(parameter.kind, value).and_then(|value| {
                // What a reference to Parameter Store stands for is checked when it is known.
                parameter.check_pattern(&value)?;
                if !refers_to_store(&value) {
                    parameter.check_range(&value)?;
                }
                Ok(value)
            }),
            // Defaults are the author's: many of them miss their own pattern, and SSM takes them.
            (None, Some(default)) => {
                convert(parameter.kind, default).or_else(|_| Ok(default.clone()))
            }
            (None, None) => Err("the document needs a value for it".into()),
        };
        match value {
            Ok(value) => {
                values.insert(parameter.name.clone(), value);
            }
            Err(why) => problems.push(problem(
                "parameter",
                format!("the parameter `{}`: {why}", parameter.name),
            )),
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(problems)
    }
}
