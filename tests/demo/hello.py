import hashlib
import os
import platform
import subprocess
import threading

print("guest kernel: ", os.uname().release)

totals = []
threads = [
    threading.Thread(target=lambda n=n: totals.append(sum(range(n))))
    for n in (10_000, 20_000)
]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("two threads:  ", sorted(totals))

child = subprocess.run(["/bin/echo", "hello from a subprocess"], capture_output=True, text=True, check=True)
print("a subprocess: ", child.stdout.strip())
print("Python:       ", platform.python_version(), hashlib.sha256(b"bulkhead").hexdigest()[:16])
