package sessionstore

import "errors"

// Errors of New, Migrate and Run.
var (
	// ErrConfig: a Config field has a value that cannot work; the text names it.
	ErrConfig = errors.New("sessionstore: invalid configuration")
	// ErrSchema: the database has no tables of ours, or older ones than this code needs. Call Migrate.
	ErrSchema = errors.New("sessionstore: schema is missing or too old")
	// ErrRunning: Run was called a second time.
	ErrRunning = errors.New("sessionstore: Run was called before")
	// ErrNotRunning: what was asked for is done by Run, which has not been called or has ended.
	ErrNotRunning = errors.New("sessionstore: not running")
)

// ErrNoSession is what all errors are that mean: whoever sent this token is not logged in. A handler treats them alike,
// as anonymous, and clears the cookie; errors.Is(err, ErrNoSession) tells. Everything else is trouble, and no reason to
// let anybody in.
var ErrNoSession = errors.New("sessionstore: no session")

// Errors that mean there is no session; each is an ErrNoSession.
var (
	// ErrMalformed: the token cannot be one of ours: its length, its alphabet, its seal. The database was not asked.
	ErrMalformed error = noSession("sessionstore: malformed token")
	// ErrNotFound: nobody has been given this token, or its session was deleted long after it expired.
	ErrNotFound error = noSession("sessionstore: session not found")
	// ErrExpired: the session was idle for too long or has reached its deadline.
	ErrExpired error = noSession("sessionstore: session expired")
	// ErrRevoked: the session was ended: by logout, by the user or an administrator, by a new password.
	ErrRevoked error = noSession("sessionstore: session revoked")
	// ErrRotated: this token was replaced and its grace is over. Seen often it may mean that somebody uses a stolen one.
	ErrRotated error = noSession("sessionstore: token was replaced")
)

// Errors of writing.
var (
	// ErrConflict: the session was changed since it was read. Read it again; Update does so by itself.
	ErrConflict = errors.New("sessionstore: session was changed by another request")
	// ErrLoginEnded: the user's sessions were ended after BeginLogin, or the identity provider has ended this sid. The
	// credentials may be those from before: begin the login anew.
	ErrLoginEnded = errors.New("sessionstore: sessions were ended during the login")
	// ErrLimit: the user has as many sessions as are allowed, and the configuration says to refuse one more.
	ErrLimit = errors.New("sessionstore: too many sessions")
	// ErrTooLarge: the encoded data has more than Config.MaxData bytes.
	ErrTooLarge = errors.New("sessionstore: session data is too large")
	// ErrInvalid: an argument cannot be right: an empty user, a zero Login, text that is no UTF-8. The text names it.
	ErrInvalid = errors.New("sessionstore: invalid argument")
	// ErrBinding: a one-time value was shown by another browser than the one it was made for.
	ErrBinding = errors.New("sessionstore: one-time value is bound to another browser")
	// ErrForeignTx: a …Tx method was given a transaction that is not of the store's bus, so that nobody would hear of the
	// change. Begin it with the bus.
	ErrForeignTx = errors.New("sessionstore: transaction is not of this store's bus")
)

// Errors of trouble.
var (
	// ErrUnavailable: the database cannot be asked now. What a fresh pod has cached goes on; the rest fails, closed.
	ErrUnavailable = errors.New("sessionstore: database is unavailable")
	// ErrBusy: too many lookups wait for the database already.
	ErrBusy = errors.New("sessionstore: too many lookups")
	// ErrUnreadable: the session is there and valid, its data is not of a format that the codec knows, or does not decrypt:
	// it was written by another version of the program, or with other settings. The user is logged in, and another pod can
	// serve the request: do not delete the cookie.
	ErrUnreadable = errors.New("sessionstore: session data is unreadable")
)

// Causes of the end of a context of Bind, beside ErrRevoked, ErrExpired, ErrNotFound and ErrUnavailable.
var (
	// ErrClosed: Run has ended.
	ErrClosed = errors.New("sessionstore: closed")
)

// noSession is an error that is also ErrNoSession.
type noSession string

// Error implements error.
func (e noSession) Error() string { return string(e) }

// Is makes it an ErrNoSession.
func (e noSession) Is(target error) bool { return target == ErrNoSession }
