/*
 * Preloaded into QEMU: notes when the program first enters the guest and when
 * it first comes back, in CLOCK_MONOTONIC nanoseconds, to the file named by
 * BENCH_SHIM.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static unsigned long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void note(unsigned long long entered, unsigned long long left)
{
	char line[64];
	const char *path = getenv("BENCH_SHIM");
	int n = snprintf(line, sizeof line, "%llu %llu\n", entered, left);
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;

	if (fd >= 0) {
		if (write(fd, line, n) < 0)
			perror("shim");
		close(fd);
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*real)(int, unsigned long, ...);
	static atomic_flag seen = ATOMIC_FLAG_INIT;
	va_list args;

	if (!real)
		real = dlsym(RTLD_NEXT, "ioctl");
	va_start(args, request);
	void *arg = va_arg(args, void *);
	va_end(args);
	if (request != KVM_RUN || atomic_flag_test_and_set(&seen))
		return real(fd, request, arg);
	unsigned long long entered = now();
	int r = real(fd, request, arg);
	note(entered, now());
	return r;
}
