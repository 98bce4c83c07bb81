package httpsession

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// The defaults of Config.
const (
	DefaultName         = "session"
	DefaultRotateEvery  = time.Hour
	DefaultWriteTimeout = 5 * time.Second
)

// Config is how a Manager works. A nil or zero Config uses the defaults. All pods use the same Name and Insecure.
type Config struct {
	// Name is the middle of the cookies' names. Change it if two managers serve the same host. 1 to 32 letters, digits
	// and underscores. Defaults to DefaultName.
	Name string

	// SameSite is an attribute of the cookies. With http.SameSiteStrictMode a user who follows a link from elsewhere, or
	// comes back from an identity provider, arrives without a session. Defaults to http.SameSiteLaxMode.
	SameSite http.SameSite

	// Insecure leaves out Secure and the prefix __Host-, for plain HTTP on a developer's machine and for nothing else.
	// Defaults to false.
	Insecure bool

	// RotateEvery is the age at which a token is replaced. Shorter limits how long a stolen one works. Defaults to
	// DefaultRotateEvery; negative switches it off.
	RotateEvery time.Duration

	// Device returns what lists show for a new session. Set it where a proxy hides the client's address. Defaults to the
	// User-Agent and the address of the connection.
	Device func(r *http.Request) *sessionstore.Device

	// Passive reports whether a request does not count as a use of its session, such as polling that a page does by
	// itself; HEAD requests never do. Defaults to nil: all others count.
	Passive func(r *http.Request) bool

	// Error writes the response for an error, for an application with error pages of its own. Cache-Control and
	// Retry-After are set already. Defaults to the message as plain text.
	Error func(w http.ResponseWriter, r *http.Request, p Problem)

	// CrossOrigin decides which requests from other sites are refused. Set it to trust further origins. Defaults to
	// http.NewCrossOriginProtection().
	CrossOrigin *http.CrossOriginProtection
	// NoCrossOrigin switches that off, for programs with a protection of their own.
	NoCrossOrigin bool

	// WriteTimeout bounds each write to the database, which goes on when the client has gone away. Defaults to
	// DefaultWriteTimeout.
	WriteTimeout time.Duration

	// Logger takes what was answered with 500 or 503, and renewals that failed. Defaults to slog.Default().
	Logger *slog.Logger
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	d.Name = cmp.Or(d.Name, DefaultName)
	d.SameSite = cmp.Or(d.SameSite, http.SameSiteLaxMode)
	d.RotateEvery = cmp.Or(d.RotateEvery, DefaultRotateEvery)
	d.WriteTimeout = cmp.Or(d.WriteTimeout, DefaultWriteTimeout)
	if d.Device == nil {
		d.Device = deviceOf
	}
	if d.Error == nil {
		d.Error = writeProblem
	}
	if d.CrossOrigin == nil {
		d.CrossOrigin = http.NewCrossOriginProtection()
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	d.Logger = d.Logger.With(slog.String("component", "httpsession"))
	return d
}

func (c *Config) validate() error {
	if len(c.Name) > 32 {
		return fmt.Errorf("%w: Name: %d bytes, at most 32", ErrConfig, len(c.Name))
	}
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	if strings.Trim(c.Name, allowed) != "" {
		return fmt.Errorf("%w: Name: %q has other characters than letters, digits and _", ErrConfig, c.Name)
	}
	switch {
	case c.SameSite == http.SameSiteNoneMode && c.Insecure:
		return fmt.Errorf("%w: SameSite: none requires Secure cookies", ErrConfig)
	case c.RotateEvery > 0 && c.RotateEvery < time.Second:
		return fmt.Errorf("%w: RotateEvery: %v is less than a second", ErrConfig, c.RotateEvery)
	case c.WriteTimeout < time.Millisecond:
		return fmt.Errorf("%w: WriteTimeout: %v is less than a millisecond", ErrConfig, c.WriteTimeout)
	}
	return nil
}

// deviceOf is the default of Config.Device.
func deviceOf(r *http.Request) *sessionstore.Device {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return &sessionstore.Device{UserAgent: r.UserAgent(), IP: host}
}
