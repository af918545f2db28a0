/*
 * Writes memory. Its argument is how many MiB it has; each line of standard input
 * is how many of them to write next, with what was never there before. It says
 * "done" after each, and when it has its memory.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static uint64_t state = 88172645463325252ull;

static void fill(uint64_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof *p; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		p[i] = state;
	}
}

int main(int argc, char **argv)
{
	size_t have = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, n;
	const size_t huge = 2 << 20;
	char *p = mmap(NULL, (have << 20) + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	p += -(uintptr_t)p & (huge - 1);
	madvise(p, have << 20, MADV_HUGEPAGE); /* fewer faults; without, it works as well */
	fill((uint64_t *)p, have << 20);
	puts("done");
	fflush(stdout);
	while (scanf("%zu", &n) == 1) {
		if (n > have) {
			fprintf(stderr, "%zu MiB of %zu\n", n, have);
			return 1;
		}
		fill((uint64_t *)p, n << 20);
		puts("done");
		fflush(stdout);
	}
	return 0;
}
