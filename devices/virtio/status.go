package virtio

import "strings"

// Status is the device status field; section 2.1.
type Status uint8

// The bits of the field, as section 2.1 has them.
const (
	StatusAcknowledge Status = 1
	StatusDriver      Status = 2
	StatusDriverOK    Status = 4
	StatusFeaturesOK  Status = 8
	StatusNeedsReset  Status = 64
	StatusFailed      Status = 128

	statusKnown = StatusAcknowledge | StatusDriver | StatusDriverOK | StatusFeaturesOK | StatusNeedsReset | StatusFailed
)

// String lists the bits by name.
func (s Status) String() string {
	if s == 0 {
		return "reset"
	}
	var names []string
	for _, bit := range []struct {
		status Status
		name   string
	}{
		{StatusAcknowledge, "ACKNOWLEDGE"},
		{StatusDriver, "DRIVER"},
		{StatusFeaturesOK, "FEATURES_OK"},
		{StatusDriverOK, "DRIVER_OK"},
		{StatusNeedsReset, "DEVICE_NEEDS_RESET"},
		{StatusFailed, "FAILED"},
	} {
		if s&bit.status != 0 {
			names = append(names, bit.name)
		}
	}
	return strings.Join(names, "|")
}

// before returns the bits that must be set before bit may be; section 3.1.1.
func before(bit Status) Status {
	switch bit {
	case StatusDriver:
		return StatusAcknowledge
	case StatusFeaturesOK:
		return StatusAcknowledge | StatusDriver
	case StatusDriverOK:
		return StatusAcknowledge | StatusDriver | StatusFeaturesOK
	}
	return 0
}

// inOrder reports whether each bit was set after those that must be set before.
func (s Status) inOrder() bool {
	for _, bit := range []Status{StatusDriver, StatusFeaturesOK, StatusDriverOK} {
		if need := before(bit); s&bit != 0 && s&need != need {
			return false
		}
	}
	return true
}
