//! The JSON Schema of the policy file.

use serde_json::{Value, json};

use crate::file::Policy;

impl Policy {
    /// A JSON Schema (draft 2020-12) for editors and other checkers.
    #[must_use]
    pub fn json_schema() -> Value {
        let texts = json!({ "type": "array", "items": { "type": "string" } });
        let amount = json!({ "type": ["integer", "string"], "description": "A number, or a size such as 64KiB or 2GiB." });
        let time = json!({ "type": ["integer", "string"], "description": "Milliseconds, or a time such as 90s, 2m or 1h30m." });
        let access = json!({ "enum": ["read-only", "read-write", "read", "list", "execute", "write", "create", "remove", "replace", "append"] });
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Capstan policy",
            "type": "object",
            "required": ["version"],
            "additionalProperties": false,
            "properties": {
                "version": { "const": 1 },
                "profile": { "enum": ["confined", "networked", "trusted-host"], "default": "confined" },
                "limits": { "$ref": "#/$defs/limits" },
                "runLimits": { "$ref": "#/$defs/limits" },
                "mayLack": { "type": "array", "items": { "enum": [
                    "landlock-files", "landlock-tcp", "landlock-scopes", "seccomp", "mount-namespace", "pid-namespace",
                    "network-namespace", "cgroup", "rlimits", "no-new-privs", "file-metadata", "setuid-files"] } },
                "publishers": {
                    "type": "object",
                    "description": "Whose signatures are known, and which actions and collectors take them.",
                    "additionalProperties": {
                        "type": "object",
                        "required": ["key"],
                        "additionalProperties": false,
                        "properties": {
                            "key": { "type": "string", "description": "A public key of minisign, one line." },
                            "actions": { "anyOf": [{ "type": "string" }, texts], "description": "Patterns of names." },
                        },
                    },
                },
                "outputs": {
                    "type": "object",
                    "description": "Where the whole outputs of a control plane's commands may go.",
                    "additionalProperties": false,
                    "properties": {
                        "folder": { "type": "string", "description": "A folder that gets those of each command." },
                        "s3": { "type": "array", "description": "Buckets that a command may name.", "items": {
                            "type": "object",
                            "required": ["bucket"],
                            "additionalProperties": false,
                            "properties": {
                                "bucket": { "type": "string" }, "prefix": { "type": "string" },
                                "region": { "type": "string" }, "endpoint": { "type": "string" },
                            },
                        } },
                    },
                },
                "rules": { "type": "array", "items": { "$ref": "#/$defs/rule" } },
            },
            "$defs": {
                "limits": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "fuel": amount, "memory": amount, "tableElements": amount, "instances": amount, "handles": amount,
                        "hostCallBytes": amount, "wall": time, "output": amount, "openFiles": amount, "processes": amount,
                        "childCpu": time, "childMemory": amount, "disk": amount, "httpRequests": amount, "httpBytes": amount,
                    },
                },
                "rule": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "id": { "type": "string" },
                        "description": { "type": "string" },
                        "match": {
                            "type": "object",
                            "additionalProperties": false,
                            "properties": {
                                "document": { "type": "string" }, "version": { "type": "string" },
                                "sha256": { "type": "string" }, "action": { "type": "string" },
                                "publisher": { "type": "string" }, "step": { "type": "string" },
                                "nodeTags": { "type": "object", "additionalProperties": { "type": "string" } },
                            },
                        },
                        "effect": { "enum": ["allow", "audit", "deny"], "default": "allow" },
                        "grants": { "$ref": "#/$defs/grants" },
                        "runAs": { "type": "object", "additionalProperties": false, "properties": { "user": { "type": ["string", "integer"] } } },
                        "limits": { "$ref": "#/$defs/limits" },
                    },
                },
                "grants": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "files": { "type": "array", "items": {
                            "type": "object",
                            "required": ["path", "access"],
                            "additionalProperties": false,
                            "properties": {
                                "path": { "type": "string" },
                                "access": { "anyOf": [access, { "type": "array", "items": access }] },
                                "except": texts,
                            },
                        } },
                        "hosts": { "type": "array", "items": { "anyOf": [{ "type": "string" }, {
                            "type": "object",
                            "required": ["host"],
                            "additionalProperties": false,
                            "properties": { "host": { "type": "string" }, "methods": texts, "private": { "type": "boolean" } },
                        }] } },
                        "secrets": { "type": "array", "items": { "anyOf": [{ "type": "string" }, {
                            "type": "object",
                            "required": ["name"],
                            "additionalProperties": false,
                            "properties": {
                                "name": { "type": "string" },
                                "uses": { "type": "array", "minItems": 1, "items": { "enum": ["header", "body", "environment", "stdin"] } },
                                "hosts": texts,
                            },
                        }] } },
                        "programs": texts, "sockets": texts, "parameters": texts, "environment": texts,
                        "documents": texts, "signing": texts,
                    },
                },
            },
        })
    }
}
