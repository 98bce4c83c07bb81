package hook

// LockGuards switches guards of a Locker off, one by one, for the same reason as Guards.
type LockGuards struct {
	// OutliveTTL: a process relies on its leases however long they have not been renewed.
	OutliveTTL bool
	// OutliveSession: a process relies on its leases although the session that they end with is not proven any more.
	OutliveSession bool
}
