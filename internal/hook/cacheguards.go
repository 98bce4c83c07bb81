package hook

// CacheGuards switches guards of a cache off, one by one, for the same reason as Guards.
type CacheGuards struct {
	// KeepLoads: an invalidation of a key does not detach its running load.
	KeepLoads bool
	// KeepLoadsOnReset: a reset does not detach running loads.
	KeepLoadsOnReset bool
	// TagsForLater: a tag that is invalidated during a load does not count for the loaded value.
	TagsForLater bool
	// AnySnapshot: a tier's value is accepted from any snapshot.
	AnySnapshot bool
	// AnyEpoch: a tier's value is accepted from any epoch of the log.
	AnyEpoch bool
	// LabelLate: a value for the tier is labelled when it is written to the tier, a moment after the load has ended,
	// with what is known then.
	LabelLate bool
	// EpochLate: the bus's position is read before the cache's epoch, some seconds earlier in a failover, so the
	// reset in between is missed.
	EpochLate bool
	// FreshJoins: a reader who wants a load that begins now may wait for one that runs already.
	FreshJoins bool
	// JoinOld: a reader who may not trust the cache may wait for a load that began any time ago.
	JoinOld bool
	// AnyStandby: a standby's value is accepted from any snapshot.
	AnyStandby bool
}
