package tinyguest

// op is a step's handler, by its place in code.
type op uint32

// The handlers. A step is 64 bytes: handler, address, value, mask or count,
// result, done.
const (
	opIdle     op = 0x3c // look again
	opWrite1   op = 0x40
	opWrite2   op = 0x44
	opWrite4   op = 0x49
	opWrite8   op = 0x4d
	opRead1    op = 0x52
	opRead2    op = 0x57
	opRead4    op = 0x5c
	opRead8    op = 0x60
	opWait     op = 0x69 // until the 32 bits at the address, masked, are the value
	opFill     op = 0x75 // REP STOSD, count times
	opExchange op = 0x7a // LOCK XADD of 32 bits
	opJump     op = 0x80 // to the step at the value
)

const (
	stepSize   = 64
	offHandler = 0
	offAddress = 8
	offValue   = 16
	offMask    = 24
	offResult  = 32
	offDone    = 40
)

// code is the whole guest, at codeGPA: it goes from step to step. The first
// processor starts at its first byte, the second one at afterSwitch.
var code = []byte{
	0xb8, 0x00, 0x00, 0x04, 0x00, //       mov eax, pageTablesGPA
	0x0f, 0x22, 0xd8, //                   mov cr3, rax
	0xbe, 0x00, 0x00, 0x10, 0x01, //       mov esi, stepsGPA
	0xeb, 0x10, //                         jmp run
	// afterSwitch:
	0xb8, 0x10, 0x00, 0x00, 0x00, //       mov eax, 0x10
	0x8e, 0xd8, //                         mov ds, eax
	0x8e, 0xc0, //                         mov es, eax
	0x8e, 0xd0, //                         mov ss, eax
	0xbe, 0x00, 0x00, 0x20, 0x01, //       mov esi, stepsGPA + stepsSize
	// run:
	0x48, 0x8b, 0x1e, //                   mov rbx, [rsi]      ; first: the host writes it last
	0x48, 0x8b, 0x7e, offAddress, //       mov rdi, [rsi+8]
	0x48, 0x8b, 0x46, offValue, //         mov rax, [rsi+16]
	0x8b, 0x4e, offMask, //                mov ecx, [rsi+24]
	0xff, 0xe3, //                         jmp rbx
	// next:
	0xc7, 0x46, offDone, 1, 0, 0, 0, //    mov dword [rsi+40], 1
	0x48, 0x83, 0xc6, stepSize, //         add rsi, 64
	0xeb, 0xe3, //                         jmp run
	// idle:
	0xf3, 0x90, 0xeb, 0xdf, //             pause; jmp run
	// write1, write2, write4, write8:
	0x88, 0x07, 0xeb, 0xeb, //             mov [rdi], al; jmp next
	0x66, 0x89, 0x07, 0xeb, 0xe6, //       mov [rdi], ax; jmp next
	0x89, 0x07, 0xeb, 0xe2, //             mov [rdi], eax; jmp next
	0x48, 0x89, 0x07, 0xeb, 0xdd, //       mov [rdi], rax; jmp next
	// read1, read2, read4, read8:
	0x0f, 0xb6, 0x07, 0xeb, 0x0c, //       movzx eax, byte [rdi]; jmp keep
	0x0f, 0xb7, 0x07, 0xeb, 0x07, //       movzx eax, word [rdi]; jmp keep
	0x8b, 0x07, 0xeb, 0x03, //             mov eax, [rdi]; jmp keep
	0x48, 0x8b, 0x07, //                   mov rax, [rdi]
	// keep:
	0x48, 0x89, 0x46, offResult, //        mov [rsi+32], rax
	0xeb, 0xc6, //                         jmp next
	// wait:
	0x8b, 0x17, 0x21, 0xca, //             mov edx, [rdi]; and edx, ecx
	0x39, 0xc2, 0x74, 0xbe, //             cmp edx, eax; je next
	0xf3, 0x90, 0xeb, 0xf4, //             pause; jmp wait
	// fill:
	0xfc, 0xf3, 0xab, 0xeb, 0xb5, //       cld; rep stosd; jmp next
	// exchange:
	0xf0, 0x0f, 0xc1, 0x07, 0xeb, 0xe3, // lock xadd [rdi], eax; jmp keep
	// jump:
	0x48, 0x89, 0xc6, 0xeb, 0x9a, //       mov rsi, rax; jmp run
}

const afterSwitch = 0x0f

// trampoline takes the second processor from real mode to afterSwitch. It lies
// at trampolineGPA, where the start-up IPI's vector points.
var trampoline = []byte{
	0xfa,                                     // cli
	0x2e, 0x66, 0x0f, 0x01, 0x16, 0x58, 0x00, // lgdt cs:[0x58]
	0x66, 0xb8, 0x00, 0x00, 0x04, 0x00, //       mov eax, pageTablesGPA
	0x0f, 0x22, 0xd8, //                         mov cr3, eax
	0x66, 0xb8, 0x20, 0x00, 0x00, 0x00, //       mov eax, CR4.PAE
	0x0f, 0x22, 0xe0, //                         mov cr4, eax
	0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, //       mov ecx, IA32_EFER
	0x0f, 0x32, //                               rdmsr
	0x66, 0x0d, 0x00, 0x01, 0x00, 0x00, //       or eax, LME
	0x0f, 0x30, //                               wrmsr
	0x66, 0xb8, 0x11, 0x00, 0x00, 0x80, //       mov eax, CR0.PG|ET|PE
	0x0f, 0x22, 0xc0, //                         mov cr0, eax
	0x66, 0xea, afterSwitch, 0, 0, 1, 8, 0, //   jmp 8:afterSwitch
	0, 0, 0, 0, 0, //                            up to 0x40
	0, 0, 0, 0, 0, 0, 0, 0, //                   GDT: nothing
	0xff, 0xff, 0, 0, 0, 0x9b, 0xaf, 0, //       64-bit code
	0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0, //       data
	23, 0, 0x40, 0, 3, 0, //                     GDTR: 23, trampolineGPA+0x40
}
