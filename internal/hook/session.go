package hook

// SessionGuards switches guards of a session store off, one by one, for the same reason as Guards.
type SessionGuards struct {
	// LoginLate: a login's generation is read when its session is created, and not before its credentials were checked.
	LoginLate bool
	// BlindSave: a save replaces whatever version is there.
	BlindSave bool
	// SaveEnded: a save does not check whether all sessions of the user were ended.
	SaveEnded bool
	// TakeAgain: taking a one-time value leaves it there.
	TakeAgain bool
	// KeepExpired: sessions in memory do not expire.
	KeepExpired bool
	// TierOpen: rows in a tier are neither encrypted nor authenticated.
	TierOpen bool
	// CountGenerations: generations are counted for each user, from 0, as in the previous version. The triggers that
	// keep such numbers apart have to be off, too.
	CountGenerations bool
	// LoginsOutliveAll: ending all sessions of all users does not end concurrent logins of users without a row.
	LoginsOutliveAll bool
	// Graceful: a replaced token works for an hour, whatever grace was requested.
	Graceful bool
}
