package uffd

// The kernel's interface; linux/userfaultfd.h.
const (
	apiVersion = 0xaa // UFFD_API

	registerMissing = 1 << 0 // UFFDIO_REGISTER_MODE_MISSING

	eventPageFault = 0x12 // UFFD_EVENT_PAGEFAULT
	messageSize    = 32   // sizeof(struct uffd_msg)
	addressOffset  = 16   // of arg.pagefault.address in it
)

// request is an ioctl's number.
type request uint32

const (
	reqNew        request = 0xaa00 // USERFAULTFD_IOC_NEW, of the device
	reqAPI        request = 0xc018aa3f
	reqRegister   request = 0xc020aa00
	reqUnregister request = 0x8010aa01
	reqWake       request = 0x8010aa02
	reqCopy       request = 0xc028aa03
	reqZero       request = 0xc020aa04
)

// apiArg is struct uffdio_api.
type apiArg struct {
	api uint64
	_   [2]uint64 // features, ioctls
}

// rangeArg is struct uffdio_range.
type rangeArg struct{ start, len uint64 }

// registerArg is struct uffdio_register.
type registerArg struct {
	rangeArg
	mode uint64
	_    uint64 // ioctls
}

// zeroArg is struct uffdio_zeropage.
type zeroArg struct {
	rangeArg
	_      uint64 // mode
	zeroed int64
}
