"""Documents: made, changed, described, listed, shared and deleted."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from conftest import code_of

YAML = """schemaVersion: '2.2'
description: Greets # somebody
parameters:
  who:
    type: String
    description: Whom to greet.
    default: world
  hosts: {type: StringList, default: [a, b]}
  must: {type: String}
mainSteps:
- name: greet
  action: aws:runShellScript
  precondition: {StringEquals: [platformType, Linux]}
  inputs:
    runCommand:
    - |
      echo "hello {{ who }}"
      echo {{ hosts }} {{ must }}
"""
RUNBOOK = {
    "schemaVersion": "0.3",
    "description": "Rests.",
    "parameters": {"Long": {"type": "String", "default": "PT1S"}},
    "mainSteps": [{"name": "rest", "action": "aws:sleep", "inputs": {"Duration": "{{ Long }}"}}],
}


def command(text="ls", **more):
    step = {"name": "a", "action": "aws:runShellScript", "inputs": {"runCommand": [text]}}
    return json.dumps({"schemaVersion": "2.2", "mainSteps": [step], **more})


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def made(ssm, name):
    """A command document with one version."""
    ssm.create_document(Name=name, Content=command())
    return name


def test_a_yaml_document_is_described(ssm, name):
    made = ssm.create_document(
        Name=name,
        Content=YAML,
        DocumentFormat="YAML",
        DisplayName="Say hello",
        VersionName="v1.0",
        TargetType="/AWS::EC2::Instance",
        Tags=[{"Key": "stage", "Value": "prod"}],
    )["DocumentDescription"]
    described = ssm.describe_document(Name=name)["Document"]
    assert made == described
    created = described.pop("CreatedDate")
    assert created.year > 2020
    assert described == {
        "Name": name,
        "DisplayName": "Say hello",
        "VersionName": "v1.0",
        "Owner": "000000000000",
        "Status": "Active",
        "DocumentVersion": "1",
        "LatestVersion": "1",
        "DefaultVersion": "1",
        "Description": "Greets",
        "DocumentType": "Command",
        "DocumentFormat": "YAML",
        "SchemaVersion": "2.2",
        "TargetType": "/AWS::EC2::Instance",
        "PlatformTypes": ["Linux"],
        "Hash": sha256(YAML),
        "HashType": "Sha256",
        "Parameters": [
            {"Name": "who", "Type": "String", "Description": "Whom to greet.", "DefaultValue": "world"},
            {"Name": "hosts", "Type": "StringList", "DefaultValue": '["a","b"]'},
            {"Name": "must", "Type": "String"},
        ],
        "Tags": [{"Key": "stage", "Value": "prod"}],
    }


def test_a_document_is_got_in_either_format(ssm, name):
    ssm.create_document(Name=name, Content=YAML, DocumentFormat="YAML", VersionName="one")
    as_stored = ssm.get_document(Name=name, DocumentFormat="YAML")
    assert (as_stored["Content"], as_stored["DocumentFormat"]) == (YAML, "YAML")
    # JSON is the default.
    as_json = ssm.get_document(Name=name)
    assert as_json["DocumentFormat"] == "JSON"
    value = json.loads(as_json["Content"])
    assert list(value) == ["schemaVersion", "description", "parameters", "mainSteps"]
    script = 'echo "hello {{ who }}"\necho {{ hosts }} {{ must }}\n'
    assert value["mainSteps"][0]["inputs"]["runCommand"] == [script]
    assert {key: as_json[key] for key in ("Name", "VersionName", "DocumentVersion", "Status", "DocumentType")} == {
        "Name": name,
        "VersionName": "one",
        "DocumentVersion": "1",
        "Status": "Active",
        "DocumentType": "Command",
    }
    # And the other way, to the same.
    ssm.update_document(Name=name, Content=as_json["Content"], DocumentVersion="$LATEST")
    as_yaml = ssm.get_document(Name=name, DocumentVersion="2", DocumentFormat="YAML")
    assert as_yaml["Content"].startswith('schemaVersion: "2.2"\ndescription: Greets\n')
    other = f"{name}-yaml"
    ssm.create_document(Name=other, Content=as_yaml["Content"], DocumentFormat="YAML")
    assert json.loads(ssm.get_document(Name=other)["Content"]) == value
    answer = code_of(ssm.get_document, Name=name, DocumentFormat="TEXT")
    assert answer[:2] == ("ValidationException", 400)


def test_versions_go_up_and_the_default_stays(ssm, made):
    updated = ssm.update_document(Name=made, Content=command("pwd"), DocumentVersion="$LATEST", VersionName="two")
    described = updated["DocumentDescription"]
    assert (described["DocumentVersion"], described["LatestVersion"], described["DefaultVersion"]) == ("2", "2", "1")
    ssm.update_document(Name=made, Content=command("id"), DocumentVersion="2", DisplayName="Who")
    ssm.update_document(Name=made, Content=command("w"))
    version = lambda **how: ssm.describe_document(Name=made, **how)["Document"]["DocumentVersion"]
    assert version() == "1"
    assert version(DocumentVersion="$DEFAULT") == "1"
    assert version(DocumentVersion="$LATEST") == "4"
    assert version(VersionName="two") == "2"
    assert version(VersionName="two", DocumentVersion="2") == "2"
    assert ssm.describe_document(Name=made, DocumentVersion="4")["Document"]["DisplayName"] == "Who"
    assert json.loads(ssm.get_document(Name=made, VersionName="two")["Content"]) == json.loads(command("pwd"))
    changed = ssm.update_document_default_version(Name=made, DocumentVersion="2")["Description"]
    assert changed == {"Name": made, "DefaultVersion": "2", "DefaultVersionName": "two"}
    assert version() == "2"
    for how in (
        {"DocumentVersion": "5"},
        {"DocumentVersion": "99999999999999999999"},
        {"VersionName": "three"},
        {"VersionName": "two", "DocumentVersion": "3"},
    ):
        for call in (ssm.get_document, ssm.describe_document):
            assert code_of(call, Name=made, **how)[:2] == ("InvalidDocumentVersion", 400), how
    answer = code_of(ssm.update_document_default_version, Name=made, DocumentVersion="9")
    assert answer[:2] == ("InvalidDocumentVersion", 400)


def test_versions_are_listed_newest_first(ssm, made):
    for number in range(2, 8):
        ssm.update_document(Name=made, Content=command(str(number)), DocumentVersion="$LATEST", VersionName=f"v{number}")
    pages = list(
        ssm.get_paginator("list_document_versions").paginate(Name=made, PaginationConfig={"PageSize": 3})
    )
    assert [len(page["DocumentVersions"]) for page in pages] == [3, 3, 1]
    versions = [version for page in pages for version in page["DocumentVersions"]]
    assert [version["DocumentVersion"] for version in versions] == list("7654321")
    assert [version["IsDefaultVersion"] for version in versions] == [False] * 6 + [True]
    assert versions[0]["VersionName"] == "v7"
    assert versions[0]["Status"] == "Active"
    assert "VersionName" not in versions[-1]
    builtin = ssm.list_document_versions(Name="AWS-RunShellScript")["DocumentVersions"]
    assert [(version["DocumentVersion"], version["IsDefaultVersion"]) for version in builtin] == [("1", True)]
    assert code_of(ssm.list_document_versions, Name=made, NextToken="x")[:2] == ("InvalidNextToken", 400)
    assert code_of(ssm.list_document_versions, Name="nowhere")[:2] == ("InvalidDocument", 400)


def test_updates_are_refused(ssm, made):
    def refused(**arguments):
        return code_of(ssm.update_document, **{"Name": made, **arguments})

    ssm.update_document(Name=made, Content=command("two"), DocumentVersion="1", VersionName="two")
    same = refused(Content=command("two"), DocumentVersion="$LATEST")
    assert same[:2] == ("DuplicateDocumentContent", 400)
    # What an older version had is new again.
    ssm.update_document(Name=made, Content=command(), DocumentVersion="2")
    for version in ("1", "2", "4", "$DEFAULT"):
        answer = refused(Content=command("x"), DocumentVersion=version)
        assert answer[:2] == ("InvalidDocumentVersion", 400), version
    answer = refused(Content=command("x"), DocumentVersion="3", VersionName="two")
    assert answer[:2] == ("DuplicateDocumentVersionName", 400)
    assert refused(Content="{}", DocumentVersion="3")[:2] == ("InvalidDocumentContent", 400)
    assert refused(Content=json.dumps(RUNBOOK))[:2] == ("InvalidDocumentSchemaVersion", 400)
    assert refused(Content=command("x" * 65536))[:2] == ("MaxDocumentSizeExceeded", 400)
    assert refused(Name="nowhere", Content=command("x"))[:2] == ("InvalidDocument", 400)
    assert refused(Name="AWS-RunShellScript", Content=command("x"))[:2] == ("InvalidDocumentOperation", 400)
    assert ssm.describe_document(Name=made)["Document"]["LatestVersion"] == "3"


def test_creations_are_refused(ssm, made):
    def refused(**arguments):
        return code_of(ssm.create_document, **{"Name": f"{made}-x", "Content": command(), **arguments})

    assert refused(Name=made)[:2] == ("DocumentAlreadyExists", 400)
    for reserved in ("aws-mine", "AWSmine", "Amazon.mine", "AMZN_mine"):
        answer = refused(Name=reserved)
        assert answer[:2] == ("ValidationException", 400), reserved
        assert "reserved" in answer[2]
    assert refused(Name="a/b/c")[:2] == ("ValidationException", 400)
    assert refused(Content=command("x" * 65536))[:2] == ("MaxDocumentSizeExceeded", 400)
    assert refused(Content=json.dumps(RUNBOOK))[:2] == ("InvalidDocumentSchemaVersion", 400)
    assert refused(Content=command(), DocumentType="Automation")[:2] == ("InvalidDocumentSchemaVersion", 400)
    assert refused(DocumentType="Automation.ChangeTemplate")[:2] == ("NoLongerSupportedException", 400)
    for key, value in (("SourceUrl", "s3://b/p"), ("S3FileUrl", "s3://b/p/f"), ("AttachmentReference", "D/1/f")):
        answer = refused(Attachments=[{"Key": key, "Values": [value], "Name": "file"}])
        assert answer[:2] == ("ValidationException", 400)
        assert key in answer[2]
    assert refused(Requires=[{"Name": "Other"}])[:2] == ("ValidationException", 400)
    assert refused(Tags=[{"Key": "aws:x", "Value": ""}])[:2] == ("ValidationException", 400)
    assert code_of(ssm.describe_document, Name=f"{made}-x")[:2] == ("InvalidDocument", 400)


def test_what_is_malformed_is_told_with_line_and_column(ssm, name):
    def refused(content, **how):
        code, status, message = code_of(ssm.create_document, Name=name, Content=content, **how)
        assert (code, status) == ("InvalidDocumentContent", 400)
        return message

    misspelt = YAML.replace("precondition", "precondtion")
    message = refused(misspelt, DocumentFormat="YAML")
    assert f"{name}:13:3: error[unknown-field]" in message
    assert "did you mean `precondition`?" in message
    assert "DocumentFormat YAML" in refused(YAML)
    broken = refused('{"a": 1,\n "b": }')
    assert f"{name}:2:7: error[syntax]" in broken
    assert "YAML" not in broken
    undeclared = refused(command("echo {{ nobody }}"))
    assert f"{name}:1:" in undeclared
    assert "nobody" in undeclared
    runbook = json.dumps({**RUNBOOK, "parameters": {}}, indent=1)
    told = refused(runbook, DocumentType="Automation")
    assert "error[undeclared-reference]" in told
    assert f"{name}:10:" in told


def test_other_types_have_their_own_forms(ssm, name):
    calendar = "BEGIN:VCALENDAR\r\nX-CALENDAR-TYPE:DEFAULT_OPEN\r\nEND:VCALENDAR\r\n"
    documents = [
        ("Automation", "JSON", json.dumps(RUNBOOK)),
        ("Session", "JSON", '{"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {}}'),
        ("Package", "JSON", '{"schemaVersion": "2.0", "version": "1.0", "packages": {}, "files": {}}'),
        ("ChangeCalendar", "TEXT", calendar),
        ("ApplicationConfigurationSchema", "JSON", '{"type": "object"}'),
        ("Policy", "YAML", YAML),
    ]
    for kind, form, content in documents:
        own = f"{name}-{kind}"
        made = ssm.create_document(Name=own, Content=content, DocumentFormat=form, DocumentType=kind)
        assert made["DocumentDescription"]["DocumentType"] == kind
        got = ssm.get_document(Name=own)
        if form != "YAML":
            assert (got["Content"], got["DocumentFormat"]) == (content, form)
    runbook = ssm.describe_document(Name=f"{name}-Automation")["Document"]
    assert runbook["SchemaVersion"] == "0.3"
    assert runbook["Parameters"] == [{"Name": "Long", "Type": "String", "DefaultValue": "PT1S"}]
    configuration = ssm.create_document(
        Name=f"{name}-conf",
        Content='{"a": 1}',
        DocumentType="ApplicationConfiguration",
        Requires=[{"Name": f"{name}-ApplicationConfigurationSchema", "Version": "1"}],
    )["DocumentDescription"]
    assert configuration["Requires"] == [{"Name": f"{name}-ApplicationConfigurationSchema", "Version": "1"}]
    # A schema is not deleted by mistake.
    schema = f"{name}-ApplicationConfigurationSchema"
    assert code_of(ssm.delete_document, Name=schema)[:2] == ("InvalidDocumentOperation", 400)
    ssm.delete_document(Name=schema, Force=True)


def test_the_documents_of_the_program_are_there_and_stay(ssm):
    described = ssm.describe_document(Name="AWS-RunShellScript")["Document"]
    assert described["Owner"] == "Amazon"
    assert described["PlatformTypes"] == ["Linux", "MacOS"]
    assert [parameter["Name"] for parameter in described["Parameters"]] == [
        "commands",
        "workingDirectory",
        "executionTimeout",
    ]
    stored = ssm.get_document(Name="AWS-RunShellScript", DocumentFormat="YAML")["Content"]
    assert described["Hash"] == sha256(stored)
    arn = "arn:aws:ssm:us-east-1::document/AWS-RunShellScript"
    assert ssm.get_document(Name=arn, DocumentVersion="$LATEST")["Name"] == "AWS-RunShellScript"
    assert code_of(ssm.get_document, Name=arn, DocumentVersion="2")[:2] == ("InvalidDocumentVersion", 400)
    name = {"Name": "AWS-RunShellScript"}
    share = {**name, "PermissionType": "Share"}
    for call, arguments, code in (
        (ssm.delete_document, name, "InvalidDocumentOperation"),
        (ssm.update_document_default_version, {**name, "DocumentVersion": "1"}, "InvalidDocument"),
        (ssm.modify_document_permission, {**share, "AccountIdsToAdd": ["all"]}, "InvalidDocument"),
        (ssm.describe_document_permission, share, "InvalidDocumentOperation"),
    ):
        assert code_of(call, **arguments)[:2] == (code, 400)


def test_names_and_arns(ssm, made):
    arn = f"arn:aws:ssm:us-east-1:000000000000:document/{made}"
    assert ssm.get_document(Name=arn)["Name"] == made
    assert ssm.describe_document(Name=arn)["Document"]["Name"] == made
    assert len(ssm.list_document_versions(Name=arn)["DocumentVersions"]) == 1
    for other in (
        f"arn:aws:ssm:us-east-1:111111111111:document/{made}",
        f"arn:aws:ssm:us-east-1:000000000000:parameter/{made}",
        f"{made}:1",
        "nowhere",
    ):
        for call in (ssm.get_document, ssm.describe_document):
            assert code_of(call, Name=other)[:2] == ("InvalidDocument", 400), other


def test_deleting(ssm, made):
    for number in (2, 3):
        ssm.update_document(Name=made, Content=command(str(number)), VersionName=f"v{number}")
    answer = code_of(ssm.delete_document, Name=made, DocumentVersion="1")
    assert answer[:2] == ("InvalidDocumentOperation", 400)
    assert code_of(ssm.delete_document, Name=made, DocumentVersion="7")[:2] == ("InvalidDocument", 400)
    ssm.delete_document(Name=made, VersionName="v3")
    assert ssm.describe_document(Name=made)["Document"]["LatestVersion"] == "2"
    # Numbers are not given twice.
    ssm.update_document(Name=made, Content=command("4"), DocumentVersion="2", VersionName="v3")
    versions = ssm.list_document_versions(Name=made)["DocumentVersions"]
    assert [version["DocumentVersion"] for version in versions] == ["4", "2", "1"]
    ssm.add_tags_to_resource(ResourceType="Document", ResourceId=made, Tags=[{"Key": "a", "Value": "b"}])
    ssm.delete_document(Name=made)
    assert code_of(ssm.delete_document, Name=made)[:2] == ("InvalidDocument", 400)
    # A new one has nothing of the old one.
    again = ssm.create_document(Name=made, Content=command())["DocumentDescription"]
    assert (again["LatestVersion"], again["Tags"]) == ("1", [])


def test_tags(ssm, made):
    document = {"ResourceType": "Document", "ResourceId": made}
    ssm.add_tags_to_resource(**document, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    ssm.remove_tags_from_resource(**document, TagKeys=["a"])
    tags = [{"Key": "b", "Value": "2"}]
    assert ssm.list_tags_for_resource(**document)["TagList"] == tags
    assert ssm.describe_document(Name=made)["Document"]["Tags"] == tags
    assert code_of(ssm.list_tags_for_resource, ResourceType="Document", ResourceId="nowhere")[0] == "InvalidResourceId"


def listed(ssm, **how):
    pages = ssm.get_paginator("list_documents").paginate(**how)
    return [document for page in pages for document in page["DocumentIdentifiers"]]


def test_lists_are_filtered(ssm, name):
    ssm.create_document(
        Name=f"{name}-one", Content=YAML, DocumentFormat="YAML", Tags=[{"Key": name, "Value": "1"}], VersionName="v"
    )
    ssm.create_document(Name=f"{name}-two", Content=json.dumps(RUNBOOK), DocumentType="Automation", TargetType="/")
    ssm.create_document(
        Name=f"{name}-three", Content=command(description=f"Word{name}"), Tags=[{"Key": name, "Value": "3"}]
    )

    def names(*filters):
        filters = [{"Key": key, "Values": list(values)} for key, *values in filters]
        return [document["Name"].removeprefix(f"{name}-") for document in listed(ssm, Filters=filters)]

    mine = ("Name", f"{name}-")
    assert names(mine) == ["one", "three", "two"]
    assert names(mine, ("DocumentType", "Automation")) == ["two"]
    assert names(mine, ("DocumentType", "Automation", "Command")) == ["one", "three", "two"]
    assert names(mine, ("PlatformTypes", "MacOS")) == ["three", "two"]
    assert names(mine, ("TargetType", "/")) == ["two"]
    assert names((f"tag:{name}", "1", "3")) == ["one", "three"]
    assert names((f"tag:{name}", "3"), ("Owner", "Self")) == ["three"]
    assert names(("SearchKeyword", f"word{name}")) == ["three"]
    assert names(mine, ("Owner", "Self")) == ["one", "three", "two"]
    assert names(mine, ("Owner", "Private")) == ["one", "three", "two"]
    assert names(mine, ("Owner", "Public")) == []
    assert names(mine, ("Owner", "Amazon")) == []
    assert "AWS-RunShellScript" in names(("Owner", "Amazon"))
    assert "AWS-RunShellScript" not in names(("Owner", "Self"))
    assert {"AWS-RunShellScript", "one"} <= set(names())
    old = [{"key": "Name", "value": f"{name}-"}, {"key": "DocumentType", "value": "Command"}]
    assert [document["Name"] for document in listed(ssm, DocumentFilterList=old)] == [f"{name}-one", f"{name}-three"]
    one = listed(ssm, Filters=[{"Key": "Name", "Values": [f"{name}-one"]}])[0]
    one.pop("CreatedDate")
    assert one == {
        "Name": f"{name}-one",
        "Owner": "000000000000",
        "VersionName": "v",
        "PlatformTypes": ["Linux"],
        "DocumentVersion": "1",
        "DocumentType": "Command",
        "SchemaVersion": "2.2",
        "DocumentFormat": "YAML",
        "Tags": [{"Key": name, "Value": "1"}],
    }
    refused = lambda key, value: code_of(ssm.list_documents, Filters=[{"Key": key, "Values": [value]}])[:2]
    assert refused("Colour", "red") == ("InvalidFilterKey", 400)
    assert refused("Owner", "Me") == ("ValidationException", 400)
    assert code_of(ssm.list_documents, NextToken="x")[:2] == ("InvalidNextToken", 400)
    assert code_of(ssm.list_documents, MaxResults=51)[:2] == ("ValidationException", 400)


def test_lists_are_paged_to_the_end(ssm, name):
    for number in range(7):
        ssm.create_document(Name=f"{name}-{number}", Content=command())
    how = {"Filters": [{"Key": "Name", "Values": [name]}], "PaginationConfig": {"PageSize": 3}}
    pages = list(ssm.get_paginator("list_documents").paginate(**how))
    assert [len(page["DocumentIdentifiers"]) for page in pages] == [3, 3, 1]
    names = [document["Name"] for page in pages for document in page["DocumentIdentifiers"]]
    assert names == [f"{name}-{number}" for number in range(7)]


def test_sharing(ssm, made):
    share = {"Name": made, "PermissionType": "Share"}
    assert ssm.describe_document_permission(**share)["AccountIds"] == []
    accounts = [f"{number:012}" for number in range(1, 26)]
    ssm.modify_document_permission(**share, AccountIdsToAdd=accounts[:20])
    ssm.modify_document_permission(**share, AccountIdsToAdd=accounts[20:], SharedDocumentVersion="$LATEST")
    found, token = [], None
    while True:
        how = {"NextToken": token} if token else {}
        answer = ssm.describe_document_permission(**share, MaxResults=10, **how)
        found += answer["AccountSharingInfoList"]
        assert answer["AccountIds"] == [info["AccountId"] for info in answer["AccountSharingInfoList"]]
        token = answer.get("NextToken")
        if not token:
            break
    assert [info["AccountId"] for info in found] == accounts
    assert found[0]["SharedDocumentVersion"] == "$DEFAULT"
    assert found[-1]["SharedDocumentVersion"] == "$LATEST"
    assert code_of(ssm.delete_document, Name=made)[:2] == ("InvalidDocumentOperation", 400)
    ssm.modify_document_permission(**share, AccountIdsToAdd=["All"], AccountIdsToRemove=accounts[:20])
    ssm.modify_document_permission(**share, AccountIdsToAdd=accounts[:1], AccountIdsToRemove=accounts[:1] + accounts[20:])
    assert ssm.describe_document_permission(**share)["AccountIds"] == ["all"]
    public = listed(ssm, Filters=[{"Key": "Owner", "Values": ["Public"]}])
    assert made in [document["Name"] for document in public]
    ssm.modify_document_permission(**share, AccountIdsToRemove=["all"])
    ssm.delete_document(Name=made)


def test_sharing_is_refused(ssm, made):
    share = {"Name": made, "PermissionType": "Share"}
    refused = lambda **how: code_of(ssm.modify_document_permission, **{**share, **how})[:2]
    # The model's own limit for a call.
    assert refused(AccountIdsToAdd=[f"{number:012}" for number in range(21)]) == ("ValidationException", 400)
    assert refused(AccountIdsToAdd=["me"]) == ("ValidationException", 400)
    assert refused() == ("ValidationException", 400)
    assert refused(Name="nowhere", AccountIdsToAdd=["all"]) == ("InvalidDocument", 400)
    names = [made] + [f"{made}-{number}" for number in range(5)]
    for name in names[1:]:
        ssm.create_document(Name=name, Content=command())
        ssm.modify_document_permission(Name=name, PermissionType="Share", AccountIdsToAdd=["all"])
    assert refused(AccountIdsToAdd=["all"]) == ("DocumentPermissionLimit", 400)
    for name in names[1:]:
        ssm.modify_document_permission(Name=name, PermissionType="Share", AccountIdsToRemove=["all"])
    answer = code_of(ssm.describe_document_permission, Name="nowhere", PermissionType="Share")
    assert answer[:2] == ("InvalidDocument", 400)
    assert code_of(ssm.describe_document_permission, **share, NextToken="x")[:2] == ("InvalidNextToken", 400)


def test_roles(server, made):
    reader, operator = server.client("read-only"), server.client("operator")
    assert reader.get_document(Name=made)["Name"] == made
    assert reader.describe_document(Name=made)["Document"]["Name"] == made
    assert reader.list_documents()["DocumentIdentifiers"]
    denied = lambda call, **how: code_of(call, **how)[:2] == ("AccessDeniedException", 400)
    assert denied(reader.create_document, Name=f"{made}-x", Content=command())
    assert denied(reader.delete_document, Name=made)
    operator.update_document(Name=made, Content=command("operator"))
    share = {"Name": made, "PermissionType": "Share", "AccountIdsToAdd": ["all"]}
    assert denied(operator.modify_document_permission, **share)


def test_commands_find_stored_documents(ssm, made):
    ssm.update_document(Name=made, Content=command("two"))
    node = {"InstanceIds": ["mi-0123456789abcdef0"]}
    refused = lambda **how: code_of(ssm.send_command, **{"DocumentName": made, **node, **how})[0]
    # There is no such node: with that, all of the document was right.
    assert refused() == "InvalidInstanceId"
    assert refused(DocumentVersion="2", DocumentHash=sha256(command("two")), DocumentHashType="Sha256") == "InvalidInstanceId"
    assert refused(DocumentHash=sha256(command("two"))) == "InvalidDocument"
    assert refused(DocumentHash="0" * 40, DocumentHashType="Sha1") == "InvalidDocument"
    assert refused(DocumentVersion="3") == "InvalidDocumentVersion"
    assert refused(DocumentName="nowhere") == "InvalidDocument"
    ssm.create_document(Name=f"{made}-runbook", Content=json.dumps(RUNBOOK), DocumentType="Automation")
    assert refused(DocumentName=f"{made}-runbook") == "InvalidDocument"


def outcomes(call, arguments):
    def one(argument):
        try:
            call(**argument)
            return "made"
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(len(arguments)) as pool:
        return sorted(pool.map(one, arguments))


def test_only_one_of_racing_creations_wins(ssm, name):
    answers = outcomes(ssm.create_document, [{"Name": name, "Content": command(str(n))} for n in range(8)])
    assert answers == ["DocumentAlreadyExists"] * 7 + ["made"]


def test_racing_updates_get_versions_of_their_own(ssm, made):
    latest = [{"Name": made, "Content": command(str(n)), "DocumentVersion": "$LATEST"} for n in range(8)]
    assert outcomes(ssm.update_document, latest) == ["made"] * 8
    versions = ssm.list_document_versions(Name=made)["DocumentVersions"]
    assert [version["DocumentVersion"] for version in versions] == list("987654321")
    # Who names the version that it saw does not overwrite another one's.
    seen = [{"Name": made, "Content": command(f"x{n}"), "DocumentVersion": "9"} for n in range(8)]
    assert outcomes(ssm.update_document, seen) == ["InvalidDocumentVersion"] * 7 + ["made"]
    named = [
        {"Name": made, "Content": command(f"y{n}"), "DocumentVersion": "$LATEST", "VersionName": "one"}
        for n in range(8)
    ]
    assert outcomes(ssm.update_document, named) == ["DuplicateDocumentVersionName"] * 7 + ["made"]


def test_an_account_has_500_documents(ssm, name):
    own = listed(ssm, Filters=[{"Key": "Owner", "Values": ["Self"]}])
    room = 500 - len(own)
    arguments = [{"Name": f"{name}-{n}", "Content": command()} for n in range(room + 4)]
    with ThreadPoolExecutor(8) as pool:

        def one(argument):
            try:
                ssm.create_document(**argument)
                return "made"
            except ClientError as error:
                return error.response["Error"]["Code"]

        answers = list(pool.map(one, arguments))
    assert answers.count("made") == room
    assert answers.count("DocumentLimitExceeded") == 4
    for document in listed(ssm, Filters=[{"Key": "Name", "Values": [name]}]):
        ssm.delete_document(Name=document["Name"])


def test_a_document_has_1000_versions(ssm, made):
    for number in range(2, 1001):
        ssm.update_document(Name=made, Content=command(str(number)), DocumentVersion="$LATEST")
    answer = code_of(ssm.update_document, Name=made, Content=command("more"), DocumentVersion="$LATEST")
    assert answer[:2] == ("DocumentVersionLimitExceeded", 400)
    ssm.delete_document(Name=made, DocumentVersion="2")
    updated = ssm.update_document(Name=made, Content=command("more"), DocumentVersion="$LATEST")
    assert updated["DocumentDescription"]["DocumentVersion"] == "1001"
    ssm.delete_document(Name=made)
