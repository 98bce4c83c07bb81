package sessionstore

import "errors"

// Errors of [New], [Migrate] and [Store.Run].
var (
	// ErrConfig is returned when a Config field has an invalid value. The text names it.
	ErrConfig = errors.New("sessionstore: invalid configuration")
	// ErrSchema is returned when the database has no tables of this package, or older ones than this code needs. Call
	// [Migrate].
	ErrSchema = errors.New("sessionstore: schema is missing or too old")
	// ErrRunning is returned by a second call of Run.
	ErrRunning = errors.New("sessionstore: Run was called before")
	// ErrNotRunning is returned when an operation needs Run, and Run has not been called or has ended.
	ErrNotRunning = errors.New("sessionstore: not running")
)

// ErrNoSession matches, with errors.Is, all errors that mean that the client is not logged in. A handler treats them
// alike: it continues as anonymous and clears the cookie. All other errors mean that this is unknown, and are no
// reason to let the client in.
var ErrNoSession = errors.New("sessionstore: no session")

// Errors that mean that there is no session. Each of them is an [ErrNoSession].
var (
	// ErrMalformed is returned when the text cannot be a token of this store, by its length, its alphabet or its
	// signature. The database was not queried.
	ErrMalformed error = noSession("sessionstore: malformed token")
	// ErrNotFound is returned when the token was never issued, or its session was deleted long after its end.
	ErrNotFound error = noSession("sessionstore: session not found")
	// ErrExpired is returned when the session was idle for too long or has reached its deadline.
	ErrExpired error = noSession("sessionstore: session expired")
	// ErrRevoked is returned when the session was ended: by logout, by the user or an administrator, or by a new
	// password.
	ErrRevoked error = noSession("sessionstore: session revoked")
	// ErrRotated is returned when the token was replaced and its grace is over. If it is frequent, someone may be
	// using a stolen token.
	ErrRotated error = noSession("sessionstore: token was replaced")
)

// Errors of writing.
var (
	// ErrConflict is returned when the session was changed since it was read. Read it again; Update does that.
	ErrConflict = errors.New("sessionstore: session was changed by another request")
	// ErrLoginEnded is returned when the user's sessions were ended after BeginLogin, or the identity provider has
	// ended this sid. The credentials may be outdated: begin the login again.
	ErrLoginEnded = errors.New("sessionstore: sessions were ended during the login")
	// ErrLimit is returned when the user already has MaxPerUser sessions and RefuseOverLimit is set.
	ErrLimit = errors.New("sessionstore: too many sessions")
	// ErrTooLarge is returned when the encoded data has more than Config.MaxData bytes.
	ErrTooLarge = errors.New("sessionstore: session data is too large")
	// ErrInvalid is returned for an invalid argument, such as an empty user, a zero Login or text that is not UTF-8.
	// The text names it.
	ErrInvalid = errors.New("sessionstore: invalid argument")
	// ErrBinding is returned when a one-time value comes from another browser than the one that it was made for.
	ErrBinding = errors.New("sessionstore: one-time value is bound to another browser")
	// ErrForeignTx is returned when the transaction of a …Tx method was not begun by the store's bus, so that other
	// pods would not be notified. Begin it with the bus.
	ErrForeignTx = errors.New("sessionstore: transaction is not of this store's bus")
)

// Errors of reading.
var (
	// ErrUnavailable is returned when the database cannot be queried now. A fresh pod still serves sessions from its
	// memory; everything else fails.
	ErrUnavailable = errors.New("sessionstore: database is unavailable")
	// ErrBusy is returned when too many lookups already wait for the database.
	ErrBusy = errors.New("sessionstore: too many lookups")
	// ErrUnreadable is returned when the session is valid, but the codec cannot decode or decrypt its data, because
	// another version of the program, or other settings, wrote it. The user is logged in, and another pod may serve
	// the request: do not delete the cookie.
	ErrUnreadable = errors.New("sessionstore: session data is unreadable")
)

// Causes of the end of a context of Bind, in addition to [ErrRevoked], [ErrExpired], [ErrNotFound] and
// [ErrUnavailable].
var (
	// ErrClosed is returned after the end of Run or Close.
	ErrClosed = errors.New("sessionstore: closed")
)

// noSession is an error that is also ErrNoSession.
type noSession string

// Error implements error.
func (e noSession) Error() string { return string(e) }

// Is makes it an ErrNoSession.
func (e noSession) Is(target error) bool { return target == ErrNoSession }
