"""Every operation that answers in pages: from the first to the last, in pages as small as they can be."""

import json

import pytest
from botocore import xform_name
from conftest import code_of
from ssm_agent import SsmAgent
from test_documents import command
from test_errors import GROUPS, SCRIPT, VALID
from test_groups import query

COUNT = 7

# What to ask for so that just those seven come, and where they are in a page.
LISTS = {
    "ListCommands": (lambda w: {"InstanceId": w.nodes[0]}, "Commands"),
    "ListCommandInvocations": (lambda w: {"InstanceId": w.nodes[0]}, "CommandInvocations"),
    "ListDocuments": (lambda w: {"Filters": [{"Key": "Name", "Values": [w.name]}]}, "DocumentIdentifiers"),
    "ListDocumentVersions": (lambda w: {"Name": f"{w.name}-0"}, "DocumentVersions"),
    "DescribeDocumentPermission": (
        lambda w: {"Name": f"{w.name}-0", "PermissionType": "Share"},
        "AccountSharingInfoList",
    ),
    "DescribeActivations": (
        lambda w: {"Filters": [{"FilterKey": "DefaultInstanceName", "FilterValues": [w.name]}]},
        "ActivationList",
    ),
    "DescribeInstanceInformation": (
        lambda w: {"Filters": [{"Key": "IamRole", "Values": [w.name]}]},
        "InstanceInformationList",
    ),
    "DescribeInstanceProperties": (
        lambda w: {"InstancePropertyFilterList": [{"key": "IamRole", "valueSet": [w.name]}]},
        "InstanceProperties",
    ),
    "GetParametersByPath": (lambda w: {"Path": f"/{w.name}"}, "Parameters"),
    "GetParameterHistory": (lambda w: {"Name": f"/{w.name}/0"}, "Parameters"),
    "DescribeParameters": (
        lambda w: {"ParameterFilters": [{"Key": "Path", "Values": [f"/{w.name}"]}]},
        "Parameters",
    ),
    "ListGroups": (lambda w: {}, "GroupIdentifiers"),
    "ListGroupResources": (lambda w: {"Group": f"{w.name}-0"}, "Resources"),
}


class World:
    """Seven of everything, and of some things seven versions or accounts."""

    def __init__(self, server, name):
        self.name = name
        self.ssm = server.client()
        self.groups = server.client(service="resource-groups")
        made = self.ssm.create_activation(
            IamRole=name, RegistrationLimit=COUNT, Tags=[{"Key": "Group", "Value": name}], DefaultInstanceName=name
        )
        agents = [SsmAgent(server.url) for _ in range(COUNT)]
        self.nodes = [agent.register(made["ActivationId"], made["ActivationCode"]) for agent in agents]
        agents[0].authenticate()
        agents[0].heartbeat()
        for number in range(1, COUNT):
            self.ssm.create_activation(IamRole=name, DefaultInstanceName=name)
        for number in range(COUNT):
            one = f"{name}-{number}"
            self.ssm.send_command(InstanceIds=[self.nodes[0]], **SCRIPT)
            self.ssm.create_document(Name=one, Content=command())
            self.ssm.put_parameter(Name=f"/{name}/{number}", Value="v", Type="String")
            self.groups.create_group(Name=one, ResourceQuery=query(Group=[name]))
        for number in range(1, COUNT):
            self.ssm.update_document(Name=f"{name}-0", Content=command(str(number)), DocumentVersion="$LATEST")
            self.ssm.put_parameter(Name=f"/{name}/0", Value="v", Overwrite=True)
        accounts = [f"{number:012}" for number in range(1, COUNT + 1)]
        self.ssm.modify_document_permission(Name=f"{name}-0", PermissionType="Share", AccountIdsToAdd=accounts)

    def client(self, operation):
        return self.groups if operation in GROUPS else self.ssm

    def remove(self):
        self.ssm.modify_document_permission(
            Name=f"{self.name}-0",
            PermissionType="Share",
            AccountIdsToRemove=[f"{number:012}" for number in range(1, COUNT + 1)],
        )
        for number in range(COUNT):
            self.ssm.delete_document(Name=f"{self.name}-{number}")
            self.groups.delete_group(Group=f"{self.name}-{number}")
        for node in self.nodes:
            self.ssm.deregister_managed_instance(InstanceId=node)


@pytest.fixture(scope="module")
def world(server):
    world = World(server, f"pages-{server.url.rsplit(':')[-1]}")
    yield world
    world.remove()


def test_every_list_is_here(world):
    with_token = {
        operation
        for operation in VALID
        if "NextToken" in world.client(operation).meta.service_model.operation_model(operation).input_shape.members
    }
    assert with_token == set(LISTS)


@pytest.mark.parametrize("operation", LISTS)
def test_a_list_is_paged_to_the_end(world, operation):
    arguments, member = LISTS[operation]
    arguments = arguments(world)
    client = world.client(operation)
    call = getattr(client, xform_name(operation))
    sizes = client.meta.service_model.operation_model(operation).input_shape.members["MaxResults"].metadata
    whole = call(**arguments, MaxResults=min(sizes["max"], 50) if operation != "GetParametersByPath" else 10)
    assert "NextToken" not in whole or not whole["NextToken"]
    whole = [json.dumps(one, default=str, sort_keys=True) for one in whole[member]]
    assert len(set(whole)) == len(whole) and (len(whole) == COUNT or operation == "ListGroups" and len(whole) > COUNT)
    for size in (sizes["min"], sizes["min"] + 2, COUNT):
        if size < sizes["min"]:
            continue
        pages, token = [], {}
        while True:
            page = call(**arguments, MaxResults=size, **token)
            pages.append([json.dumps(one, default=str, sort_keys=True) for one in page[member]])
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
        assert [one for page in pages for one in page] == whole, (operation, size)
        # All are full but the last, and none comes for nothing.
        assert {len(page) for page in pages[:-1]} <= {size} and 0 < len(pages[-1]) <= size
        if client.can_paginate(xform_name(operation)):
            paginator = client.get_paginator(xform_name(operation))
            found = paginator.paginate(**arguments, PaginationConfig={"PageSize": size})
            assert [len(page[member]) for page in found] == [len(page) for page in pages]


@pytest.mark.parametrize("operation", LISTS)
def test_tokens_are_of_one_operation(world, operation):
    """Another's token, and one that was changed, are refused."""
    arguments, _ = LISTS[operation]
    client = world.client(operation)
    call = getattr(client, xform_name(operation))
    other = "ListDocuments" if operation != "ListDocuments" else "ListCommands"
    of_other, _ = LISTS[other]
    foreign = getattr(world.ssm, xform_name(other))(**of_other(world), MaxResults=1)["NextToken"]
    code = "BadRequestException" if operation in GROUPS else "InvalidNextToken"
    for token in (foreign, foreign[:-4] + "AAAA"):
        assert code_of(call, **arguments(world), NextToken=token)[:2] == (code, 400)
