"""Sandboxes from their beginning to their end, as others watch."""

import queue

from google.rpc import error_details_pb2
from grpc import StatusCode

from calls import TIMEOUT, Case
from hypervisor.api.v1 import processes_pb2, sandbox_pb2, sandboxes_pb2

ADDED, MODIFIED = sandboxes_pb2.EVENT_TYPE_ADDED, sandboxes_pb2.EVENT_TYPE_MODIFIED
DELETED, BOOKMARK = sandboxes_pb2.EVENT_TYPE_DELETED, sandboxes_pb2.EVENT_TYPE_BOOKMARK


class LifeTest(Case):
    def test_watched(self):
        """One is started, stopped and deleted, while somebody watches, who is told of no other."""
        name = self.name()
        watch = self.watch(name=name)
        self.assertEqual(next(watch).type, BOOKMARK)
        self.client.create(name)
        self.client.create(self.name())
        self.assertEqual(self.client.start(name).status.state, sandbox_pb2.SANDBOX_STATE_RUNNING)
        with self.fails(StatusCode.FAILED_PRECONDITION, "WRONG_STATE") as details:
            self.client.sandboxes.DeleteSandbox(sandboxes_pb2.DeleteSandboxRequest(name=name), timeout=TIMEOUT)
        self.assertEqual(details[error_details_pb2.PreconditionFailure].violations[0].type, "WRONG_STATE")
        stopped = self.client.sandboxes.StopSandbox(
            sandboxes_pb2.StopSandboxRequest(name=name), timeout=TIMEOUT).sandbox
        self.assertEqual(stopped.status.state, sandbox_pb2.SANDBOX_STATE_STOPPED)
        self.assertEqual(stopped.status.exit.reason, sandbox_pb2.EXIT_REASON_STOPPED)
        self.client.sandboxes.DeleteSandbox(sandboxes_pb2.DeleteSandboxRequest(name=name), timeout=TIMEOUT)
        self.client.delete(name)  # it is gone, which is as well

        told = self.until_deleted(watch)
        self.assertEqual({e.sandbox.name for e in told}, {name})
        self.assertEqual([told[0].type, told[-1].type], [ADDED, DELETED])
        self.assertEqual({e.type for e in told[1:-1]}, {MODIFIED})
        states = [e.sandbox.status.state for e in told]
        order = [states.index(getattr(sandbox_pb2, f"SANDBOX_STATE_{s}")) for s in (
            "CREATED", "STARTING", "RUNNING", "STOPPING", "STOPPED")]
        self.assertEqual(order, sorted(order))
        self.check_resume(name, told)

    def check_resume(self, name, told):
        """Whoever comes late, or again, is told the same from where they were."""
        versions = [e.resource_version for e in told]
        self.assertEqual(versions, sorted(set(versions)))
        for i, version in enumerate([versions[0] - 1, *versions[:-1]]):
            again = self.until_deleted(self.watch(name=name, resource_version=version))
            self.assertEqual(again, told[i:])

    def test_watch_begins_with_all(self):
        name = self.name()
        made = self.client.create(name, labels={"watched": name})
        watch = self.watch(label_selector=f"watched={name}")
        first, then = next(watch), next(watch)
        self.assertEqual((first.type, first.sandbox), (ADDED, made))
        self.assertEqual((then.type, then.resource_version), (BOOKMARK, first.resource_version))

    def test_command(self):
        """A sandbox ends with its command, which somebody is attached to. What it said stays."""
        name = self.name()
        command = sandbox_pb2.Command(args=["sh", "-c", "echo begun; cat; echo sorry >&2; exit 3"], stdin=True)
        self.client.create(name, command=command)
        self.client.start(name)
        requests = queue.SimpleQueue()
        requests.put(processes_pb2.AttachRequest(start=processes_pb2.AttachStart(sandbox=name, logs=True)))
        requests.put(processes_pb2.AttachRequest(stdin=b"carried\n"))
        requests.put(processes_pb2.AttachRequest(close_stdin=processes_pb2.CloseStdin()))
        first, *between, last = self.client.processes.Attach(iter(requests.get, None), timeout=TIMEOUT)
        requests.put(None)
        self.assertTrue(first.started.process_id)
        self.assertEqual(b"".join(a.stdout for a in between), b"begun\ncarried\n")
        self.assertEqual(b"".join(a.stderr for a in between), b"sorry\n")
        self.assertEqual(last.exit.exit_code, 3)

        ended = next(e.sandbox for e in self.watch(name=name)
                     if e.sandbox.status.state == sandbox_pb2.SANDBOX_STATE_STOPPED)
        self.assertEqual(ended.status.exit.reason, sandbox_pb2.EXIT_REASON_COMPLETED)
        self.assertEqual(ended.status.exit.exit_code, 3)
        logs = self.client.processes.GetLogs(processes_pb2.GetLogsRequest(sandbox=name), timeout=TIMEOUT)
        said = {(e.stream, e.data) for answer in logs for e in answer.entries}
        self.assertEqual(said, {
            (processes_pb2.LOG_STREAM_STDOUT, b"begun\n"), (processes_pb2.LOG_STREAM_STDOUT, b"carried\n"),
            (processes_pb2.LOG_STREAM_STDERR, b"sorry\n")})

    def watch(self, **request):
        watch = self.client.sandboxes.WatchSandboxes(
            sandboxes_pb2.WatchSandboxesRequest(**request), timeout=self.client.start_timeout)
        self.addCleanup(watch.cancel)
        return watch

    def until_deleted(self, watch):
        """Returns what is told up to a sandbox's end, without bookmarks."""
        told = []
        while not told or told[-1].type != DELETED:
            event = next(watch)
            if event.type != BOOKMARK:
                told.append(event)
        return told
