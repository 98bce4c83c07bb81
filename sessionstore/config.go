package sessionstore

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// The defaults of Config.
const (
	DefaultName          = "session"
	DefaultIdle          = 30 * time.Minute
	DefaultAbsolute      = 12 * time.Hour
	DefaultGrace         = 10 * time.Second
	DefaultMaxData       = 64 << 10
	DefaultSize          = 10_000
	DefaultMaxLookups    = 16
	DefaultMaxWaiting    = 1024
	DefaultLookupTimeout = 5 * time.Second
	DefaultTouchInterval = 5 * time.Second
	DefaultTouchAge      = 5 * time.Minute
	DefaultSweepInterval = time.Minute
	DefaultSweepBatch    = 200
	DefaultBindGrace     = 30 * time.Second
	DefaultMaxRetries    = 10
)

const maxName = 200

// NoIdle as Policy.Idle: a session does not end for being idle.
const NoIdle = time.Duration(-1)

// maxAbsolute keeps deadlines within what a Duration and the database's arithmetic can hold.
const maxAbsolute = 100 * 365 * 24 * time.Hour

// Policy is when a session ends by itself.
type Policy struct {
	// Idle is how long it may be without use. Zero: as configured; NoIdle: for ever.
	Idle time.Duration
	// Absolute is how long after the login it ends, however much it is used. Zero: as configured.
	Absolute time.Duration
}

func (p Policy) or(d Policy) Policy {
	return Policy{Idle: cmp.Or(p.Idle, d.Idle), Absolute: cmp.Or(p.Absolute, d.Absolute)}
}

func (p Policy) check() error {
	switch {
	case p.Idle != NoIdle && p.Idle < 10*time.Millisecond:
		return fmt.Errorf("idle of %v is less than 10 milliseconds", p.Idle)
	case p.Idle > maxAbsolute:
		return fmt.Errorf("idle of %v is more than a hundred years", p.Idle)
	case p.Absolute < 10*time.Millisecond:
		return fmt.Errorf("absolute of %v is less than 10 milliseconds", p.Absolute)
	case p.Absolute > maxAbsolute:
		return fmt.Errorf("absolute of %v is more than a hundred years", p.Absolute)
	}
	return nil
}

// idleMicros is the idle timeout as the statements take it: 0 for none.
func (p Policy) idleMicros() int64 { return max(p.Idle, 0).Microseconds() }

// Config is how a store works. The zero value, and nil, is a good one. All pods use the same Schema, Codec, Encrypt
// and SealKeys; the other fields may differ.
type Config[T any] struct {
	// Schema is where Migrate made the tables, the bus' own. Defaults to bus.DefaultSchema.
	Schema string

	// Name is what metrics and logs call this store: change it where a program has several, such as one for a framework
	// beside its own. What the sessions are called on the bus is [Topic] for all stores, as it belongs to the tables.
	// Defaults to DefaultName.
	Name string

	// Policy is for sessions that are created without one of their own. Defaults to DefaultIdle and DefaultAbsolute.
	Policy Policy

	// Codec turns data into bytes. Defaults to JSON, for []byte to Bytes.
	Codec Codec[T]

	// Clone makes a copy that shares nothing which can change, for the Data of sessions that Get returns. Without it, and
	// if T holds maps, slices or pointers, Data is decoded for every Get, which is safe and slower.
	Clone func(T) T
	// ShareData hands the same Data to all who Get a session instead: nobody may change what it points to. For those who
	// do not.
	ShareData bool

	// MaxData is how many bytes the encoded data may have. Defaults to DefaultMaxData.
	MaxData int

	// Encrypt encrypts data at rest with a key that only the holder of the token has: neither a dump of the database nor
	// an administrator reads it, and a lost token loses it. Sessions written without stay readable. Defaults to false.
	Encrypt bool

	// SealKeys, if any, make tokens carry a signature, so that invented ones are rejected before the database is asked.
	// The first signs, all are accepted; see AcceptKeys for how one is added or replaced. At least 16 bytes each. Defaults to
	// none.
	SealKeys [][]byte
	// AcceptKeys are accepted and do not sign: give a new key to all pods here before the first of them signs with it, and
	// keep an old one here until its tokens have expired. Defaults to none.
	AcceptKeys [][]byte
	// AcceptUnsealed accepts tokens without a signature, too, while those from before SealKeys was set expire.
	AcceptUnsealed bool

	// MaxPerUser is how many valid sessions a user may have; one more ends the oldest. Defaults to 0: any number.
	MaxPerUser int
	// RefuseOverLimit refuses one more with ErrLimit instead.
	RefuseOverLimit bool

	// Size is how many sessions a pod keeps in memory. Defaults to DefaultSize.
	Size int
	// WhenStale is what becomes of reads while the bus cannot prove that this memory is in sync. Defaults to
	// cache.Bypass: each asks the database.
	WhenStale cache.Policy
	// Tier is a second level behind the memory of the pods. What it holds is encrypted and authenticated by a key from the
	// database: whoever can read it learns nothing, and whoever can write it lets nobody in. Defaults to none.
	Tier cache.Tier

	// MaxLookups is how many sessions are looked up in the database at once; the rest waits. Defaults to
	// DefaultMaxLookups, or half of the pool's connections if that is less: tokens that nobody was given leave the rest.
	MaxLookups int
	// MaxWaiting is how many lookups may wait; one more is ErrBusy. Defaults to DefaultMaxWaiting.
	MaxWaiting int
	// LookupTimeout bounds each lookup, waiting included. Defaults to DefaultLookupTimeout.
	LookupTimeout time.Duration

	// TouchInterval is how often uses are written, all of a pod in one statement; sooner for short idle timeouts. Defaults
	// to DefaultTouchInterval.
	TouchInterval time.Duration
	// TouchAge is how old the last written use may get; a tenth of the idle timeout, if that is less. Defaults to
	// DefaultTouchAge.
	TouchAge time.Duration

	// SweepInterval is how often Run looks for rows to delete; one pod of all does. A session that was used and then left
	// alone is deleted up to a day after it has expired, the others after an hour. Defaults to DefaultSweepInterval;
	// negative: this one never does.
	SweepInterval time.Duration
	// SweepBatch is how many rows are deleted, or changed, in one transaction; who writes to one that is being deleted waits
	// for the rest of them. Defaults to DefaultSweepBatch.
	SweepBatch int

	// BindGrace is how long a context of Bind goes on when neither the bus nor the database can tell that its session is
	// still valid. Defaults to DefaultBindGrace.
	BindGrace time.Duration

	// OnEvent, if not nil, is called with what happens to sessions here: for audit logs, mails about new devices, alerts
	// about stolen tokens. It is called by the goroutine of the request, after the commit, and may be called by many at
	// once; what it takes, the request waits. A panic is caught and logged.
	OnEvent func(context.Context, Event)

	// MaxRetries is how often Update and Commit try again after a conflict. Defaults to DefaultMaxRetries.
	MaxRetries int

	// Logger takes what happens in the background. Defaults to slog.Default().
	Logger *slog.Logger

	// now is the clock, for tests. Nothing that counts is decided by its absolute time.
	now func() time.Time
}

func (c *Config[T]) withDefaults() Config[T] {
	var d Config[T]
	if c != nil {
		d = *c
	}
	d.Schema = cmp.Or(d.Schema, bus.DefaultSchema)
	d.Name = cmp.Or(d.Name, DefaultName)
	d.Policy = d.Policy.or(Policy{DefaultIdle, DefaultAbsolute})
	if d.Codec == nil {
		d.Codec = JSON[T]()
		if b, ok := Bytes().(Codec[T]); ok {
			d.Codec = b
		}
	}
	d.MaxData = cmp.Or(d.MaxData, DefaultMaxData)
	d.SealKeys, d.AcceptKeys = copyKeys(d.SealKeys), copyKeys(d.AcceptKeys)
	d.Size = cmp.Or(d.Size, DefaultSize)
	d.MaxLookups = cmp.Or(d.MaxLookups, DefaultMaxLookups)
	d.MaxWaiting = cmp.Or(d.MaxWaiting, DefaultMaxWaiting)
	d.LookupTimeout = cmp.Or(d.LookupTimeout, DefaultLookupTimeout)
	d.TouchInterval = cmp.Or(d.TouchInterval, DefaultTouchInterval)
	d.TouchAge = cmp.Or(d.TouchAge, DefaultTouchAge)
	d.SweepInterval = cmp.Or(d.SweepInterval, DefaultSweepInterval)
	d.SweepBatch = cmp.Or(d.SweepBatch, DefaultSweepBatch)
	d.BindGrace = cmp.Or(d.BindGrace, DefaultBindGrace)
	d.MaxRetries = cmp.Or(d.MaxRetries, DefaultMaxRetries)
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	if d.now == nil {
		d.now = time.Now
	}
	return d
}

func copyKeys(keys [][]byte) [][]byte {
	own := make([][]byte, len(keys))
	for i, k := range keys {
		own[i] = slices.Clone(k)
	}
	return own
}

func (c *Config[T]) validate() error {
	if err := sqltext.CheckSchema(c.Schema); err != nil {
		return fmt.Errorf("%w: Schema: %w", ErrConfig, err)
	}
	if len(c.Name) > maxName || checkText(c.Name) != nil {
		return fmt.Errorf("%w: Name: want at most %d bytes of UTF-8 without NUL", ErrConfig, maxName)
	}
	if err := c.Policy.check(); err != nil {
		return fmt.Errorf("%w: Policy: %w", ErrConfig, err)
	}
	for field, keys := range map[string][][]byte{"SealKeys": c.SealKeys, "AcceptKeys": c.AcceptKeys} {
		for i, k := range keys {
			if len(k) < 16 {
				return fmt.Errorf("%w: %s: number %d has %d bytes, at least 16", ErrConfig, field, i, len(k))
			}
		}
	}
	if c.MaxPerUser < 0 {
		return fmt.Errorf("%w: MaxPerUser: %d is negative", ErrConfig, c.MaxPerUser)
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"MaxData", c.MaxData},
		{"Size", c.Size},
		{"MaxLookups", c.MaxLookups},
		{"MaxWaiting", c.MaxWaiting},
		{"SweepBatch", c.SweepBatch},
		{"MaxRetries", c.MaxRetries},
	} {
		if n.value < 1 {
			return fmt.Errorf("%w: %s: %d is less than 1", ErrConfig, n.name, n.value)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"LookupTimeout", c.LookupTimeout},
		{"TouchInterval", c.TouchInterval},
		{"TouchAge", c.TouchAge},
		{"BindGrace", c.BindGrace},
	} {
		if d.value < time.Millisecond {
			return fmt.Errorf("%w: %s: %v is less than a millisecond", ErrConfig, d.name, d.value)
		}
		if d.value > maxAbsolute {
			return fmt.Errorf("%w: %s: %v is more than a hundred years", ErrConfig, d.name, d.value)
		}
	}
	if c.SweepInterval > 0 && c.SweepInterval < time.Millisecond {
		return fmt.Errorf("%w: SweepInterval: %v is less than a millisecond", ErrConfig, c.SweepInterval)
	}
	if c.SweepInterval > maxAbsolute {
		return fmt.Errorf("%w: SweepInterval: %v is more than a hundred years", ErrConfig, c.SweepInterval)
	}
	return nil
}

func (c *Config[T]) sealer() sealer {
	return sealer{keys: c.SealKeys, others: c.AcceptKeys, unsealed: c.AcceptUnsealed}
}

func (c *Config[T]) logger() *slog.Logger {
	return c.Logger.With(slog.String("component", "sessionstore"), slog.String("name", c.Name))
}
