"""A client of a node that shares no code with it: made from the .proto files alone.

    python3 client.py unix:///run/bulkhead/bulkheadd.sock

uses every part of the API and fails if an answer isn't what the .proto files say.
Its sandboxes are named "py-..."; it deletes them. Other sandboxes stay as they are.
"""

import argparse
import sys
import unittest

import calls
import guests
import lives
import nodes
import sandboxes

MODULES = {"nodes": nodes, "sandboxes": sandboxes, "lives": lives, "guests": guests}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", help='as gRPC names it: "unix:///path" or "host:port"')
    parser.add_argument("--guest-dir", default="/tmp", help="a directory of the guest for files")
    parser.add_argument("--rootfs", default="", help="for the sandboxes: a path on the node")
    parser.add_argument("--start-timeout", type=float, default=300, help="seconds that a guest may take to start")
    parser.add_argument("--file-mib", type=int, default=5, help="how large a file is copied in and out")
    parser.add_argument("--cases", nargs="+", choices=MODULES, default=MODULES, help="what to do of it")
    options = parser.parse_args()

    with calls.Client(options.target, options.guest_dir, options.rootfs, options.start_timeout) as client:
        calls.Case.client = client
        guests.GuestTest.file_size = options.file_mib << 20
        suite = unittest.TestSuite()
        for module in (MODULES[name] for name in options.cases):
            suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(module))
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
