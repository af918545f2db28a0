package fault

// Reasons that snapshots have.
const (
	// ReasonSnapshotBytes is of who may not have as much on the disk.
	ReasonSnapshotBytes = "TOO_MANY_SNAPSHOT_BYTES"
	// ReasonBadArchive is of an archive that is damaged, or none of a snapshot.
	ReasonBadArchive = "BAD_ARCHIVE"
	// ReasonImage is of an image that a snapshot needs and that isn't here as it was.
	ReasonImage = "IMAGE_MISSING"
	// ReasonUnfit is of a snapshot that can't be used on the node as it is
	// configured.
	ReasonUnfit = "SNAPSHOT_UNFIT"
)
