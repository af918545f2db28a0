package power

// outb writes a byte to an I/O port that ioperm gave this thread.
func outb(port uint16, value uint8)
