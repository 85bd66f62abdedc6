//! From the text of the models to what is asked of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de::MapAccess, de::Visitor};

use super::pattern::Pattern;
use super::shape::{Kind, Member, Shape, Shapes};
use super::{ErrorShape, Model, Operation, Service, ServiceModel};

/// The models that are built in; what is said of one service in several is put together.
pub(super) const EMBEDDED: [&str; 3] = [
    include_str!("../../model/ssm.json"),
    include_str!("../../model/agent.json"),
    include_str!("../../model/resource-groups.json"),
];

type Named<'a, T> = Vec<(&'a str, T)>;

#[derive(Deserialize)]
struct RawService<'a> {
    #[serde(borrow, deserialize_with = "entries")]
    operations: Named<'a, RawOperation<'a>>,
    #[serde(borrow, deserialize_with = "entries")]
    errors: Named<'a, RawError<'a>>,
    #[serde(borrow, deserialize_with = "entries")]
    shapes: Named<'a, RawShape<'a>>,
}

#[derive(Deserialize)]
struct RawOperation<'a> {
    #[serde(borrow)]
    input: Option<&'a str>,
    errors: Vec<&'a str>,
}

#[derive(Deserialize)]
struct RawError<'a> {
    status: Option<u16>,
    #[serde(borrow)]
    message: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "entries")]
    members: Named<'a, &'a str>,
}

#[derive(Deserialize)]
struct RawShape<'a> {
    r#type: &'a str,
    min: Option<i64>,
    max: Option<i64>,
    pattern: Option<Text<'a>>,
    #[serde(borrow, default)]
    r#enum: Vec<&'a str>,
    #[serde(default)]
    sensitive: bool,
    #[serde(borrow, default, deserialize_with = "entries")]
    members: Named<'a, &'a str>,
    #[serde(borrow, default)]
    required: Vec<&'a str>,
    member: Option<&'a str>,
    key: Option<&'a str>,
    value: Option<&'a str>,
}

/// Text that may have escapes, and is else borrowed.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A JSON object in its own order, which is that of the model.
fn entries<'de: 'a, 'a, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Named<'a, T>, D::Error> {
    struct Entries<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
        type Value = Named<'de, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some(entry) = map.next_entry()? {
                found.push(entry);
            }
            Ok(found)
        }
    }
    from.deserialize_map(Entries(PhantomData))
}

/// Reads the models.
pub(super) fn load(texts: &[&'static str]) -> Result<Model, String> {
    let mut raw: HashMap<&str, RawService<'static>> = HashMap::new();
    for text in texts {
        let services: HashMap<&str, RawService<'static>> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        for (name, more) in services {
            match raw.get_mut(name) {
                Some(service) => {
                    service.operations.extend(more.operations);
                    service.errors.extend(more.errors);
                    service.shapes.extend(more.shapes);
                }
                None => _ = raw.insert(name, more),
            }
        }
    }
    let mut model = Model::default();
    for (service, into) in Service::ALL.into_iter().zip(&mut model.services) {
        let name = service.name();
        let raw = raw
            .remove(name)
            .ok_or_else(|| format!("there is no model of {name}"))?;
        *into = resolve(raw).map_err(|error| format!("{name}: {error}"))?;
    }
    match raw.keys().next() {
        Some(other) => Err(format!("there is no service {other}")),
        None => Ok(model),
    }
}

fn resolve(raw: RawService<'static>) -> Result<ServiceModel, String> {
    let mut indices = HashMap::with_capacity(raw.shapes.len());
    for (index, (name, _)) in raw.shapes.iter().enumerate() {
        if indices.insert(*name, index).is_some() {
            return Err(format!("shape {name} is there twice"));
        }
    }
    let shapes = raw.shapes.into_iter().map(|(name, raw)| {
        shape(name, raw, &indices).map_err(|error| format!("shape {name}: {error}"))
    });
    let shapes: Arc<Shapes> = Arc::new(shapes.collect::<Result<_, _>>()?);
    let mut model = ServiceModel {
        operations: BTreeMap::new(),
        errors: BTreeMap::new(),
    };
    for (name, raw) in raw.errors {
        let error = ErrorShape {
            name,
            status: raw.status,
            message: raw.message,
            members: raw.members.into_iter().map(|(name, _)| name).collect(),
        };
        if model.errors.insert(name, error).is_some() {
            return Err(format!("error {name} is there twice"));
        }
    }
    for (name, raw) in raw.operations {
        if let Some(unknown) = raw
            .errors
            .iter()
            .find(|error| !model.errors.contains_key(*error))
        {
            return Err(format!("operation {name}: there is no error {unknown}"));
        }
        let input = raw.input.map(|input| find(&indices, input)).transpose()?;
        let operation = Operation {
            name,
            input,
            errors: raw.errors,
            shapes: Arc::clone(&shapes),
        };
        if model.operations.insert(name, operation).is_some() {
            return Err(format!("operation {name} is there twice"));
        }
    }
    Ok(model)
}

fn find(indices: &HashMap<&str, usize>, name: &str) -> Result<usize, String> {
    indices
        .get(name)
        .copied()
        .ok_or_else(|| format!("there is no shape {name}"))
}

fn shape(
    name: &'static str,
    raw: RawShape<'static>,
    indices: &HashMap<&str, usize>,
) -> Result<Shape, String> {
    let part = |part: Option<&str>| find(indices, part.ok_or("a part of it is missing")?);
    let kind = match raw.r#type {
        "string" => Kind::String,
        "integer" => Kind::Integer,
        "long" => Kind::Long,
        "float" | "double" => Kind::Double,
        "boolean" => Kind::Boolean,
        "timestamp" => Kind::Timestamp,
        "blob" => Kind::Blob,
        "list" => Kind::List(part(raw.member)?),
        "map" => Kind::Map {
            key: part(raw.key)?,
            value: part(raw.value)?,
        },
        "structure" => {
            let known = |name: &&str| raw.members.iter().any(|(member, _)| member == name);
            if let Some(unknown) = raw.required.iter().find(|name| !known(name)) {
                return Err(format!("there is no member {unknown}"));
            }
            let members = raw.members.iter().map(|(name, shape)| {
                Ok(Member {
                    name,
                    shape: find(indices, shape)?,
                    required: raw.required.contains(name),
                })
            });
            Kind::Structure(members.collect::<Result<_, String>>()?)
        }
        other => return Err(format!("type {other} is not known")),
    };
    Ok(Shape {
        name,
        kind,
        min: raw.min,
        max: raw.max,
        pattern: raw.pattern.map(|Text(java)| Pattern::new(java)),
        choices: raw.r#enum,
        sensitive: raw.sensitive,
    })
}
