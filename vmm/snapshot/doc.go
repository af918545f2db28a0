// Package snapshot is the format of a saved machine: a directory that is written
// once and never changed.
//
//	manifest.json  what the machine is and what made the snapshot; for people, too
//	state          vCPUs, interrupt controllers and devices: state.proto
//	memory         guest RAM, one region after another; sparse, and mapped as it is
//	blk0           a copy of what is behind that disk, if the guest could write to it
//	memory.sums    CRC-32C of each MiB of memory; likewise blk0.sums
//	SHA256SUMS     of all these but memory and disks, as sha256sum(1) writes and checks
//	verified       which large files have been read through and found whole
//	workingset     which pages of memory were touched by the first machine that went on
//	               from it; may be missing, or anything
//
// Files that begin with a dot aren't the snapshot's, but of whoever keeps it.
//
// A snapshot is written beside its place, synced, and renamed: whoever is killed
// in between leaves none, and a directory whose name begins with ".saving-".
//
// To open one costs the same whatever its size: large files are read through only
// where nobody has done so since they were written, which inodes and times tell. Sums are against accidents; who may write to the directory may do anything.
//
// # Versions
//
// A program opens snapshots of its own version of the format and of all before,
// and refuses later ones. Within a version fields are only added, and an unknown
// one may be ignored.
package snapshot
