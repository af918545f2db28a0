package fault

// ResourcePool is an Error's Resource that is about a pool.
const ResourcePool = "pool"

// Reasons that pools have.
const (
	ReasonNoPool = "POOL_NOT_FOUND"
	// ReasonPoolEmpty is of a claim that was for a member that is ready, of which there
	// is none.
	ReasonPoolEmpty = "POOL_EMPTY"
	// ReasonTooManyMembers is of who may not have so many members in its pools.
	ReasonTooManyMembers = "TOO_MANY_POOL_MEMBERS"
	// ReasonNoPools is of a node that ends with its program, and has no pools.
	ReasonNoPools = "NO_POOLS_HERE"
	// ReasonTemplateUnfit is of a template that no guest, or no pool's, can go on from.
	ReasonTemplateUnfit = "TEMPLATE_UNFIT"
	// ReasonTemplateInUse is of a template that a pool has.
	ReasonTemplateInUse = "TEMPLATE_IN_USE"
)
