use super::{By, Filter, check};

#[test]
fn wrong_filters_are_told() {
    let filter = |key: &str, option: &str, values: &[&str]| Filter {
        key: key.to_owned(),
        option: (!option.is_empty()).then(|| option.to_owned()),
        values: (!values.is_empty())
            .then(|| values.iter().map(|value| (*value).to_owned()).collect()),
    };
    let two = |filter: Filter| vec![filter.clone(), filter];
    for (by, filters, expected) in [
        (By::Description, vec![], None),
        (
            By::Description,
            vec![
                filter("Name", "Contains", &["a"]),
                filter("Type", "", &["String"]),
            ],
            None,
        ),
        (By::Description, vec![filter("tag:a", "", &[])], None),
        (
            By::Description,
            vec![filter("tag:", "", &["a"])],
            Some("InvalidFilterKey"),
        ),
        (
            By::Description,
            vec![filter("Label", "", &["a"])],
            Some("InvalidFilterKey"),
        ),
        (
            By::Description,
            two(filter("Name", "", &["a"])),
            Some("InvalidFilterKey"),
        ),
        (
            By::Description,
            vec![filter("Name", "", &[])],
            Some("InvalidFilterValue"),
        ),
        (
            By::Description,
            vec![filter("Name", "OneLevel", &["a"])],
            Some("InvalidFilterOption"),
        ),
        (
            By::Description,
            vec![filter("KeyId", "Contains", &["a"])],
            Some("InvalidFilterOption"),
        ),
        (
            By::Description,
            vec![filter("Path", "Equals", &["/a"])],
            Some("InvalidFilterOption"),
        ),
        (
            By::Description,
            vec![filter("Path", "OneLevel", &["/a"])],
            None,
        ),
        (
            By::Description,
            vec![filter("Path", "", &["a"])],
            Some("ValidationException"),
        ),
        (
            By::Description,
            vec![filter("Type", "", &["Strange"])],
            Some("InvalidFilterValue"),
        ),
        (
            By::Description,
            vec![filter("Type", "BeginsWith", &["String"])],
            None,
        ),
        (
            By::Description,
            vec![filter("Tier", "", &["Gold"])],
            Some("InvalidFilterValue"),
        ),
        (
            By::Description,
            vec![filter("Name", "", &["a\0"])],
            Some("InvalidFilterValue"),
        ),
        (By::Path, vec![filter("Label", "", &["a"])], None),
        (
            By::Path,
            vec![filter("Label", "BeginsWith", &["a"])],
            Some("InvalidFilterOption"),
        ),
        (By::Path, vec![filter("Type", "BeginsWith", &["S"])], None),
        (
            By::Path,
            vec![filter("Name", "", &["a"])],
            Some("InvalidFilterKey"),
        ),
        (
            By::Path,
            vec![filter("tag:a", "", &["a"])],
            Some("InvalidFilterKey"),
        ),
    ] {
        let code = check(&filters, by).err().map(|error| error.code);
        assert_eq!(code.as_deref(), expected, "{filters:?}");
    }
}
