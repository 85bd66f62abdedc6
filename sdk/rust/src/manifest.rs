//! The manifest of a component whose code makes it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The JSON Schema of an action's inputs, in one piece: whoever checks inputs does not follow references.
pub fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.meta_schema = None;
    settings.inline_subschemas = true;
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    if let Value::Object(schema) = &mut schema {
        // The name of a Rust type tells the author of a document nothing.
        schema.remove("title");
    }
    schema
}

/// Puts the manifest together. `rest` is what the attribute knew when it was compiled: the inside of a JSON object.
pub fn manifest(rest: &str, version: &str, schema: &Value) -> String {
    let version = Value::from(version);
    format!("{{{rest},\"version\":{version},\"inputSchema\":{schema}}}")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{manifest, schema_of};
    use crate::{Value, json};

    #[derive(Deserialize, schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Inputs {
        /// The folder.
        folder: String,
        /// How many are kept.
        keep: Option<u32>,
        inner: Vec<Inner>,
    }

    #[derive(Deserialize, schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Inner {
        name: String,
    }

    #[test]
    fn the_schema_comes_from_the_type_and_its_comments() {
        let schema = schema_of::<Inputs>();
        assert_eq!(schema["type"], "object");
        assert_eq!(schema["properties"]["folder"]["description"], "The folder.");
        assert_eq!(schema["required"], json!(["folder", "inner"]));
        assert!(!schema.to_string().contains("$ref"), "{schema}");
        assert!(schema.get("$schema").is_none() && schema.get("title").is_none());
        let text = manifest("\"actions\":[\"a:b\"]", "1.0", &schema);
        let manifest: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(manifest["version"], "1.0");
        assert_eq!(manifest["inputSchema"], schema);
    }
}
