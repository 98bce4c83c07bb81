package hook

// Guards switches guards of the bus protocol off, one by one, so that the fault tests can show that each is needed:
// with a guard off the oracle must find a violation. Other modules cannot name the type.
type Guards struct {
	// CursorOnly: the difference is "ids from here on" and ignores the transactions that were in progress at the
	// base.
	CursorOnly bool
	// AnnounceEarly: events are announced before their transaction commits, visible or not.
	AnnounceEarly bool
	// MarkWithoutFrom: a mark advances a pod from any position.
	MarkWithoutFrom bool
	// SweepFromOwn: a sweep starts from the sweeper's own position, and its mark does not say so.
	SweepFromOwn bool
	// IgnoreEpoch: a new epoch does not reset.
	IgnoreEpoch bool
	// IgnorePruned: a position from before pruned_to does not reset.
	IgnorePruned bool
	// ConfirmByNumber: a confirmation counts beats instead of comparing positions.
	ConfirmByNumber bool
	// ConfirmByClock: a confirmation leaves out pods whose last beat is a pod lease old on the database's clock.
	ConfirmByClock bool
	// ConfirmWithoutEpochWait: a confirmation trusts positions in an epoch that the pod has only begun to watch.
	ConfirmWithoutEpochWait bool
	// VouchByUptime: a pod vouches for the age of its epoch by how long it runs.
	VouchByUptime bool
	// NamesOutliveEpoch: an event's name from one epoch is announced and remembered in the next.
	NamesOutliveEpoch bool
	// FreshWithoutBeat: any arrival proves freshness as of its arrival.
	FreshWithoutBeat bool
}

// Weakener is a Source whose bus has guards. Weaken switches them off, before Run.
type Weakener interface {
	Weaken(g Guards)
}
