package lock

import (
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Weaken switches guards off, to test that they are needed. Only this module can call it, before the first lease is
// acquired.
func (l *Locker) Weaken(_ hook.Token, guards hook.LockGuards) { l.c.weak = guards }

// endless is for how long a lease can be relied on if the guard of its TTL is off.
const endless = time.Hour
