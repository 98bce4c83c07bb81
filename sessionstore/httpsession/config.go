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

// The defaults of [Config].
const (
	DefaultName         = "session"
	DefaultRotateEvery  = time.Hour
	DefaultWriteTimeout = 5 * time.Second
)

// Config configures a [Manager]. A nil or zero Config uses the defaults. All pods use the same Name and Insecure.
type Config struct {
	// Name is the middle part of the cookies' names: 1 to 32 letters, digits and underscores. Change it if two
	// managers serve the same host. Defaults to DefaultName.
	Name string

	// SameSite is the cookies' attribute. With http.SameSiteStrictMode a user who follows a link from another site,
	// or returns from an identity provider, arrives without a session. Defaults to http.SameSiteLaxMode.
	SameSite http.SameSite

	// Insecure omits Secure and the prefix __Host-. It is only for plain HTTP on a developer's machine. Defaults to
	// false.
	Insecure bool

	// RotateEvery is the age at which a token is replaced. A shorter time limits how long a stolen token works.
	// Defaults to DefaultRotateEvery; a negative value switches rotation off.
	RotateEvery time.Duration

	// Device returns the description of a new session for lists. Set it where a proxy hides the client's address.
	// Defaults to the User-Agent and the address of the connection.
	Device func(r *http.Request) *sessionstore.Device

	// Passive reports whether a request does not count as a use of its session, such as polling by a page. HEAD
	// requests never count. Defaults to nil: all other requests count.
	Passive func(r *http.Request) bool

	// Error writes the response for an error, for an application with error pages of its own. Cache-Control and
	// Retry-After are set already. Defaults to the message as plain text.
	Error func(w http.ResponseWriter, r *http.Request, p Problem)

	// CrossOrigin decides which requests from other sites are refused. Set it to trust additional origins. Defaults
	// to http.NewCrossOriginProtection().
	CrossOrigin *http.CrossOriginProtection
	// NoCrossOrigin switches that off, for programs with a protection of their own. Defaults to false.
	NoCrossOrigin bool

	// WriteTimeout bounds each write to the database, which continues if the client disconnects. Defaults to
	// DefaultWriteTimeout.
	WriteTimeout time.Duration

	// Logger receives errors with status 500 or 503, and failed rotations. Defaults to slog.Default().
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
