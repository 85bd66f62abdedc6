"""Activations, registration, what is known of nodes, and tags."""

import contextlib
import datetime
import sqlite3
import uuid

import pytest
from conftest import Server, code_of
from ssm_agent import RsaAuth, ServiceError, SsmAgent


@pytest.fixture
def agent(server, ssm, name):
    agent = SsmAgent(server.url)
    agent.join(ssm, DefaultInstanceName=name, Tags=[{"Key": "Group", "Value": name}])
    return agent


def nodes(ssm, **filters):
    listed = ssm.describe_instance_information(
        Filters=[{"Key": key.replace("_", ":", 1), "Values": values} for key, values in filters.items()]
    )
    return listed["InstanceInformationList"]


def test_a_node_joins_with_an_activation(ssm, agent, name):
    (node,) = nodes(ssm, tag_Group=[name])
    assert node["InstanceId"] == agent.node and len(agent.node) == 20
    assert node["PingStatus"] == "Online" and node["ResourceType"] == "ManagedInstance"
    assert (node["Name"], node["IamRole"], node["PlatformType"]) == (name, "nodes", "Linux")
    assert node["AgentVersion"] == "3.3.987.0" and node["IPAddress"] == "127.0.0.1"
    assert ssm.get_connection_status(Target=agent.node)["Status"] == "connected"


def test_an_activation_is_used_as_often_as_it_may_be(server, ssm, name):
    made = ssm.create_activation(IamRole="nodes", RegistrationLimit=1, Description=name)
    described = ssm.describe_activations(
        Filters=[{"FilterKey": "ActivationIds", "FilterValues": [made["ActivationId"]]}]
    )["ActivationList"]
    assert (described[0]["RegistrationsCount"], described[0]["Expired"]) == (0, False)
    assert described[0]["Description"] == name and "ActivationCode" not in described[0]
    SsmAgent(server.url).register(made["ActivationId"], made["ActivationCode"])
    for activation, code in [
        (made["ActivationId"], made["ActivationCode"]),
        (made["ActivationId"], "0" * 30),
        (str(uuid.uuid4()), made["ActivationCode"]),
    ]:
        with pytest.raises(ServiceError) as refused:
            SsmAgent(server.url).register(activation, code)
        assert (refused.value.status, refused.value.code) == (400, "InvalidActivation")
    ssm.delete_activation(ActivationId=made["ActivationId"])
    assert code_of(ssm.delete_activation, ActivationId=made["ActivationId"])[:2] == ("InvalidActivation", 400)


def test_activations_end_within_thirty_days(ssm):
    now = datetime.datetime.now(datetime.timezone.utc)
    for days in (-1, 31):
        date = now + datetime.timedelta(days=days)
        assert code_of(ssm.create_activation, IamRole="nodes", ExpirationDate=date)[:2] == ("InvalidParameters", 400)
    code = code_of(ssm.describe_activations, Filters=[{"FilterKey": "Nothing", "FilterValues": ["a"]}])
    # The model knows the keys.
    assert code[:2] == ("ValidationException", 400)


def test_activations_come_in_pages(ssm, name):
    made = {ssm.create_activation(IamRole="nodes", DefaultInstanceName=name)["ActivationId"] for _ in range(5)}
    pages = ssm.get_paginator("describe_activations").paginate(
        Filters=[{"FilterKey": "DefaultInstanceName", "FilterValues": [name]}], PaginationConfig={"PageSize": 2}
    )
    found = [[activation["ActivationId"] for activation in page["ActivationList"]] for page in pages]
    assert [len(page) for page in found] == [2, 2, 1]
    assert {activation for page in found for activation in page} == made
    assert code_of(ssm.describe_activations, NextToken="forged")[:2] == ("InvalidNextToken", 400)


def test_only_the_machine_that_registered_gets_credentials(agent):
    other = str(uuid.uuid4())
    with pytest.raises(ServiceError) as refused:
        agent.call(
            "AmazonSSM.RequestManagedInstanceRoleToken", {"Fingerprint": other}, RsaAuth(agent.node, agent.key)
        )
    assert refused.value.code == "MachineFingerprintDoesNotMatch"
    stranger = SsmAgent(agent.url)
    with pytest.raises(ServiceError) as refused:
        agent.call(
            "AmazonSSM.RequestManagedInstanceRoleToken",
            {"Fingerprint": agent.fingerprint},
            RsaAuth(agent.node, stranger.key),
        )
    assert refused.value.code == "InvalidSignatureException"


def test_a_node_changes_its_key(agent):
    stranger = SsmAgent(agent.url)
    agent.call(
        "AmazonSSM.UpdateManagedInstancePublicKey",
        {"NewPublicKey": stranger.public_key(), "NewPublicKeyType": "Rsa"},
        RsaAuth(agent.node, agent.key),
    )
    with pytest.raises(ServiceError):
        agent.authenticate()
    agent.key = stranger.key
    agent.authenticate()


def test_an_old_key_is_changed(tmp_path):
    """A node is asked to when its key is older than thirty days, and only then."""
    with Server(tmp_path) as server:
        agent = SsmAgent(server.url)
        agent.join(server.client())
        assert agent.authenticate()["UpdateKeyPair"] is False
        server.stop()
        (database,) = tmp_path.rglob("server.db")
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE nodes SET registered = registered - 31 * 86400000")
        server.start()
        old = agent.key
        assert agent.authenticate()["UpdateKeyPair"] is True and agent.key is not old
        assert agent.authenticate()["UpdateKeyPair"] is False
        assert server.stop() == 0


def test_a_node_speaks_for_itself_alone(server, ssm, agent):
    other = SsmAgent(server.url)
    other.join(ssm)
    for call in [
        lambda: agent.ssm("UpdateInstanceInformation", {"InstanceId": other.node, "AgentVersion": "1.0.0"}),
        lambda: agent.messages("GetMessages", {"Destination": other.node, "MessagesRequestId": "1", "VisibilityTimeoutInSeconds": 9}),
        lambda: agent.messages("AcknowledgeMessage", {"MessageId": f"aws.ssm.{uuid.uuid4()}.{other.node}"}),
        lambda: agent.ssm("SendCommand", {"DocumentName": "AWS-RunShellScript", "InstanceIds": [other.node]}),
        lambda: agent.ssm("CreateActivation", {"IamRole": "nodes"}),
    ]:
        with pytest.raises(ServiceError) as refused:
            call()
        assert refused.value.code in ("InvalidInstanceId", "AccessDeniedException")


@pytest.mark.parametrize(
    "operation, body, code, words",
    [
        # Of a command that there never was: an agent that asks once more gives up.
        ("AcknowledgeMessage", {"MessageId": "{mine}"}, "InvalidMessageId", "not to be had any more"),
        ("AcknowledgeMessage", {"MessageId": "made-up"}, "AccessDeniedException", "made-up"),
        ("AcknowledgeMessage", {}, "ValidationException", "messageId"),
        ("SendReply", {"MessageId": "{mine}", "ReplyId": "1", "Payload": "{"}, "ValidationException", "Payload"),
        ("SendReply", {"MessageId": "made-up", "ReplyId": "1", "Payload": "{}"}, "AccessDeniedException", "made-up"),
        ("FailMessage", {"MessageId": "made-up", "FailureType": "NoHandlerExists"}, "AccessDeniedException", "made-up"),
        ("DeleteMessage", {"MessageId": "made-up"}, "AccessDeniedException", "made-up"),
        ("GetMessages", {"Destination": "{node}"}, "ValidationException", "messagesRequestId"),
        ("ForgetMessages", {}, "UnknownOperationException", "ForgetMessages"),
    ],
)
def test_what_is_wrong_with_a_message_is_told(agent, operation, body, code, words):
    places = {"{mine}": f"aws.ssm.{uuid.uuid4()}.{agent.node}", "{node}": agent.node}
    body = {member: places.get(value, value) for member, value in body.items()}
    with pytest.raises(ServiceError) as refused:
        agent.messages(operation, body)
    assert (refused.value.code, refused.value.status) == (code, 400), refused.value
    assert words in str(refused.value)


def test_what_is_over_is_not_told_twice(agent):
    """Replies for a command that is not there, and what follows them, are taken and dropped: they may be late ones."""
    message = {"MessageId": f"aws.ssm.{uuid.uuid4()}.{agent.node}"}
    agent.reply(message, "Success")
    agent.delete(message)
    agent.messages("FailMessage", {**message, "FailureType": "NoHandlerExists"})


def test_a_node_is_not_sent_elsewhere(agent):
    """GetEndpoint redirects agents of AWS; the server that they asked is the right one here."""
    answer = agent.messages("GetEndpoint", {"Destination": agent.node, "Protocol": "ec2messages"})
    assert answer == {"Destination": agent.node, "Endpoint": {"Endpoint": "", "Protocol": "ec2messages"}}


def test_a_deregistered_node_is_gone(ssm, agent, name):
    ssm.deregister_managed_instance(InstanceId=agent.node)
    assert nodes(ssm, InstanceIds=[agent.node]) == []
    assert code_of(ssm.deregister_managed_instance, InstanceId=agent.node)[:2] == ("InvalidInstanceId", 400)
    with pytest.raises(ServiceError) as refused:
        agent.heartbeat()
    assert refused.value.code == "UnrecognizedClientException" and "register it anew" in str(refused.value)
    with pytest.raises(ServiceError):
        agent.authenticate()


def test_nodes_are_found_by_what_they_are(server, ssm, name):
    agents = [SsmAgent(server.url, platform) for platform in ("Linux", "Linux", "Windows")]
    for number, agent in enumerate(agents):
        agent.join(
            ssm,
            IamRole=name,
            Tags=[{"Key": "Group", "Value": name}, {"Key": "Number", "Value": str(number)}],
        )
    ids = {agent.node for agent in agents}
    group = {"tag_Group": [name]}
    found = lambda **filters: {node["InstanceId"] for node in nodes(ssm, **filters)}
    assert found(**group) == found(IamRole=[name]) == ids
    assert found(**group, PlatformTypes=["Windows"]) == {agents[2].node}
    assert found(**group, tag_Number=["0", "2"]) == {agents[0].node, agents[2].node}
    assert found(**group, PingStatus=["ConnectionLost"]) == set()
    assert found(**group, PingStatus=["Online"], AgentVersion=["3.3.987.0"]) == ids
    assert found(**group, ResourceType=["EC2Instance"]) == set()
    legacy = ssm.describe_instance_information(
        InstanceInformationFilterList=[{"key": "InstanceIds", "valueSet": [agents[1].node]}]
    )
    assert [node["InstanceId"] for node in legacy["InstanceInformationList"]] == [agents[1].node]
    by_key = ssm.describe_instance_information(Filters=[{"Key": "tag-key", "Values": ["Number"]}])
    assert ids <= {node["InstanceId"] for node in by_key["InstanceInformationList"]}
    for filters, code in [
        ([{"Key": "Colour", "Values": ["red"]}], "InvalidFilterKey"),
        ([{"Key": "PingStatus", "Values": ["Asleep"]}], "InvalidInstanceInformationFilterValue"),
    ]:
        assert code_of(ssm.describe_instance_information, Filters=filters)[:2] == (code, 400)
    properties = ssm.describe_instance_properties(
        FiltersWithOperator=[{"Key": "IamRole", "Values": [name[:10]], "Operator": "BeginWith"}]
    )["InstanceProperties"]
    assert ids <= {node["InstanceId"] for node in properties}


def test_nodes_come_in_pages(server, ssm, name):
    made = ssm.create_activation(IamRole=name, RegistrationLimit=12)
    ids = set()
    for _ in range(12):
        agent = SsmAgent(server.url)
        ids.add(agent.register(made["ActivationId"], made["ActivationCode"]))
    pages = ssm.get_paginator("describe_instance_information").paginate(
        Filters=[{"Key": "IamRole", "Values": [name]}], PaginationConfig={"PageSize": 5}
    )
    found = [[node["InstanceId"] for node in page["InstanceInformationList"]] for page in pages]
    assert [len(page) for page in found] == [5, 5, 2]
    assert {node for page in found for node in page} == ids
    # Registered and never heard of.
    assert {page["PingStatus"] for page in nodes(ssm, IamRole=[name])} == {"ConnectionLost"}


def test_nodes_are_tagged(ssm, agent, name):
    node = {"ResourceType": "ManagedInstance", "ResourceId": agent.node}
    ssm.add_tags_to_resource(**node, Tags=[{"Key": "Colour", "Value": "red"}, {"Key": "Group", "Value": "other"}])
    tags = ssm.list_tags_for_resource(**node)["TagList"]
    assert tags == [{"Key": "Colour", "Value": "red"}, {"Key": "Group", "Value": "other"}]
    ssm.remove_tags_from_resource(**node, TagKeys=["Colour", "Never"])
    assert ssm.list_tags_for_resource(**node)["TagList"] == [{"Key": "Group", "Value": "other"}]
    many = [{"Key": f"Key{number}", "Value": ""} for number in range(50)]
    assert code_of(ssm.add_tags_to_resource, **node, Tags=many)[:2] == ("TooManyTagsError", 400)
    reserved = [{"Key": "aws:mine", "Value": "x"}]
    assert code_of(ssm.add_tags_to_resource, **node, Tags=reserved)[:2] == ("ValidationException", 400)
    unknown = {"ResourceType": "ManagedInstance", "ResourceId": "mi-00000000000000000"}
    assert code_of(ssm.list_tags_for_resource, **unknown)[:2] == ("InvalidResourceId", 400)
    assert code_of(ssm.list_tags_for_resource, ResourceType="Cloud", ResourceId="x")[:2] == ("ValidationException", 400)


def test_a_nodes_role_is_changed(ssm, agent):
    ssm.update_managed_instance_role(InstanceId=agent.node, IamRole="other")
    assert nodes(ssm, InstanceIds=[agent.node])[0]["IamRole"] == "other"
    unknown = {"InstanceId": "mi-00000000000000000", "IamRole": "other"}
    assert code_of(ssm.update_managed_instance_role, **unknown)[:2] == ("InvalidInstanceId", 400)
