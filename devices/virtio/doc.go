// Package virtio is what every virtio device and transport share: the device
// contract, the driver's side of negotiation, and the loop around a queue.
//
//	transport (mmio) ─▶ Common: status, features, queues ─▶ Device.Activate
//	ioeventfd ─▶ Loop ─▶ Device ─▶ backend
//	Device ─▶ Queue.Flush ─▶ transport ─▶ irqfd
//
// Sections cited are those of virtio 1.2.
package virtio
