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

// The defaults of Config.
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

// Config is how a Postgres bus works. The zero value, and nil, is a good one. All pods of one application use the same
// Schema; the other fields may differ.
type Config struct {
	// Schema is the schema that Migrate made. Lower-case letters, digits and _, at most 48 bytes. The notification
	// channel is named after it, so two applications in one database keep apart. Defaults to DefaultSchema.
	Schema string

	// Name is what people call this pod in lists and logs; it need not be unique. Defaults to the host name.
	Name string

	// Version is the version of the application, shown beside Name. Defaults to nothing.
	Version string

	// Mode is how the bus learns of events. Defaults to Auto.
	Mode Mode

	// Connect makes the bus' own two connections. Set it to reach the server directly where the pool goes through a
	// pooler in transaction mode, which swallows LISTEN. It is called from goroutines of Run, for every connection
	// again, with a deadline. Leave OnNotification of its connections alone, and the context watcher: pgx's own ends a
	// statement when its context ends.
	//
	// Defaults to connections by the pool's configuration, with its BeforeConnect and AfterConnect, each host in its
	// turn. Its tracer and its handlers of notices and notifications are left out, since they are for the statements of
	// the application. Either way the bus makes the settings of the session that its statements rely on, whatever is set
	// for the role, the database or the server.
	Connect func(ctx context.Context) (*pgx.Conn, error)

	// Logger takes what happens in the background. Defaults to slog.Default().
	Logger *slog.Logger

	// StaleAfter is how long a pod goes on trusting its caches without proof that they are in sync. Longer rides over
	// longer outages, shorter bounds staleness tighter. At least three times BeatInterval. Defaults to
	// DefaultStaleAfter.
	StaleAfter time.Duration

	// BeatInterval is how often a pod writes its own row, which is how it proves freshness. Raise it to 2 or 3 seconds,
	// and StaleAfter with it, above a hundred pods. Defaults to DefaultBeatInterval.
	BeatInterval time.Duration

	// ProbeTimeout is how long after a beat its proof may take to arrive through LISTEN before the bus polls and
	// reconnects. It also bounds every statement of the bus. Defaults to DefaultProbeTimeout.
	ProbeTimeout time.Duration

	// SweepInterval bounds how long events wait that no pod announces: of triggers, of other languages, of pods that
	// died. One pod of all reads the log this often, and more often while it announces for many pods
	// (AnnounceInterval), or finds events of writers that announce nothing (every 20 ms for some seconds; with more than 40
	// pods half a millisecond for each).
	// Defaults to DefaultSweepInterval.
	SweepInterval time.Duration

	// PollInterval is how often the log is read while notifications do not arrive. Defaults to DefaultPollInterval.
	PollInterval time.Duration

	// AnnounceInterval is the least time between two notifications of this pod while events flow; the first goes out at
	// once. Where many pods have much to announce, the pod that sweeps does it for all instead, every half millisecond
	// for each pod and at most every SweepInterval: with P pods that begins at 4000/P announcements a second of all of
	// them together. Raise AnnounceInterval to keep larger clusters from that: it is not done where the interval of the
	// sweeps would be shorter than AnnounceInterval. Defaults to DefaultAnnounceInterval.
	AnnounceInterval time.Duration

	// Retention is how far back the log reaches: a pod that was away for longer resets. Defaults to DefaultRetention;
	// negative: nothing is ever deleted by this pod.
	Retention time.Duration

	// ConnectTimeout bounds the first attempt to connect, for each address that the hosts of the pool lead to; later
	// attempts are given up to five times as long. A short one recovers faster from an address that swallows packets.
	// Defaults to DefaultConnectTimeout.
	ConnectTimeout time.Duration

	// MaxBackoff bounds the pause before the next attempt to connect, which begins at 20 ms, doubles, and is drawn at random
	// up to that. Raise it where many pods share a server: of 100 that cannot connect, about 100 come a second by the
	// default. It starts over once the pod has proven to be in sync. Defaults to DefaultMaxBackoff.
	MaxBackoff time.Duration

	// MaxKeys is how many keys of one topic a transaction can invalidate one by one; more become the whole topic.
	// Defaults to DefaultMaxKeys.
	MaxKeys int

	// MaxCatchUp is how many missed events are read one by one after a reconnect; more reset everything instead.
	// Defaults to DefaultMaxCatchUp.
	MaxCatchUp int

	// QueueSize is how many deliveries can wait for one subscriber; one more, and the queue becomes a single Reset.
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
