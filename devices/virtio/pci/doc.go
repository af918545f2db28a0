// Package pci is the virtio-over-PCI transport, virtio 1.2 section 4.1: without
// its legacy interface, and with MSI-X instead of interrupt pins.
//
//	configuration space ─▶ capabilities, one a window into BAR 0
//	BAR 0 ─▶ common configuration, ISR status, device configuration
//	      ─▶ notifications: ioeventfds, which go where the BAR goes
//	      ─▶ MSI-X table: messages of irqfds
//
// The bus master bit is stored and shown, but takes nothing from a device: what
// stops one is a reset, as behind the other transport.
package pci
