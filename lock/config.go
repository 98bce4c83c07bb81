package lock

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// The defaults of [Config] and [Options], and their limits.
const (
	DefaultSchema        = "pgcoherence"
	DefaultName          = "lock"
	DefaultTTL           = 15 * time.Second
	DefaultClaimTTL      = 2 * time.Second
	DefaultDrainTimeout  = 5 * time.Second
	DefaultWatchInterval = time.Second
	DefaultRetention     = 24 * time.Hour

	MinTTL         = time.Second
	MaxTTL         = 24 * time.Hour
	MaxKeyLen      = 1024 // bytes
	MaxMetadataLen = 8192 // bytes of its JSON
)

// Options configure leases. A zero field uses the Locker's option, or else the default.
type Options struct {
	// TTL is how long a lease outlives its last renewal, and so how long waiters wait after its owner has died. A
	// shorter TTL replaces a dead owner sooner; a longer one survives longer outages of the database. Leases are
	// renewed every third of it. From MinTTL to MaxTTL. Defaults to DefaultTTL.
	TTL time.Duration

	// MinHold is the minimum time for which a lease stays held, even if it is released earlier: for short jobs that
	// several machines start at the same minute by different clocks. At most TTL. Defaults to 0.
	MinHold time.Duration

	// Metadata is shown to other processes in HeldError, Inspect and List. It must not contain secrets. Defaults to
	// none.
	Metadata map[string]string

	// OnLost, if not nil, is called once when a lease is lost, in a goroutine of its own, after the lease's context
	// was cancelled. A program whose work cannot be cancelled should exit here: the local deadline comes before the
	// database's, so there is time for it. It is not called for a release or for the end of Run. A panic in it is
	// recovered and logged.
	OnLost func(l *Lease, reason Reason)
}

// Config configures a [Locker]. A nil or zero Config uses the defaults. All processes that share leases use the same
// Schema; the other fields may differ.
type Config struct {
	// Schema is the schema that Migrate created, usually that of the bus. Defaults to DefaultSchema.
	Schema string

	// Owner is the name of this process in HeldError and lists. It need not be unique, because ownership depends on
	// the token. Defaults to the host name.
	Owner string

	// Name is the label locker in metrics. Change it if a program has several Lockers, for example for two databases.
	// At most 200 bytes. Defaults to DefaultName.
	Name string

	// Options are the defaults of leases.
	Options Options

	// Connect opens the connection that renews leases, and that of TakeoverAfter. Defaults to connections with the
	// pool's configuration, including its BeforeConnect.
	Connect func(ctx context.Context) (*pgx.Conn, error)

	// Logger receives the log of background work. Defaults to slog.Default().
	Logger *slog.Logger

	// ClaimTTL is how long a waiter may leave a granted lease unclaimed before the next waiter gets it. It is how
	// long a waiting process that dies delays the queue. Defaults to DefaultClaimTTL.
	ClaimTTL time.Duration

	// DrainTimeout is how long Run keeps renewing held leases after its context has ended, so that no other process
	// gets a lease that is still in use here. Defaults to DefaultDrainTimeout; with a negative value Run does not
	// wait.
	DrainTimeout time.Duration

	// WatchInterval is how often Watch and Observe poll. The bus notifies them earlier of changes of leaders and of
	// stolen leases. Defaults to DefaultWatchInterval.
	WatchInterval time.Duration

	// TakeoverAfter, if not 0, is how long after the death of a process waiters take over its leases, instead of
	// waiting for the TTL. 1 s to 1.5 s is a good value. Run keeps an extra connection for it, the session, and
	// proves five times in that time that it is alive. Leases are bound to the session from the moment they are
	// granted. The server sees the session end at once if the process dies or is killed. A waiter notices that
	// within a quarter of a second and takes over TakeoverAfter later, with a larger token, and only after the
	// transactions that the dead process had guarded have ended.
	//
	// The price: this process relies on its leases for at most nine tenths of TakeoverAfter after the last proof, so
	// that it loses them, with ReasonDisconnected, before another process has them. A session that breaks while the
	// server is reachable is replaced, and no lease is lost. But an outage, a restart or a failover of the database
	// that takes longer loses all leases, where without TakeoverAfter they survive until their TTL ends; so does a
	// pause of the process for that long. A machine that disappears without closing its connections is detected three
	// seconds later, or its leases end with their TTL.
	//
	// It needs a direct connection to the server: through a pooler Run fails with ErrConfig, unless Connect bypasses
	// it. It applies to the leases of this process. The waiters need not set it, but must be of a version that knows
	// it, and TryAcquire alone never takes over. From 500ms to 30s. Defaults to 0: leases end only with their TTL.
	TakeoverAfter time.Duration

	// Retention is how long the row of a free key is kept. Defaults to DefaultRetention; negative means forever. Rows
	// of dead waiters are deleted in any case.
	Retention time.Duration
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Owner == "" {
		d.Owner, _ = os.Hostname()
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}

	d.Schema = cmp.Or(d.Schema, DefaultSchema)
	d.Name = cmp.Or(d.Name, DefaultName)
	d.ClaimTTL = cmp.Or(d.ClaimTTL, DefaultClaimTTL)
	d.DrainTimeout = cmp.Or(d.DrainTimeout, DefaultDrainTimeout)
	d.WatchInterval = cmp.Or(d.WatchInterval, DefaultWatchInterval)
	d.Retention = cmp.Or(d.Retention, DefaultRetention)
	d.Options = d.Options.over(Options{TTL: DefaultTTL})
	return d
}

func (c *Config) validate() error {
	if err := sqltext.CheckSchema(c.Schema); err != nil {
		return fmt.Errorf("%w: Schema: %w", ErrConfig, err)
	}
	if len(c.Owner) > 200 || !isText(c.Owner) {
		return fmt.Errorf("%w: Owner: want at most 200 bytes of UTF-8 without NUL", ErrConfig)
	}
	if len(c.Name) > 200 || !isText(c.Name) {
		return fmt.Errorf("%w: Name: want at most 200 bytes of UTF-8 without NUL", ErrConfig)
	}

	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"ClaimTTL", c.ClaimTTL}, {"WatchInterval", c.WatchInterval}} {
		if d.value < 10*time.Millisecond || d.value > time.Hour {
			return fmt.Errorf("%w: %s: %v is not from 10ms to 1h", ErrConfig, d.name, d.value)
		}
	}

	if d := c.TakeoverAfter; d != 0 && (d < 500*time.Millisecond || d > 30*time.Second) {
		return fmt.Errorf("%w: TakeoverAfter: %v is neither 0 nor from 500ms to 30s", ErrConfig, d)
	}
	if c.Retention > 0 && c.Retention < time.Minute {
		return fmt.Errorf("%w: Retention: %v is less than a minute", ErrConfig, c.Retention)
	}
	return c.Options.validate()
}

// over is o with what it leaves zero taken from the defaults.
func (o Options) over(defaults Options) Options {
	o.TTL = cmp.Or(o.TTL, defaults.TTL)
	o.MinHold = cmp.Or(o.MinHold, defaults.MinHold)
	if o.Metadata == nil {
		o.Metadata = defaults.Metadata
	}
	o.Metadata = maps.Clone(o.Metadata)
	if o.OnLost == nil {
		o.OnLost = defaults.OnLost
	}
	return o
}

func (o Options) validate() error {
	if o.TTL < MinTTL || o.TTL > MaxTTL {
		return fmt.Errorf("%w: TTL: %v is not from %v to %v", ErrConfig, o.TTL, MinTTL, MaxTTL)
	}
	if o.MinHold < 0 || o.MinHold > o.TTL {
		return fmt.Errorf("%w: MinHold: %v is not from 0 to TTL (%v)", ErrConfig, o.MinHold, o.TTL)
	}
	text, err := o.metadata()
	if err != nil || text != nil && len(*text) > MaxMetadataLen {
		return fmt.Errorf("%w: Metadata: want at most %d bytes of JSON, of UTF-8 without NUL", ErrConfig, MaxMetadataLen)
	}
	return nil
}

// metadata is the JSON of Metadata, nil for none.
func (o Options) metadata() (*string, error) {
	if len(o.Metadata) == 0 {
		return nil, nil //nolint:nilnil // none is a null in the database
	}
	for k, v := range o.Metadata {
		if !isText(k) || !isText(v) {
			return nil, fmt.Errorf("%w: Metadata", ErrConfig)
		}
	}
	raw, err := json.Marshal(o.Metadata)
	text := string(raw)
	return &text, err
}

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// checkKey says what is wrong with a key, if anything.
func checkKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: it is empty", ErrKey)
	case len(key) > MaxKeyLen:
		return fmt.Errorf("%w: %.32q… has %d bytes, at most %d", ErrKey, key, len(key), MaxKeyLen)
	case !isText(key):
		return fmt.Errorf("%w: %.32q is not UTF-8 without NUL", ErrKey, key)
	}
	return nil
}
