//! Steps as they are written.

use capstan_syntax::{Diagnostic, Node, Position, Value as NodeValue, nearest};
use serde_json::Value;

use crate::document::unknown_fields;
use crate::precondition::Precondition;

/// A step of a document.
#[derive(Debug, Clone)]
pub struct Step {
    /// The step's name; for schema 1.2 the id of the property set.
    pub name: String,
    /// `aws:runShellScript`, …
    pub action: String,
    /// One or more sets of inputs; the action runs once for each, in order.
    pub inputs: Vec<Value>,
    /// When it runs.
    pub precondition: Precondition,
    /// What it needs, in the words of a policy's grants. An extension: SSM passes over it.
    pub capabilities: Option<Value>,
    /// Where it begins.
    pub position: Position,
    /// Where the action's name stands.
    pub(crate) action_position: Position,
    /// The inputs with their places.
    pub(crate) nodes: Vec<Node>,
    /// Fields that SSM passes over, for the lint.
    pub(crate) ignored: Vec<(String, Position)>,
}

/// What a step's result means for the steps after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flow {
    /// `onFailure` within the inputs.
    pub on_failure: Option<OnFailure>,
    /// `onSuccess: exit` within the inputs.
    pub on_success_exit: bool,
    /// `finallyStep: true` within the inputs of the last step.
    pub finally_step: bool,
}

/// What happens when a step fails; without it, the next step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The document ends, Failed.
    Exit,
    /// The document ends, and the step counts as a success with code 168.
    SuccessAndExit,
}

const STEP: &[&str] = &[
    "action",
    "name",
    "inputs",
    "precondition",
    "settings",
    "maxAttempts",
    "timeoutSeconds",
    "onFailure",
    "isEnd",
    "nextStep",
    "isCritical",
    "description",
    "outputs",
    "capabilities",
    "onCancel",
];
/// Parsed by the SSM agent and then passed over, or not of command documents at all.
const IGNORED: &[&str] = &[
    "maxAttempts",
    "timeoutSeconds",
    "onFailure",
    "isEnd",
    "nextStep",
    "isCritical",
    "onCancel",
];

const ACTIONS: &[&str] = &[
    "aws:runShellScript",
    "aws:runPowerShellScript",
    "aws:downloadContent",
    "aws:configurePackage",
    "aws:runDocument",
    "aws:softwareInventory",
    "aws:updateSsmAgent",
    "aws:updateAgent",
    "aws:runDockerAction",
    "aws:configureDocker",
    "aws:refreshAssociation",
    "aws:configureDaemon",
    "aws:cloudWatch",
    "aws:applications",
    "aws:psModule",
    "aws:domainJoin",
];

/// Bytes of the name of a file.
const MAX_NAME: usize = 255;

pub(crate) fn read_main_steps(
    node: &Node,
    version: &str,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Step> {
    let Some(items) = node.as_list() else {
        problems.push(Diagnostic::wrong_type(node, "`mainSteps` is a list"));
        return Vec::new();
    };
    if items.is_empty() {
        problems.push(Diagnostic::error(
            "steps",
            node.position,
            "`mainSteps` has no steps",
        ));
    }
    let mut steps: Vec<Step> = Vec::new();
    for item in items {
        let Some(step) = read_step(item, version, problems) else {
            continue;
        };
        if let Some(first) = steps
            .iter()
            .find(|other| other.name == step.name && !step.name.is_empty())
        {
            let at = item.get("name").map_or(item.position, |node| node.position);
            problems.push(
                Diagnostic::error(
                    "duplicate-step",
                    at,
                    format!(
                        "the name `{}` is taken by the step in line {}",
                        step.name, first.position.line
                    ),
                )
                .help("each step has a name of its own"),
            );
        }
        steps.push(step);
    }
    steps
}

fn read_step(node: &Node, version: &str, problems: &mut Vec<Diagnostic>) -> Option<Step> {
    let Some(entries) = node.as_map() else {
        problems.push(Diagnostic::wrong_type(node, "a step is a mapping"));
        return None;
    };
    unknown_fields(entries, STEP, "a step", problems);
    let text = |key: &str, problems: &mut Vec<Diagnostic>| match node.get(key) {
        None => {
            problems.push(Diagnostic::error(
                "step-field",
                node.position,
                format!("the step has no `{key}`"),
            ));
            String::new()
        }
        Some(value) => value.as_str().map(str::to_owned).unwrap_or_else(|| {
            problems.push(Diagnostic::wrong_type(value, format!("`{key}` is text")));
            String::new()
        }),
    };
    let name = text("name", problems);
    if let Some(value) = node.get("name")
        && !name.is_empty()
        && !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    {
        problems.push(
            Diagnostic::error(
                "step-name",
                value.position,
                format!("the name `{name}` holds more than letters, digits, `_`, `-` and `.`"),
            )
            .help("the name is also the name of the step's folder"),
        );
    }
    if node.get("name").is_some() {
        check_folder(&name, node.position, problems);
    }
    let action = text("action", problems);
    let action_position = node
        .get("action")
        .map_or(node.position, |node| node.position);
    check_action(&action, action_position, problems);
    let nodes = read_inputs(node.get("inputs"), node.position, problems);
    Some(Step {
        name,
        action,
        inputs: nodes.iter().map(Node::to_json).collect(),
        action_position,
        nodes,
        precondition: node
            .get("precondition")
            .filter(|node| node.value != NodeValue::Null)
            .map(|node| Precondition::read(node, version))
            .unwrap_or_default(),
        capabilities: node
            .get("capabilities")
            .filter(|node| node.value != NodeValue::Null)
            .map(Node::to_json),
        position: node.position,
        ignored: entries
            .iter()
            .filter(|entry| IGNORED.contains(&entry.key.as_str()))
            .map(|entry| (entry.key.clone(), entry.position))
            .collect(),
    })
}

/// The name of a step is also the name of its folder.
fn check_folder(name: &str, position: Position, problems: &mut Vec<Diagnostic>) {
    if matches!(name, "" | "." | "..") {
        problems.push(Diagnostic::error(
            "step-name",
            position,
            format!("`{name}` is no name for a step"),
        ));
    } else if name.len() > MAX_NAME {
        problems.push(Diagnostic::error(
            "step-name",
            position,
            format!(
                "the name of the step has {} characters, and at most {MAX_NAME} fit a folder's",
                name.len()
            ),
        ));
    }
}

/// Whether it is one of the actions that SSM's own agents have.
#[must_use]
pub fn is_ssm_action(action: &str) -> bool {
    ACTIONS.contains(&action)
}

pub(crate) fn nearest_action(action: &str) -> Option<&'static str> {
    nearest(action, ACTIONS.iter().copied())
}

/// A typo in the name of one of SSM's actions is an error; names of others are their makers', and may be installed.
fn check_action(action: &str, position: Position, problems: &mut Vec<Diagnostic>) {
    if action.is_empty() || ACTIONS.contains(&action) {
        return;
    }
    if !action.contains(':') {
        let mut problem = Diagnostic::error(
            "unknown-action",
            position,
            format!("`{action}` is no action; actions are named like aws:runShellScript"),
        );
        problem.help =
            nearest_action(&format!("aws:{action}")).map(|near| format!("did you mean `{near}`?"));
        problems.push(problem);
    } else if action.starts_with("aws:")
        && let Some(near) = nearest_action(action)
    {
        problems.push(
            Diagnostic::error(
                "unknown-action",
                position,
                format!("there is no action `{action}`"),
            )
            .help(format!("did you mean `{near}`?")),
        );
    }
}

/// One or more sets of inputs; `step` is the place of a set that is not written.
fn read_inputs(node: Option<&Node>, step: Position, problems: &mut Vec<Diagnostic>) -> Vec<Node> {
    let none = |position| {
        vec![Node {
            position,
            value: NodeValue::Map(Vec::new()),
        }]
    };
    let Some(node) = node else {
        return none(step);
    };
    match &node.value {
        NodeValue::Map(_) => vec![node.clone()],
        NodeValue::Null => none(node.position),
        NodeValue::List(items)
            if items.iter().all(|item| item.as_map().is_some()) && !items.is_empty() =>
        {
            items.clone()
        }
        // A reference to a parameter that is a mapping.
        NodeValue::String(text) if text.contains("{{") => vec![node.clone()],
        _ => {
            problems.push(Diagnostic::wrong_type(
                node,
                "`inputs` is a mapping or a list of mappings",
            ));
            Vec::new()
        }
    }
}

pub(crate) fn read_runtime_config(node: &Node, problems: &mut Vec<Diagnostic>) -> Vec<Step> {
    let Some(entries) = node.as_map() else {
        problems.push(Diagnostic::wrong_type(node, "`runtimeConfig` is a mapping"));
        return Vec::new();
    };
    if entries.is_empty() {
        problems.push(Diagnostic::error(
            "steps",
            node.position,
            "`runtimeConfig` has no actions",
        ));
    }
    let mut steps = Vec::new();
    for entry in entries {
        let action = entry.key.clone();
        check_action(&action, entry.position, problems);
        let properties = match entry.node.get("properties") {
            Some(properties) => read_inputs(Some(properties), entry.position, problems),
            None => {
                problems.push(Diagnostic::error(
                    "steps",
                    entry.node.position,
                    format!("`{action}` has no `properties`"),
                ));
                continue;
            }
        };
        for (index, node) in properties.into_iter().enumerate() {
            let inputs = node.to_json();
            let id = inputs
                .get("id")
                .and_then(Value::as_str)
                .map_or_else(|| format!("{index}.{action}"), str::to_owned);
            let name: String = id
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
                .collect();
            let position = node.get("id").map_or(node.position, |id| id.position);
            check_folder(&name, position, problems);
            steps.push(Step {
                name,
                action: action.clone(),
                inputs: vec![inputs],
                action_position: entry.position,
                nodes: vec![node],
                precondition: Precondition::default(),
                capabilities: entry.node.get("capabilities").map(Node::to_json),
                position: entry.position,
                ignored: Vec::new(),
            });
        }
    }
    steps
}

/// A value of the inputs by key, without regard to case, as the SSM agent decodes them.
pub(crate) fn input<'a>(inputs: &'a Value, key: &str) -> Option<&'a Value> {
    inputs
        .as_object()?
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| value)
}

/// An action as the name of a folder, without the colon, as SSM's agent names it. Whatever a document writes there, it
/// leads nowhere else.
#[must_use]
pub fn action_folder(action: &str) -> String {
    let name: String = action
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        .collect();
    if name.trim_matches('.').is_empty() {
        "action".to_owned()
    } else {
        name
    }
}

/// The folders of a step's outputs, below those of its run: on the node, and in the keys of S3. In documents of schema
/// 1.x the step is the id of the property set.
#[must_use]
pub fn output_folders(action: &str, step: &str) -> [String; 2] {
    [action_folder(action), step.to_owned()]
}

impl Flow {
    /// From a step's inputs.
    #[must_use]
    pub fn of(inputs: &Value, is_last: bool) -> Self {
        let word = |key: &str| match input(inputs, key) {
            Some(Value::String(text)) => text.to_lowercase(),
            Some(Value::Bool(value)) => value.to_string(),
            _ => String::new(),
        };
        Self {
            on_failure: match word("onFailure").as_str() {
                "exit" => Some(OnFailure::Exit),
                "successandexit" => Some(OnFailure::SuccessAndExit),
                _ => None,
            },
            on_success_exit: word("onSuccess") == "exit",
            finally_step: is_last && word("finallyStep") == "true",
        }
    }
}
