package lock

import (
	"errors"
	"fmt"
	"time"
)

// Errors of [New], [Locker.With] and [Locker.Run].
var (
	// ErrConfig is returned when a field has an invalid value. The text names it.
	ErrConfig = errors.New("lock: invalid configuration")
	// ErrRunning is returned by a second call of Run. A Locker runs once; make a new one to run again.
	ErrRunning = errors.New("lock: Run was called before")
	// ErrSchema is returned when the database has no tables of this package, or older ones than this code needs. Call
	// [Migrate].
	ErrSchema = errors.New("lock: schema is missing or too old")
	// ErrPrivilege is returned when the database role lacks a privilege; the text says which. Grant it, or name the
	// role as MigrateConfig.AppRole.
	ErrPrivilege = errors.New("lock: role lacks privileges")
)

// Errors of acquiring.
var (
	// ErrKey is returned for a key, or the name of an election, that is not valid; the text says why. Nothing was
	// sent.
	ErrKey = errors.New("lock: invalid key")
	// ErrHeld is returned when another process has the lease. The error is a *[HeldError] with the details.
	ErrHeld = errors.New("lock: held by another")
	// ErrClosed is returned when Run has ended or is ending. No lease can be acquired any more, and leases are not
	// renewed.
	ErrClosed = errors.New("lock: closed")
	// ErrIncarnation is returned when there are no more incarnations: in 2057, or on a server whose clock is decades
	// ahead. No lease can be granted.
	ErrIncarnation = errors.New("lock: no incarnation left")
)

// Errors of leases and elections.
var (
	// ErrLost is returned when the lease no longer belongs to this process. The error is a *[LostError] with the
	// reason. Stop the work that the lease protects.
	ErrLost = errors.New("lock: lease lost")
	// ErrReleased is returned after Release: the lease can neither guard nor be released again.
	ErrReleased = errors.New("lock: lease was released before")
	// ErrNotGuarded is returned by Guard when the database does not have this lease: it is another database, or
	// another transaction has taken the lease in the meantime. Roll back.
	ErrNotGuarded = errors.New("lock: transaction is not guarded by the lease")
	// ErrResigned is the cause of the end of a term's context after Resign.
	ErrResigned = errors.New("lock: resigned")
	// ErrNoLeader is returned when there is no leader at the moment.
	ErrNoLeader = errors.New("lock: no leader")
	// ErrNotLeader is returned by Resign when this process does not lead.
	ErrNotLeader = errors.New("lock: not the leader")
)

// HeldError describes who has a lease. errors.Is(err, ErrHeld) is true.
type HeldError struct {
	Key       string
	Owner     string            // the owner's Config.Owner; empty if there is no owner
	Token     int64             // of the owner
	Since     time.Duration     // since when the owner has had it, by the database's clock
	Remaining time.Duration     // until it expires unless it is renewed
	Metadata  map[string]string // of the owner
	// Shared says that readers have it, or, if Limit is not 0, up to Limit holders of a semaphore. The other fields
	// describe the first of them.
	Shared bool
	Limit  int
	// Queued says that the lease is free, but other waiters come first.
	Queued bool
	// Guarded says that the lease has ended, but a transaction that it guards has not, or that another transaction is
	// acquiring it.
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

// Is reports whether target is ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// LostError says why a lease no longer belongs to this process. errors.Is(err, ErrLost) is true, and so is
// errors.Is(err, ErrClosed) if Run has ended.
type LostError struct {
	Key    string
	Token  int64
	Reason Reason
}

// Reason says why a lease was lost.
type Reason string

// The reasons.
const (
	// ReasonExpired means that the lease could not be renewed in time: the database did not respond, the process was
	// paused, or Run does not run.
	ReasonExpired Reason = "expired"
	// ReasonTaken means that another process has the lease, by Steal, or because it expired earlier by the database's
	// clock than by ours.
	ReasonTaken Reason = "taken"
	// ReasonDisconnected means that Config.TakeoverAfter is set, and that the session to which the lease was bound
	// was lost, or did not respond for about that long.
	ReasonDisconnected Reason = "disconnected"
	// ReasonClosed means that Run has ended or is ending.
	ReasonClosed Reason = "closed"
)

// Error implements error.
func (e *LostError) Error() string {
	return fmt.Sprintf("lock: lease %.80q, token %d, is lost: %s", e.Key, e.Token, e.Reason)
}

// Is reports whether target is ErrLost, or ErrClosed for ReasonClosed.
func (e *LostError) Is(target error) bool {
	return target == ErrLost || target == ErrClosed && e.Reason == ReasonClosed
}
