/*
 * The first process of a guest that does I/O to be measured from outside: on
 * /dev/vda, block by block past the page cache, and over TCP with a host that
 * sends, takes and echoes on three ports. In C, because a language runtime's
 * own system calls cost a millisecond each where guest kernels are emulated.
 *
 * On the console, for each task:
 *
 *   load: begin TASK
 *   load: end TASK REQUESTS NANOSECONDS
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HOST "10.97.0.1"
#define GUEST "10.97.0.2"
enum { PORT_SEND = 7001, PORT_RECEIVE, PORT_PING };

static char buffer[128 << 10] __attribute__((aligned(4096)));

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int must(int r, const char *what)
{
	if (r < 0)
		err(1, "%s", what);
	return r;
}

static void nap(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* What is measured begins a while after the line that says so. */
static uint64_t begin(const char *task)
{
	printf("load: begin %s\n", task);
	nap(100);
	return now();
}

static void end(const char *task, long requests, uint64_t since)
{
	printf("load: end %s %ld %llu\n", task, requests, (unsigned long long)(now() - since));
}

static void idle(void)
{
	uint64_t since = begin("idle");

	nap(2000);
	end("idle", 1, since);
}

static void disk(int fd, uint64_t size, const char *task, int writing, int at_random, size_t block, long requests)
{
	uint64_t blocks = size / block, at = 0, seed = 1;
	uint64_t since = begin(task);

	for (long i = 0; i < requests; i++) {
		off_t off = at % blocks * block;
		ssize_t n = writing ? pwrite(fd, buffer, block, off) : pread(fd, buffer, block, off);
		if (n != (ssize_t)block)
			err(1, "%s: %zd bytes", task, n);
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		at = at_random ? seed >> 33 : at + 1;
	}
	end(task, requests, since);
}

static void disks(void)
{
	static const struct { const char *name; size_t size; long requests; } blocks[] = {
		{ "4k", 4 << 10, 100 }, { "128k", 128 << 10, 40 },
	};
	int fd = must(open("/dev/vda", O_RDWR | O_DIRECT), "/dev/vda");
	uint64_t size;
	char task[32];

	must(ioctl(fd, BLKGETSIZE64, &size), "size of /dev/vda");
	for (int block = 0; block < 2; block++)
		for (int writing = 0; writing < 2; writing++)
			for (int at_random = 0; at_random < 2; at_random++) {
				snprintf(task, sizeof task, "disk-%s-%s-%s", writing ? "write" : "read",
					at_random ? "random" : "sequential", blocks[block].name);
				disk(fd, size, task, writing, at_random, blocks[block].size, blocks[block].requests);
			}
	close(fd);
}

static void set(int s, const char *interface, unsigned long request, const char *address)
{
	struct ifreq r = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&r.ifr_addr;

	strcpy(r.ifr_name, interface);
	if (address) {
		in->sin_family = AF_INET;
		inet_pton(AF_INET, address, &in->sin_addr);
	} else {
		r.ifr_flags = IFF_UP | IFF_RUNNING;
	}
	must(ioctl(s, request, &r), interface);
}

static int dial(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int s = must(socket(AF_INET, SOCK_STREAM, 0), "socket"), on = 1;

	inet_pton(AF_INET, HOST, &to.sin_addr);
	must(connect(s, (struct sockaddr *)&to, sizeof to), "connect to the host");
	must(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
	return s;
}

static void must_move(ssize_t n, const char *task)
{
	if (n <= 0)
		err(1, "%s: %zd bytes", task, n);
}

/* Megabytes to the host, which says when it has them. */
static void net_send(const char *task, size_t block, long requests)
{
	int s = dial(PORT_SEND);
	uint64_t since = begin(task);

	for (long i = 0; i < requests; i++)
		for (size_t done = 0; done < block;) {
			ssize_t n = write(s, buffer + done, block - done);
			must_move(n, task);
			done += n;
		}
	must(shutdown(s, SHUT_WR), task);
	must_move(read(s, buffer, 1), task);
	end(task, requests, since);
	close(s);
}

/* Megabytes from the host, which sends when it is told how many. */
static void net_receive(const char *task, size_t block, long requests)
{
	int s = dial(PORT_RECEIVE);
	uint64_t left = block * requests, since = begin(task);

	must_move(write(s, &left, sizeof left), task);
	while (left > 0) {
		ssize_t n = read(s, buffer, left < block ? left : block);
		must_move(n, task);
		left -= n;
	}
	end(task, requests, since);
	close(s);
}

static void net_ping(const char *task, long requests)
{
	int s = dial(PORT_PING);
	uint64_t since = begin(task);

	for (long i = 0; i < requests; i++) {
		must_move(write(s, buffer, 1), task);
		must_move(read(s, buffer, 1), task);
	}
	end(task, requests, since);
	close(s);
}

static void net(void)
{
	int s = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");

	set(s, "eth0", SIOCSIFADDR, GUEST);
	set(s, "eth0", SIOCSIFNETMASK, "255.255.255.0");
	set(s, "eth0", SIOCSIFFLAGS, NULL);
	close(s);
	net_ping("net-ping-1", 50);
	net_send("net-send-64k", 64 << 10, 12);
	net_receive("net-receive-64k", 64 << 10, 12);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	must(mount("dev", "/dev", "devtmpfs", 0, NULL), "mount /dev");
	idle();
	disks();
	net();
	printf("load: done\n");
	for (;;)
		pause();
}
