package bus

import (
	"errors"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

// Errors of New and of Run.
var (
	// ErrConfig: a Config field has a value that cannot work; the text names it.
	ErrConfig = errors.New("bus: invalid configuration")
	// ErrRunning: Run was called a second time. A bus runs once; make a new one to run again.
	ErrRunning = errors.New("bus: Run was called before")
	// ErrSchema: the database has no schema of ours, or one older than this code. Call Migrate.
	ErrSchema = watch.ErrSchema
	// ErrPrivilege: the role may not do what a pod must; the text lists what. Grant it, or name the role as
	// MigrateConfig.AppRole.
	ErrPrivilege = watch.ErrPrivilege
	// ErrNotPrimary: the server is a standby or does not take writes. The bus backs off and tries again.
	ErrNotPrimary = errors.New("bus: server is not a writable primary")
)

// Errors of publishing.
var (
	// ErrInvalidEvent: an event that can never be published; the text says why. Nothing was sent.
	ErrInvalidEvent = errors.New("bus: invalid event")
	// ErrReadOnly: the transaction is read-only, so nothing can be invalidated in it: it was begun so, or the role, the
	// database or the server (a standby) makes it so. It was rolled back. Invalidate in a transaction that may write.
	ErrReadOnly = errors.New("bus: read-only transaction cannot invalidate")
	// ErrNotInTransaction: Stage or StageSQL was called with a pool, or with a connection that is in no transaction. The
	// events would have been visible before the data. Nothing was written. Pass the transaction, or call Publish.
	ErrNotInTransaction = errors.New("bus: not in a transaction")
	// ErrForeignTx: the transaction was not begun by a bus, so it cannot publish when it commits. Use Stage.
	ErrForeignTx = errors.New("bus: transaction was not begun by a bus")
	// ErrTxEndedOutside: the transaction was ended by SQL of the caller (COMMIT, ROLLBACK) and not by Commit. What it
	// did is not known here; its events were published in a transaction of their own, so nothing stale can stay.
	ErrTxEndedOutside = errors.New("bus: transaction was ended outside of Commit")
	// ErrOutcomeUnknown: the connection broke during the commit, so it may or may not have happened. If it did, its
	// events are in the log and every pod gets them.
	ErrOutcomeUnknown = errors.New("bus: outcome of the commit is unknown")
)

// Errors of Confirm.
var (
	// ErrUnconfirmed: the receipt can never be confirmed; the text says why. Its events may have been lost with the log,
	// and then everybody was reset, or its transaction did not commit.
	ErrUnconfirmed = errors.New("bus: receipt cannot be confirmed")
	// ErrNotRunning: Run has not been called or has ended.
	ErrNotRunning = errors.New("bus: not running")
)
