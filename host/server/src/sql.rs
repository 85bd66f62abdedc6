//! Building a query whose conditions depend on a request.

use capstan_store::{Param, Row, StoreError, Transaction};

/// A query with its parameters. Values are never part of the text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    text: String,
    values: Vec<Value>,
}

#[derive(Debug, Clone)]
enum Value {
    Integer(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

#[expect(private_bounds, reason = "what can be bound is this module's matter")]
impl Query {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    /// Goes on with this text.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Goes on with a parameter.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
        self
    }

    /// Goes on with ` IN (…)`, or with what is never so for no values.
    pub(crate) fn one_of<T: Into<Value>>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.push(" IN (");
        let mut none = true;
        for value in values {
            if !std::mem::take(&mut none) {
                self.push(", ");
            }
            self.bind(value);
        }
        if none {
            self.push("NULL");
        }
        self.push(")")
    }

    /// Goes on with ` LIKE` for texts that begin with this one, whatever signs are in it.
    pub(crate) fn begins_with(&mut self, prefix: &str) -> &mut Self {
        let mut pattern = String::with_capacity(prefix.len() + 1);
        for character in prefix.chars() {
            if matches!(character, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push('%');
        self.push(" LIKE ").bind(pattern).push(" ESCAPE '\\'")
    }

    /// The rows.
    pub(crate) fn run(&self, tx: &mut Transaction<'_>) -> Result<Vec<Row>, StoreError> {
        let params: Vec<Param<'_>> = self
            .values
            .iter()
            .map(|value| match value {
                Value::Integer(value) => Param::Integer(*value),
                Value::Text(value) => Param::Text(value),
            })
            .collect();
        tx.query(&self.text, &params)
    }
}
