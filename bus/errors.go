package bus

import (
	"errors"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

// Errors of [NewPostgres], [Open] and [Postgres.Run].
var (
	// ErrConfig is returned when a Config field has an invalid value. The text names the field.
	ErrConfig = errors.New("bus: invalid configuration")
	// ErrRunning is returned by a second call of Run. A bus runs once; make a new one to run again.
	ErrRunning = errors.New("bus: Run was called before")
	// ErrSchema is returned when the database has no schema of this library, or one that is older than this code.
	// Call [Migrate].
	ErrSchema = watch.ErrSchema
	// ErrPrivilege is returned when the database role lacks a privilege; the text lists which. Grant it, or name the
	// role as MigrateConfig.AppRole.
	ErrPrivilege = watch.ErrPrivilege
	// ErrNotPrimary is reported in Stats while the server is a standby or refuses writes. The bus keeps trying.
	ErrNotPrimary = errors.New("bus: server is not a writable primary")
)

// Errors of publishing.
var (
	// ErrInvalidEvent is returned for an event that can never be published; the text says why. Nothing was sent.
	ErrInvalidEvent = errors.New("bus: invalid event")
	// ErrReadOnly is returned when a read-only transaction invalidates something. The transaction may have been begun
	// read-only, or the role, the database or the server (a standby) makes it so. It was rolled back. Invalidate in a
	// transaction that may write.
	ErrReadOnly = errors.New("bus: read-only transaction cannot invalidate")
	// ErrNotInTransaction is returned by Stage and StageSQL for a pool, or for a connection that is not in a
	// transaction: the events would become visible before the data. Nothing was written. Pass the transaction, or
	// call Publish.
	ErrNotInTransaction = errors.New("bus: not in a transaction")
	// ErrForeignTx is returned by [Invalidate] and [InvalidateAll] for a transaction that was not begun by a bus and
	// so cannot publish when it commits. Use Stage.
	ErrForeignTx = errors.New("bus: transaction was not begun by a bus")
	// ErrTxEndedOutside is returned by Commit when SQL of the caller (COMMIT or ROLLBACK) has already ended the
	// transaction. Whether it committed is unknown. Its events were published in a separate transaction, so no cache
	// stays stale.
	ErrTxEndedOutside = errors.New("bus: transaction was ended outside of Commit")
	// ErrOutcomeUnknown is returned when the connection broke during the commit, which may or may not have happened.
	// If it did, its events are in the log and every pod gets them.
	ErrOutcomeUnknown = errors.New("bus: outcome of the commit is unknown")
)

// Errors of Confirm.
var (
	// ErrUnconfirmed is returned when a receipt can never be confirmed; the text says why. Either its transaction did
	// not commit, or its events may have been lost with the log, in which case all pods were reset.
	ErrUnconfirmed = errors.New("bus: receipt cannot be confirmed")
	// ErrNotRunning is returned when Run has not been called or has ended.
	ErrNotRunning = errors.New("bus: not running")
)
