"""Sandboxes that don't run: made, listed, refused."""

import uuid

from google.rpc import error_details_pb2
from grpc import StatusCode

from calls import TIMEOUT, Case
from hypervisor.api.v1 import sandbox_pb2, sandboxes_pb2


class CreateTest(Case):
    def test_again_by_name(self):
        name = self.name()
        first = self.client.create(name, labels={"a": "b"})
        self.assertEqual(first.status.state, sandbox_pb2.SANDBOX_STATE_CREATED)
        self.assertEqual((first.name, first.spec.cpus, first.spec.memory_bytes), (name, 1, 128 << 20))
        self.assertEqual(self.client.create(name, labels={"a": "b"}), first)
        got = self.client.sandboxes.GetSandbox(sandboxes_pb2.GetSandboxRequest(name=name), timeout=TIMEOUT)
        self.assertEqual(got.sandbox, first)

    def test_again_by_request_id(self):
        request_id = str(uuid.uuid4())
        first = self.client.create(request_id=request_id)
        self.addCleanup(self.client.delete, first.name)
        self.assertTrue(first.name)
        self.assertEqual(self.client.create(request_id=request_id).uid, first.uid)
        with self.fails(StatusCode.ALREADY_EXISTS, "REQUEST_ID_USED"):
            self.client.create(request_id=request_id, cpus=2)

    def test_name_is_taken(self):
        name = self.name()
        self.client.create(name)
        with self.fails(StatusCode.ALREADY_EXISTS, "NAME_TAKEN") as details:
            self.client.create(name, cpus=2)
        self.assertEqual(details[error_details_pb2.ResourceInfo].resource_name, name)

    def test_invalid(self):
        with self.fails(StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST") as details:
            self.client.create(self.name(), cpus=1000, nameservers=["nobody"])
        wrong = [v.field for v in details[error_details_pb2.BadRequest].field_violations]
        self.assertEqual(wrong, ["spec.cpus", "spec.nameservers[0]"])

    def test_not_found(self):
        name = self.name()
        with self.fails(StatusCode.NOT_FOUND, "SANDBOX_NOT_FOUND") as details:
            self.client.sandboxes.GetSandbox(sandboxes_pb2.GetSandboxRequest(name=name), timeout=TIMEOUT)
        self.assertEqual(details[error_details_pb2.ResourceInfo].resource_name, name)

    def test_not_running(self):
        name = self.name()
        self.client.create(name)
        with self.fails(StatusCode.FAILED_PRECONDITION, "WRONG_STATE") as details:
            self.client.exec(name, "true")
        self.assertEqual(details[error_details_pb2.PreconditionFailure].violations[0].subject, name)


class ListTest(Case):
    def setUp(self):
        self.mine = f"mine={uuid.uuid4().hex}"
        key, value = self.mine.split("=")
        self.names = sorted(self.name() for _ in range(5))
        for i, name in enumerate(self.names):
            self.client.create(name, labels={key: value, "i": str(i)})

    def test_pages(self):
        pages, token = [], ""
        while token or not pages:
            page = self.list(label_selector=self.mine, page_size=2, page_token=token)
            pages.append([s.name for s in page.sandboxes])
            token = page.next_page_token
        self.assertEqual(pages, [self.names[:2], self.names[2:4], self.names[4:]])

    def test_selectors(self):
        for selector, want in (
            ("", self.names), (",i=3", self.names[3:4]), (",i!=3", self.names[:3] + self.names[4:]),
            (",i", self.names), (",!i", []),
        ):
            with self.subTest(selector):
                found = self.list(label_selector=self.mine + selector).sandboxes
                self.assertEqual([s.name for s in found], want)

    def test_states(self):
        states = [sandbox_pb2.SANDBOX_STATE_RUNNING, sandbox_pb2.SANDBOX_STATE_CREATED]
        self.assertEqual(len(self.list(label_selector=self.mine, states=states).sandboxes), 5)
        self.assertEqual(len(self.list(label_selector=self.mine, states=states[:1]).sandboxes), 0)

    def test_wrong_selector(self):
        with self.fails(StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"):
            self.list(label_selector="=")

    def list(self, **request):
        return self.client.sandboxes.ListSandboxes(
            sandboxes_pb2.ListSandboxesRequest(**request), timeout=TIMEOUT)
