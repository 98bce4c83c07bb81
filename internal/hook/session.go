package hook

// SessionGuards switches guards of a session store off, one by one, for the same reason as Guards.
type SessionGuards struct {
	// LoginLate: a login's generation is read when its session is created, and not before its credentials were checked.
	LoginLate bool
	// BlindSave: a save replaces whatever version is there.
	BlindSave bool
	// SaveEnded: a save does not look whether all sessions of the user were ended.
	SaveEnded bool
	// TakeAgain: taking a one-time value leaves it there.
	TakeAgain bool
	// KeepExpired: what is in memory does not expire.
	KeepExpired bool
	// TierOpen: rows lie in a tier as they are, and whatever lies there is taken.
	TierOpen bool
	// CountGenerations: generations are counted for each user, from 0, as the version before did. The triggers that keep
	// such numbers apart have to be off, too.
	CountGenerations bool
	// LoginsOutliveAll: the end of all sessions of all users leaves logins under way alone whose users have no row.
	LoginsOutliveAll bool
	// Graceful: a token that was replaced goes on for an hour, whatever grace was asked for.
	Graceful bool
}
