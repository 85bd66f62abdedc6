//! The walk over an input.

use std::fmt::{Display, Write};

use serde_json::Value;

use super::ModelError;
use super::shape::{Kind, Rule, Shape, Shapes};
use super::text::{Path, Quoted};

/// Violations that a message tells; more are counted.
const MAX_TOLD: usize = 100;

pub(super) fn check(
    shapes: &Shapes,
    input: Option<usize>,
    value: &Value,
    except: &[&str],
) -> Result<(), ModelError> {
    let mut walk = Walk {
        shapes,
        except,
        count: 0,
        told: String::new(),
    };
    match (input.map(|input| &shapes[input]), value) {
        // No body at all is the same as an empty one.
        (Some(shape), Value::Null) => walk.value(
            shape,
            &Value::Object(serde_json::Map::new()),
            &Path::Root,
            false,
        )?,
        (Some(shape), value) => walk.value(shape, value, &Path::Root, false)?,
        (None, Value::Null | Value::Object(_)) => {}
        (None, value) => return Err(wrong_type(&Kind::Structure(Vec::new()), value, &Path::Root)),
    }
    match walk.count {
        0 => Ok(()),
        1 => Err(ModelError::Validation(format!(
            "1 validation error detected: {}",
            walk.told
        ))),
        count => Err(ModelError::Validation(format!(
            "{count} validation errors detected: {}",
            walk.told
        ))),
    }
}

struct Walk<'a> {
    shapes: &'a Shapes,
    except: &'a [&'a str],
    count: usize,
    told: String,
}

impl Walk<'_> {
    /// A value with its own constraints, and what is within it.
    fn value(
        &mut self,
        shape: &Shape,
        value: &Value,
        path: &Path<'_>,
        secret: bool,
    ) -> Result<(), ModelError> {
        if !shape.kind.takes(value) {
            return Err(wrong_type(&shape.kind, value, path));
        }
        for rule in shape.rules() {
            if !rule.holds(&shape.kind, value) {
                self.violation(shape, value, path, secret, shape.name, &rule);
            }
        }
        self.within(shape, value, path, secret)
    }

    fn within(
        &mut self,
        shape: &Shape,
        value: &Value,
        path: &Path<'_>,
        secret: bool,
    ) -> Result<(), ModelError> {
        let secret = secret || shape.sensitive;
        let shapes = self.shapes;
        match (&shape.kind, value) {
            (Kind::Structure(members), Value::Object(entries)) => {
                for member in members {
                    let path = Path::Member(path, member.name);
                    let shape = &shapes[member.shape];
                    match entries.get(member.name) {
                        None | Some(Value::Null) if member.required => {
                            self.violation(
                                shape,
                                &Value::Null,
                                &path,
                                secret,
                                shape.name,
                                &Rule::NotNull,
                            );
                        }
                        None | Some(Value::Null) => {}
                        Some(value) => self.value(shape, value, &path, secret)?,
                    }
                }
            }
            (Kind::List(item), Value::Array(items)) => {
                let item = &shapes[*item];
                let mut broken = Broken::default();
                for (index, value) in items.iter().enumerate() {
                    self.part(item, value, &Path::Item(path, index), secret, &mut broken)?;
                }
                if broken.any() {
                    let rules = Rules("Member", item, broken.null);
                    self.violation(shape, value, path, secret, item.name, &rules);
                }
            }
            (Kind::Map { key, value: of }, Value::Object(entries)) => {
                let (key, of) = (&shapes[*key], &shapes[*of]);
                let mut broken = Broken::default();
                let mut keys = false;
                for (name, value) in entries {
                    keys |= key.rules().any(|rule| !rule.holds_for_text(name));
                    self.part(of, value, &Path::Key(path, name), secret, &mut broken)?;
                }
                // What a key is, is told where it is wrong, whatever the values are.
                if keys {
                    self.violation(
                        shape,
                        value,
                        path,
                        secret,
                        key.name,
                        &Rules("Map keys", key, false),
                    );
                }
                if broken.any() {
                    let rules = Rules("Map value", of, broken.null);
                    self.violation(shape, value, path, secret, of.name, &rules);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An element of a list or a value of a map; that its own constraints do not hold is told of the whole.
    fn part(
        &mut self,
        shape: &Shape,
        value: &Value,
        path: &Path<'_>,
        secret: bool,
        broken: &mut Broken,
    ) -> Result<(), ModelError> {
        if value.is_null() {
            broken.null = true;
            return Ok(());
        }
        if !shape.kind.takes(value) {
            return Err(wrong_type(&shape.kind, value, path));
        }
        broken.rule |= shape.rules().any(|rule| !rule.holds(&shape.kind, value));
        self.within(shape, value, path, secret)
    }

    /// `of` is the shape that sets the rule.
    fn violation(
        &mut self,
        shape: &Shape,
        value: &Value,
        path: &Path<'_>,
        secret: bool,
        of: &str,
        rule: &dyn Display,
    ) {
        if !self.except.is_empty() {
            let place = path.to_string();
            if self
                .except
                .iter()
                .any(|except| *except == of || *except == place)
            {
                return;
            }
        }
        self.count += 1;
        if self.count > MAX_TOLD {
            return;
        }
        if self.count > 1 {
            self.told.push_str("; ");
        }
        // Writing to a string does not fail.
        _ = if value.is_null() {
            write!(self.told, "Value null")
        } else {
            write!(
                self.told,
                "Value {}",
                Quoted {
                    shapes: self.shapes,
                    shape,
                    value,
                    secret
                }
            )
        };
        _ = write!(
            self.told,
            " at '{path}' failed to satisfy constraint: {rule}"
        );
    }
}

/// What is wrong with the elements of a list or the values of a map.
#[derive(Default)]
struct Broken {
    rule: bool,
    null: bool,
}

impl Broken {
    fn any(&self) -> bool {
        self.rule || self.null
    }
}

/// All constraints of an element, which AWS lists together whichever does not hold.
struct Rules<'a>(&'static str, &'a Shape, bool);

impl Display for Rules<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(what, shape, null) = self;
        write!(f, "{what} must satisfy constraint: [")?;
        for (index, rule) in shape
            .rules()
            .chain(null.then_some(Rule::NotNull))
            .enumerate()
        {
            write!(f, "{}{rule}", if index > 0 { ", " } else { "" })?;
        }
        f.write_char(']')
    }
}

/// AWS's words, and the place, which AWS leaves out.
fn wrong_type(kind: &Kind, value: &Value, path: &Path<'_>) -> ModelError {
    let expected = kind.described();
    let (found, scalar) = match value {
        Value::Array(_) => ("Start of list", false),
        Value::Object(_) => ("Start of structure or map", false),
        Value::String(_) => ("STRING_VALUE", true),
        Value::Number(number) if number.is_f64() => ("DECIMAL_VALUE", true),
        Value::Number(_) => ("NUMBER_VALUE", true),
        Value::Bool(true) => ("TRUE_VALUE", true),
        Value::Bool(false) => ("FALSE_VALUE", true),
        Value::Null => ("NULL_VALUE", true),
    };
    let place = match path {
        Path::Root => String::new(),
        _ => format!(" at '{path}'"),
    };
    ModelError::Serialization(if scalar {
        format!("{found} can not be converted to {expected}{place}")
    } else {
        format!("{found} found where not expected{place}: {expected} was expected")
    })
}
