//! Reads where the outputs of commands may go, besides the answer: the server asks for it, the node's operator decides.

use capstan_syntax::Node;

use super::reader::Reader;
use crate::pattern::is_normal_path;

const OUTPUTS: &[&str] = &["folder", "s3"];
const BUCKET: &[&str] = &["bucket", "prefix", "region", "endpoint"];

/// Where a node leaves the whole outputs of commands. By default nowhere but in its own state folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs {
    /// A folder that gets those of each command.
    pub folder: Option<String>,
    /// Buckets that a command may name.
    pub s3: Vec<OutputBucket>,
}

/// A bucket that a command may name for its outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputBucket {
    /// Its name.
    pub bucket: String,
    /// What the command's prefix has to be or to be below; without it any.
    pub prefix: String,
    /// Its region; without it the node's.
    pub region: Option<String>,
    /// `http://…` or `https://…` of a service that speaks as S3, with the bucket in the path; without it AWS's.
    pub endpoint: Option<String>,
}

impl Outputs {
    /// The rule for a bucket and a prefix that a command names, if the operator has one.
    #[must_use]
    pub fn bucket(&self, name: &str, prefix: &str) -> Option<&OutputBucket> {
        let prefix = prefix.trim_matches('/');
        self.s3.iter().find(|rule| {
            let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
            rule.bucket == name
                && (rule.prefix.is_empty()
                    || prefix.strip_prefix(rule.prefix.as_str()).is_some_and(below))
                // Some services take a path apart: these would lead out of the prefix.
                && !prefix.split('/').any(|part| matches!(part, "." | ".."))
        })
    }
}

impl Reader {
    pub(super) fn outputs(&mut self, node: &Node) -> Outputs {
        let mut outputs = Outputs::default();
        for (key, node) in self.entries(node, "`outputs`", OUTPUTS) {
            if key == "folder" {
                let Some(text) = self.text(node, "`folder`") else {
                    continue;
                };
                if !is_normal_path(&text) {
                    self.problem(node, format!("`{text}` is not an absolute path"));
                }
                outputs.folder = Some(text);
                continue;
            }
            let Some(items) = node.as_list() else {
                self.problem(node, format!("`s3` is a list, not {}", node.kind()));
                continue;
            };
            for item in items {
                let bucket = self.bucket(item);
                outputs.s3.push(bucket);
            }
        }
        outputs
    }

    fn bucket(&mut self, node: &Node) -> OutputBucket {
        let mut bucket = OutputBucket::default();
        for (key, node) in self.entries(node, "a bucket", BUCKET) {
            let Some(text) = self.text(node, &format!("`{key}`")) else {
                continue;
            };
            match key {
                "bucket" => bucket.bucket = text,
                "prefix" => text.trim_matches('/').clone_into(&mut bucket.prefix),
                "region" => bucket.region = Some(text),
                _ => {
                    if !(text.starts_with("http://") || text.starts_with("https://")) {
                        self.problem(
                            node,
                            format!("`{text}` is no endpoint, such as https://s3.example.com"),
                        );
                    }
                    bucket.endpoint = Some(text);
                }
            }
        }
        if node.as_map().is_some() && node.get("bucket").is_none() {
            self.problem(node, "a bucket has a name: `bucket`");
        }
        bucket
    }
}
