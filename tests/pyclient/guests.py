"""A sandbox that runs, and what is done in it."""

import hashlib
import os
import random
import uuid

import grpc
from grpc import StatusCode

from calls import TIMEOUT, Case, Exec
from hypervisor.api.v1 import files_pb2, processes_pb2, sandboxes_pb2

SIGTERM = 15


class GuestTest(Case):
    """Is all of one sandbox: real guests take their time to start."""

    file_size = 5 << 20

    @classmethod
    def setUpClass(cls):
        cls.box = f"py-{uuid.uuid4().hex[:12]}"
        cls.addClassCleanup(cls.client.delete, cls.box)
        cls.client.create(cls.box)
        cls.client.start(cls.box)

    def setUp(self):
        self.dir = os.path.join(self.client.guest_dir, uuid.uuid4().hex)
        self.client.files.MakeDirectory(
            files_pb2.MakeDirectoryRequest(sandbox=self.box, path=self.dir), timeout=TIMEOUT)
        self.addCleanup(self.client.files.RemoveFile, files_pb2.RemoveFileRequest(
            sandbox=self.box, path=self.dir, recursive=True), timeout=TIMEOUT)

    def path(self, name):
        return os.path.join(self.dir, name)

    def test_streams_and_exit_code(self):
        script = 'read line; echo "out $line $WORD"; pwd >&2; exit 7'
        out, err, end = self.client.exec(
            self.box, "sh", "-c", script, stdin=b"in\n", env=["WORD=word"], working_dir=self.dir)
        self.assertEqual((out, err, end.exit_code), (b"out in word\n", self.dir.encode() + b"\n", 7))

    def test_no_input(self):
        self.assertEqual(self.client.exec(self.box, "cat")[0], b"")

    def test_much_input(self):
        data = random.Random(1).randbytes(1 << 20)
        out, _, end = self.client.exec(self.box, "cat", stdin=data)
        self.assertEqual((len(out), hashlib.sha256(out).digest()), (len(data), hashlib.sha256(data).digest()))
        self.assertEqual(end.exit_code, 0)

    def test_signals(self):
        by_stream = Exec(self.client, self.box, "sleep", "1000")
        by_stream.send(signal=SIGTERM)
        by_call = Exec(self.client, self.box, "sleep", "1000")
        self.client.processes.SignalProcess(processes_pb2.SignalProcessRequest(
            sandbox=self.box, process_id=by_call.process_id, signal=SIGTERM), timeout=TIMEOUT)
        for run in by_stream, by_call:
            _, _, end = run.finish()
            self.assertEqual((end.exit_code, end.signal), (128 + SIGTERM, SIGTERM))

    def test_deadline(self):
        with self.assertRaises(grpc.RpcError) as caught:
            Exec(self.client, self.box, "sleep", "1000", timeout=1).finish()
        self.assertEqual(caught.exception.code(), StatusCode.DEADLINE_EXCEEDED)

    def test_no_such_command(self):
        with self.fails(StatusCode.NOT_FOUND, "COMMAND_NOT_FOUND"):
            self.client.exec(self.box, "no-such-command")

    def test_file_in_and_out(self):
        data = random.Random(2).randbytes(self.file_size)
        path = self.path("sub/file")
        written = self.client.write_file(self.box, path, data, mode=0o640, parents=True)
        self.assertEqual((written.size, written.mode, written.type), (len(data), 0o640, files_pb2.FILE_TYPE_REGULAR))
        info, back = self.client.read_file(self.box, path)
        self.assertEqual(info, written)
        self.assertEqual(hashlib.sha256(back).digest(), hashlib.sha256(data).digest())
        half = len(data) // 2
        self.assertEqual(self.client.read_file(self.box, path, offset=half, length=1000)[1], data[half:half + 1000])
        out, _, _ = self.client.exec(self.box, "sh", "-c", f"wc -c < {path}")
        self.assertEqual(int(out), len(data))

    def test_directory(self):
        for name in "a", "b", "c":
            self.client.write_file(self.box, self.path(name), name.encode())
        self.client.files.MakeSymlink(files_pb2.MakeSymlinkRequest(
            sandbox=self.box, path=self.path("link"), target="a"), timeout=TIMEOUT)
        names, token = [], ""
        while token or not names:
            page = self.client.files.ListFiles(files_pb2.ListFilesRequest(
                sandbox=self.box, path=self.dir, page_size=3, page_token=token), timeout=TIMEOUT)
            names += [f.path for f in page.files]
            token = page.next_page_token
        self.assertEqual(names, [self.path(n) for n in ("a", "b", "c", "link")])
        self.assertEqual(self.stat("link").symlink_target, "a")

        self.client.files.RemoveFile(
            files_pb2.RemoveFileRequest(sandbox=self.box, path=self.path("a")), timeout=TIMEOUT)
        with self.fails(StatusCode.NOT_FOUND, "GUEST"):
            self.stat("a")

    def test_stats(self):
        stats = self.client.sandboxes.GetSandboxStats(
            sandboxes_pb2.GetSandboxStatsRequest(name=self.box), timeout=TIMEOUT).stats
        self.assertGreater(stats.memory_bytes, 0)
        self.assertGreater(stats.user_time.ToNanoseconds(), 0)
        self.assertGreater(stats.time.ToSeconds(), 0)

    def stat(self, name):
        return self.client.files.StatFile(
            files_pb2.StatFileRequest(sandbox=self.box, path=self.path(name)), timeout=TIMEOUT).info
