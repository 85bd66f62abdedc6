"""Parameter Store."""

import base64
import concurrent.futures
import contextlib
import datetime
import json
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from conftest import REGION, Server, code_of, postgres_programs, wait_for

ACCOUNT = "000000000000"


def arn(name):
    return f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name.lstrip('/')}"


@pytest.fixture
def put(ssm):
    """Puts a parameter; its version."""

    def put(name, value="value", **more):
        more.setdefault("Type", "String")
        return ssm.put_parameter(Name=name, Value=value, **more)["Version"]

    return put


@pytest.fixture
def loose(server):
    """A client that sends what the model forbids."""
    return server.client(config=Config(retries={"max_attempts": 1}, parameter_validation=False))


def value_of(ssm, name, **more):
    return ssm.get_parameter(Name=name, **more)["Parameter"]["Value"]


def names_of(answer):
    return [parameter["Name"] for parameter in answer["Parameters"]]


def in_future(**delta):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**delta)


def expiration(at):
    return {"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": at.isoformat(timespec="milliseconds")}}


# Putting and getting.


def test_a_parameter_is_put_and_read(ssm, name):
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=5)
    done = ssm.put_parameter(Name=f" /{name}/a ", Value="ä, ö\n", Type="String", Description="umlauts")
    assert (done["Version"], done["Tier"]) == (1, "Standard")
    got = ssm.get_parameter(Name=f"/{name}/a")["Parameter"]
    assert before < got.pop("LastModifiedDate") < in_future(seconds=5)
    assert got == {
        "Name": f"/{name}/a",
        "Type": "String",
        "Value": "ä, ö\n",
        "Version": 1,
        "ARN": arn(f"/{name}/a"),
        "DataType": "text",
    }
    (described,) = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [f"/{name}/a"]}])["Parameters"]
    described.pop("LastModifiedDate")
    assert described == {
        "Name": f"/{name}/a",
        "ARN": arn(f"/{name}/a"),
        "Type": "String",
        "LastModifiedUser": f"arn:aws:iam::{ACCOUNT}:user/test-admin",
        "Description": "umlauts",
        "Version": 1,
        "Tier": "Standard",
        "Policies": [],
        "DataType": "text",
    }


def test_overwriting_makes_versions(ssm, put, name):
    put(name, "one", Description="d", AllowedPattern="[a-z]+")
    code, status, message = code_of(ssm.put_parameter, Name=name, Value="two", Type="String")
    assert (code, status) == ("ParameterAlreadyExists", 400)
    assert message == "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."
    assert ssm.put_parameter(Name=name, Value="two", Overwrite=True)["Version"] == 2
    assert ssm.put_parameter(Name=name, Value="two", Overwrite=True)["Version"] == 3
    refused = code_of(ssm.put_parameter, Name=name, Value="4", Overwrite=True)
    assert refused[:2] == ("ParameterPatternMismatchException", 400)
    refused = code_of(ssm.put_parameter, Name=name, Value="four", Type="SecureString", Overwrite=True)
    assert refused[:2] == ("HierarchyTypeMismatchException", 400)
    # What was refused took no version.
    assert ssm.put_parameter(Name=name, Value="4", Overwrite=True, AllowedPattern="")["Version"] == 4
    history = ssm.get_parameter_history(Name=name)["Parameters"]
    assert [(entry["Version"], entry["Value"]) for entry in history] == [(1, "one"), (2, "two"), (3, "two"), (4, "4")]
    assert [entry.get("AllowedPattern") for entry in history] == ["[a-z]+"] * 3 + [None]
    assert {entry["Description"] for entry in history} == {"d"}
    # Overwriting what there is not creates it.
    assert put(f"{name}-new", Overwrite=True) == 1


@pytest.mark.parametrize(
    "code, arguments",
    [
        ("ValidationException", {"Name": "a b"}),
        ("ValidationException", {"Name": "a:1"}),
        ("ValidationException", {"Name": "a/b"}),
        ("ValidationException", {"Name": "/a/"}),
        ("ValidationException", {"Name": "awsome"}),
        ("ValidationException", {"Name": "/ssm/x"}),
        ("ValidationException", {"Name": "x" * 1012}),
        ("AccessDeniedException", {"Name": "/aws/x"}),
        ("HierarchyLevelLimitExceededException", {"Name": "/l" * 16}),
        ("ValidationException", {"Value": ""}),
        ("ValidationException", {"Value": "{{ssm:x}}"}),
        ("ValidationException", {"Value": "x" * 4097}),
        ("ValidationException", {"Value": "x" * 8193, "Tier": "Advanced"}),
        ("ValidationException", {"Value": "ä" * 2049}),
        ("ValidationException", {"Type": None}),
        ("ValidationException", {"Description": "x" * 1025}),
        ("ValidationException", {"KeyId": "alias/mine"}),
        ("ValidationException", {"KeyId": "not good!", "Type": "SecureString"}),
        ("InvalidKeyId", {"KeyId": "mine", "Type": "SecureString"}),
        ("InvalidAllowedPatternException", {"AllowedPattern": "("}),
        ("ParameterPatternMismatchException", {"AllowedPattern": r"^\d+$"}),
        ("ValidationException", {"DataType": "number"}),
        ("ValidationException", {"DataType": "integer"}),
        ("ValidationException", {"DataType": "aws:ec2:image"}),
        ("ValidationException", {"Overwrite": True, "Tags": [{"Key": "a", "Value": "b"}]}),
        ("ValidationException", {"Tags": [{"Key": "aws:a", "Value": "b"}]}),
        ("ValidationException", {"Policies": "soon", "Tier": "Advanced"}),
        ("ValidationException", {"Policies": json.dumps([expiration(in_future(days=1))])}),
    ],
)
def test_what_cannot_be_put(ssm, name, code, arguments):
    arguments = {"Name": name, "Value": "value", "Type": "String", **arguments}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    assert code_of(ssm.put_parameter, **arguments)[:2] == (code, 400)


def test_refusals_of_names_and_types_are_in_the_words_of_aws(ssm, loose, name):
    message = code_of(ssm.put_parameter, Name=name, Value="x")[2]
    assert message == "A parameter type is required when you create a parameter."
    message = code_of(ssm.put_parameter, Name="/aws/x", Value="x", Type="String")[2]
    assert message == "No access to reserved parameter name: /aws/x."
    message = code_of(ssm.put_parameter, Name="ssmx", Value="x", Type="String")[2]
    assert message == 'Parameter name: can\'t be prefixed with "aws" or "ssm" (case-insensitive).'
    code, _, message = code_of(loose.put_parameter, Name=name, Value="x", Type="Number")
    assert code == "ValidationException" and "Member must satisfy enum value set" in message
    names = [f"{name}-{number}" for number in range(11)]
    message = code_of(loose.get_parameters, Names=names)[2]
    assert message.startswith("1 validation error detected: Value '[")
    assert "at 'names' failed to satisfy constraint: Member must have length less than or equal to 10" in message


def test_tiers(ssm, put, name):
    def tier(value, **more):
        return ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True, **more)["Tier"]

    assert tier("x" * 4096) == "Standard"
    assert tier("x" * 4096, Tier="Intelligent-Tiering") == "Standard"
    assert tier("x" * 8192, Tier="Intelligent-Tiering") == "Advanced"
    assert tier("x") == "Advanced"
    refused = code_of(ssm.put_parameter, Name=name, Value="x", Overwrite=True, Tier="Standard")
    assert refused[:2] == ("ValidationException", 400) and "can't downgrade" in refused[2]
    assert [entry["Tier"] for entry in ssm.get_parameter_history(Name=name)["Parameters"]] == [
        "Standard",
        "Standard",
        "Advanced",
        "Advanced",
    ]


def test_data_types_are_kept(ssm, put, name):
    put(f"{name}-i", "443", DataType="integer")
    put(f"{name}-a", "ami-0123456789abcdef0", DataType="aws:ec2:image")
    put(f"{name}-j", '{"a": 1}', DataType="json", Tier="Intelligent-Tiering")
    got = ssm.get_parameter(Name=f"{name}-i")["Parameter"]
    assert (got["Value"], got["DataType"]) == ("443", "integer")
    assert code_of(ssm.put_parameter, Name=f"{name}-i", Value="x", Overwrite=True)[0] == "ValidationException"
    filters = [{"Key": "DataType", "Values": ["integer", "json"]}, {"Key": "Name", "Option": "BeginsWith", "Values": [name]}]
    assert names_of(ssm.describe_parameters(ParameterFilters=filters)) == [f"{name}-i", f"{name}-j"]


def test_what_is_not_there_cannot_be_read(ssm, put, name):
    assert code_of(ssm.get_parameter, Name=name) == ("ParameterNotFound", 400, "")
    assert code_of(ssm.get_parameter, Name=f"{name}:1")[:2] == ("ParameterNotFound", 400)
    assert code_of(ssm.get_parameter, Name="/aws/reference/secretsmanager/a+b")[:2] == ("ParameterNotFound", 400)
    foreign = f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/{name}"
    assert code_of(ssm.get_parameter, Name=foreign)[:2] == ("ParameterNotFound", 400)
    for call, more in [
        (ssm.get_parameter_history, {}),
        (ssm.delete_parameter, {}),
        (ssm.label_parameter_version, {"Labels": ["a"]}),
        (ssm.unlabel_parameter_version, {"Labels": ["a"], "ParameterVersion": 1}),
    ]:
        assert code_of(call, Name=name, **more) == ("ParameterNotFound", 400, f"Parameter {name} not found.")
    put(name)
    code, status, message = code_of(ssm.get_parameter, Name=f"{name}:2")
    assert (code, status) == ("ParameterVersionNotFound", 400)
    assert message == f"Systems Manager could not find version 2 of {name}. Verify the version and try again."
    assert code_of(ssm.get_parameter, Name=f"{name}:prod")[:2] == ("ParameterVersionNotFound", 400)
    for wrong in ["a b", "a:1:2", "a:", "{{a}}"]:
        assert code_of(ssm.get_parameter, Name=wrong)[:2] == ("ValidationException", 400)


def test_several_are_read_at_once(ssm, put, name):
    for number in range(3):
        put(f"/{name}/{number}", str(number))
    put(f"/{name}/1", "new", Overwrite=True)
    names = [f"/{name}/2", f"/{name}/1:1", f"/{name}/1", f"/{name}/x", f"/{name}/0:9", arn(f"/{name}/0")]
    got = ssm.get_parameters(Names=names)
    assert [(entry["Name"], entry["Value"], entry.get("Selector")) for entry in got["Parameters"]] == [
        (f"/{name}/2", "2", None),
        (f"/{name}/1", "1", ":1"),
        (f"/{name}/1", "new", None),
        (f"/{name}/0", "0", None),
    ]
    assert got["InvalidParameters"] == [f"/{name}/x", f"/{name}/0:9"]


def test_versions_labels_and_arns_select(ssm, put, name):
    for value in ("one", "two", "three"):
        put(name, value, Overwrite=True)
    ssm.label_parameter_version(Name=name, ParameterVersion=2, Labels=["prod"])
    for selector, value, version in [("", "three", 3), (":1", "one", 1), (":prod", "two", 2)]:
        for way in (name, arn(name)):
            got = ssm.get_parameter(Name=way + selector)["Parameter"]
            assert (got["Name"], got["Value"], got["Version"]) == (name, value, version)
            assert got.get("Selector", "") == selector and got["ARN"] == arn(name)
    # Of an ARN it cannot be told whether the name begins with a slash.
    put(f"/{name}-x", "slash")
    assert value_of(ssm, arn(f"{name}-x")) == "slash"


# Labels and history.


def test_labels_move_and_go(ssm, put, name):
    put(name, "one")
    put(name, "two", Overwrite=True)
    done = ssm.label_parameter_version(Name=name, ParameterVersion=1, Labels=["prod", "1st", "awsome", "a b", "beta"])
    assert done["ParameterVersion"] == 1 and sorted(done["InvalidLabels"]) == ["1st", "a b", "awsome"]
    done = ssm.label_parameter_version(Name=name, Labels=["prod"])
    assert (done["ParameterVersion"], done["InvalidLabels"]) == (2, [])
    labels = [entry["Labels"] for entry in ssm.get_parameter_history(Name=name)["Parameters"]]
    assert labels == [["beta"], ["prod"]]
    done = ssm.unlabel_parameter_version(Name=name, ParameterVersion=2, Labels=["prod", "beta", "none"])
    assert (done["RemovedLabels"], sorted(done["InvalidLabels"])) == (["prod"], ["beta", "none"])
    assert code_of(ssm.get_parameter, Name=f"{name}:prod")[0] == "ParameterVersionNotFound"
    assert value_of(ssm, f"{name}:beta") == "one"
    for call in (ssm.label_parameter_version, ssm.unlabel_parameter_version):
        refused = code_of(call, Name=name, ParameterVersion=9, Labels=["prod"])
        assert refused[:2] == ("ParameterVersionNotFound", 400)
        assert refused[2] == f"Systems Manager could not find version 9 of {name}. Verify the version and try again."


def test_a_version_has_ten_labels(ssm, loose, put, name):
    put(name)
    labels = [f"label-{number}" for number in range(10)]
    ssm.label_parameter_version(Name=name, Labels=labels)
    ssm.label_parameter_version(Name=name, Labels=labels[:3])
    refused = code_of(ssm.label_parameter_version, Name=name, Labels=["eleventh"])
    assert refused[:2] == ("ParameterVersionLabelLimitExceeded", 400)
    assert ssm.get_parameter_history(Name=name)["Parameters"][0]["Labels"] == labels
    refused = code_of(loose.label_parameter_version, Name=name, Labels=["x" * 101])
    assert refused[:2] == ("ValidationException", 400)


def test_a_hundred_versions_are_kept(ssm, put, name):
    for number in range(1, 103):
        put(name, str(number), Overwrite=True)
    pages = ssm.get_paginator("get_parameter_history").paginate(Name=name, PaginationConfig={"PageSize": 30})
    pages = [[entry["Version"] for entry in page["Parameters"]] for page in pages]
    assert [len(page) for page in pages] == [30, 30, 30, 10]
    assert sum(pages, []) == list(range(3, 103))
    assert code_of(ssm.get_parameter, Name=f"{name}:2")[0] == "ParameterVersionNotFound"
    ssm.label_parameter_version(Name=name, ParameterVersion=3, Labels=["keep"])
    refused = code_of(ssm.put_parameter, Name=name, Value="x", Overwrite=True)
    assert refused[:2] == ("ParameterMaxVersionLimitExceeded", 400)
    assert "Version 3, the oldest version, can't be deleted because it has a label associated with it." in refused[2]
    assert value_of(ssm, name) == "102"
    ssm.unlabel_parameter_version(Name=name, ParameterVersion=3, Labels=["keep"])
    assert put(name, "x", Overwrite=True) == 103


def test_an_account_has_10000_standard_parameters(tmp_path):
    """As many more are counted as would take long to put."""
    with Server(tmp_path) as server:
        ssm = server.client()
        ssm.put_parameter(Name="last", Value="x", Type="String")
        assert server.stop() == 0
        (database,) = tmp_path.rglob("server.db")
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE parameter_counts SET count = 10000 WHERE tier = 'Standard'")
        server.start()
        refused = code_of(ssm.put_parameter, Name="more", Value="x", Type="String")
        assert refused[:2] == ("ParameterLimitExceeded", 400) and "(10000)" in refused[2], refused
        assert ssm.put_parameter(Name="last", Value="y", Overwrite=True)["Version"] == 2
        assert ssm.put_parameter(Name="more", Value="x", Type="String", Tier="Advanced")["Version"] == 1
        ssm.delete_parameter(Name="last")
        assert ssm.put_parameter(Name="standard", Value="x", Type="String")["Tier"] == "Standard"
        assert server.stop() == 0


# Hierarchies and lists.


def test_levels_of_the_hierarchy_are_listed(ssm, put, name):
    for path in ("a", "b", "c/d", "c/d/e", "c-x", "c0"):
        put(f"/{name}/{path}", path)
    put(f"/{name}", "level itself")

    def under(path, **more):
        listed = ssm.get_parameters_by_path(Path=path, **more)
        return [parameter.removeprefix(f"/{name}/") for parameter in names_of(listed)]

    assert under(f"/{name}") == ["a", "b", "c-x", "c0"]
    assert under(f"/{name}/") == under(f"/{name}")
    assert under(f"/{name}", Recursive=True) == ["a", "b", "c-x", "c/d", "c/d/e", "c0"]
    assert under(f"/{name}/c") == ["c/d"]
    assert under(f"/{name}/c", Recursive=True) == ["c/d", "c/d/e"]
    assert under(f"/{name}/none") == [] and under("/aws/service") == []
    listed = ssm.get_parameters_by_path(Path=f"/{name}/c")["Parameters"]
    assert (listed[0]["Value"], listed[0]["ARN"]) == ("c/d", arn(f"/{name}/c/d"))
    paginator = ssm.get_paginator("get_parameters_by_path")
    pages = list(paginator.paginate(Path=f"/{name}", Recursive=True, PaginationConfig={"PageSize": 4}))
    assert [len(page["Parameters"]) for page in pages] == [4, 2] and "NextToken" not in pages[-1]
    assert len({parameter for page in pages for parameter in names_of(page)}) == 6
    for path in ("a", "//", "/a//b", "/a b"):
        assert code_of(ssm.get_parameters_by_path, Path=path)[:2] == ("ValidationException", 400)
    root = ssm.get_paginator("get_parameters_by_path").paginate(Path="/")
    assert f"/{name}" in [parameter for page in root for parameter in names_of(page)]


def test_paths_are_filtered(ssm, put, name):
    put(f"/{name}/s", "1")
    put(f"/{name}/l", "1,2", Type="StringList")
    put(f"/{name}/x", "1", Type="SecureString", KeyId="alias/mine")
    put(f"/{name}/s", "2", Overwrite=True)
    put(f"/{name}/s", "3", Overwrite=True)
    ssm.label_parameter_version(Name=f"/{name}/s", ParameterVersion=1, Labels=["old", "older"])
    ssm.label_parameter_version(Name=f"/{name}/s", ParameterVersion=2, Labels=["new"])

    def under(*filters, **more):
        filters = [dict(zip(("Key", "Option", "Values"), entry)) for entry in filters]
        listed = ssm.get_parameters_by_path(Path=f"/{name}", ParameterFilters=filters, **more)
        return [(parameter["Name"][-1], parameter["Version"]) for parameter in listed["Parameters"]]

    assert under(("Type", "Equals", ["String", "StringList"])) == [("l", 1), ("s", 3)]
    assert under(("Type", "BeginsWith", ["String"])) == [("l", 1), ("s", 3)]
    assert under(("KeyId", "Equals", ["alias/mine"])) == [("x", 1)]
    assert under(("KeyId", "BeginsWith", ["alias/"]), ("Type", "Equals", ["String"])) == []
    assert under(("Label", "Equals", ["old", "older"])) == [("s", 1)]
    assert under(("Label", "Equals", ["old", "new"])) == [("s", 1), ("s", 2)]
    assert under(("Label", "Equals", ["none"])) == []
    paginator = ssm.get_paginator("get_parameters_by_path").paginate(
        Path=f"/{name}",
        ParameterFilters=[{"Key": "Label", "Values": ["old", "new"]}],
        PaginationConfig={"PageSize": 1},
    )
    assert [[parameter["Value"] for parameter in page["Parameters"]] for page in paginator] == [["1"], ["2"]]
    for code, entry in [
        ("InvalidFilterKey", ("Name", "Equals", ["a"])),
        ("InvalidFilterKey", ("tag:a", "Equals", ["a"])),
        ("InvalidFilterOption", ("Label", "BeginsWith", ["a"])),
        ("InvalidFilterOption", ("Type", "Recursive", ["String"])),
        ("InvalidFilterValue", ("Type", "Equals", ["Number"])),
    ]:
        with pytest.raises(ClientError) as refused:
            under(entry)
        assert refused.value.response["Error"]["Code"] == code


def test_parameters_are_described(ssm, put, name):
    put(f"/{name}/a", Tags=[{"Key": "Stage", "Value": f"prod-{name}"}])
    put(f"/{name}/b_c", Tags=[{"Key": "Stage", "Value": f"test-{name}"}, {"Key": "Only", "Value": ""}])
    put(f"/{name}/c/d", "1,2", Type="StringList", Tier="Advanced")
    put(f"/{name}/e", Type="SecureString", KeyId="alias/mine")

    def listed(*filters):
        filters = [dict(zip(("Key", "Option", "Values"), entry)) for entry in filters]
        answer = ssm.describe_parameters(ParameterFilters=filters)
        return [parameter.removeprefix(f"/{name}/") for parameter in names_of(answer)]

    mine = ("Path", "Recursive", [f"/{name}"])
    assert listed(mine) == ["a", "b_c", "c/d", "e"]
    assert listed(("Path", "OneLevel", [f"/{name}"])) == ["a", "b_c", "e"]
    assert listed(("Path", "OneLevel", [f"/{name}", f"/{name}/c"])) == ["a", "b_c", "c/d", "e"]
    assert listed(("Name", "Equals", [f"/{name}/a", f"/{name}/e"])) == ["a", "e"]
    assert listed(("Name", "BeginsWith", [f"/{name}/c"])) == ["c/d"]
    assert listed(("Name", "Contains", [f"{name}/b_"])) == ["b_c"]
    assert listed(("Name", "Contains", [f"{name}_b_c"])) == []
    assert listed(mine, ("Type", "Equals", ["SecureString"])) == ["e"]
    assert listed(mine, ("KeyId", "Equals", ["alias/mine"])) == ["e"]
    assert listed(mine, ("Tier", "Equals", ["Advanced"])) == ["c/d"]
    assert listed(("tag:Stage", "Equals", [f"prod-{name}", f"test-{name}"])) == ["a", "b_c"]
    assert listed(("tag:Stage", "BeginsWith", [f"prod-{name}"])) == ["a"]
    assert ssm.describe_parameters(ParameterFilters=[{"Key": "tag:Only"}, dict(zip(("Key", "Option", "Values"), mine))])[
        "Parameters"
    ][0]["Name"].endswith("b_c")
    old = ssm.describe_parameters(Filters=[{"Key": "Name", "Values": [f"/{name}/"]}, {"Key": "Type", "Values": ["String"]}])
    assert len(old["Parameters"]) == 2
    assert ssm.describe_parameters(Shared=True)["Parameters"] == []
    secret = [entry for entry in ssm.describe_parameters(Filters=[{"Key": "Name", "Values": [f"/{name}/e"]}])["Parameters"]]
    assert secret[0]["KeyId"] == "alias/mine" and "Value" not in secret[0]


def test_wrong_filters_are_refused(ssm, loose, name):
    for code, filters in [
        ("InvalidFilterKey", [{"Key": "Label", "Values": ["a"]}]),
        ("InvalidFilterKey", [{"Key": "Name", "Values": ["a"]}] * 2),
        ("InvalidFilterOption", [{"Key": "Name", "Option": "OneLevel", "Values": ["a"]}]),
        ("InvalidFilterOption", [{"Key": "Path", "Option": "Equals", "Values": ["/a"]}]),
        ("InvalidFilterValue", [{"Key": "Name"}]),
        ("InvalidFilterValue", [{"Key": "Type", "Values": ["Number"]}]),
        ("InvalidFilterValue", [{"Key": "Name", "Values": ["a\0"]}]),
        ("ValidationException", [{"Key": "Path", "Values": ["a"]}]),
        ("ValidationException", [{"Key": "Nothing", "Values": ["a"]}]),
    ]:
        assert code_of(ssm.describe_parameters, ParameterFilters=filters)[:2] == (code, 400), filters
    both = {"Filters": [{"Key": "Name", "Values": ["a"]}], "ParameterFilters": [{"Key": "Name", "Values": ["a"]}]}
    assert code_of(ssm.describe_parameters, **both)[:2] == ("ValidationException", 400)
    for call, more in [
        (ssm.describe_parameters, {}),
        (ssm.get_parameters_by_path, {"Path": "/"}),
        (ssm.get_parameter_history, {"Name": name}),
    ]:
        assert code_of(call, NextToken="made-up", **more)[:2] == ("InvalidNextToken", 400)
    assert code_of(loose.get_parameters_by_path, Path="/", MaxResults=11)[:2] == ("ValidationException", 400)
    assert code_of(loose.describe_parameters, MaxResults=51)[:2] == ("ValidationException", 400)


def test_descriptions_are_paged_to_the_end(ssm, put, name):
    expected = [f"{name}-{number:02}" for number in range(23)]
    for parameter in expected:
        put(parameter)
    pages = ssm.get_paginator("describe_parameters").paginate(
        ParameterFilters=[{"Key": "Name", "Option": "BeginsWith", "Values": [name]}], PaginationConfig={"PageSize": 10}
    )
    pages = [names_of(page) for page in pages]
    assert [len(page) for page in pages] == [10, 10, 3] and sum(pages, []) == expected


# Deleting, and tags.


def test_parameters_are_deleted(ssm, put, name):
    for number in range(4):
        put(f"{name}-{number}", Tags=[{"Key": "a", "Value": "b"}])
    ssm.label_parameter_version(Name=f"{name}-0", Labels=["prod"])
    assert ssm.delete_parameter(Name=f"{name}-0").keys() == {"ResponseMetadata"}
    assert code_of(ssm.get_parameter, Name=f"{name}-0")[0] == "ParameterNotFound"
    done = ssm.delete_parameters(Names=[f"{name}-{number}" for number in range(3)] + ["a b"])
    assert done["DeletedParameters"] == [f"{name}-1", f"{name}-2"]
    assert sorted(done["InvalidParameters"]) == sorted([f"{name}-0", "a b"])
    # One that comes again has nothing of the one that went.
    assert put(f"{name}-0", "again") == 1
    assert ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=f"{name}-0")["TagList"] == []
    (version,) = ssm.get_parameter_history(Name=f"{name}-0")["Parameters"]
    assert (version["Value"], version["Labels"]) == ("again", [])


def test_parameters_have_tags(ssm, put, name):
    put(f"/{name}/a", Tags=[{"Key": "Stage", "Value": "prod"}])
    resource = {"ResourceType": "Parameter", "ResourceId": f"/{name}/a"}
    ssm.add_tags_to_resource(**{**resource, "ResourceId": arn(f"/{name}/a")}, Tags=[{"Key": "Team", "Value": "x"}])
    tags = [{"Key": "Stage", "Value": "prod"}, {"Key": "Team", "Value": "x"}]
    assert ssm.list_tags_for_resource(**resource)["TagList"] == tags
    ssm.remove_tags_from_resource(**resource, TagKeys=["Stage", "None"])
    assert ssm.list_tags_for_resource(**{**resource, "ResourceId": arn(f"/{name}/a")})["TagList"] == tags[1:]
    for wrong in (name, f"/{name}/a:1", "a b"):
        refused = code_of(ssm.list_tags_for_resource, ResourceType="Parameter", ResourceId=wrong)
        assert refused[:2] == ("InvalidResourceId", 400)


# Secrets.


def test_a_secret_is_sealed(server, ssm, put, name):
    secret = f"plain text of {name}"
    put(name, secret, Type="SecureString")
    put(name, f"{secret} two", Type="SecureString", Overwrite=True, KeyId="alias/mine")
    sealed = ssm.get_parameter(Name=name)["Parameter"]
    assert sealed["Type"] == "SecureString"
    assert len(base64.b64decode(sealed["Value"], validate=True)) > len(secret)
    assert value_of(ssm, name, WithDecryption=True) == f"{secret} two"
    assert value_of(ssm, f"{name}:1", WithDecryption=True) == secret
    history = ssm.get_parameter_history(Name=name, WithDecryption=True)["Parameters"]
    assert [(entry["Value"], entry["KeyId"]) for entry in history] == [
        (secret, "alias/aws/ssm"),
        (f"{secret} two", "alias/mine"),
    ]
    assert secret not in str(ssm.get_parameter_history(Name=name))
    put(f"{name}-plain", secret.upper())
    assert value_of(ssm, f"{name}-plain", WithDecryption=True) == secret.upper()
    # Neither is it in what the database holds; what is not secret is, so that this finds what there is.
    dump = contents(server)
    assert secret.encode() not in dump and secret.encode().hex().encode() not in dump
    assert secret.upper().encode() in dump or secret.upper().encode().hex().encode() in dump


def contents(server):
    """All bytes of the state folder, and of a dump of the database in PostgreSQL."""
    files = [path for path in Path(server.state).rglob("*") if path.is_file()]
    data = b"".join(path.read_bytes() for path in files)
    if "--store" in server.place:
        url = server.place[server.place.index("--store") + 1]
        dump = os.path.join(postgres_programs(), "pg_dump")
        data += subprocess.run([dump, url], capture_output=True, check=True).stdout
    return data


def test_who_may_only_read_does_not_decrypt(server, put, name):
    put(f"/{name}/secret", "hunter2", Type="SecureString")
    put(f"/{name}/plain", "known")
    reader, operator = server.client("read-only"), server.client("operator")
    assert value_of(operator, f"/{name}/secret", WithDecryption=True) == "hunter2"
    assert value_of(reader, f"/{name}/plain", WithDecryption=True) == "known"
    assert value_of(reader, f"/{name}/secret") != "hunter2"
    for call, arguments in [
        (reader.get_parameter, {"Name": f"/{name}/secret"}),
        (reader.get_parameters, {"Names": [f"/{name}/plain", f"/{name}/secret"]}),
        (reader.get_parameters_by_path, {"Path": f"/{name}"}),
        (reader.get_parameter_history, {"Name": f"/{name}/secret"}),
    ]:
        code, status, message = code_of(call, **arguments, WithDecryption=True)
        assert (code, status) == ("AccessDeniedException", 400) and "kms:Decrypt" in message
        call(**arguments)
    for call, arguments in [
        (reader.put_parameter, {"Name": name, "Value": "x", "Type": "String"}),
        (reader.delete_parameter, {"Name": f"/{name}/plain"}),
        (reader.delete_parameters, {"Names": [f"/{name}/plain"]}),
        (reader.label_parameter_version, {"Name": f"/{name}/plain", "Labels": ["a"]}),
        (reader.unlabel_parameter_version, {"Name": f"/{name}/plain", "Labels": ["a"], "ParameterVersion": 1}),
    ]:
        assert code_of(call, **arguments)[:2] == ("AccessDeniedException", 400)
    assert len(reader.describe_parameters(Filters=[{"Key": "Name", "Values": [f"/{name}/"]}])["Parameters"]) == 2


# Policies.


def test_policies_are_listed_kept_and_taken_away(ssm, put, name):
    policies = [
        expiration(in_future(days=10)),
        {"Type": "ExpirationNotification", "Version": "1.0", "Attributes": {"Before": "11", "Unit": "Days"}},
        {"Type": "NoChangeNotification", "Version": "1.0", "Attributes": {"After": "20", "Unit": "Hours"}},
    ]

    def listed():
        (described,) = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [name]}])["Parameters"]
        return described["Policies"]

    done = ssm.put_parameter(
        Name=name, Value="1", Type="String", Tier="Intelligent-Tiering", Policies=json.dumps(policies)
    )
    assert done["Tier"] == "Advanced"
    assert [json.loads(policy["PolicyText"]) for policy in listed()] == policies
    assert [(policy["PolicyType"], policy["PolicyStatus"]) for policy in listed()] == [
        ("Expiration", "Pending"),
        ("ExpirationNotification", "Finished"),
        ("NoChangeNotification", "Pending"),
    ]
    put(name, "2", Overwrite=True)
    assert len(listed()) == 3
    put(name, "3", Overwrite=True, Policies="[{}]")
    assert listed() == []
    assert [len(entry["Policies"]) for entry in ssm.get_parameter_history(Name=name)["Parameters"]] == [3, 3, 0]


def test_wrong_policies_are_refused(ssm, name):
    notice = {"Type": "ExpirationNotification", "Version": "1.0", "Attributes": {"Before": "15", "Unit": "Days"}}
    unchanged = {"Type": "NoChangeNotification", "Version": "1.0", "Attributes": {"After": "1", "Unit": "Days"}}
    later = expiration(in_future(days=1))
    for code, policies in [
        ("PoliciesLimitExceededException", [unchanged] * 11),
        ("InvalidPolicyTypeException", [{**unchanged, "Type": "Other"}]),
        ("InvalidPolicyAttributeException", [{**unchanged, "Version": "2.0"}]),
        ("InvalidPolicyAttributeException", [{**unchanged, "Attributes": {"After": "1", "Unit": "Weeks"}}]),
        ("InvalidPolicyAttributeException", [expiration(in_future(days=-1))]),
        ("IncompatiblePolicyException", [later, later]),
        ("IncompatiblePolicyException", [notice]),
    ]:
        arguments = {"Name": name, "Value": "1", "Type": "String", "Tier": "Advanced", "Policies": json.dumps(policies)}
        assert code_of(ssm.put_parameter, **arguments)[:2] == (code, 400), policies


def test_a_parameter_expires(ssm, put, name):
    soon, later = in_future(seconds=1.5), in_future(hours=1)
    put(f"{name}-a", Tier="Advanced", Policies=json.dumps([expiration(soon)]))
    put(f"{name}-b", Tier="Advanced", Policies=json.dumps([expiration(soon)]))
    put(f"{name}-b", Overwrite=True, Policies=json.dumps([expiration(later)]))
    assert value_of(ssm, f"{name}-a") == "value"

    def gone():
        return ssm.get_parameters(Names=[f"{name}-a"])["InvalidParameters"]

    wait_for(gone, "the end of a parameter", 15)
    assert datetime.datetime.now(datetime.timezone.utc) >= soon
    assert value_of(ssm, f"{name}-b") == "value"
    # The name is free again.
    assert put(f"{name}-a") == 1


# Many at once.


def test_thirty_put_one_name(server, name):
    clients = [server.client() for _ in range(30)]

    def work(client, number):
        done = client.put_parameter(Name=name, Value=str(number), Type="String", Overwrite=True)
        return done["Version"], str(number)

    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        done = dict(pool.map(work, clients, range(30)))
    assert sorted(done) == list(range(1, 31))
    history = clients[0].get_parameter_history(Name=name)["Parameters"]
    assert {entry["Version"]: entry["Value"] for entry in history} == done
    assert value_of(clients[0], name) == done[30]


def test_one_of_many_creates(server, name):
    clients = [server.client() for _ in range(20)]

    def work(client):
        try:
            return client.put_parameter(Name=name, Value="x", Type="String")["Version"]
        except ClientError as error:
            return error.response["Error"]["Code"]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        done = list(pool.map(work, clients))
    assert done.count(1) == 1 and done.count("ParameterAlreadyExists") == 19


def test_many_delete_put_and_label_the_same(server, name):
    clients = [server.client() for _ in range(12)]
    names = [f"{name}-{number}" for number in range(4)]
    allowed = {"ParameterNotFound", "ParameterVersionNotFound"}

    def work(pair):
        number, client = pair
        for turn in range(6):
            try:
                if number % 3 == 0:
                    client.delete_parameters(Names=names if turn % 2 else names[::-1])
                elif number % 3 == 1:
                    client.put_parameter(Name=names[turn % 4], Value="x", Type="String", Overwrite=True)
                else:
                    client.label_parameter_version(Name=names[turn % 4], Labels=["a"])
            except ClientError as error:
                if error.response["Error"]["Code"] not in allowed:
                    return error.response
        return None

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert list(pool.map(work, enumerate(clients))) == [None] * 12
    clients[0].delete_parameters(Names=names)
    filters = [{"Key": "Name", "Option": "BeginsWith", "Values": [name]}]
    assert clients[0].describe_parameters(ParameterFilters=filters)["Parameters"] == []
    # Nothing was left of any of them.
    for parameter in names:
        assert clients[0].put_parameter(Name=parameter, Value="x", Type="String")["Version"] == 1
        assert clients[0].get_parameter_history(Name=parameter)["Parameters"][0]["Labels"] == []
