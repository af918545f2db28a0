"""The node itself: whether it is well, what it serves, what it has."""

from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from calls import TIMEOUT, Case
from hypervisor.api.v1 import files_pb2, node_pb2, pools_pb2, processes_pb2, sandboxes_pb2, snapshots_pb2, templates_pb2


def clear_json_names(message):
    """Leaves out what compilers may say or not: it follows from the names."""
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        clear_json_names(nested)


class NodeTest(Case):
    def test_health(self):
        health = health_pb2_grpc.HealthStub(self.client.channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT, wait_for_ready=True)
        self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)

    def test_reflection(self):
        """What is served is what the .proto files say."""
        served = ProtoReflectionDescriptorDatabase(self.client.channel)
        for file in sandboxes_pb2, snapshots_pb2, templates_pb2, pools_pb2, processes_pb2, files_pb2, node_pb2:
            for service in file.DESCRIPTOR.services_by_name.values():
                self.assertIn(service.full_name, served.get_services())
                got, want = served.FindFileContainingSymbol(service.full_name), descriptor_pb2.FileDescriptorProto()
                service.file.CopyToProto(want)
                for message in got.message_type:
                    clear_json_names(message)
                self.assertEqual(got, want)

    def test_info(self):
        before = self.info()
        self.client.create(self.name(), cpus=1, memory_bytes=64 << 20)
        after = self.info()
        self.assertTrue(after.name)
        self.assertTrue(after.version)
        self.assertGreater(after.capacity.cpus, 0)
        self.assertGreaterEqual(after.allocated.memory_bytes, before.allocated.memory_bytes + (64 << 20))
        self.assertEqual(after.sandboxes, before.sandboxes + 1)
        self.assertGreater(after.resource_version, before.resource_version)
        self.assertGreater(after.start_time.ToSeconds(), 0)

    def info(self):
        return self.client.node.GetNodeInfo(node_pb2.GetNodeInfoRequest(), timeout=TIMEOUT).info
