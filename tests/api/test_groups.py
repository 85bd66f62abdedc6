"""Resource groups, as targets of commands."""

import json

from conftest import code_of, wait_for
from ssm_agent import SsmAgent
from test_commands import command_of, send, states


def query(**tags):
    filters = [{"Key": key, "Values": values} for key, values in tags.items()]
    return {
        "Type": "TAG_FILTERS_1_0",
        "Query": json.dumps({"ResourceTypeFilters": ["AWS::AllSupported"], "TagFilters": filters}),
    }


def test_a_group_is_a_target(server, ssm, name):
    groups = server.client(service="resource-groups")
    agents = [SsmAgent(server.url) for _ in range(3)]
    for agent, colour in zip(agents, ["red", "green", "red"]):
        agent.join(ssm, Tags=[{"Key": "Group", "Value": name}, {"Key": "Colour", "Value": colour}])
    made = groups.create_group(Name=name, Description="Red ones", ResourceQuery=query(Group=[name], Colour=["red"]))
    arn = made["Group"]["GroupArn"]
    assert arn == f"arn:aws:resource-groups:us-east-1:000000000000:group/{name}"
    red = {agents[0].node, agents[2].node}
    pages = groups.get_paginator("list_group_resources").paginate(Group=arn, PaginationConfig={"PageSize": 1})
    found = [one["Identifier"]["ResourceArn"].split("/")[1] for page in pages for one in page["Resources"]]
    assert set(found) == red and len(found) == 2
    command = send(ssm, Targets=[{"Key": "resource-groups:Name", "Values": [name]}])
    wait_for(lambda: command_of(ssm, command)["TargetCount"] == 2, "the targets")
    assert set(states(ssm, command)) == red
    groups.update_group_query(Group=name, ResourceQuery=query(Group=[name], Colour=[]))
    assert len(groups.list_group_resources(Group=name)["Resources"]) == 3
    unknown = [{"Key": "resource-groups:Name", "Values": [name + "-other"]}]
    assert code_of(send, ssm=ssm, Targets=unknown)[:2] == ("ValidationException", 400)
    for agent in agents:
        ssm.deregister_managed_instance(InstanceId=agent.node)


def test_groups_are_kept(server, name):
    groups = server.client(service="resource-groups")
    names = [f"{name}-{number}" for number in range(3)]
    for one in names:
        groups.create_group(Name=one, ResourceQuery=query(A=["b"]))
    listed = groups.get_paginator("list_groups").paginate(PaginationConfig={"PageSize": 2})
    assert set(names) <= {group["GroupName"] for page in listed for group in page["GroupIdentifiers"]}
    assert groups.update_group(Group=names[0], Description="changed")["Group"]["Description"] == "changed"
    assert groups.get_group(Group=names[0])["Group"]["Description"] == "changed"
    assert groups.get_group_query(Group=names[0])["GroupQuery"]["ResourceQuery"] == query(A=["b"])
    groups.delete_group(Group=names[0])
    assert code_of(groups.get_group, Group=names[0])[:2] == ("NotFoundException", 404)
    assert code_of(groups.create_group, Name=names[1], ResourceQuery=query(A=[]))[:2] == ("BadRequestException", 400)
    broken = {"Type": "TAG_FILTERS_1_0", "Query": "{"}
    assert code_of(groups.create_group, Name=name, ResourceQuery=broken)[:2] == ("BadRequestException", 400)
    stack = {"Type": "CLOUDFORMATION_STACK_1_0", "Query": "{}"}
    assert code_of(groups.create_group, Name=name, ResourceQuery=stack)[:2] == ("BadRequestException", 400)
    reader = server.client("read-only", "resource-groups")
    assert code_of(reader.delete_group, Group=names[1])[:2] == ("ForbiddenException", 403)
