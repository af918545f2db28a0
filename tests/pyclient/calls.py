"""What all cases use: a connection, and the calls that have several messages."""

import contextlib
import queue
import unittest
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from hypervisor.api.v1 import files_pb2, files_pb2_grpc, node_pb2_grpc, processes_pb2, processes_pb2_grpc
from hypervisor.api.v1 import sandbox_pb2, sandboxes_pb2, sandboxes_pb2_grpc

TIMEOUT = 180  # seconds, for calls that start nothing; real guests may be slow
PIECE = 64 << 10  # what a message carries of a stream


class Client:
    """A connection to a node, and a stub of each service."""

    def __init__(self, target, guest_dir, rootfs, start_timeout):
        self.guest_dir, self.rootfs, self.start_timeout = guest_dir, rootfs, start_timeout
        self.channel = grpc.insecure_channel(target)
        self.sandboxes = sandboxes_pb2_grpc.SandboxesStub(self.channel)
        self.processes = processes_pb2_grpc.ProcessesStub(self.channel)
        self.files = files_pb2_grpc.FilesStub(self.channel)
        self.node = node_pb2_grpc.NodeStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def create(self, name="", request_id="", **spec):
        spec.setdefault("root_fs", sandbox_pb2.RootFS(path=self.rootfs))
        request = sandboxes_pb2.CreateSandboxRequest(
            name=name, request_id=request_id, spec=sandbox_pb2.SandboxSpec(**spec))
        return self.sandboxes.CreateSandbox(request, timeout=TIMEOUT).sandbox

    def start(self, name):
        return self.sandboxes.StartSandbox(
            sandboxes_pb2.StartSandboxRequest(name=name), timeout=self.start_timeout).sandbox

    def delete(self, name):
        """Deletes a sandbox, whatever it is doing, if there is one."""
        try:
            self.sandboxes.DeleteSandbox(
                sandboxes_pb2.DeleteSandboxRequest(name=name, force=True), timeout=TIMEOUT)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise

    def exec(self, sandbox, *args, stdin=None, **command):
        """Runs a command with the input. Returns its output, errors and ProcessExit."""
        run = Exec(self, sandbox, *args, stdin=stdin is not None, **command)
        for at in range(0, len(stdin or b""), PIECE):
            run.send(stdin=stdin[at:at + PIECE])
        if stdin is not None:
            run.send(close_stdin=processes_pb2.CloseStdin())
        return run.finish()

    def write_file(self, sandbox, path, data, **header):
        def messages():
            yield files_pb2.WriteFileRequest(header=files_pb2.WriteFileHeader(sandbox=sandbox, path=path, **header))
            for at in range(0, len(data), PIECE):
                yield files_pb2.WriteFileRequest(data=data[at:at + PIECE])
        return self.files.WriteFile(messages(), timeout=TIMEOUT).info

    def read_file(self, sandbox, path, **which):
        """Returns the file's info and content."""
        request = files_pb2.ReadFileRequest(sandbox=sandbox, path=path, **which)
        first, *rest = self.files.ReadFile(request, timeout=TIMEOUT)
        return first.info, b"".join(part.data for part in rest)


class Exec:
    """A command that runs."""

    def __init__(self, client, sandbox, *args, timeout=TIMEOUT, **command):
        self._requests = queue.SimpleQueue()
        self.send(start=processes_pb2.ExecStart(
            sandbox=sandbox, command=sandbox_pb2.Command(args=args, **command)))
        self.answers = client.processes.Exec(iter(self._requests.get, None), timeout=timeout)
        try:
            self.process_id = next(self.answers).started.process_id
        except grpc.RpcError:
            self._requests.put(None)  # else a thread waits for more for ever
            raise

    def send(self, **request):
        self._requests.put(processes_pb2.ExecRequest(**request))

    def finish(self):
        """Returns what is left of output and errors, and the ProcessExit."""
        out, err, end = b"", b"", None
        try:
            for answer in self.answers:
                out += answer.stdout
                err += answer.stderr
                end = answer.exit if answer.HasField("exit") else None
        finally:
            self._requests.put(None)
        return out, err, end


class Case(unittest.TestCase):
    """A test case with a client, and sandboxes that go with it."""

    client = None  # set by main

    def name(self):
        """Returns a name for a sandbox, which is deleted after the test."""
        name = f"py-{uuid.uuid4().hex[:12]}"
        self.addCleanup(self.client.delete, name)
        return name

    @contextlib.contextmanager
    def fails(self, code, reason):
        """Wants a call to fail so. Yields a dictionary that has the details by their types, afterwards."""
        details = {}
        with self.assertRaises(grpc.RpcError) as caught:
            yield details
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        for packed in rpc_status.from_call(caught.exception).details:
            kind = getattr(error_details_pb2, packed.TypeName().removeprefix("google.rpc."))
            details[kind] = kind.FromString(packed.value)
        info = details[error_details_pb2.ErrorInfo]
        self.assertEqual((info.domain, info.reason), ("bulkhead", reason))
