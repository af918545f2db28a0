// Package pci is a PCI bus without any above it: configuration space, memory
// decoding and the two ports through which a guest reaches both.
//
//	port 0xcf8 ─▶ CONFIG_ADDRESS ┐
//	port 0xcfc ─▶ CONFIG_DATA ───┴▶ function ─▶ header ─▶ decoded memory
//	                                         └▶ capabilities
//	MMIO in the bus's window ─▶ what is decoded there ─▶ Region
//
// There are no interrupt pins: functions interrupt by MSI-X, which package
// msix has. Sections cited are those of the PCI Local Bus Specification 3.0.
package pci
