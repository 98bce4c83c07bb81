package status

import "errors"

// Errors of [New].
var (
	// ErrConfig is returned when a Config field has an invalid value. The text names it.
	ErrConfig = errors.New("status: invalid configuration")
)

// Errors of [Handler.Run].
var (
	// ErrRunning is returned by a second call of Run.
	ErrRunning = errors.New("status: Run was called before")
)

// errAlone: the bus is one process.
var errAlone = errors.New("this bus knows of no other pods")

// Errors that a client sees.
var (
	errClosed       = errors.New("status: closed: set Config.Token, or Config.Authorize if something of yours protects this path")
	errNoToken      = errors.New("status: a token is needed: Authorization: Bearer …")
	errWrongToken   = errors.New("status: wrong token")
	errNotAllowed   = errors.New("status: not allowed")
	errTooMany      = errors.New("status: too many watchers")
	errShuttingDown = errors.New("status: shutting down")
)
