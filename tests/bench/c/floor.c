/*
 * The floor: the bare ioctl sequence that every VMM has to make, in C, without
 * devices, and without checking what it reads.
 *
 *   floor boot ORDER VMLINUX INITRD MEMORY_MIB     up to the first KVM_RUN
 *   floor restore ORDER STATE MEMORY MEMORY_MIB    likewise, from a snapshot's state
 *   floor exits COUNT                              port exits, nothing done about them
 *
 * ORDER is chips-first, which is usual, or ram-first: a memory slot waits until KVM
 * has let go of what the chips have changed.
 *
 * Prints the CLOCK_MONOTONIC time of the first KVM_RUN, or the nanoseconds that
 * COUNT exits took, as often as it is sent a line.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

struct machine {
	int kvm, vm, vcpu;
	int memory; /* a file to map, 0 for none */
	uint8_t *ram;
	size_t size;
	struct kvm_run *run;
};

enum order { NO_CHIPS, CHIPS_FIRST, RAM_FIRST };

static void chips(struct machine *m)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	must(ioctl(m->vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	must(ioctl(m->vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
}

static void ram(struct machine *m)
{
	m->ram = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | (m->memory ? 0 : MAP_ANONYMOUS),
		      m->memory ? m->memory : -1, 0);
	if (m->ram == MAP_FAILED)
		err(1, "mmap");
	struct kvm_userspace_memory_region slot = { .memory_size = m->size, .userspace_addr = (uintptr_t)m->ram };
	must(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
}

static void board(struct machine *m, enum order order)
{
	uint64_t identity = 0xfffbc000;

	m->kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	m->vm = must(ioctl(m->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	must(ioctl(m->vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	must(ioctl(m->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity), "KVM_SET_IDENTITY_MAP_ADDR");
	if (order == CHIPS_FIRST)
		chips(m);
	ram(m);
	if (order == RAM_FIRST)
		chips(m);
}

static void vcpu(struct machine *m)
{
	int size = must(ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");

	m->vcpu = must(ioctl(m->vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	m->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	if (m->run == MAP_FAILED)
		err(1, "mmap vcpu");
}

static void processor(struct machine *m)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = { .head = { .nent = 256 } };

	must(ioctl(m->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid), "KVM_GET_SUPPORTED_CPUID");
	vcpu(m);
	must(ioctl(m->vcpu, KVM_SET_CPUID2, &cpuid), "KVM_SET_CPUID2");
}

static void read_at(const char *path, int fd, void *to, size_t n, off_t at)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = pread(fd, (char *)to + done, n - done, at + done);
		if (r <= 0)
			err(1, "read %s", path);
		done += r;
	}
}

static uint64_t load_kernel(struct machine *m, const char *path)
{
	int fd = must(open(path, O_RDONLY), path);
	Elf64_Ehdr head;
	Elf64_Phdr segment;

	read_at(path, fd, &head, sizeof head, 0);
	for (int i = 0; i < head.e_phnum; i++) {
		read_at(path, fd, &segment, sizeof segment, head.e_phoff + i * sizeof segment);
		if (segment.p_type == PT_LOAD)
			read_at(path, fd, m->ram + segment.p_paddr, segment.p_filesz, segment.p_offset);
	}
	close(fd);
	return head.e_entry;
}

static uint64_t load_initrd(struct machine *m, const char *path, uint32_t *size)
{
	int fd = must(open(path, O_RDONLY), path);
	struct stat st;

	must(fstat(fd, &st), path);
	*size = st.st_size;
	uint64_t at = (m->size - st.st_size) & ~4095ull;
	read_at(path, fd, m->ram + at, st.st_size, 0);
	close(fd);
	return at;
}

static void put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static void put64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }

static void zero_page(struct machine *m, uint64_t initrd, uint32_t size)
{
	uint8_t *page = m->ram + 0x7000;
	struct { uint64_t start, size; uint32_t type; } __attribute__((packed)) map[] = {
		{ 0, 0x9fc00, 1 }, { 0x100000, m->size - 0x100000, 1 },
	};

	page[0x1fe] = 0x55, page[0x1ff] = 0xaa;
	memcpy(page + 0x202, "HdrS", 4);
	page[0x206] = 0x0f, page[0x207] = 0x02;
	page[0x210] = 0xff, page[0x211] = 0x41;
	put32(page + 0x218, initrd);
	put32(page + 0x21c, size);
	put32(page + 0x228, 0x20000);
	put32(page + 0x238, 7);
	strcpy((char *)m->ram + 0x20000, "quiet");
	page[0x1e8] = 2;
	memcpy(page + 0x2d0, map, sizeof map);
}

static void long_mode(struct machine *m, uint64_t entry)
{
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = entry, .rsi = 0x7000, .rsp = 0x8ff0, .rflags = 2 };

	put64(m->ram + 0x9000, 0xa003);
	put64(m->ram + 0xa000, 0xb003);
	for (int i = 0; i < 512; i++)
		put64(m->ram + 0xb000 + 8 * i, (uint64_t)i << 21 | 0x83);
	must(ioctl(m->vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	struct kvm_segment data = { .limit = ~0u, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cs = (struct kvm_segment){ .limit = ~0u, .selector = 0x10, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	s.cr0 = 0x80000011, s.cr3 = 0x9000, s.cr4 = 0x20, s.efer = 0x500;
	must(ioctl(m->vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	must(ioctl(m->vcpu, KVM_SET_REGS, &r), "KVM_SET_REGS");
}

/* The first KVM_RUN: the guest's own time is no part of what is measured. */
static void first_run(struct machine *m)
{
	m->run->immediate_exit = 1;
	uint64_t first = now();
	ioctl(m->vcpu, KVM_RUN, 0);
	printf("%llu\n", (unsigned long long)first);
}

static void boot(enum order order, const char *kernel, const char *initrd, size_t mib)
{
	struct machine m = { .size = mib << 20 };
	uint32_t size;

	board(&m, order);
	uint64_t entry = load_kernel(&m, kernel);
	uint64_t at = load_initrd(&m, initrd, &size);
	zero_page(&m, at, size);
	processor(&m);
	long_mode(&m, entry);
	first_run(&m);
}

/*
 * The state file has records, each a length of 4 bytes and what the calls below
 * take, in their order.
 */
static void *record(uint8_t **at)
{
	uint32_t n;

	memcpy(&n, *at, 4);
	void *p = *at + 4;
	*at += 4 + n;
	return p;
}

static void restore(enum order order, const char *state, const char *memory, size_t mib)
{
	static const struct { unsigned long request; const char *name; int vm; } calls[] = {
		{ KVM_SET_CPUID2, "KVM_SET_CPUID2" }, { KVM_SET_MP_STATE, "KVM_SET_MP_STATE" },
		{ KVM_SET_REGS, "KVM_SET_REGS" }, { KVM_SET_SREGS, "KVM_SET_SREGS" },
		{ KVM_SET_XCRS, "KVM_SET_XCRS" }, { KVM_SET_XSAVE, "KVM_SET_XSAVE" },
		{ KVM_SET_DEBUGREGS, "KVM_SET_DEBUGREGS" }, { KVM_SET_LAPIC, "KVM_SET_LAPIC" },
		{ KVM_SET_MSRS, "KVM_SET_MSRS" }, { KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS" },
		{ KVM_SET_IRQCHIP, "KVM_SET_IRQCHIP", 1 }, { KVM_SET_IRQCHIP, "KVM_SET_IRQCHIP", 1 },
		{ KVM_SET_IRQCHIP, "KVM_SET_IRQCHIP", 1 }, { KVM_SET_PIT2, "KVM_SET_PIT2", 1 },
		{ KVM_SET_CLOCK, "KVM_SET_CLOCK", 1 },
	};
	struct machine m = { .size = mib << 20 };
	static uint8_t buffer[1 << 20];
	uint8_t *at = buffer;

	m.memory = must(open(memory, O_RDONLY | O_CLOEXEC), memory);
	int fd = must(open(state, O_RDONLY | O_CLOEXEC), state);
	must(read(fd, buffer, sizeof buffer), state);
	board(&m, order);
	vcpu(&m);
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
		must(ioctl(calls[i].vm ? m.vm : m.vcpu, calls[i].request, record(&at)), calls[i].name);
	first_run(&m);
}

/* For each line on standard input: a batch of exits, and its time. */
static void exits(long batch)
{
	static const uint8_t code[] = { 0xe6, 0x10, 0xeb, 0xfc }; /* out 0x10, al; jmp back */
	struct machine m = { .size = 65536 };
	struct kvm_sregs s;
	struct kvm_regs r = { .rip = 0x1000, .rflags = 2 };
	char line[16];

	board(&m, NO_CHIPS);
	memcpy(m.ram + 0x1000, code, sizeof code);
	processor(&m);
	must(ioctl(m.vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cs.base = s.cs.selector = 0;
	must(ioctl(m.vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	must(ioctl(m.vcpu, KVM_SET_REGS, &r), "KVM_SET_REGS");
	while (fgets(line, sizeof line, stdin)) {
		uint64_t start = now();
		for (long i = 0; i < batch; i++) {
			must(ioctl(m.vcpu, KVM_RUN, 0), "KVM_RUN");
			if (m.run->exit_reason != KVM_EXIT_IO)
				errx(1, "exit reason %u", m.run->exit_reason);
		}
		printf("%llu\n", (unsigned long long)(now() - start));
		fflush(stdout);
	}
}

static enum order order(const char *name)
{
	if (!strcmp(name, "chips-first"))
		return CHIPS_FIRST;
	if (!strcmp(name, "ram-first"))
		return RAM_FIRST;
	errx(2, "there is no order \"%s\"", name);
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "boot"))
		boot(order(argv[2]), argv[3], argv[4], atol(argv[5]));
	else if (argc == 6 && !strcmp(argv[1], "restore"))
		restore(order(argv[2]), argv[3], argv[4], atol(argv[5]));
	else if (argc == 3 && !strcmp(argv[1], "exits"))
		exits(atol(argv[2]));
	else
		errx(2, "usage: floor boot ORDER VMLINUX INITRD MEMORY_MIB | floor restore ORDER STATE MEMORY MEMORY_MIB | floor exits COUNT");
	return 0;
}
