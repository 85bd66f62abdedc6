//! The one table of operations: name, what the caller has to be, handler.

use crate::api::{
    ADMINISTER, Access, OPERATE, Operation, READ, operation, operation_at, operation_of,
};
use crate::auth::Role;
use crate::model::Service::{Ec2Messages, ResourceGroups};
use crate::{commands, delivery, documents, groups, nodes, parameters, tags};

/// All operations that are served.
#[rustfmt::skip]
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        // Run Command
        operation("SendCommand", OPERATE, commands::send),
        operation("CancelCommand", OPERATE, commands::cancel),
        operation("ListCommands", READ, commands::list),
        operation("ListCommandInvocations", READ, commands::list_invocations),
        operation("GetCommandInvocation", READ, commands::get_invocation),

        // Documents
        operation("CreateDocument", OPERATE, documents::create),
        operation("UpdateDocument", OPERATE, documents::update),
        operation("UpdateDocumentDefaultVersion", OPERATE, documents::update_default),
        operation("GetDocument", Access::NodeOr(Role::ReadOnly), documents::get),
        operation("DescribeDocument", Access::NodeOr(Role::ReadOnly), documents::describe),
        operation("DeleteDocument", OPERATE, documents::delete),
        operation("ListDocuments", READ, documents::list),
        operation("ListDocumentVersions", READ, documents::list_versions),
        operation("ModifyDocumentPermission", ADMINISTER, documents::modify_permission),
        operation("DescribeDocumentPermission", ADMINISTER, documents::describe_permission),

        // Nodes and activations
        operation("CreateActivation", ADMINISTER, nodes::create_activation),
        operation("DescribeActivations", READ, nodes::describe_activations),
        operation("DeleteActivation", ADMINISTER, nodes::delete_activation),
        operation("DescribeInstanceInformation", READ, nodes::describe_instance_information),
        operation("DescribeInstanceProperties", READ, nodes::describe_instance_properties),
        operation("GetConnectionStatus", READ, nodes::get_connection_status),
        operation("DeregisterManagedInstance", ADMINISTER, nodes::deregister),
        operation("UpdateManagedInstanceRole", ADMINISTER, nodes::update_role),

        // Parameter Store
        operation("PutParameter", OPERATE, parameters::put),
        operation("GetParameter", Access::NodeOr(Role::ReadOnly), parameters::get),
        operation("GetParameters", Access::NodeOr(Role::ReadOnly), parameters::get_several),
        operation("GetParametersByPath", Access::NodeOr(Role::ReadOnly), parameters::get_by_path),
        operation("GetParameterHistory", Access::NodeOr(Role::ReadOnly), parameters::history),
        operation("DescribeParameters", READ, parameters::describe),
        operation("DeleteParameter", OPERATE, parameters::delete),
        operation("DeleteParameters", OPERATE, parameters::delete_several),
        operation("LabelParameterVersion", OPERATE, parameters::label),
        operation("UnlabelParameterVersion", OPERATE, parameters::unlabel),

        // Tags
        operation("AddTagsToResource", OPERATE, tags::add),
        operation("RemoveTagsFromResource", OPERATE, tags::remove),
        operation("ListTagsForResource", READ, tags::list),

        // Resource groups
        operation_at(ResourceGroups, "CreateGroup", "/groups", OPERATE, groups::create),
        operation_at(ResourceGroups, "UpdateGroup", "/update-group", OPERATE, groups::update),
        operation_at(ResourceGroups, "UpdateGroupQuery", "/update-group-query", OPERATE, groups::update_query),
        operation_at(ResourceGroups, "DeleteGroup", "/delete-group", OPERATE, groups::delete),
        operation_at(ResourceGroups, "GetGroup", "/get-group", READ, groups::get),
        operation_at(ResourceGroups, "GetGroupQuery", "/get-group-query", READ, groups::get_query),
        operation_at(ResourceGroups, "ListGroups", "/groups-list", READ, groups::list),
        operation_at(ResourceGroups, "ListGroupResources", "/list-group-resources", READ, groups::list_resources),

        // What node agents call
        operation("RegisterManagedInstance", Access::Anybody, nodes::register),
        operation("RequestManagedInstanceRoleToken", Access::NodeKey, nodes::request_role_token),
        operation("UpdateManagedInstancePublicKey", Access::NodeKey, nodes::update_public_key),
        operation("UpdateInstanceInformation", Access::Node, nodes::update_information),
        operation_of(Ec2Messages, "GetMessages", Access::Node, delivery::get_messages),
        operation_of(Ec2Messages, "AcknowledgeMessage", Access::Node, delivery::acknowledge),
        operation_of(Ec2Messages, "FailMessage", Access::Node, delivery::fail),
        operation_of(Ec2Messages, "SendReply", Access::Node, delivery::reply),
        operation_of(Ec2Messages, "DeleteMessage", Access::Node, delivery::delete),
        operation_of(Ec2Messages, "GetEndpoint", Access::Node, delivery::get_endpoint),
    ]
}
