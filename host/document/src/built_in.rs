//! The documents that are a part of the program: with the names and parameters that SSM's users know, in our own words.

/// The name and the text of a file of `documents/`.
macro_rules! document {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../documents/", $name, ".yaml")),
        )
    };
}

const DOCUMENTS: &[(&str, &str)] = &[
    document!("AWS-RunShellScript"),
    document!("AWS-RunPowerShellScript"),
    document!("AWS-RunDocument"),
    document!("AWS-ConfigureAWSPackage"),
    document!("AWS-UpdateSSMAgent"),
    document!("AWS-Noop"),
];

/// The names and texts of the documents that are always there.
#[must_use]
pub fn built_in() -> &'static [(&'static str, &'static str)] {
    DOCUMENTS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::built_in;
    use crate::Document;

    #[test]
    fn the_built_in_documents_are_well_formed() {
        for (name, text) in built_in() {
            Document::parse(text, name).unwrap();
        }
    }
}
