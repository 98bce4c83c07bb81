package hook

// CacheGuards switches guards of a cache off, one by one, for the same reason as Guards.
type CacheGuards struct {
	// KeepLoads: an invalidation of a key does not detach the load of it that is under way.
	KeepLoads bool
	// KeepLoadsOnReset: a reset does not detach the loads that are under way.
	KeepLoadsOnReset bool
	// TagsForLater: a tag that was invalidated during a load does not count against what it has read.
	TagsForLater bool
	// AnySnapshot: a tier's value is taken whatever it was read in.
	AnySnapshot bool
	// AnyEpoch: a tier's value is taken whichever life of the log it is from.
	AnyEpoch bool
	// LabelLate: what a load saw is written on its value when it goes to the tier, from what is known then, a moment after
	// the load has ended.
	LabelLate bool
	// EpochLate: the bus' position is read before the cache's epoch, some seconds before it at a failover, so the reset in
	// between is not noticed.
	EpochLate bool
}
