package memory

import "unsafe"

// HostAddress returns where the region is in this process's address space, for
// telling its pages from the process's own in /proc.
func (r Region) HostAddress() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(r.Bytes))) }
