package bus

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/naming"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// The defaults of [Config].
const (
	DefaultSchema           = "pgcoherence"
	DefaultStaleAfter       = 3 * time.Second
	DefaultBeatInterval     = time.Second
	DefaultProbeTimeout     = time.Second
	DefaultSweepInterval    = 100 * time.Millisecond
	DefaultPollInterval     = 100 * time.Millisecond
	DefaultAnnounceInterval = 5 * time.Millisecond
	DefaultRetention        = 15 * time.Minute
	DefaultConnectTimeout   = 900 * time.Millisecond
	DefaultMaxBackoff       = 2 * time.Second
	DefaultMaxKeys          = 1000
	DefaultMaxCatchUp       = 10_000
	DefaultQueueSize        = 1024
)

// Config configures a [Postgres] bus. A nil or zero Config uses the defaults. All pods of one application use the
// same Schema; the other fields may differ.
type Config struct {
	// Schema is the schema that Migrate created: lower-case letters, digits and _, at most 48 bytes. The notification
	// channel is named after it, so two applications can share a database. Defaults to DefaultSchema.
	Schema string

	// Name is the name of this pod in lists and logs. It need not be unique. Defaults to the host name.
	Name string

	// Version is the version of the application, shown beside Name. Defaults to "".
	Version string

	// Mode says how the bus receives events. Defaults to Auto.
	Mode Mode

	// Connect opens the bus's own two connections. Set it if the pool goes through a pooler in transaction mode,
	// which does not support LISTEN, so that the bus reaches the server directly. Goroutines of Run call it, with a
	// deadline, for every connection and every reconnect. Leave OnNotification and the context watcher of the
	// returned connections unchanged.
	//
	// Defaults to connections with the configuration of the pool, including BeforeConnect and AfterConnect, to each
	// host in turn. The pool's tracer and its handlers of notices and notifications are not used, because they are
	// for the statements of the application. In either case the bus sets the session parameters that its statements
	// need, whatever the defaults of the role, the database or the server are.
	Connect func(ctx context.Context) (*pgx.Conn, error)

	// Logger receives the log of background work. Defaults to slog.Default().
	Logger *slog.Logger

	// StaleAfter is how long a pod trusts its caches without a new proof that they are in sync. A longer time
	// survives longer outages; a shorter one bounds staleness more tightly. It must be at least three times
	// BeatInterval. Defaults to DefaultStaleAfter.
	StaleAfter time.Duration

	// BeatInterval is how often a pod writes its own row, by which it proves freshness. Above a hundred pods, raise
	// it to 2 or 3 seconds, and StaleAfter with it. Defaults to DefaultBeatInterval.
	BeatInterval time.Duration

	// ProbeTimeout is how long the proof of a beat may take to arrive through LISTEN before the bus polls and
	// reconnects. It also bounds every statement of the bus. Defaults to DefaultProbeTimeout.
	ProbeTimeout time.Duration

	// SweepInterval bounds how long events wait that no pod announces: those of triggers, of other languages, and of
	// pods that died. One of the pods reads the log this often. It reads more often while it announces for many pods
	// (see AnnounceInterval), and after it has found events of writers that do not announce (every 20 ms for some
	// seconds; with more than 40 pods every half millisecond per pod). Defaults to DefaultSweepInterval.
	SweepInterval time.Duration

	// PollInterval is how often the log is read while notifications do not arrive. Defaults to DefaultPollInterval.
	PollInterval time.Duration

	// AnnounceInterval is the minimum time between two notifications of this pod under load; the first event is
	// announced at once. Where many pods have much to announce, the pod that sweeps announces for all instead, every
	// half millisecond per pod, and at least every SweepInterval. With P pods this begins at 4000/P announcements per
	// second of all pods together. It is not done while the sweeps would be closer together than AnnounceInterval, so
	// a higher value keeps larger clusters from it. Defaults to DefaultAnnounceInterval.
	AnnounceInterval time.Duration

	// Retention is how long the log keeps events. A pod that was away for longer resets. Defaults to
	// DefaultRetention; with a negative value this pod deletes nothing.
	Retention time.Duration

	// ConnectTimeout bounds the first attempt to connect, for each address of the pool's hosts. Later attempts get up
	// to five times as long. A shorter time recovers faster from an address that drops packets. Defaults to
	// DefaultConnectTimeout.
	ConnectTimeout time.Duration

	// MaxBackoff bounds the pause between attempts to connect. The bound of the pause starts at 20 ms and doubles,
	// and the pause is random up to it; once the pod is proven to be in sync it starts again. Raise MaxBackoff where
	// many pods share a server: with the default, 100 pods that cannot connect make about 100 attempts per second.
	// Defaults to DefaultMaxBackoff.
	MaxBackoff time.Duration

	// MaxKeys is how many keys of one topic a transaction can invalidate individually. More keys become the whole
	// topic. Defaults to DefaultMaxKeys.
	MaxKeys int

	// MaxCatchUp is how many missed events are read individually after a reconnect. If there are more, all
	// subscribers are reset. Defaults to DefaultMaxCatchUp.
	MaxCatchUp int

	// QueueSize is how many deliveries can wait for one subscriber. A full queue is replaced by a single Reset.
	// Defaults to DefaultQueueSize.
	QueueSize int
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Name == "" {
		d.Name, _ = os.Hostname()
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}

	d.Schema = cmp.Or(d.Schema, DefaultSchema)
	d.StaleAfter = cmp.Or(d.StaleAfter, DefaultStaleAfter)
	d.BeatInterval = cmp.Or(d.BeatInterval, DefaultBeatInterval)
	d.ProbeTimeout = cmp.Or(d.ProbeTimeout, DefaultProbeTimeout)
	d.SweepInterval = cmp.Or(d.SweepInterval, DefaultSweepInterval)
	d.PollInterval = cmp.Or(d.PollInterval, DefaultPollInterval)
	d.AnnounceInterval = cmp.Or(d.AnnounceInterval, DefaultAnnounceInterval)
	d.Retention = cmp.Or(d.Retention, DefaultRetention)
	d.ConnectTimeout = cmp.Or(d.ConnectTimeout, DefaultConnectTimeout)
	d.MaxBackoff = cmp.Or(d.MaxBackoff, DefaultMaxBackoff)
	d.MaxKeys = cmp.Or(d.MaxKeys, DefaultMaxKeys)
	d.MaxCatchUp = cmp.Or(d.MaxCatchUp, DefaultMaxCatchUp)
	d.QueueSize = cmp.Or(d.QueueSize, DefaultQueueSize)
	return d
}

func (c *Config) validate() error {
	if err := sqltext.CheckSchema(c.Schema); err != nil {
		return fmt.Errorf("%w: Schema: %w", ErrConfig, err)
	}
	if len(c.Name) > 200 || naming.CheckText("name", c.Name) != nil {
		return fmt.Errorf("%w: Name: want at most 200 bytes of UTF-8 without NUL", ErrConfig)
	}
	if len(c.Version) > 200 || naming.CheckText("version", c.Version) != nil {
		return fmt.Errorf("%w: Version: want at most 200 bytes of UTF-8 without NUL", ErrConfig)
	}

	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"StaleAfter", c.StaleAfter},
		{"BeatInterval", c.BeatInterval},
		{"ProbeTimeout", c.ProbeTimeout},
		{"SweepInterval", c.SweepInterval},
		{"PollInterval", c.PollInterval},
		{"AnnounceInterval", c.AnnounceInterval},
		{"ConnectTimeout", c.ConnectTimeout},
		{"MaxBackoff", c.MaxBackoff},
	} {
		if d.value < time.Millisecond {
			return fmt.Errorf("%w: %s: %v is less than a millisecond", ErrConfig, d.name, d.value)
		}
	}

	for _, n := range []struct {
		name  string
		value int
	}{{"MaxKeys", c.MaxKeys}, {"MaxCatchUp", c.MaxCatchUp}, {"QueueSize", c.QueueSize}} {
		if n.value < 1 {
			return fmt.Errorf("%w: %s: %d is less than 1", ErrConfig, n.name, n.value)
		}
	}

	if c.Mode > Poll {
		return fmt.Errorf("%w: Mode: %s is none", ErrConfig, c.Mode)
	}
	if c.StaleAfter < 3*c.BeatInterval {
		return fmt.Errorf("%w: StaleAfter: %v is less than three times BeatInterval (%v)", ErrConfig, c.StaleAfter, c.BeatInterval)
	}
	if c.Retention > 0 && c.Retention < c.StaleAfter {
		return fmt.Errorf("%w: Retention: %v is less than StaleAfter (%v)", ErrConfig, c.Retention, c.StaleAfter)
	}

	return nil
}
