package serial

// Registers of the 16550A by offset from the base port; National
// Semiconductor's PC16550D data sheet, table II. The first two mean something
// else while LCR's divisor latch bit is set.
const (
	regData     = 0 // RBR when read, THR when written; divisor low
	regIER      = 1 // interrupt enable; divisor high
	regIIR      = 2 // interrupt identification when read, FCR when written
	regLCR      = 3 // line control
	regMCR      = 4 // modem control
	regLSR      = 5 // line status
	regMSR      = 6 // modem status
	regSCR      = 7 // scratch
	RegisterLen = 8
)

const (
	ierReceived   = 1 << 0
	ierTHREmpty   = 1 << 1
	ierMask       = 0x0f
	iirNone       = 0x01
	iirTHREmpty   = 0x02
	iirReceived   = 0x04
	iirFIFOs      = 0xc0
	fcrEnable     = 1 << 0
	fcrClearRX    = 1 << 1
	lcrDivisor    = 1 << 7
	mcrOut2       = 1 << 3 // gates the interrupt line on a PC
	mcrLoop       = 1 << 4
	mcrMask       = 0x1f
	lsrDataReady  = 1 << 0
	lsrTHREmpty   = 1 << 5
	lsrIdle       = 1 << 6
	msrConnected  = 0xb0 // CTS, DSR, DCD: somebody is at the other end
	divisor115200 = 1
)
