"""Each error that the service's model lists for an operation: provoked, or listed with the reason why it cannot come.

What botocore knows of an operation and what is here have to be the same, so that no error is forgotten.
"""

import inspect
import json
import shutil
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
import test_documents
import test_parameters
import urllib3
from botocore import xform_name
from botocore.config import Config
from conftest import REGION, Cluster, Server, code_of, wait_for
from ssm_agent import SsmAgent
from test_groups import query

NOBODY = "mi-00000000000000000"
TOKEN = {"NextToken": "made-up"}
ROLE = "arn:aws:iam::123456789012:role/Notify"
TOPIC = "arn:aws:sns:us-east-1:123456789012:commands"
RUNBOOK = json.dumps(test_documents.RUNBOOK)
COMMAND = test_documents.command


class World:
    """One of everything, in a server."""

    def __init__(self, server):
        self.name = f"errors-{uuid.uuid4().hex[:8]}"
        self.server = server
        options = Config(retries={"max_attempts": 0}, parameter_validation=False, max_pool_connections=len(VALID))
        self.ssm = server.client(config=options)
        self.groups = server.client(service="resource-groups", config=options)
        agent = SsmAgent(server.url)
        self.node = agent.join(self.ssm)
        self.node_credentials = agent.credentials
        self.windows = SsmAgent(server.url, "Windows").join(self.ssm)
        self.activation = self.ssm.create_activation(IamRole="nodes")["ActivationId"]
        self.ssm.create_document(Name=self.name, Content=COMMAND("one"))
        self.ssm.update_document(Name=self.name, Content=COMMAND("two"), DocumentVersion="1", VersionName="two")
        self.ssm.put_parameter(Name=self.name, Value="v", Type="String")
        self.groups.create_group(Name=self.name, ResourceQuery=query(A=["b"]))
        sent = self.ssm.send_command(InstanceIds=[self.node], **SCRIPT)
        self.command = sent["Command"]["CommandId"]

    def call(self, operation):
        client = self.groups if operation in GROUPS else self.ssm
        return getattr(client, xform_name(operation))

    def call_of_groups(self, operation):
        """With something in each place of the path."""
        model = self.groups.meta.service_model.operation_model(operation)
        members = model.input_shape.members if model.input_shape else {}
        path = [name for name, shape in members.items() if shape.serialization.get("location") == "uri"]
        return lambda: getattr(self.groups, xform_name(operation))(**dict.fromkeys(path, "arn:aws:x:y:z:a/b"))

    def groups_of_node(self):
        """A node has no business with groups."""
        return boto3.client(
            "resource-groups",
            endpoint_url=self.server.url,
            region_name=REGION,
            aws_access_key_id=self.node_credentials.access_key,
            aws_secret_access_key=self.node_credentials.secret_key,
            aws_session_token=self.node_credentials.token,
            config=Config(retries={"max_attempts": 1}),
        )


SCRIPT = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}

# Arguments that an operation takes; those of an error change some of them.
VALID = {
    "SendCommand": lambda w: {**SCRIPT, "InstanceIds": [w.node]},
    "CancelCommand": lambda w: {"CommandId": w.command},
    "ListCommands": lambda w: {},
    "ListCommandInvocations": lambda w: {},
    "GetCommandInvocation": lambda w: {"CommandId": w.command, "InstanceId": w.node},
    "CreateDocument": lambda w: {"Name": f"{w.name}-new", "Content": COMMAND("new")},
    "UpdateDocument": lambda w: {"Name": w.name, "Content": COMMAND("three"), "DocumentVersion": "$LATEST"},
    "UpdateDocumentDefaultVersion": lambda w: {"Name": w.name, "DocumentVersion": "2"},
    "GetDocument": lambda w: {"Name": w.name},
    "DescribeDocument": lambda w: {"Name": w.name},
    "DeleteDocument": lambda w: {"Name": w.name},
    "ListDocuments": lambda w: {},
    "ListDocumentVersions": lambda w: {"Name": w.name},
    "ModifyDocumentPermission": lambda w: {"Name": w.name, "PermissionType": "Share", "AccountIdsToAdd": ["all"]},
    "DescribeDocumentPermission": lambda w: {"Name": w.name, "PermissionType": "Share"},
    "CreateActivation": lambda w: {"IamRole": "nodes"},
    "DescribeActivations": lambda w: {},
    "DeleteActivation": lambda w: {"ActivationId": w.activation},
    "DescribeInstanceInformation": lambda w: {},
    "DescribeInstanceProperties": lambda w: {},
    "GetConnectionStatus": lambda w: {"Target": w.node},
    "DeregisterManagedInstance": lambda w: {"InstanceId": w.node},
    "UpdateManagedInstanceRole": lambda w: {"InstanceId": w.node, "IamRole": "other"},
    "PutParameter": lambda w: {"Name": f"{w.name}-new", "Value": "value", "Type": "String"},
    "GetParameter": lambda w: {"Name": w.name},
    "GetParameters": lambda w: {"Names": [w.name]},
    "GetParametersByPath": lambda w: {"Path": "/"},
    "GetParameterHistory": lambda w: {"Name": w.name},
    "DescribeParameters": lambda w: {},
    "DeleteParameter": lambda w: {"Name": w.name},
    "DeleteParameters": lambda w: {"Names": [w.name]},
    "LabelParameterVersion": lambda w: {"Name": w.name, "Labels": ["label"]},
    "UnlabelParameterVersion": lambda w: {"Name": w.name, "ParameterVersion": 1, "Labels": ["label"]},
    "AddTagsToResource": lambda w: {**document(w), "Tags": [{"Key": "a", "Value": "b"}]},
    "RemoveTagsFromResource": lambda w: {**document(w), "TagKeys": ["a"]},
    "ListTagsForResource": lambda w: document(w),
    "CreateGroup": lambda w: {"Name": f"{w.name}-new", "ResourceQuery": query(A=["b"])},
    "UpdateGroup": lambda w: {"Group": w.name, "Description": "changed"},
    "UpdateGroupQuery": lambda w: {"Group": w.name, "ResourceQuery": query(A=["c"])},
    "DeleteGroup": lambda w: {"Group": w.name},
    "GetGroup": lambda w: {"Group": w.name},
    "GetGroupQuery": lambda w: {"Group": w.name},
    "ListGroups": lambda w: {},
    "ListGroupResources": lambda w: {"Group": w.name},
}


def document(world):
    return {"ResourceType": "Document", "ResourceId": world.name}


GROUPS = [operation for operation in VALID if "Group" in operation]
NO_SUCH = {"Type": "CLOUDFORMATION_STACK_1_0", "Query": "{}"}
UNKNOWN_GROUP = {"Group": "nothing-is-called-so"}
UNKNOWN = {"Name": "nothing-is-called-so"}
TAGGED_TYPES = {"InvalidResourceType": {"ResourceType": "MaintenanceWindow"}, "InvalidResourceId": {"ResourceId": "nothing"}}


def info_filter(key, value):
    return {"Filters": [{"Key": key, "Values": [value]}]}


def property_filter(key, value):
    return {"FiltersWithOperator": [{"Key": key, "Values": [value]}]}


def parameter_filter(**filter):
    return {"ParameterFilters": [filter]}


def advanced(*policies):
    return {"Tier": "Advanced", "Policies": json.dumps(policies)}


def policy(kind, **attributes):
    return {"Type": kind, "Version": "1.0", "Attributes": attributes}


# What an error takes, besides valid arguments.
CASES = {
    "SendCommand": {
        "DuplicateInstanceId": lambda w: {"InstanceIds": [w.node, w.node]},
        "InvalidInstanceId": {"InstanceIds": [NOBODY]},
        "InvalidDocument": {"DocumentName": "nothing-is-called-so"},
        "InvalidDocumentVersion": {"DocumentVersion": "9"},
        "InvalidOutputFolder": {"OutputS3BucketName": "No_Bucket"},
        "InvalidParameters": {"Parameters": {"colour": ["red"]}},
        "UnsupportedPlatformType": lambda w: {"InstanceIds": [w.windows]},
        "MaxDocumentSizeExceeded": {"Parameters": {"commands": ["x" * 70000]}},
        "InvalidRole": {"NotificationConfig": {"NotificationArn": TOPIC, "NotificationEvents": ["All"]}},
        "InvalidNotificationConfig": {
            "ServiceRoleArn": ROLE,
            "NotificationConfig": {"NotificationArn": "me@example.com", "NotificationEvents": ["All"]},
        },
    },
    "CancelCommand": {
        "InvalidCommandId": {"CommandId": str(uuid.UUID(int=0))},
        "InvalidInstanceId": {"InstanceIds": [NOBODY]},
        "DuplicateInstanceId": lambda w: {"InstanceIds": [w.node, w.node]},
    },
    "ListCommands": {"InvalidCommandId": {"CommandId": str(uuid.UUID(int=0))}, "InvalidNextToken": TOKEN},
    "ListCommandInvocations": {
        "InvalidFilterKey": {"Filters": [{"key": "ExecutionStage", "value": "Complete"}]},
        "InvalidNextToken": TOKEN,
    },
    "GetCommandInvocation": {
        "InvocationDoesNotExist": {"InstanceId": NOBODY},
        "InvalidPluginName": {"PluginName": "nothing"},
    },
    "CreateDocument": {
        "DocumentAlreadyExists": lambda w: {"Name": w.name},
        "MaxDocumentSizeExceeded": {"Content": COMMAND("x" * 65536)},
        "InvalidDocumentContent": {"Content": "{"},
        "InvalidDocumentSchemaVersion": {"Content": RUNBOOK},
        "NoLongerSupportedException": {"DocumentType": "Automation.ChangeTemplate"},
    },
    "UpdateDocument": {
        "MaxDocumentSizeExceeded": {"Content": COMMAND("x" * 65536)},
        "DuplicateDocumentContent": {"Content": COMMAND("two")},
        "DuplicateDocumentVersionName": {"VersionName": "two"},
        "InvalidDocumentContent": {"Content": "{"},
        "InvalidDocumentVersion": {"DocumentVersion": "1"},
        "InvalidDocumentSchemaVersion": {"Content": RUNBOOK},
        "InvalidDocument": UNKNOWN,
        "InvalidDocumentOperation": {"Name": "AWS-RunShellScript"},
    },
    "UpdateDocumentDefaultVersion": {"InvalidDocument": UNKNOWN, "InvalidDocumentVersion": {"DocumentVersion": "9"}},
    "GetDocument": {"InvalidDocument": UNKNOWN, "InvalidDocumentVersion": {"DocumentVersion": "9"}},
    "DescribeDocument": {"InvalidDocument": UNKNOWN, "InvalidDocumentVersion": {"DocumentVersion": "9"}},
    "DeleteDocument": {"InvalidDocument": UNKNOWN, "InvalidDocumentOperation": {"Name": "AWS-RunShellScript"}},
    "ListDocuments": {"InvalidNextToken": TOKEN, "InvalidFilterKey": {"Filters": [{"Key": "Colour", "Values": ["red"]}]}},
    "ListDocumentVersions": {"InvalidNextToken": TOKEN, "InvalidDocument": UNKNOWN},
    "ModifyDocumentPermission": {"InvalidDocument": UNKNOWN},
    "DescribeDocumentPermission": {
        "InvalidDocument": UNKNOWN,
        "InvalidNextToken": TOKEN,
        "InvalidDocumentOperation": {"Name": "AWS-RunShellScript"},
    },
    "CreateActivation": {"InvalidParameters": {"ExpirationDate": "2020-01-01T00:00:00Z"}},
    "DescribeActivations": {"InvalidNextToken": TOKEN},
    "DeleteActivation": {"InvalidActivation": {"ActivationId": str(uuid.UUID(int=0))}},
    "DescribeInstanceInformation": {
        "InvalidInstanceId": info_filter("InstanceIds", "web-1"),
        "InvalidNextToken": TOKEN,
        "InvalidInstanceInformationFilterValue": info_filter("PingStatus", "Asleep"),
        "InvalidFilterKey": info_filter("Colour", "red"),
    },
    "DescribeInstanceProperties": {
        "InvalidInstanceId": property_filter("InstanceIds", "web-1"),
        "InvalidNextToken": TOKEN,
        "InvalidInstancePropertyFilterValue": property_filter("PingStatus", "Asleep"),
        "InvalidFilterKey": property_filter("Colour", "red"),
        "InvalidActivationId": property_filter("ActivationIds", "mine"),
    },
    "GetConnectionStatus": {},
    "DeregisterManagedInstance": {"InvalidInstanceId": {"InstanceId": NOBODY}},
    "UpdateManagedInstanceRole": {"InvalidInstanceId": {"InstanceId": NOBODY}},
    "PutParameter": {
        "InvalidKeyId": {"Type": "SecureString", "KeyId": "mine"},
        "ParameterAlreadyExists": lambda w: {"Name": w.name},
        "HierarchyLevelLimitExceededException": {"Name": "/l" * 16},
        "HierarchyTypeMismatchException": lambda w: {"Name": w.name, "Type": "StringList", "Overwrite": True},
        "InvalidAllowedPatternException": {"AllowedPattern": "("},
        "ParameterPatternMismatchException": {"AllowedPattern": "[0-9]+"},
        "PoliciesLimitExceededException": advanced(
            *[policy("NoChangeNotification", After=str(days), Unit="Days") for days in range(1, 12)]
        ),
        "InvalidPolicyTypeException": advanced(policy("Explosion", At="noon")),
        "InvalidPolicyAttributeException": advanced(policy("NoChangeNotification", After="soon", Unit="Days")),
        "IncompatiblePolicyException": advanced(policy("ExpirationNotification", Before="1", Unit="Days")),
    },
    "GetParameter": {"ParameterNotFound": UNKNOWN, "ParameterVersionNotFound": lambda w: {"Name": f"{w.name}:9"}},
    "GetParameters": {},
    "GetParametersByPath": {
        "InvalidFilterKey": parameter_filter(Key="Name", Values=["a"]),
        "InvalidFilterOption": parameter_filter(Key="Type", Option="OneLevel", Values=["String"]),
        "InvalidFilterValue": parameter_filter(Key="Type", Values=["Number"]),
        "InvalidNextToken": TOKEN,
    },
    "GetParameterHistory": {"ParameterNotFound": UNKNOWN, "InvalidNextToken": TOKEN},
    "DescribeParameters": {
        "InvalidFilterKey": parameter_filter(Key="Label", Values=["a"]),
        "InvalidFilterOption": parameter_filter(Key="Name", Option="OneLevel", Values=["a"]),
        "InvalidFilterValue": parameter_filter(Key="Type", Values=["Number"]),
        "InvalidNextToken": TOKEN,
    },
    "DeleteParameter": {"ParameterNotFound": UNKNOWN},
    "DeleteParameters": {},
    "LabelParameterVersion": {"ParameterNotFound": UNKNOWN, "ParameterVersionNotFound": {"ParameterVersion": 9}},
    "UnlabelParameterVersion": {"ParameterNotFound": UNKNOWN, "ParameterVersionNotFound": {"ParameterVersion": 9}},
    "AddTagsToResource": {
        **TAGGED_TYPES,
        "TooManyTagsError": {"Tags": [{"Key": f"Key{number}", "Value": ""} for number in range(51)]},
    },
    "RemoveTagsFromResource": TAGGED_TYPES,
    "ListTagsForResource": TAGGED_TYPES,
    "CreateGroup": {"BadRequestException": {"ResourceQuery": NO_SUCH}},
    "UpdateGroup": {"BadRequestException": {"Group": None}, "NotFoundException": UNKNOWN_GROUP},
    "UpdateGroupQuery": {"BadRequestException": {"ResourceQuery": NO_SUCH}, "NotFoundException": UNKNOWN_GROUP},
    "DeleteGroup": {"BadRequestException": {"Group": None}, "NotFoundException": UNKNOWN_GROUP},
    "GetGroup": {"BadRequestException": {"Group": None}, "NotFoundException": UNKNOWN_GROUP},
    "GetGroupQuery": {"BadRequestException": {"Group": None}, "NotFoundException": UNKNOWN_GROUP},
    "ListGroups": {"BadRequestException": TOKEN},
    "ListGroupResources": {"BadRequestException": TOKEN, "NotFoundException": UNKNOWN_GROUP},
}

# Tests of their own, for what takes more than one call.
ELSEWHERE = {
    ("CreateDocument", "DocumentLimitExceeded"): test_documents.test_an_account_has_500_documents,
    ("UpdateDocument", "DocumentVersionLimitExceeded"): test_documents.test_a_document_has_1000_versions,
    ("ModifyDocumentPermission", "DocumentPermissionLimit"): test_documents.test_sharing_is_refused,
    ("PutParameter", "ParameterLimitExceeded"): test_parameters.test_an_account_has_10000_standard_parameters,
    ("PutParameter", "ParameterMaxVersionLimitExceeded"): test_parameters.test_a_hundred_versions_are_kept,
    ("LabelParameterVersion", "ParameterVersionLabelLimitExceeded"): test_parameters.test_a_version_has_ten_labels,
}

ENUMERATED = "the model enumerates what there is, so all else is a ValidationException"
WAITS = "changes of one thing wait for each other, and none is refused"
HISTORY = "commands outlive their nodes: a node that is not there has none, which is no error"
SEALED = "a key is checked when a value is put; one that is stored was good"
NEVER = {
    # Nobody is slowed down.
    "TooManyRequestsException": (GROUPS, "there is no limit of requests"),
    "UnauthorizedException": (["ListGroupResources"], "all resources are the server's own"),
    "InvalidInstanceId": (["ListCommands", "ListCommandInvocations"], HISTORY),
    "InvalidCommandId": (["ListCommandInvocations"], "a command that is not there has no invocations, as with AWS"),
    "InvalidFilterKey": (["ListCommands"], ENUMERATED),
    "InvalidFilter": (["DescribeActivations"], ENUMERATED),
    "InvalidPermissionType": (["ModifyDocumentPermission", "DescribeDocumentPermission"], ENUMERATED),
    "UnsupportedParameterType": (["PutParameter"], ENUMERATED),
    "TooManyUpdates": (
        [
            "CreateDocument",
            "DeleteDocument",
            "DeleteActivation",
            "PutParameter",
            "LabelParameterVersion",
            "UnlabelParameterVersion",
            "AddTagsToResource",
            "RemoveTagsFromResource",
        ],
        WAITS,
    ),
    "DocumentLimitExceeded": (["ModifyDocumentPermission"], "sharing makes no document"),
    "InvalidDocumentSchemaVersion": (["UpdateDocumentDefaultVersion"], "a version was checked when it was made"),
    "AssociatedInstances": (["DeleteDocument"], "no document is associated with nodes yet"),
    "InvalidDocument": (["DescribeInstanceProperties"], "no document is associated with nodes yet"),
    "InvalidActivationId": (["DeleteActivation"], "the model has the form of ids; one of nothing is an InvalidActivation"),
    "InvalidKeyId": (["GetParameter", "GetParameters", "GetParametersByPath", "GetParameterHistory"], SEALED),
}
NEVER_OF_ONE = {
    ("GetCommandInvocation", "InvalidCommandId"): "one of nothing is an InvocationDoesNotExist, as with AWS",
    ("GetCommandInvocation", "InvalidInstanceId"): "one of nothing is an InvocationDoesNotExist, as with AWS",
}

STATUS = {"NotFoundException": 404}


@pytest.fixture(scope="module")
def world(server):
    return World(server)


def test_no_error_is_forgotten(world):
    """All that the model lists, and nothing else."""
    models = [world.ssm.meta.service_model, world.groups.meta.service_model]
    listed = {
        (operation, error.name)
        for operation in VALID
        for model in models
        if operation in model.operation_names
        for error in model.operation_model(operation).error_shapes
    }
    known = {(operation, code) for operation, cases in CASES.items() for code in cases}
    never = {(operation, code) for code, (operations, _) in NEVER.items() for operation in operations}
    # Tests of all operations, below.
    everywhere = {(operation, "InternalServerError") for operation in VALID if operation not in GROUPS}
    of_groups = ("InternalServerErrorException", "ForbiddenException", "MethodNotAllowedException")
    everywhere |= {(operation, code) for operation in GROUPS for code in of_groups}
    parts = [known, set(ELSEWHERE), never, set(NEVER_OF_ONE), everywhere]
    assert set().union(*parts) == listed
    assert sum(map(len, parts)) == len(listed), "an error is listed twice"
    for (_, code), test in ELSEWHERE.items():
        assert code in inspect.getsource(test)


def test_what_is_not_served_says_so(world):
    for operation in set(world.ssm.meta.service_model.operation_names) - set(VALID):
        code, status, message = code_of(getattr(world.ssm, xform_name(operation)))
        assert (code, status) == ("UnknownOperationException", 400), operation
        assert operation in message and "not served" in message, message


def test_groups_that_are_not_served_say_so(world):
    model = world.groups.meta.service_model
    for operation in set(model.operation_names) - set(VALID):
        code, status, message = code_of(world.call_of_groups(operation))
        assert (code, status) == ("UnknownOperationException", 404), (operation, message)


@pytest.mark.parametrize(
    "operation, code", [(operation, code) for operation, cases in CASES.items() for code in cases]
)
def test_an_error(world, operation, code):
    change = CASES[operation][code]
    arguments = {**VALID[operation](world), **(change(world) if callable(change) else change)}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    answer = code_of(world.call(operation), **arguments)
    assert answer[:2] == (code, STATUS.get(code, 400)), answer
    # Two answers of AWS say nothing but their code.
    assert answer[2] or code == "ParameterNotFound"


@pytest.mark.parametrize("operation", GROUPS)
def test_nodes_and_other_methods_get_nowhere_with_groups(world, operation):
    call = getattr(world.groups_of_node(), xform_name(operation))
    answer = code_of(call, **VALID[operation](world))
    assert answer[:2] == ("ForbiddenException", 403), answer
    path = world.groups.meta.service_model.operation_model(operation).http["requestUri"]
    answer = urllib3.request("PUT", world.server.url + path)
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (405, "MethodNotAllowedException")


@pytest.mark.usefixtures("cluster")
def test_a_store_that_is_gone_is_told(tmp_path_factory):
    """Every operation answers, and says no more than that it is the server's own fault; then the database is back."""
    folder = tempfile.mkdtemp(prefix="capstan-gone-")
    own = Cluster(folder)
    try:
        with Server(tmp_path_factory.mktemp("server"), own.database()) as server:
            world = World(server)
            own.stop()
            # All at once: the server waits a while for each, as the database may just be starting anew.
            with ThreadPoolExecutor(len(VALID)) as pool:
                answers = pool.map(lambda operation: code_of(world.call(operation), **VALID[operation](world)), VALID)
            for operation, (code, status, message) in zip(VALID, answers):
                expected = "InternalServerErrorException" if operation in GROUPS else "InternalServerError"
                assert (code, status) == (expected, 500), operation
                assert folder not in message, operation
            assert urllib3.request("GET", server.url + "/readyz").status == 503
            assert urllib3.request("GET", server.url + "/livez").status == 200
            own.start()
            wait_for(lambda: urllib3.request("GET", server.url + "/readyz").status == 200, "the database")
            assert world.ssm.get_parameter(Name=world.name)["Parameter"]["Value"] == "v"
            assert server.stop() == 0
    finally:
        own.stop()
        shutil.rmtree(folder, ignore_errors=True)
