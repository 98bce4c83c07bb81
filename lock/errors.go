package lock

import (
	"errors"
	"fmt"
	"time"
)

// Errors of New, With and Run.
var (
	// ErrConfig: a field has a value that cannot work; the text names it.
	ErrConfig = errors.New("lock: invalid configuration")
	// ErrRunning: Run was called a second time. A Locker runs once; make a new one to run again.
	ErrRunning = errors.New("lock: Run was called before")
	// ErrSchema: the database has no tables of ours, or older ones than this code needs. Call Migrate.
	ErrSchema = errors.New("lock: schema is missing or too old")
	// ErrPrivilege: the role may not do what it must; the text says what. Grant it, or name the role as
	// MigrateConfig.AppRole.
	ErrPrivilege = errors.New("lock: role lacks privileges")
)

// Errors of acquiring.
var (
	// ErrKey: a key, or the name of an election, that can never be taken; the text says why. Nothing was sent.
	ErrKey = errors.New("lock: invalid key")
	// ErrHeld: somebody else has the lease. The error is a *HeldError that says who.
	ErrHeld = errors.New("lock: held by another")
	// ErrClosed: Run has ended or is ending. Nothing can be acquired any more, and what was held is not renewed.
	ErrClosed = errors.New("lock: closed")
	// ErrIncarnation: incarnations are used up, as in 2057, or on a server whose clock is decades ahead. Nothing can be granted.
	ErrIncarnation = errors.New("lock: no incarnation left")
)

// Errors of a lease that was held, and of elections.
var (
	// ErrLost: the lease is no longer ours. The error is a *LostError that says why. Stop what it protects.
	ErrLost = errors.New("lock: lease lost")
	// ErrReleased: the lease was released by Release, so it cannot guard, and cannot be released again.
	ErrReleased = errors.New("lock: lease was released before")
	// ErrNotGuarded: the database does not hold this lease: it is another database, or another transaction took the
	// lease away meanwhile. Roll back.
	ErrNotGuarded = errors.New("lock: transaction is not guarded by the lease")
	// ErrResigned is the cause for which a term's context ends after Resign.
	ErrResigned = errors.New("lock: resigned")
	// ErrNoLeader: nobody leads at the moment.
	ErrNoLeader = errors.New("lock: no leader")
	// ErrNotLeader: this process does not lead, so it cannot resign.
	ErrNotLeader = errors.New("lock: not the leader")
)

// HeldError says who has a lease. errors.Is(err, ErrHeld) holds.
type HeldError struct {
	Key       string
	Owner     string            // as its Config.Owner says; empty if nobody has it
	Token     int64             // of the owner
	Since     time.Duration     // for how long the owner has had it, by the database's clock
	Remaining time.Duration     // until it expires unless it is renewed
	Metadata  map[string]string // of the owner
	// Shared: readers have it, or if Limit is not 0 up to that many holders of a semaphore. The rest is about the first of them.
	Shared bool
	Limit  int
	// Queued: it is free, but others wait for it and come first.
	Queued bool
	// Guarded: it has ended, but a transaction that it guards has not, or another one is just taking it.
	Guarded bool
}

// Error implements error.
func (e *HeldError) Error() string {
	switch {
	case e.Queued:
		return fmt.Sprintf("lock: %.80q is free, and others wait for it", e.Key)
	case e.Guarded:
		return fmt.Sprintf("lock: %.80q is busy: a transaction of its last owner %.80q has not ended", e.Key, e.Owner)
	}
	by := ""
	if e.Shared {
		by = " and others"
	}
	return fmt.Sprintf("lock: %.80q is held by %.80q%s for %v, token %d, expires in %v",
		e.Key, e.Owner, by, e.Since.Round(time.Millisecond), e.Token, e.Remaining.Round(time.Millisecond))
}

// Is makes it an ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// LostError says why a lease is no longer ours. errors.Is(err, ErrLost) holds, and errors.Is(err, ErrClosed) if that is why.
type LostError struct {
	Key    string
	Token  int64
	Reason Reason
}

// Reason says why a lease was lost.
type Reason string

// The reasons.
const (
	// ReasonExpired: it could not be renewed in time. The database did not answer, the process stood still, or nobody
	// called Run.
	ReasonExpired Reason = "expired"
	// ReasonTaken: another has it by now: by Steal, or because it expired by the database's clock before it did by ours.
	ReasonTaken Reason = "taken"
	// ReasonDisconnected: Config.TakeoverAfter is set, and the session that the lease ended with was lost or did not answer for
	// about that long.
	ReasonDisconnected Reason = "disconnected"
	// ReasonClosed: Run has ended or is ending.
	ReasonClosed Reason = "closed"
)

// Error implements error.
func (e *LostError) Error() string {
	return fmt.Sprintf("lock: lease %.80q, token %d, is lost: %s", e.Key, e.Token, e.Reason)
}

// Is makes it an ErrLost, and an ErrClosed.
func (e *LostError) Is(target error) bool {
	return target == ErrLost || target == ErrClosed && e.Reason == ReasonClosed
}
