// Package memory is guest RAM as the VMM sees it: regions of guest-physical
// address space backed by host memory, and bounded access to them.
//
// It knows nothing of KVM, so that devices and boot loaders can use it. Every
// access takes a guest-physical address (GPA) that a guest may have chosen and
// checks it against the regions; nothing here panics on a bad address.
//
// The guest runs while the VMM reads. Bytes fetched twice may differ: copy a
// structure out once ([Memory.ReadAt]), check the copy, use the copy. Fields
// that both sides write and read, such as ring indices, go through the atomic
// accessors of this package.
package memory
