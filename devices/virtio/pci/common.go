package pci

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// readCommon reads a field of the common configuration; section 4.1.4.3.
// Section 4.1.3.1: each field in its own width. Other reads are of zeroes.
func (t *Transport) readCommon(offset uint64, data []byte) {
	if len(data) != width(offset) {
		return
	}
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], t.field(offset))
	copy(data, b[:])
}

func (t *Transport) field(offset uint64) uint32 {
	queue := t.queueSel.Load()
	switch offset {
	case regDeviceFeaturesSel:
		return t.deviceFeaturesSel.Load()
	case regDeviceFeatures:
		return t.DeviceFeatures(t.deviceFeaturesSel.Load())
	case regDriverFeaturesSel:
		return t.driverFeaturesSel.Load()
	case regDriverFeatures:
		return t.DriverFeatures(t.driverFeaturesSel.Load())
	case regConfigVector:
		return t.configVector.Load()
	case regQueueCount:
		return uint32(t.QueueCount())
	case regStatus:
		return uint32(t.Status())
	case regGeneration:
		return t.generation.Load()
	case regQueueSel:
		return queue
	}
	return t.queueField(queue, offset)
}

func (t *Transport) queueField(queue uint32, offset uint64) uint32 {
	exists := int64(queue) < int64(t.QueueCount())
	switch offset {
	case regQueueSize:
		return uint32(t.QueueSize(queue))
	case regQueueVector:
		if exists {
			return t.queueVectors[queue].Load()
		}
		return noVector
	case regQueueEnable:
		if t.QueueReady(queue) {
			return 1
		}
		return 0
	case regQueueNotifyOff:
		if exists {
			return queue
		}
		return 0
	}
	area, high := areaOf(offset)
	return t.QueueAddress(queue, area, high)
}

// areaOf returns which half of which address the field at offset is.
func areaOf(offset uint64) (area virtio.Area, high bool) {
	switch offset {
	case regQueueDriverLow, regQueueDriverHigh:
		area = virtio.AreaDriver
	case regQueueDeviceLow, regQueueDeviceHigh:
		area = virtio.AreaDevice
	}
	return area, offset%8 == 4
}

// writeCommon writes a field of the common configuration.
func (t *Transport) writeCommon(offset uint64, data []byte) {
	if offset >= commonSize {
		return // nothing is there
	}
	if len(data) != width(offset) {
		t.Fail(&virtqueue.ProtocolError{Section: "4.1.3.1",
			What: fmt.Sprintf("write of %d bytes to offset %#x of the common configuration", len(data), offset)})
		return
	}
	var b [4]byte
	copy(b[:], data)
	t.setField(offset, binary.LittleEndian.Uint32(b[:]))
}

func (t *Transport) setField(offset uint64, v uint32) {
	queue := t.queueSel.Load()
	switch offset {
	case regDeviceFeaturesSel:
		t.deviceFeaturesSel.Store(v)
	case regDriverFeaturesSel:
		t.driverFeaturesSel.Store(v)
	case regDriverFeatures:
		t.SetDriverFeatures(t.driverFeaturesSel.Load(), v)
	case regConfigVector:
		t.configVector.Store(t.vector(v))
	case regStatus:
		t.setStatus(virtio.Status(v))
	case regQueueSel:
		t.queueSel.Store(v)
	case regQueueSize:
		t.SetQueueSize(queue, v)
	case regQueueVector:
		if int64(queue) < int64(t.QueueCount()) {
			t.queueVectors[queue].Store(t.vector(v))
		}
	case regQueueEnable:
		t.enableQueue(queue, v)
	case regDeviceFeatures, regQueueCount, regGeneration, regQueueNotifyOff:
		t.Fail(&virtqueue.ProtocolError{Section: driverSection,
			What: fmt.Sprintf("write to the read-only field at offset %#x of the common configuration", offset)})
	default:
		area, high := areaOf(offset)
		t.SetQueueAddress(queue, area, high, v)
	}
}

// enableQueue takes a write to queue_enable, which is only ever of 1; section
// 4.1.4.3.2.
func (t *Transport) enableQueue(queue, v uint32) {
	if v != 1 {
		t.Fail(&virtqueue.ProtocolError{Section: driverSection, What: fmt.Sprintf("%d written to queue_enable of queue %d", v, queue)})
		return
	}
	t.SetQueueReady(queue, true)
}
