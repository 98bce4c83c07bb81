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

// The defaults of [Config].
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

// NoIdle, as Policy.Idle, switches the idle timeout off.
const NoIdle = time.Duration(-1)

// maxAbsolute keeps deadlines within what a Duration and the database's arithmetic can hold.
const maxAbsolute = 100 * 365 * 24 * time.Hour

// Policy says when a session ends.
type Policy struct {
	// Idle is how long the session may be unused. Zero means Config.Policy; NoIdle means no limit.
	Idle time.Duration
	// Absolute is how long after the login the session ends, whatever its use. Zero means Config.Policy.
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

// Config configures a [Store] or [LocalStore]. A nil or zero Config uses the defaults. All pods use the same Schema,
// Codec, Encrypt and SealKeys; the other fields may differ.
type Config[T any] struct {
	// Schema is the schema in which Migrate created the tables, that of the bus. Defaults to bus.DefaultSchema.
	Schema string

	// Name is the name of this store in metrics and logs. Change it if a program has several stores, for example one
	// for a framework beside its own. It does not change the topic: [Topic] belongs to the tables. Defaults to
	// DefaultName.
	Name string

	// Policy is for sessions that are created without one. Defaults to DefaultIdle and DefaultAbsolute.
	Policy Policy

	// Codec encodes data. Defaults to JSON; for []byte to Bytes.
	Codec Codec[T]

	// Clone returns a deep copy of data, for the sessions that Get returns. Without it, if T contains maps, slices or
	// pointers, Data is decoded for every Get, which is slower. Defaults to nil.
	Clone func(T) T
	// ShareData makes all calls of Get return the same Data, which must then not be changed through pointers, maps or
	// slices. Defaults to false.
	ShareData bool

	// MaxData is the maximum size of the encoded data in bytes. Defaults to DefaultMaxData.
	MaxData int

	// Encrypt encrypts data at rest with a key that only the token contains: a dump of the database does not reveal
	// it, and neither can an administrator read it. Without the token the data is lost. Sessions that were written
	// without encryption stay readable. Defaults to false.
	Encrypt bool

	// SealKeys, if any, make tokens carry a signature, so that invented tokens are rejected without a query. The
	// first key signs, all are accepted; see AcceptKeys for adding and replacing keys. At least 16 bytes each.
	// Defaults to none.
	SealKeys [][]byte
	// AcceptKeys are accepted but do not sign. Add a new key here on all pods before the first pod signs with it, and
	// keep an old key here until its tokens have expired. Defaults to none.
	AcceptKeys [][]byte
	// AcceptUnsealed accepts tokens without a signature, too, while those from before SealKeys expire. Defaults to
	// false.
	AcceptUnsealed bool

	// MaxPerUser is the maximum number of valid sessions of a user; a new one ends the oldest. Defaults to 0: no
	// limit.
	MaxPerUser int
	// RefuseOverLimit makes Create return ErrLimit instead of ending the oldest session. Defaults to false.
	RefuseOverLimit bool

	// Size is the maximum number of sessions in a pod's memory. Defaults to DefaultSize.
	Size int
	// WhenStale says how reads work while the bus cannot prove that this memory is in sync. Defaults to cache.Bypass:
	// each reads the database.
	WhenStale cache.Policy
	// Tier is a second-level cache behind the memory of the pods. Its values are encrypted and authenticated with a
	// key from the database: read access to it reveals nothing, and write access lets no client in. Defaults to none.
	Tier cache.Tier

	// MaxLookups is the maximum number of concurrent lookups in the database; others wait. It leaves connections to
	// other work when clients send invented tokens. Defaults to DefaultMaxLookups, or to half of the pool's
	// connections if that is less.
	MaxLookups int
	// MaxWaiting is the maximum number of waiting lookups; further ones return ErrBusy. Defaults to
	// DefaultMaxWaiting.
	MaxWaiting int
	// LookupTimeout bounds each lookup, including its wait. Defaults to DefaultLookupTimeout.
	LookupTimeout time.Duration

	// TouchInterval is how often uses are written, all of a pod in one statement. With short idle timeouts they are
	// written more often. Defaults to DefaultTouchInterval.
	TouchInterval time.Duration
	// TouchAge is the maximum age of the last written use, or a tenth of the idle timeout if that is less. Defaults
	// to DefaultTouchAge.
	TouchAge time.Duration

	// SweepInterval is how often Run deletes old rows; one of the pods does it. A session that became idle is deleted
	// up to a day after it has expired, all others after an hour. Defaults to DefaultSweepInterval; with a negative
	// value this pod never does it.
	SweepInterval time.Duration
	// SweepBatch is how many rows are deleted or changed in one transaction. A write to one of them waits for that
	// transaction. Defaults to DefaultSweepBatch.
	SweepBatch int

	// BindGrace is how long a context of Bind continues when neither the bus nor the database can report whether its
	// session is still valid. Defaults to DefaultBindGrace.
	BindGrace time.Duration

	// OnEvent, if not nil, is called for what happens to sessions on this pod: for audit logs, mails about new
	// devices, alerts about stolen tokens. The goroutine of the request calls it after the commit and waits for its
	// return; concurrent calls are possible. A panic is recovered and logged.
	OnEvent func(context.Context, Event)

	// MaxRetries is how often Update and Commit retry after a conflict. Defaults to DefaultMaxRetries.
	MaxRetries int

	// Logger receives the log of background work. Defaults to slog.Default().
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
