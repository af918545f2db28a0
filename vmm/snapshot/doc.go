// Package snapshot is the format of a saved machine: a directory that is written
// once and never changed.
//
//	manifest.json    what the machine is and what made the snapshot; for people, too
//	state            vCPUs, interrupt controllers and devices: state.proto
//	memory           guest RAM, one region after another; sparse, and mapped as it is
//	blk0             a copy of what is behind that disk, if the guest could write to it
//	memory.sums      CRC-32C of each MiB of memory; likewise blk0.sums
//	SHA256SUMS       of all these but memory and disks, as sha256sum(1) writes and checks
//	memory.verified  that memory has been read through and found whole; likewise blk0.verified
//	workingset       which pages of memory were touched by the first machine that went on
//	                 from it; may be missing, or anything
//
// Files that begin with a dot aren't the snapshot's, but of whoever keeps it.
//
// A snapshot is written beside its place, synced, and renamed: whoever is killed
// in between leaves none, and a directory whose name begins with ".saving-".
//
// # Layers
//
// The memory of a machine that goes on from a snapshot, or that was saved before and
// has gone on from that, is in layers: what it has written since, and below that the
// files of that snapshot, which are hard links to the same files and stay when the
// other is deleted. No snapshot needs another one.
//
//	memory           pages that were written since, and nothing else, one behind the other
//	memory.map       which pages these are
//	memory.1         those of the layer below, with memory.1.map; and so on
//	memory.2         the lowest layer: all of RAM
//
// Each has its sums. What a layer has hides what the ones below have of the same page,
// whatever it is: also zeroes. There are 8 layers at most. Before there would be more,
// all but the lowest are written as one, while the guest runs (see Writer.Prepare):
// the pause takes as long as what has changed, and the lowest stays shared. Merge makes
// one file of all. Where files can't be shared a snapshot of one layer is written, and
// its manifest says why.
//
// What was written is what the kernel has copied: a page of RAM that is mapped
// privately from a file is an anonymous one from then on (package memory). So nothing
// is watched while the guest runs. After a snapshot, its RAM is mapped from the files
// just written, before it goes on (Writer.Rebase).
//
// To open a snapshot costs the same whatever its size: large files are read through
// only where nobody has done so since they were written, which inodes and times tell.
// Links to a file share the stamp that says so, and who links or unlinks (RemoveAll)
// renews it. Sums are against accidents; who may write to the directory may do
// anything.
//
// # Versions
//
// A program opens snapshots of its own version of the format and of all before,
// and refuses later ones. Within a version fields are only added, and an unknown
// one may be ignored. Version 2 is that of snapshots with several layers; one with a
// single layer is written as version 1, which programs read that know of no others.
package snapshot
