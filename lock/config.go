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

// The defaults of Config and Options, and their limits.
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

// Options are how leases are taken. A field left zero is the Locker's.
type Options struct {
	// TTL is how long a lease outlives its last renewal, and so how long others wait after its owner has died. A short
	// one hands over sooner, a long one rides over longer outages of the database; it is renewed every third of it.
	// From MinTTL to MaxTTL. Defaults to DefaultTTL.
	TTL time.Duration

	// MinHold is how long a lease stays taken at the least, even if it is released before: for short jobs that several
	// machines start at the same minute by clocks that differ. At most TTL. Defaults to none.
	MinHold time.Duration

	// Metadata is shown to others: in HeldError, Inspect and List. No secrets. Defaults to none.
	Metadata map[string]string

	// OnLost, if not nil, is called once when a lease is lost, in a goroutine of its own, after the lease's context has
	// been cancelled. A program whose work cannot be cancelled ends itself here, with os.Exit: the local deadline comes
	// before the database's, so that there is time for it. A release is not a loss, and neither is the end of Run. A panic in
	// it is recovered and logged.
	OnLost func(l *Lease, reason Reason)
}

// Config is how a Locker works. The zero value, and nil, is a good one. All processes that share leases use the same
// Schema; the other fields may differ.
type Config struct {
	// Schema is the schema that Migrate made; it is the bus' too. Defaults to DefaultSchema.
	Schema string

	// Owner is what others are told who has a lease; it need not be unique, ownership goes by token. Defaults to the host
	// name.
	Owner string

	// Name is what metrics call this Locker, as the label locker: change it where a program has several, such as for two
	// databases. At most 200 bytes. Defaults to DefaultName.
	Name string

	// Options are the defaults of leases.
	Options Options

	// Connect makes the connection that renews, and that of TakeoverAfter. Defaults to the pool's configuration, its BeforeConnect included.
	Connect func(ctx context.Context) (*pgx.Conn, error)

	// Logger takes what happens in the background. Defaults to slog.Default().
	Logger *slog.Logger

	// ClaimTTL is how long a waiter that was handed a lease may leave it unclaimed before the next one gets it: how much a
	// process with waiters that dies delays the queue. Defaults to DefaultClaimTTL.
	ClaimTTL time.Duration

	// DrainTimeout is for how long Run goes on renewing what is still held after its context has ended, so that nobody
	// else gets what somebody here is still working on. Defaults to DefaultDrainTimeout; negative: not at all.
	DrainTimeout time.Duration

	// WatchInterval is how often Watch and Observe look by themselves; hand-overs of elections and thefts reach them
	// sooner, through the bus. Defaults to DefaultWatchInterval.
	WatchInterval time.Duration

	// TakeoverAfter, if not 0, is how long after the death of a process its leases are taken over by those who wait for them,
	// instead of when their TTL is over: 1 s to 1.5 s is a good value. Run keeps a connection for that which does nothing
	// else, a session, and proves five times in that time that it lives; leases are bound to it a tenth of a second after
	// they were granted. When the server has seen the session end, as it does at once if the process dies or is killed, whoever
	// waits notices within a quarter of a second, and takes over TakeoverAfter later: with a larger token, and only when the
	// transactions that the dead process had guarded have ended.
	//
	// The price: this process relies on its leases for no longer than nine tenths of TakeoverAfter after the last proof, so that
	// they are lost here, with ReasonDisconnected, before anybody else has them. A session that breaks while the server can
	// still be reached is replaced, and no lease is lost. But an outage, a restart or a failover of the database that takes longer loses
	// all leases, where without TakeoverAfter they outlast it by their TTL; and so does a process that stands still that
	// long. A machine that vanishes without a word is found dead after three more seconds, or after the TTL.
	//
	// It takes a direct connection to the server: through a pooler Run fails with ErrConfig, unless Connect goes past it. It is
	// about the leases of this process; those who wait for them need not set it, but have to be of a version that knows it,
	// and TryAcquire alone never takes over. From 500ms to 30s. Defaults to 0: leases end with their TTL only.
	TakeoverAfter time.Duration

	// Retention is for how long a key that is free keeps its row. Defaults to DefaultRetention; negative: for ever. Waiters
	// that died are deleted in any case.
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
