// Package snapshot is the format of a saved machine: a directory that is written
// once and never changed.
//
//	manifest.json  what the machine is and what made the snapshot; for people, too
//	state          vCPUs, interrupt controllers and devices: state.proto
//	memory         guest RAM, one region after another; sparse, and mapped as it is
//	memory.sums    CRC-32C of each MiB of it
//	SHA256SUMS     of the files above but memory, as sha256sum(1) writes and checks
//	verified       which memory file has been read through and found whole
//
// A snapshot is written beside its place, synced, and renamed: whoever is killed
// in between leaves the old one or none, and a directory that [Sweep] removes.
//
// To open one costs the same whatever its size: memory is read through only where
// nobody has done so since it was last written, which the file's inode and times
// tell. Sums are against accidents; who may write to the directory may do anything.
//
// # Versions
//
// A program opens snapshots of its own version of the format and of all before,
// and refuses later ones. Within a version fields are only added, and an unknown
// one may be ignored.
package snapshot
